//! Promises about the way to a broker: protocol versions, transports, credentials, access rules, bridges, recorders;
//! kept against real mosquittos.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::path::Path;
use std::process::Command;

use field::{Broker, Field, Gate, Listener, fieldmark, free_port, wait_for_port};

const DETECTION: &str = "fieldmark/n1/pond/detection";

fn run(program: &str, arguments: &[&str]) {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|_| panic!("{program} is needed"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/mosquitto").join(file);
    std::fs::read_to_string(path).expect("a shipped file")
}

/// An authority, and certificates signed by it for `names` (common name, and localhost).
fn certificates(folder: &Path, names: &[&str]) {
    let at = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let authority = ["-x509", "-subj", "/CN=authority", "-addext", "basicConstraints=critical,CA:TRUE"];
    let (ca, ca_key) = (at("ca.pem"), at("ca.key"));
    run("openssl", &[&["req"][..], &authority, &key, &["-keyout", &ca_key, "-out", &ca]].concat());
    std::fs::write(folder.join("extensions"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("write");
    for name in names {
        let (request, own_key, own) =
            (at(&format!("{name}.csr")), at(&format!("{name}.key")), at(&format!("{name}.pem")));
        let subject = format!("/CN={name}");
        run(
            "openssl",
            &[&["req", "-subj", &subject][..], &key, &["-keyout", &own_key, "-out", &request]].concat(),
        );
        let sign =
            ["x509", "-req", "-days", "2", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
        run("openssl", &[&sign[..], &["-extfile", &at("extensions"), "-out", &own]].concat());
    }
}

/// The daemon publishes with these `[mqtt]` lines, the listener hears it on `port`.
fn publishes(mqtt: &str, port: u16, arguments: &[&str]) {
    let field = Field::new(&format!("[mqtt]\n{mqtt}\n"), 2, "rate_hz = 50.0", "");
    let listener = Listener::with(port, "311", arguments);
    let mut daemon = field.start();
    listener.wait(DETECTION, |heard| heard.len() > 5);
    field.stop(&mut daemon, &listener);
    assert_eq!(listener.on("fieldmark/n1/status"), ["online", "stopped"]);
}

#[test]
fn an_older_broker_is_spoken_to_in_3_1_1() {
    let port = free_port();
    let _broker = Broker::start(port);
    publishes(&format!("url = \"mqtt://127.0.0.1:{port}\"\nversion = \"3.1.1\""), port, &[]);
    // 3.1.1 as well: the will, commands, and a restart of the broker.
    let field = Field::new(
        &format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = \"3.1.1\"\n"),
        2,
        "",
        "[commands]\nallow = [\"threshold\"]\n",
    );
    let daemon = field.start();
    let listener = Listener::start(port, "5");
    listener.wait("fieldmark/n1/status", |heard| heard.ends_with(&["online".into()]));
    let url = format!("mqtt://127.0.0.1:{port}");
    assert_eq!(fieldmark(&["cmd", "--broker", &url, "n1", "threshold", r#"{"value":0.5}"#]).code, Some(0));
    daemon.signal("-KILL");
    listener.wait("fieldmark/n1/status", |heard| heard.ends_with(&["offline".into()]));
}

#[test]
fn websocket_tls_mutual_tls_and_both_together_reach_the_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), &["broker", "n1"]);
    let (plain, ws, tls, wss) = (free_port(), free_port(), free_port(), free_port());
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let secure = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        at("ca.pem"),
        at("broker.pem"),
        at("broker.key")
    );
    let text = format!(
        "user root\nallow_anonymous true\nlistener {plain} 127.0.0.1\nlistener {ws} 127.0.0.1\nprotocol websockets\n\
         listener {tls} 127.0.0.1\n{secure}listener {wss} 127.0.0.1\nprotocol websockets\n{secure}"
    );
    let _broker = Broker::with(plain, &text);
    wait_for_port(wss);
    publishes(&format!("url = \"ws://127.0.0.1:{ws}/mqtt\""), plain, &[]);
    let own = format!(
        "ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}",
        at("ca.pem"),
        at("n1.pem"),
        at("n1.key")
    );
    for version in ["5", "3.1.1"] {
        publishes(
            &format!("url = \"mqtts://localhost:{tls}\"\nversion = \"{version}\"\n{own}"),
            plain,
            &["-R"],
        );
    }
    publishes(&format!("url = \"wss://localhost:{wss}/mqtt\"\n{own}"), plain, &["-R"]);
    // Without a certificate of its own a node is not let in, and without the authority it does not go in.
    for lines in [format!("ca_file = {:?}", at("ca.pem")), String::new()] {
        let mqtt = format!("[mqtt]\nurl = \"mqtts://localhost:{tls}\"\nstop_timeout_s = 0.2\n{lines}\n");
        let field = Field::new(&mqtt, 2, "", "");
        let mut daemon = field.start();
        field.wait_for_log("no connection to the broker");
        field.end(&mut daemon);
        assert!(!field.log().contains("connected to the broker"), "{}", field.log());
    }
}

/// A broker with the shipped access rules and user names; the password is the name.
fn ruled(port: u16) -> Broker {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("acl"), shipped("fieldmark.acl")).expect("write");
    let passwords = folder.path().join("passwords").to_str().expect("UTF-8").to_owned();
    std::fs::write(&passwords, "").expect("write");
    for name in ["n1", "n2", "operator", "recorder", "homeassistant"] {
        run("mosquitto_passwd", &["-b", &passwords, name, name]);
    }
    let text = format!(
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nacl_file {}\n",
        folder.path().join("acl").display()
    );
    Broker::in_folder(port, &text, folder)
}

fn as_user(name: &'static str) -> [&'static str; 4] {
    ["-u", name, "-P", name]
}

/// For the node n2, and allowed.
const PROBE: &str = "fieldmark/n2/cmd/snapshot/probe";

/// Publishes until `listener` hears it: its silence on all else then says something.
fn until_heard(listener: &Listener, publish: impl Fn()) {
    let begun = std::time::Instant::now();
    while listener.all().is_empty() {
        assert!(begun.elapsed().as_secs() < 30, "it does not listen");
        publish();
    }
}

#[test]
fn under_the_shipped_rules_a_node_works_and_cannot_read_or_write_what_is_anothers() {
    let port = free_port();
    let _broker = ruled(port);
    let mqtt = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nusername = \"n1\"\npassword_file = \"PASSWORD\"\n"
    );
    let rules = "[commands]\nallow = [\"snapshot\"]\n[home_assistant]\ndiscovery = true\n[watch]\ntaxa = [\"Quercus\"]\n";
    let field = Field::new(&mqtt, 2, "rate_hz = 20.0", rules);
    std::fs::write(field.path("password"), "n1\n").expect("write");
    let config = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a configuration");
    std::fs::write(field.path("fieldmark.toml"), config.replace("PASSWORD", &field.text("password")))
        .expect("write");
    let publish = |user: &'static str, topic: &str| {
        let to =
            ["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "311", "-q", "1", "-t", topic, "-m", "forged"];
        run("mosquitto_pub", &[&as_user(user)[..], &to].concat());
    };
    // Listeners know they are subscribed by a message of their own, on a topic the rules allow nobody: so these
    // begin without, and are known to listen by the daemon's messages.
    let hear = |user: &'static str| Listener::unchecked(port, &as_user(user));
    let (operator, other, recorder) = (hear("operator"), hear("n2"), hear("recorder"));
    until_heard(&other, || publish("operator", PROBE));
    let mut daemon = field.start();
    operator.wait("fieldmark/n1/pond/alert", |heard| !heard.is_empty());
    operator.wait(DETECTION, |heard| heard.len() > 5);
    recorder.wait(DETECTION, |heard| heard.len() > 5);
    let homeassistant = hear("homeassistant");
    homeassistant.wait("homeassistant/device/n1/config", |heard| !heard.is_empty());
    let url = format!("mqtt://127.0.0.1:{port}");
    std::fs::write(field.path("operator"), "operator\n").expect("write");
    let cmd = ["cmd", "--broker", &url, "--username", "operator", "--password-file", &field.text("operator")];
    let done = fieldmark(&[&cmd[..], &["n1", "snapshot", r#"{"camera":"pond"}"#]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    // What others may not say never arrives; what follows on an allowed topic shows that it was not just late.
    for (user, topic) in [
        ("n2", "fieldmark/n1/status"),
        ("n2", "fieldmark/n1/pond/detection"),
        ("n2", "fieldmark/n1/cmd/snapshot/x"),
        ("n1", "fieldmark/n2/pond/detection"),
        ("recorder", "fieldmark/n1/cmd/snapshot/y"),
        ("operator", "fieldmark/n1/pond/detection"),
    ] {
        publish(user, topic);
    }
    publish("n2", "fieldmark/n2/info");
    operator.wait("fieldmark/n2/info", |heard| heard == ["forged"]);
    let forged = |(topic, payload): &(String, String)| payload == "forged" && topic != PROBE;
    let forged: Vec<_> = operator.all().into_iter().filter(forged).collect();
    assert_eq!(forged.len(), 1, "{forged:?}");
    assert!(recorder.all().iter().all(|(topic, _)| topic == DETECTION));
    assert!(other.all().iter().all(|(topic, _)| topic == PROBE), "{:?}", other.all());
    field.stop(&mut daemon, &operator);
    assert!(!field.log().contains("refused"), "{}", field.log());
}

#[test]
fn nodes_and_recorders_work_unchanged_over_a_bridged_pair_of_brokers() {
    let (edge, fleet) = (free_port(), free_port());
    let _fleet = Broker::persistent(fleet);
    let bridge =
        shipped("bridge.conf").replace("fleet-broker.example.org:1883", &format!("127.0.0.1:{fleet}"));
    let kept = tempfile::tempdir().expect("a folder");
    let plain = format!(
        "listener {edge} 127.0.0.1\nallow_anonymous true\nuser root\npersistence_location {}/\n",
        kept.path().display()
    );
    let _edge = Broker::with(edge, &format!("{plain}{bridge}"));
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{edge}\"\n");
    let field =
        Field::new(&mqtt, 200, "rate_hz = 100.0\nloop = false", "[commands]\nallow = [\"snapshot\"]\n");
    let url = format!("mqtt://127.0.0.1:{fleet}");
    // The bridge is there when a retained message of the edge has crossed it.
    let listener = Listener::start(fleet, "5");
    run(
        "mosquitto_pub",
        &["-h", "127.0.0.1", "-p", &edge.to_string(), "-r", "-t", "fieldmark/x/info", "-m", "crossed"],
    );
    listener.wait("fieldmark/x/info", |heard| !heard.is_empty());
    let recorder = recorder(&url, "5", &field.text("events.sqlite"), "one", None);
    wait_until_recording(fleet, &field.text("events.sqlite"));
    let mut daemon = field.start();
    listener.wait("fieldmark/n1/pond/status", |heard| heard.iter().any(|text| text.contains("ended")));
    field.stop(&mut daemon, &listener);
    let sent = listener.on(DETECTION).len() as u64;
    assert!(sent > 20, "{sent}");
    wait_for_rows(&field.text("events.sqlite"), sent);
    drop(recorder);
    assert_exact(&field.text("events.sqlite"), sent);
}

/// A recorder in a process of its own, killed when dropped.
struct Recorder(std::process::Child);

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn recorder(url: &str, version: &str, out: &str, name: &str, group: Option<&str>) -> Recorder {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldmark"));
    command.args(["record", "--broker", url, "--mqtt-version", version, "--out", out, "--name", name]);
    if let Some(group) = group {
        command.args(["--group", group]);
    }
    Recorder(command.spawn().expect("a recorder"))
}

/// The recorder listens when a message that is no event has come into its table.
fn wait_until_recording(port: u16, out: &str) {
    let unreadable = || {
        let Ok(connection) = rusqlite::Connection::open(out) else { return 0 };
        connection.query_row("SELECT COUNT(*) FROM unreadable", [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    let begun = std::time::Instant::now();
    while unreadable() == 0 {
        assert!(begun.elapsed().as_secs() < 30, "the recorder does not listen");
        let to =
            ["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "fieldmark/x/y/detection", "-m", "no event"];
        run("mosquitto_pub", &to);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn rows(out: &str) -> u64 {
    let Ok(connection) = rusqlite::Connection::open(out) else { return 0 };
    connection
        .query_row("SELECT COUNT(*) FROM event", [], |row| row.get::<_, i64>(0))
        .map_or(0, i64::unsigned_abs)
}

fn wait_for_rows(out: &str, count: u64) {
    let begun = std::time::Instant::now();
    while rows(out) < count {
        assert!(begun.elapsed().as_secs() < 60, "{} of {count} rows", rows(out));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Every sequence number from 0 once.
fn assert_exact(out: &str, count: u64) {
    let connection = rusqlite::Connection::open(out).expect("a table");
    let query = "SELECT COUNT(*), COUNT(DISTINCT seq), MIN(seq), MAX(seq) FROM event";
    let found: [i64; 4] = connection
        .query_row(query, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
        .expect("counts");
    let count = i64::try_from(count).expect("a number");
    assert_eq!(found, [count, count, 0, count - 1]);
}

#[test]
fn recorders_that_share_and_die_write_every_event_once() {
    share_and_die("5");
}

#[test]
fn recorders_over_3_1_1_that_share_and_die_write_every_event_once() {
    share_and_die("3.1.1");
}

fn share_and_die(version: &str) {
    let port = free_port();
    let _broker = Broker::persistent(port);
    let url = format!("mqtt://127.0.0.1:{port}");
    let mqtt = format!("[mqtt]\nurl = \"{url}\"\nversion = \"{version}\"\n");
    let field = Field::new(&mqtt, 400, "rate_hz = 200.0\nloop = false", "");
    let out = field.text("events.sqlite");
    let listener = Listener::start(port, "5");
    // Two share the events; both write into the same table, as two processes of one archive.
    let first = recorder(&url, version, &out, "one", Some("archive"));
    wait_until_recording(port, &out);
    let second = recorder(&url, version, &out, "two", Some("archive"));
    let mut daemon = field.start();
    // One dies on the way; the broker keeps its share until it is back.
    listener.wait(DETECTION, |heard| heard.len() > 30);
    drop(first);
    listener.wait("fieldmark/n1/pond/status", |heard| heard.iter().any(|text| text.contains("ended")));
    field.stop(&mut daemon, &listener);
    let sent = listener.on(DETECTION).len() as u64;
    let first = recorder(&url, version, &out, "one", Some("archive"));
    wait_for_rows(&out, sent);
    drop((first, second));
    assert_exact(&out, sent);
}

#[test]
fn a_command_sent_while_the_link_is_down_is_carried_out_when_it_is_back() {
    let port = free_port();
    let _broker = Broker::start(port);
    let gate = Gate::new(port, 0, 0);
    gate.open();
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nsession_expiry_s = 3600\n", gate.port);
    let field = Field::new(&mqtt, 2, "rate_hz = 50.0", "[commands]\nallow = [\"threshold\"]\n");
    let listener = Listener::start(port, "5");
    let mut daemon = field.start();
    for round in 1..=5 {
        let heard = listener.on(DETECTION).len();
        listener.wait(DETECTION, |now| now.len() > heard + 20);
        gate.close();
        listener.wait("fieldmark/n1/status", |heard| {
            heard.iter().filter(|text| *text == "offline").count() == round
        });
        let (topic, payload) =
            (format!("fieldmark/n1/cmd/threshold/r{round}"), format!("{{\"value\":0.{round}}}"));
        run(
            "mosquitto_pub",
            &["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", &topic, "-m", &payload],
        );
        gate.open();
        listener.wait(&format!("fieldmark/n1/reply/r{round}"), |heard| {
            heard.iter().any(|reply| reply.contains("\"done\""))
        });
    }
    field.stop(&mut daemon, &listener);
    let events: Vec<serde_json::Value> =
        listener.on(DETECTION).iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let seen: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["seq"].as_u64().expect("seq")).collect();
    assert_eq!(seen.len() as u64, seen.last().expect("events") + 1, "none is missing");
    // What was in flight when the link broke comes again, and says so.
    let mut newest = None;
    for event in &events {
        let seq = event["seq"].as_u64();
        assert!(seq > newest || event["replay"] == true, "{event}");
        newest = newest.max(seq);
    }
}

#[test]
fn an_event_too_large_for_the_broker_is_counted_and_blocks_nothing() {
    let port = free_port();
    let limit = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 600\n");
    let _broker = Broker::with(port, &limit);
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.2\n");
    let field = Field::new(&mqtt, 2, "rate_hz = 20.0", "");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let dropped = |text: &String| {
        let metrics: serde_json::Value = serde_json::from_str(text).expect("JSON");
        metrics["queue"]["dropped"]["detection"]["packet"].as_u64()
    };
    listener.wait("fieldmark/n1/metrics", |heard| heard.iter().any(|text| dropped(text) > Some(10)));
    field.stop(&mut daemon, &listener);
    assert_eq!(listener.on("fieldmark/n1/status"), ["online", "stopped"]);
    assert!(field.log().contains("raise mqtt.max_packet_kb or the broker"), "{}", field.log());
}

#[test]
fn a_command_too_large_for_this_node_is_not_tried_for_ever() {
    for version in ["5", "3.1.1"] {
        let port = free_port();
        let _broker = Broker::start(port);
        let mqtt = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = \"{version}\"\nmax_packet_kb = 4\nsession_expiry_s = 3600\n"
        );
        let field = Field::new(&mqtt, 2, "rate_hz = 50.0", "[commands]\nallow = [\"threshold\"]\n");
        let gate = Gate::new(port, 0, 0);
        gate.open();
        let config = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a configuration");
        let behind = config.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", gate.port));
        std::fs::write(field.path("fieldmark.toml"), behind).expect("write");
        let listener = Listener::start(port, "5");
        let mut daemon = field.start();
        let online = |heard: &[String]| heard.iter().filter(|status| *status == "online").count();
        listener.wait("fieldmark/n1/status", |heard| online(heard) > 0);
        // From the second connection on the broker keeps what comes for the node.
        gate.cut();
        listener.wait("fieldmark/n1/status", |heard| online(heard) > 1);
        let send = |id: &str, payload: &str| {
            let (port, topic) = (port.to_string(), format!("fieldmark/n1/cmd/threshold/{id}"));
            run("mosquitto_pub", &["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", &topic, "-m", payload]);
        };
        send("large", &format!("{{\"value\":0.5,\"filler\":\"{}\"}}", "x".repeat(6000)));
        let (mut asked, done) =
            (0, |id: u32| listener.on(&format!("fieldmark/n1/reply/small{id}")).join(" "));
        while !(0..asked).any(|id| done(id).contains("\"done\"")) {
            assert!(asked < 300, "{version}: no command is carried out any more: {}", field.log());
            send(&format!("small{asked}"), "{\"value\":0.5}");
            asked += 1;
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(listener.on("fieldmark/n1/reply/large").is_empty());
        let heard = listener.on(DETECTION).len();
        listener.wait(DETECTION, |now| now.len() > heard + 20);
        field.stop(&mut daemon, &listener);
    }
}

#[test]
fn over_a_metered_link_detections_come_together_alerts_at_once_and_pictures_only_when_asked_for() {
    let port = free_port();
    let _broker = Broker::start(port);
    let url = format!("mqtt://127.0.0.1:{port}");
    let mqtt = format!("[mqtt]\nurl = \"{url}\"\nmetered = true\nbatch_s = 2.0\n");
    let tables = "[watch]\ntaxa = [\"Quercus\"]\ncooldown_s = 0.0\n[commands]\nallow = [\"snapshot\"]\n";
    let field = Field::new(&mqtt, 2, "rate_hz = 20.0", tables);
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    const ALERT: &str = "fieldmark/n1/pond/alert";
    listener.wait(ALERT, |heard| heard.len() > 60);
    assert!(listener.on("fieldmark/n1/pond/snapshot").is_empty());
    assert_eq!(fieldmark(&["cmd", "--broker", &url, "n1", "snapshot", r#"{"camera":"pond"}"#]).code, Some(0));
    field.stop(&mut daemon, &listener);
    let topics: Vec<_> = listener.all().into_iter().map(|(topic, _)| topic).collect();
    let longest = |wanted: &str, end: &str| {
        let runs = topics.split(|topic| topic == end);
        runs.map(|run| run.iter().filter(|topic| *topic == wanted).count()).max()
    };
    // Twenty frames a second, every other an oak: two seconds are twenty alerts and forty detections.
    assert!(longest(ALERT, DETECTION) >= Some(10), "{:?}", longest(ALERT, DETECTION));
    assert!(longest(DETECTION, ALERT) >= Some(20), "{:?}", longest(DETECTION, ALERT));
}

#[test]
fn a_link_with_a_budget_is_sent_no_more_than_that() {
    let port = free_port();
    let _broker = Broker::start(port);
    let mqtt = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmax_kbit_s = 80.0\nin_flight = 5\nmetrics_s = 0.2\nstop_timeout_s = 0.5\n"
    );
    let field = Field::new(&mqtt, 2, "rate_hz = 100.0", "");
    let listener = Listener::start(port, "311");
    let begun = std::time::Instant::now();
    let mut daemon = field.start();
    listener.wait(DETECTION, |heard| heard.len() > 30);
    let bytes: usize = listener.all().iter().map(|(topic, payload)| topic.len() + payload.len()).sum();
    let allowed = begun.elapsed().as_secs_f64() * 10_000.0 + 4096.0;
    field.end(&mut daemon);
    #[expect(clippy::cast_precision_loss, reason = "a few kilobytes")]
    let bytes = bytes as f64;
    assert!(bytes <= allowed, "{bytes} bytes, {allowed} allowed");
    for text in listener.on("fieldmark/n1/metrics") {
        let metrics: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(metrics["queue"]["in_flight"].as_u64() <= Some(5), "{text}");
    }
}

#[test]
fn a_node_logs_in_with_credentials_from_systemd() {
    let port = free_port();
    let _broker = ruled(port);
    let field = Field::new(&format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n"), 2, "rate_hz = 20.0", "");
    std::fs::create_dir(field.path("credentials")).expect("a folder");
    for name in ["mqtt-username", "mqtt-password"] {
        std::fs::write(field.path("credentials").join(name), "n1\n").expect("write");
    }
    let operator = Listener::unchecked(port, &as_user("operator"));
    let mut daemon = field.start_with(&[("CREDENTIALS_DIRECTORY", &field.text("credentials"))]);
    operator.wait(DETECTION, |heard| !heard.is_empty());
    field.stop(&mut daemon, &operator);
}

#[test]
fn the_shipped_broker_knows_nodes_by_their_certificates_and_confines_them() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), &["broker", "n1", "n2", "operator"]);
    std::fs::write(folder.path().join("acl"), shipped("fieldmark.acl")).expect("write");
    let (port, at) = (free_port(), |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned());
    let text = shipped("mosquitto.conf")
        .replace("listener 8883", &format!("user root\npersistence_location {}\nlistener {port}", at("")))
        .replace("/etc/mosquitto/certs/", &at(""))
        .replace("/etc/mosquitto/fieldmark.acl", &at("acl"));
    let _broker = Broker::with(port, &text);
    let own = |name: &str| {
        [
            "--cafile",
            &at("ca.pem"),
            "--cert",
            &at(&format!("{name}.pem")),
            "--key",
            &at(&format!("{name}.key")),
        ]
        .map(str::to_owned)
    };
    let hear = |name: &str| {
        let own = own(name);
        Listener::unchecked(port, &own.each_ref().map(String::as_str))
    };
    let (operator, other) = (hear("operator"), hear("n2"));
    let mqtt = format!(
        "[mqtt]\nurl = \"mqtts://localhost:{port}\"\nca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\n",
        at("ca.pem"),
        at("n1.pem"),
        at("n1.key")
    );
    let field = Field::new(&mqtt, 2, "rate_hz = 20.0", "");
    let publish = |name: &str, topic: &str| {
        let own = own(name);
        let to =
            ["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "311", "-q", "1", "-t", topic, "-m", "forged"];
        run("mosquitto_pub", &[&own.each_ref().map(String::as_str)[..], &to].concat());
    };
    until_heard(&other, || publish("operator", PROBE));
    let mut daemon = field.start();
    operator.wait(DETECTION, |heard| heard.len() > 5);
    publish("n2", "fieldmark/n1/status");
    publish("n2", "fieldmark/n1/pond/detection");
    publish("n2", "fieldmark/n2/info");
    operator.wait("fieldmark/n2/info", |heard| heard == ["forged"]);
    let forged = |(topic, payload): &&(String, String)| payload == "forged" && topic != PROBE;
    assert_eq!(operator.all().iter().filter(forged).count(), 1);
    assert!(other.all().iter().all(|(topic, _)| topic == PROBE), "{:?}", other.all());
    field.stop(&mut daemon, &operator);
}

/// Sequence numbers in the Parquet files of `folder`, sorted.
fn in_parquet(folder: &Path) -> Vec<u64> {
    use arrow::array::AsArray as _;
    use arrow::datatypes::UInt64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let mut numbers = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return numbers };
    for entry in entries.filter_map(Result::ok) {
        if entry.path().extension().is_none_or(|extension| extension != "parquet") {
            continue;
        }
        let file = std::fs::File::open(entry.path()).expect("a file");
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
        for batch in reader.expect("whole files only") {
            let batch = batch.expect("rows");
            let seq = batch.column_by_name("seq").expect("seq").as_primitive::<UInt64Type>();
            numbers.extend_from_slice(seq.values());
        }
    }
    numbers.sort_unstable();
    numbers
}

#[test]
fn recorders_of_parquet_files_that_share_and_die_write_every_event_once() {
    let port = free_port();
    let _broker = Broker::persistent(port);
    let url = format!("mqtt://127.0.0.1:{port}");
    let field = Field::new(&format!("[mqtt]\nurl = \"{url}\"\n"), 400, "rate_hz = 200.0\nloop = false", "");
    let (out, spool) = (field.text("events"), field.text("events/spool.sqlite"));
    let start = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fieldmark"));
        command.args(["record", "--broker", &url, "--out", &out, "--name", name, "--group", "archive"]);
        command.args(["--format", "parquet", "--roll-events", "20", "--roll-s", "1"]);
        Recorder(command.spawn().expect("a recorder"))
    };
    let listener = Listener::start(port, "5");
    let mut first = start("one");
    wait_until_recording(port, &spool);
    let second = start("two");
    let mut daemon = field.start();
    // One dies again and again; the broker keeps its share until it is back.
    for heard in [30, 80, 130] {
        listener.wait(DETECTION, |now| now.len() > heard);
        drop(first);
        first = start("one");
    }
    listener.wait("fieldmark/n1/pond/status", |heard| heard.iter().any(|text| text.contains("ended")));
    field.stop(&mut daemon, &listener);
    let sent = listener.on(DETECTION).len() as u64;
    let begun = std::time::Instant::now();
    let whole = |numbers: &[u64]| numbers.iter().copied().eq(0..sent);
    while !whole(&in_parquet(Path::new(&out))) {
        assert!(begun.elapsed().as_secs() < 60, "{sent} were sent: {:?}", in_parquet(Path::new(&out)));
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // Whoever ends in order leaves nothing behind, and nothing came twice.
    for mut recorder in [first, second] {
        run("kill", &["-TERM", &recorder.0.id().to_string()]);
        assert!(recorder.0.wait().expect("a child").success());
    }
    assert!(whole(&in_parquet(Path::new(&out))));
}
