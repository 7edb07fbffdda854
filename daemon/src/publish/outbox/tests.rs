//! Promises of the outbox, kept on a real disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn config(folder: &Path) -> OutboxConfig {
    OutboxConfig {
        path: Some(folder.join("outbox.sqlite")),
        max_bytes: 64 << 20,
        max_age: Duration::from_secs(3600),
        memory: 100_000,
        disk_full: DiskFull::Publish,
        late: Duration::from_secs(3),
    }
}

fn open(config: &OutboxConfig) -> Outbox {
    Outbox::open(config, "run").expect("an outbox")
}

fn event(class: Class, number: u64) -> Message {
    let payload = format!("{{\"seq\":{number},\"replay\":false,\"filler\":\"{}\"}}", "x".repeat(900));
    Message { topic: "fieldmark/n/c/detection".into(), payload: payload.into(), class }
}

fn put(outbox: &Outbox, numbers: std::ops::Range<u64>) {
    for number in numbers {
        outbox.put(event(Class::Detection, number));
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn until_stored(outbox: &Outbox) {
    until("everything is on the disk", || outbox.at_risk() == 0 && outbox.counts().durable);
}

fn seq(message: &Message) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
    value["seq"].as_u64().expect("a number")
}

/// Takes and settles until `count` have come.
fn deliver(outbox: &Outbox, count: usize) -> Vec<(u64, bool)> {
    let mut heard = Vec::new();
    until("enough came", || {
        while heard.len() < count
            && let Some((place, message, sent)) = outbox.take(true)
        {
            let replay = message.payload.windows(13).any(|window| window == b"\"replay\":true");
            heard.push((seq(&message), replay));
            outbox.settle(&place, &sent);
        }
        heard.len() >= count
    });
    heard
}

fn numbers(heard: &[(u64, bool)]) -> Vec<u64> {
    heard.iter().map(|(number, _)| *number).collect()
}

#[test]
fn events_come_back_in_order_after_a_restart_and_say_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = open(&config(folder.path()));
    put(&outbox, 0..700);
    until_stored(&outbox);
    let heard = deliver(&outbox, 100);
    assert!(heard.iter().all(|(_, replay)| !replay));
    drop(outbox);
    let outbox = Outbox::open(&config(folder.path()), "another run").expect("an outbox");
    assert_eq!(outbox.counts().waiting, 600);
    put(&outbox, 700..710);
    let heard = deliver(&outbox, 610);
    assert_eq!(numbers(&heard), (100..710).collect::<Vec<_>>());
    assert!(heard.iter().all(|&(number, replay)| replay == (number < 700)));
    until("nothing waits", || outbox.is_empty() && outbox.counts().waiting == 0);
}

#[test]
fn an_event_that_is_not_acknowledged_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = open(&config(folder.path()));
    put(&outbox, 0..3);
    until_stored(&outbox);
    let taken: Vec<_> = std::iter::from_fn(|| outbox.take(true)).collect();
    assert_eq!(taken.len(), 3);
    outbox.settle(&taken[1].0, &taken[1].2);
    drop(outbox);
    let outbox = open(&config(folder.path()));
    assert_eq!(numbers(&deliver(&outbox, 2)), [0, 2]);
}

#[test]
fn alerts_are_sent_before_detections_that_are_older() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = open(&config(folder.path()));
    put(&outbox, 0..300);
    outbox.put(event(Class::Alert, 1000));
    until_stored(&outbox);
    drop(outbox);
    assert_eq!(numbers(&deliver(&open(&config(folder.path())), 2)), [1000, 0]);
}

#[test]
fn the_oldest_detections_make_room_and_alerts_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = open(&OutboxConfig { max_bytes: 1 << 20, ..config(folder.path()) });
    for number in 0..100 {
        outbox.put(event(Class::Alert, number));
    }
    put(&outbox, 100..3000);
    outbox.close();
    let counts = outbox.counts();
    assert_eq!(counts.dropped.keys().collect::<Vec<_>>(), [&Class::Detection]);
    assert_eq!(counts.dropped[&Class::Detection][&Loss::Size] + counts.waiting, 3000);
    let waiting = usize::try_from(counts.waiting).expect("a number");
    let size = std::fs::metadata(folder.path().join("outbox.sqlite")).expect("a file").len();
    // What is in the log beside the file counts when it is written into the file.
    assert!(size <= (1 << 20) + (1 << 20), "{size}");
    let heard = numbers(&deliver(&open(&config(folder.path())), waiting));
    assert_eq!(heard[..100], (0..100).collect::<Vec<_>>());
    assert_eq!(heard.last(), Some(&2999), "the newest is there");
    assert!(heard[100..].is_sorted());
}

#[test]
fn memory_is_bounded_however_long_the_queue_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = open(&config(folder.path()));
    put(&outbox, 0..20_000);
    until_stored(&outbox);
    drop(outbox);
    let outbox = open(&config(folder.path()));
    assert_eq!(outbox.counts().waiting, 20_000);
    let heard = deliver(&outbox, 1000);
    assert_eq!(numbers(&heard), (0..1000).collect::<Vec<_>>());
    let waiting = outbox.shared.lock();
    assert!(waiting.detections.ready.len() <= waiting::WINDOW);
    assert!(waiting.detections.fresh.is_empty());
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    for damage in [&b"this is no database at all, it only looks like a file"[..], &[0xA5; 300_000]] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("outbox.sqlite");
        std::fs::write(&path, damage).expect("write");
        for _ in 0..2 {
            let outbox = open(&config(folder.path()));
            put(&outbox, 0..5);
            assert_eq!(numbers(&deliver(&outbox, 5)), [0, 1, 2, 3, 4]);
        }
        let aside = std::fs::read(folder.path().join("outbox.sqlite.damaged-1")).expect("the damaged file");
        assert_eq!(aside, damage);
        assert!(!folder.path().join("outbox.sqlite.damaged-2").exists());
    }
}

#[test]
fn overwritten_pages_never_stop_the_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outbox.sqlite");
    let outbox = open(&config(folder.path()));
    put(&outbox, 0..2000);
    until_stored(&outbox);
    drop(outbox);
    let whole = std::fs::read(&path).expect("a file");
    for page in [0, 1, 2, 5, 40, 200] {
        let mut damaged = whole.clone();
        let from = page * 4096;
        let end = (from + 4096).min(damaged.len());
        damaged[from..end].fill(0x5A);
        std::fs::write(&path, &damaged).expect("write");
        // Whether the page is noticed at the start or when it is read, the events after that go on.
        let outbox = open(&config(folder.path()));
        let (mut next, mut newest) = (5000, 0);
        until("an event decided afterwards came", || {
            put(&outbox, next..next + 1);
            next += 1;
            while let Some((place, message, sent)) = outbox.take(true) {
                newest = seq(&message);
                outbox.settle(&place, &sent);
            }
            newest >= 5000
        });
        drop(outbox);
        for file in std::fs::read_dir(folder.path()).expect("a folder").filter_map(Result::ok) {
            std::fs::remove_file(file.path()).expect("remove");
        }
    }
}

#[test]
fn a_torn_log_gives_every_event_committed_before_the_tear() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = open(&config(folder.path()));
    for number in 0..60 {
        put(&outbox, number..number + 1);
        until_stored(&outbox);
    }
    // What a power cut would find: the file and its log as they are now, the log cut anywhere.
    let (file, log) = (folder.path().join("outbox.sqlite"), folder.path().join("outbox.sqlite-wal"));
    let (file, log) = (std::fs::read(file).expect("a file"), std::fs::read(log).expect("a log"));
    let mut last = u64::MAX;
    for cut in [0, 1, 17, 4096, 5000, log.len() / 3, log.len() / 2, log.len() - 32, log.len()] {
        let torn = tempfile::tempdir().expect("a folder");
        let mut rest = log[..log.len() - cut].to_vec();
        // The last sector before the cut is rubbish as well.
        let end = rest.len();
        if cut > 0 {
            rest[end.saturating_sub(512)..].fill(0xFF);
        }
        std::fs::write(torn.path().join("outbox.sqlite"), &file).expect("write");
        std::fs::write(torn.path().join("outbox.sqlite-wal"), &rest).expect("write");
        let outbox = open(&config(torn.path()));
        let waiting = outbox.counts().waiting;
        assert!(waiting <= last, "a longer cut never gives more");
        assert_eq!(cut == 0, waiting == 60, "cut {cut}: {waiting}");
        let heard = numbers(&deliver(&outbox, usize::try_from(waiting).expect("a number")));
        assert_eq!(heard, (0..waiting).collect::<Vec<_>>());
        assert!(!torn.path().join("outbox.sqlite.damaged-1").exists());
        last = waiting;
    }
}

#[test]
fn a_second_daemon_on_the_same_outbox_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(&config(folder.path()));
    let error = Outbox::open(&config(folder.path()), "run").err().expect("a refusal").to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_leaves_events_in_memory_until_it_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocked = folder.path().join("state");
    std::fs::write(&blocked, "a file where the folder should be").expect("write");
    let outbox = open(&config(&blocked));
    put(&outbox, 0..10);
    assert_eq!(numbers(&deliver(&outbox, 5)), [0, 1, 2, 3, 4]);
    assert!(!outbox.counts().durable);
    std::fs::remove_file(&blocked).expect("remove");
    until_stored(&outbox);
    drop(outbox);
    assert_eq!(numbers(&deliver(&open(&config(&blocked)), 5)), [5, 6, 7, 8, 9]);
}

#[test]
fn nothing_is_sent_before_it_is_durable_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocked = folder.path().join("state");
    std::fs::write(&blocked, "a file where the folder should be").expect("write");
    let outbox = open(&OutboxConfig { disk_full: DiskFull::Hold, ..config(&blocked) });
    put(&outbox, 0..10);
    until("the disk was tried", || !outbox.counts().durable);
    assert!(outbox.take(true).is_none());
    std::fs::remove_file(&blocked).expect("remove");
    assert_eq!(numbers(&deliver(&outbox, 10)), (0..10).collect::<Vec<_>>());
}

#[test]
fn six_hours_of_outage_under_a_virtual_clock_lose_nothing_and_later_ages_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let seconds = Arc::new(AtomicU64::new(0));
    let virtual_clock = || -> Clock {
        let seconds = Arc::clone(&seconds);
        Arc::new(move || Duration::from_secs(seconds.load(Ordering::Relaxed)))
    };
    // Ten events a second in full; one every ten seconds in the ordinary suite.
    let per_minute = if std::env::var_os("FIELDMARK_FAULTS").is_some() { 600 } else { 6 };
    let total = 360 * per_minute;
    let config =
        OutboxConfig { max_age: Duration::from_secs(7 * 3600), max_bytes: 1 << 30, ..config(folder.path()) };
    let outbox = Outbox::open_with_clock(&config, "run", virtual_clock()).expect("an outbox");
    for minute in 0..360 {
        seconds.store(minute * 60, Ordering::Relaxed);
        put(&outbox, minute * per_minute..(minute + 1) * per_minute);
        until("the disk keeps up", || outbox.at_risk() < 50_000);
    }
    until_stored(&outbox);
    assert_eq!(outbox.counts().waiting, total);
    assert!(outbox.counts().dropped.is_empty());
    let half = usize::try_from(total / 2).expect("a number");
    let heard = deliver(&outbox, half);
    assert_eq!(numbers(&heard), (0..total / 2).collect::<Vec<_>>());
    assert!(heard.iter().all(|(_, replay)| *replay));
    drop(outbox);
    // A run later the clock begins at nothing again, and ages go on: the rest is between 0 and 3 hours old.
    seconds.store(5 * 3600, Ordering::Relaxed);
    let outbox = Outbox::open_with_clock(&config, "another run", virtual_clock()).expect("an outbox");
    let old = || outbox.counts().dropped.get(&Class::Detection).and_then(|by| by.get(&Loss::Age)).copied();
    until("what is older than seven hours is dropped", || old().is_some());
    until("all of it", || old().is_some_and(|old| old + outbox.counts().waiting == total / 2));
    let share = old().expect("a count") * 3 / total * 2;
    assert!(share <= 3, "about a third of the half");
}
