//! Promises under faults: every event decided and written gets home, in order, whatever happens on the way. Small by
//! default; `tests/faults/run` sets FIELDMARK_FAULTS and prints the table in full.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::Duration;

use field::{Broker, Daemon, Field, Gate, Listener, SmallDisk, free_port};
use serde_json::Value;

const DETECTION: &str = "fieldmark/n1/pond/detection";
const METRICS: &str = "fieldmark/n1/metrics";
/// Messages in flight at most, as configured by default.
const IN_FLIGHT: u64 = 100;

fn full() -> bool {
    std::env::var_os("FIELDMARK_FAULTS").is_some()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A node whose only way to the broker is `gate`.
fn behind(gate: &Gate, pictures: usize, camera: &str, tables: &str) -> Field {
    let mqtt = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nmetrics_s = 0.2\nstop_timeout_s = 120.0\n",
        gate.port
    );
    Field::new(&mqtt, pictures, camera, tables)
}

/// Sends more at once than a subscriber has acknowledged: what is acknowledged to the node is on its way.
fn broker(port: u16) -> Broker {
    eager(port, "persistence false", tempfile::tempdir().expect("a folder"))
}

/// As [`broker`], with what it holds on disk after every change.
fn persistent_broker(port: u16) -> Broker {
    let folder = tempfile::tempdir().expect("a folder");
    let location = folder.path().display();
    let persistence = format!(
        "persistence true\npersistence_location {location}/\nautosave_interval 1\nautosave_on_changes true\nuser root"
    );
    eager(port, &persistence, folder)
}

fn eager(port: u16, persistence: &str, folder: tempfile::TempDir) -> Broker {
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\n{persistence}\nmax_inflight_messages 0\nmax_queued_messages 0\n"
    );
    Broker::in_folder(port, &text, folder)
}

/// What came of the events of every start of the daemon.
#[derive(Debug, Default)]
struct Tally {
    delivered: usize,
    unique: usize,
    lost: usize,
    replayed: usize,
}

/// Counts, and asserts order: of each start, first arrivals are in the order of decision.
fn tally(listener: &Listener) -> Tally {
    let mut seen: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut tally = Tally::default();
    for text in listener.on(DETECTION) {
        let event = parsed(&text);
        let boot = event["boot"].as_str().expect("a boot").to_owned();
        let seq = event["seq"].as_u64().expect("a number");
        tally.delivered += 1;
        tally.replayed += usize::from(event["replay"] == true);
        let of_boot = seen.entry(boot).or_default();
        let newest = of_boot.last().copied();
        if of_boot.insert(seq) {
            assert!(newest.is_none_or(|newest| newest < seq), "{seq} came after {newest:?}");
            assert!(ids.insert(event["id"].as_str().expect("an id").to_owned()), "one id, two events");
        }
    }
    tally.unique = ids.len();
    for of_boot in seen.values() {
        let all = usize::try_from(of_boot.last().expect("an event") + 1).expect("a number");
        tally.lost += all - of_boot.len();
    }
    tally
}

fn report(fault: &str, tally: &Tally) {
    let Tally { delivered, unique, lost, replayed } = tally;
    let line = format!("{fault}\t{}\t{unique}\t{}\t{lost}\t{replayed}", unique + lost, delivered - unique);
    println!("{line}");
    if let Some(path) = std::env::var_os("FIELDMARK_FAULTS_TABLE") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a table");
        writeln!(file, "{line}").expect("write");
    }
}

fn stop(daemon: &mut Daemon, field: &Field, listener: &Listener) {
    field.stop(daemon, listener);
    assert!(field.log().contains("kept=0 lost=0 announced=true"), "{}", field.log());
}

#[test]
fn every_id_arrives_in_order_over_a_broker_that_is_killed_again_and_again() {
    let port = free_port();
    killed_again_and_again(port, broker(port), "no persistence");
}

#[test]
fn every_id_arrives_in_order_over_a_broker_with_persistence_that_is_killed_again_and_again() {
    let port = free_port();
    killed_again_and_again(port, persistent_broker(port), "persistence");
}

fn killed_again_and_again(port: u16, mut broker: Broker, kind: &str) {
    let (kills, each) = if full() { (50, 200) } else { (3, 40) };
    let gate = Gate::new(port, 0, 0);
    gate.open();
    let field = behind(&gate, 2, "rate_hz = 200.0", "");
    // A listener that acknowledges gives up its connection, and what it has not read of it, when it can no longer write
    // to the dead broker. One that does not reads to the end.
    let listener = Listener::with(port, "311", &["-q", "0"]);
    let mut daemon = field.start();
    for kill in 1..=kills {
        listener.wait_count(DETECTION, kill * each);
        broker.kill();
        gate.close();
        broker.run();
        // Nobody is to miss what the broker forgets: the link opens when somebody listens.
        listener.wait_subscribed(port);
        gate.open();
    }
    listener.wait_count(DETECTION, (kills + 1) * each);
    stop(&mut daemon, &field, &listener);
    let tally = tally(&listener);
    report(&format!("broker killed -9 {kills} times, {kind}"), &tally);
    assert_eq!(tally.lost, 0);
}

/// Until the outbox of a daemon that was just started is being written to: opening it is one commit or two.
fn wait_for_commits(field: &Field) {
    let log = field.path("state").join("outbox-n1.sqlite-wal");
    let stamp = || std::fs::metadata(&log).and_then(|log| Ok((log.len(), log.modified()?))).ok();
    let (begun, mut last, mut commits) = (std::time::Instant::now(), stamp(), 0);
    while commits < 6 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is decided: {}", field.log());
        std::thread::sleep(Duration::from_millis(1));
        let now = stamp();
        commits += u32::from(now != last);
        last = now;
    }
}

#[test]
fn a_detection_survives_kill_nine() {
    let kills = if full() { 200 } else { 6 };
    let port = free_port();
    let _broker = broker(port);
    let gate = Gate::new(port, 0, 0);
    let field = behind(&gate, 2, "rate_hz = 200.0", "");
    let listener = Listener::start(port, "311");
    let mut random = 0x1234_5678u32;
    for kill in 0..kills {
        // Every other life is spent without a broker.
        if kill % 2 == 0 {
            gate.close();
        } else {
            gate.open();
        }
        let daemon = field.start();
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        wait_for_commits(&field);
        std::thread::sleep(Duration::from_millis(u64::from((random >> 16) % 300)));
        daemon.signal("-KILL");
        drop(daemon);
        assert!(!field.log().contains("set aside"), "{}", field.log());
    }
    gate.open();
    let mut daemon = field.start();
    // The will of the one before may come first.
    let online = |heard: &[String]| heard.iter().filter(|status| *status == "online").count();
    let before = online(&listener.on("fieldmark/n1/status"));
    listener.wait("fieldmark/n1/status", |heard| online(heard) > before);
    stop(&mut daemon, &field, &listener);
    let tally = tally(&listener);
    report(&format!("daemon killed -9 {kills} times, broker away half of the time"), &tally);
    assert_eq!(tally.lost, 0);
    assert!(tally.replayed > 0);
}

#[test]
fn a_narrow_link_that_loses_packets_and_breaks_delivers_everything() {
    let pictures = if full() { 600 } else { 40 };
    let port = free_port();
    let _broker = broker(port);
    let gate = Gate::new(port, 20_000, 30);
    gate.open();
    let field = behind(&gate, pictures, "rate_hz = 50.0\nloop = false", "");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    for part in 1..4 {
        listener.wait_long(DETECTION, |heard| heard.len() >= pictures / 8 * part);
        gate.cut();
    }
    field.wait_for_log("Ended");
    stop(&mut daemon, &field, &listener);
    let tally = tally(&listener);
    report("20 kB/s, 30 % of pieces lost and repeated, cut 3 times", &tally);
    assert_eq!(tally.lost, 0);
}

#[test]
fn a_full_disk_stops_nothing_and_is_used_again_when_there_is_room() {
    let port = free_port();
    let _broker = broker(port);
    let gate = Gate::new(port, 0, 0);
    gate.open();
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(folder.path().join("small"), "1m") else {
        println!("not run: this user may not mount a tmpfs");
        return;
    };
    let outbox = format!("[outbox]\nfolder = {:?}\nmemory = 200\n", disk.path());
    let field = behind(&gate, 2, "rate_hz = 50.0", &outbox);
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let queue = |key: &str| {
        listener.on(METRICS).last().map_or(Value::Null, |text| parsed(text)["queue"][key].clone())
    };
    listener.wait(METRICS, |heard| heard.last().is_some_and(|text| parsed(text)["queue"]["durable"] == true));
    // Whatever is left of the disk goes to somebody else.
    let mut filler = std::fs::File::create(disk.path().join("filler")).expect("a file");
    while filler.write_all(&[0; 512]).is_ok() {}
    listener.wait(METRICS, |_| queue("durable") == false);
    let heard = listener.on(DETECTION).len();
    listener.wait(DETECTION, |now| now.len() > heard + 50);
    // Without a broker as well, memory fills up, and what it cannot hold is counted.
    gate.close();
    field.wait_for_log("no connection to the broker");
    field.wait_for_log("the oldest detections are dropped");
    gate.open();
    listener.wait(METRICS, |_| queue("dropped")["detection"]["memory"].as_u64() > Some(0));
    drop(filler);
    std::fs::remove_file(disk.path().join("filler")).expect("remove");
    listener.wait(METRICS, |_| queue("durable") == true);
    stop(&mut daemon, &field, &listener);
    let counted = queue("dropped")["detection"]["memory"].as_u64().expect("a count");
    let tally = tally(&listener);
    report(&format!("disk full for a while, {counted} dropped and counted for want of memory"), &tally);
    let lost = tally.lost as u64;
    assert!(lost <= counted, "{lost} are missing, {counted} were counted");
    // What the broker had when the link was cut, without our hearing of it, was counted and is not missing.
    assert!(counted - lost <= IN_FLIGHT, "{lost} are missing, {counted} were counted");
    drop(disk);
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(std::path::Path::new(library).exists(), "libfaketime is needed: apt-get install -y faketime");
    let port = free_port();
    let _broker = broker(port);
    let gate = Gate::new(port, 0, 0);
    let field = behind(&gate, 2, "rate_hz = 50.0", "");
    let time = field.text("time");
    std::fs::write(&time, "+0\n").expect("write");
    let variables = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &time),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_NO_CACHE", "1"),
    ];
    let listener = Listener::start(port, "311");
    let mut daemon = field.start_with(&variables);
    field.wait_for_log("no connection to the broker");
    gate.open();
    for jump in ["@1970-01-02 00:00:00", "+10y", "-1h"] {
        let heard = listener.on(DETECTION).len();
        std::fs::write(&time, format!("{jump}\n")).expect("write");
        listener.wait(DETECTION, |now| now.len() > heard + 30);
    }
    let years: BTreeSet<_> = listener
        .on(DETECTION)
        .iter()
        .map(|text| parsed(text)["time"].as_str().expect("a time")[..4].to_owned())
        .collect();
    assert!(years.contains("1970") && years.len() >= 3, "the daemon saw the jumps: {years:?}");
    stop(&mut daemon, &field, &listener);
    let tally = tally(&listener);
    report("clock to 1970, +10 years, -1 h", &tally);
    assert_eq!(tally.lost, 0);
}
