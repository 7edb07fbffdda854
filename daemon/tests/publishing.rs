//! Promises about what reaches a broker, kept against a real mosquitto.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use field::{Broker, Field, Listener, free_port};

const STATUS: &str = "fieldmark/n1/status";
const DETECTION: &str = "fieldmark/n1/pond/detection";
const LAST: &str = "fieldmark/n1/pond/last";

fn at(port: u16) -> String {
    format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.2\n")
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn detections_arrive_and_the_last_one_is_retained() {
    let port = free_port();
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "311");
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", "");
    let mut daemon = field.start();
    let detections = listener.wait(DETECTION, |heard| heard.len() >= 2);
    let (bee, oak) = (json(&detections[0]), json(&detections[1]));
    assert_eq!(bee["taxon"]["name"], "Apis mellifera");
    assert_eq!(bee["stop"], "leaf");
    // Either oak is half as likely: the answer is their genus.
    assert_eq!(oak["taxon"]["name"], "Quercus");
    assert_eq!(oak["taxon"]["lineage"], serde_json::json!(["Plantae", "Quercus"]));
    assert_eq!(oak["stop"], "threshold");
    assert_eq!(oak["target"], 0.9);
    assert_eq!(oak["seq"], 1);
    listener.wait(STATUS, |heard| heard == ["online"]);
    let info = json(&listener.wait("fieldmark/n1/info", |heard| !heard.is_empty())[0]);
    assert_eq!(info["taxa"]["species"], 3);
    assert_eq!(info["model"]["name"], "toy");
    let camera = listener.wait("fieldmark/n1/pond/status", |heard| !heard.is_empty());
    assert_eq!(json(&camera[0])["state"], "streaming");
    field.stop(&mut daemon, &listener);
    let later = Listener::start(port, "5");
    let last = json(&later.wait(LAST, |heard| !heard.is_empty())[0]);
    let newest = json(listener.on(DETECTION).last().expect("detections"));
    assert_eq!(last, newest);
    assert!(later.on(DETECTION).is_empty(), "detections are not retained");
}

#[test]
fn the_broker_hears_offline_after_kill_nine() {
    let port = free_port();
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "311");
    let field = Field::new(&at(port), 2, "", "");
    let daemon = field.start();
    listener.wait(STATUS, |heard| heard == ["online"]);
    daemon.signal("-KILL");
    listener.wait(STATUS, |heard| heard == ["online", "offline"]);
    let later = Listener::start(port, "311");
    later.wait(STATUS, |heard| heard == ["offline"]);
}

#[test]
fn a_clean_stop_is_announced_after_everything_was_acknowledged() {
    let port = free_port();
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "311");
    let field = Field::new(&at(port), 50, "rate_hz = 200.0", "");
    let mut daemon = field.start();
    listener.wait(DETECTION, |heard| heard.len() > 100);
    field.stop(&mut daemon, &listener);
    assert_eq!(listener.on(STATUS), ["online", "stopped"]);
    let heard = listener.all();
    let mut from_node = heard.iter().filter(|(topic, _)| topic.starts_with("fieldmark/"));
    assert_eq!(from_node.next_back().map(|(topic, _)| topic.as_str()), Some(STATUS));
    let detections: Vec<_> = listener.on(DETECTION).iter().map(|text| json(text)["seq"].clone()).collect();
    let without_gaps: Vec<_> = (0..detections.len()).map(|seq| serde_json::json!(seq)).collect();
    assert_eq!(detections, without_gaps, "in order, none missing, none twice");
    let metrics = listener.on("fieldmark/n1/metrics");
    let pond = json(metrics.last().expect("metrics"))["cameras"]["pond"].clone();
    assert_eq!(pond["inferred"], detections.len(), "every decision was published");
    assert!(field.log().contains("lost=0"), "{}", field.log());
}

#[test]
fn metrics_account_for_every_frame() {
    let port = free_port();
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "311");
    let field = Field::new(&at(port), 10, "rate_hz = 1000.0", "");
    std::fs::write(field.path("pictures/bad.jpg"), b"no picture").expect("write");
    let _daemon = field.start();
    for text in listener.wait("fieldmark/n1/metrics", |heard| heard.len() >= 3) {
        let pond = json(&text)["cameras"]["pond"].clone();
        let count = |key: &str| pond[key].as_u64().expect("a count");
        let settled = count("inferred") + count("dropped") + count("skipped") + count("waiting");
        assert_eq!(count("captured"), settled, "{text}");
    }
    // Frames there are, and the one that is no picture is told of.
    listener.wait("fieldmark/n1/metrics", |heard| {
        let pond = &json(heard.last().expect("metrics"))["cameras"]["pond"];
        let some = |key: &str| pond[key].as_u64().is_some_and(|count| count > 0);
        some("inferred") && some("skipped")
    });
}

#[test]
fn an_empty_folder_is_told_and_waited_for() {
    let port = free_port();
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "311");
    let field = Field::new(&at(port), 0, "rate_hz = 20.0", "");
    let _daemon = field.start();
    let states = || -> Vec<_> {
        let heard = listener.on("fieldmark/n1/pond/status");
        heard.iter().map(|text| json(text)["state"].as_str().expect("a state").to_owned()).collect()
    };
    listener.wait("fieldmark/n1/pond/status", |heard| {
        heard.iter().any(|text| text.contains("holds no picture: put BMP"))
    });
    field::write_folder(&field.path("pictures"), 1);
    listener.wait(DETECTION, |heard| !heard.is_empty());
    listener.wait("fieldmark/n1/pond/status", |_| states().ends_with(&["streaming".into()]));
    assert_eq!(states().first().map(String::as_str), Some("lost"));
    assert_eq!(field.log().matches("holds no picture").count(), 1, "{}", field.log());
}

#[test]
fn a_broker_absent_at_boot_is_found_when_it_appears() {
    let port = free_port();
    let field = Field::new(&at(port), 4, "rate_hz = 20.0\nloop = false", "");
    let mut daemon = field.start();
    field.wait_for_log("no connection to the broker");
    field.wait_for_log("Ended");
    let told = field.log().matches("no connection to the broker").count();
    assert_eq!(told, 1, "one message, not one an attempt: {}", field.log());
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "311");
    // What was decided while nobody listened is not forgotten.
    let last = listener.wait(LAST, |heard| heard.iter().any(|text| json(text)["seq"] == 3));
    assert!(!last.is_empty());
    daemon.signal("-INT");
    assert_eq!(daemon.wait(), Some(0), "{}", field.log());
}

#[test]
fn a_broker_that_never_appears_does_not_hold_up_a_stop() {
    let broker = format!("{}stop_timeout_s = 2.0\n", at(free_port()));
    let field = Field::new(&broker, 2, "", "");
    let mut daemon = field.start();
    field.wait_for_log("no connection to the broker");
    field.end(&mut daemon);
    // Nothing can be lost, so a quarter of the time is enough.
    assert!(field.log().contains("did not acknowledge everything within 0.5 s"), "{}", field.log());
}

#[test]
fn a_broker_that_restarts_is_told_again_who_is_there() {
    let port = free_port();
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", "");
    let broker = Broker::start(port);
    let _daemon = field.start();
    field.wait_for_log("connected to the broker");
    drop(broker);
    field.wait_for_log("no connection to the broker");
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "311");
    listener.wait(STATUS, |heard| heard.iter().any(|status| status == "online"));
    listener.wait("fieldmark/n1/info", |heard| !heard.is_empty());
    listener.wait("fieldmark/n1/pond/status", |heard| !heard.is_empty());
    listener.wait(DETECTION, |heard| heard.len() > 5);
}

#[test]
fn the_embedded_broker_serves_both_versions_of_mqtt_with_retained_messages_and_wills() {
    let port = free_port();
    let broker = format!("[broker]\nembedded = true\nlisten = \"127.0.0.1:{port}\"\n");
    let field = Field::new(&broker, 2, "rate_hz = 20.0", "");
    let mut daemon = field.start();
    for version in ["311", "5"] {
        let listener = Listener::start(port, version);
        listener.wait(STATUS, |heard| heard.iter().any(|status| status == "online"));
        listener.wait(LAST, |heard| !heard.is_empty());
        listener.wait(DETECTION, |heard| heard.len() > 5);
    }
    let table = field::fieldmark(&["watch", "--broker", &format!("mqtt://127.0.0.1:{port}"), "--count", "4"]);
    assert!(table.out.contains("Apis mellifera") && table.out.contains("Plantae > Quercus"), "{table:?}");
    let nodes = field::fieldmark(&["nodes", "--broker", &format!("mqtt://127.0.0.1:{port}"), "--wait", "1"]);
    let row = nodes.out.lines().find(|line| line.starts_with("n1 ")).expect("a row");
    assert!(row.contains("online") && row.contains("toy 0.1.0"), "{nodes:?}");
    // A second node dies unannounced: its will comes.
    let listener = Listener::start(port, "311");
    let second = Field::new(&at(port), 2, "", "");
    let config = std::fs::read_to_string(second.path("fieldmark.toml")).expect("a configuration");
    std::fs::write(second.path("fieldmark.toml"), config.replace("\"n1\"", "\"n2\"")).expect("write");
    let dying = second.start();
    listener.wait("fieldmark/n2/status", |heard| heard == ["online"]);
    dying.signal("-KILL");
    listener.wait("fieldmark/n2/status", |heard| heard == ["online", "offline"]);
    field.stop(&mut daemon, &listener);
}

#[test]
fn in_a_terminal_watch_is_a_table_with_the_age_of_each_cameras_newest_answer() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", "");
    let _daemon = field.start();
    // `script` gives the program a terminal of its own.
    let watch =
        format!("{} watch --broker mqtt://127.0.0.1:{port} --count 60", env!("CARGO_BIN_EXE_fieldmark"));
    let shown = std::process::Command::new("script")
        .args(["-qec", &watch, "/dev/null"])
        .output()
        .expect("script, of bsdutils");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("AGE") && shown.contains("EVENTS"), "{shown}");
    let row = shown.lines().rev().find(|line| line.contains("pond")).expect("a row of the camera");
    assert!(row.contains("n1") && row.contains("online") && row.contains(" s "), "{row}");
}

/// A session of its own at the broker, for what was published while it was away.
fn collect(port: u16, count: &str) -> String {
    let heard = std::process::Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5", "-c", "-i", "collector", "-x", "3600"])
        .args(["-q", "1", "-t", "test/queued", "-C", count, "-W", "20"])
        .output()
        .expect("mosquitto_sub");
    String::from_utf8_lossy(&heard.stdout).into_owned()
}

fn tell(port: u16, arguments: &[&str]) {
    let to = ["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5", "-q", "1"];
    let told = std::process::Command::new("mosquitto_pub").args(to).args(arguments).status();
    assert!(told.expect("mosquitto_pub").success());
}

#[test]
fn what_the_embedded_broker_keeps_survives_a_restart_a_kill_and_damage() {
    let port = free_port();
    let broker = format!("[broker]\nembedded = true\nlisten = \"127.0.0.1:{port}\"\n");
    let field = Field::new(&broker, 2, "rate_hz = 20.0", "");
    let mut daemon = field.start();
    Listener::start(port, "5").wait(STATUS, |heard| heard.ends_with(&["online".into()]));
    tell(port, &["-r", "-t", "test/kept", "-m", "one"]);
    // Subscribes and leaves: what comes now is kept for it.
    tell(port, &["-r", "-t", "test/queued", "-m", "before"]);
    assert_eq!(collect(port, "1"), "before\n");
    tell(port, &["-t", "test/queued", "-m", "while away"]);
    field.end(&mut daemon);
    let mut daemon = field.start();
    Listener::start(port, "311").wait("test/kept", |heard| heard == ["one"]);
    assert_eq!(collect(port, "1"), "while away\n");
    tell(port, &["-r", "-t", "test/kept", "-m", "two"]);
    daemon.signal("-KILL");
    daemon.wait();
    let mut daemon = field.start();
    let listener = Listener::start(port, "311");
    listener.wait("test/kept", |heard| heard == ["two"]);
    listener.wait(DETECTION, |heard| heard.len() > 5);
    field.stop(&mut daemon, &listener);
    // Whatever became of its files, the node runs.
    let mut folders = vec![field.path("state/broker-n1")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                std::fs::write(entry, [0xA5; 700]).expect("write");
            }
        }
    }
    let mut daemon = field.start();
    let listener = Listener::start(port, "311");
    listener.wait(STATUS, |heard| heard.ends_with(&["online".into()]));
    listener.wait(DETECTION, |heard| heard.len() > 5);
    field.stop(&mut daemon, &listener);
}
