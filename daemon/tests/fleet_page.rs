//! Promises of the page of a fleet: from the broker alone, for a thousand nodes, to whom it may be shown.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use field::{Broker, Page, fieldmark, free_port, wait_for_port};
use serde_json::{Value, json};

const NODES: usize = 1000;

/// A connection that publishes retained messages without waiting for anything, by MQTT 3.1.1.
struct Publisher(TcpStream);

impl Publisher {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker");
        stream.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05tests").expect("a connect");
        let mut accepted = [0; 4];
        stream.read_exact(&mut accepted).expect("an answer");
        assert_eq!(accepted, [0x20, 2, 0, 0]);
        Self(stream)
    }

    fn retain(&mut self, topic: &str, payload: &str) {
        let mut packet = vec![0x31];
        let mut left = 2 + topic.len() + payload.len();
        while left >= 128 {
            packet.push(u8::try_from(left % 128).expect("a byte") | 128);
            left /= 128;
        }
        packet.push(u8::try_from(left).expect("a byte"));
        packet.extend(u16::try_from(topic.len()).expect("a short topic").to_be_bytes());
        packet.extend_from_slice(topic.as_bytes());
        packet.extend_from_slice(payload.as_bytes());
        self.0.write_all(&packet).expect("a message");
    }
}

fn model(version: &str) -> Value {
    json!({"name": "garden", "version": version, "sha256": "bc4a71180870f7945155fbb02f4b0a2e3faa2a62d6d31b7039013055ed19869a"})
}

/// A thousand nodes, each as it says of itself.
fn fleet(port: u16) -> Publisher {
    let mut publisher = Publisher::connect(port);
    for number in 0..NODES {
        let node = format!("node-{number:04}");
        let to = |topic: &str| format!("fieldmark/{node}/{topic}");
        let info = json!({
            "v": 1, "node": node, "fieldmark": "0.1.0", "boot": "b", "started": "2026-11-23T05:32:07.123Z",
            "model": model("0.1.0"), "engine": "tract-f32", "threshold": 0.88, "taxa": {}, "cameras": ["pond"],
        });
        publisher.retain(&to("info"), &info.to_string());
        let state = json!({"v": 1, "running": model("0.1.0"), "phase": "running", "group": "ponds"});
        publisher.retain(&to("model/state"), &state.to_string());
        publisher.retain(&to("status"), if number % 50 == 7 { "offline" } else { "online" });
    }
    publisher
}

/// `fieldmark page`, until it is dropped.
struct Shown {
    child: Child,
    page: Page,
}

impl Shown {
    fn start(broker: u16, more: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_fieldmark"))
            .args(["page", "--broker", &format!("mqtt://127.0.0.1:{broker}")])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(more)
            .stderr(Stdio::null())
            .spawn()
            .expect("the page");
        wait_for_port(port);
        Self { child, page: Page(port) }
    }

    /// The table once it is as wished.
    fn wait(&self, wished: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let table = self.page.get("/api/fleet", &[]).json();
            if wished(&table) {
                return table;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{}",
                table["rows"].as_array().map_or(0, Vec::len)
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn row<'a>(table: &'a Value, node: &str) -> &'a Value {
    let rows = table["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["node"] == node).unwrap_or(&Value::Null)
}

/// Whether the event that names `node` has come to its end.
fn is_whole(text: &str, node: &str) -> bool {
    text.rfind(node).is_some_and(|at| text[at..].contains("\n\n"))
}

#[test]
fn a_thousand_nodes_come_from_the_broker_alone_and_then_what_changes() {
    let port = free_port();
    let broker = Broker::start(port);
    let mut publisher = fleet(port);
    let shown = Shown::start(port, &[]);
    let full = |table: &Value| table["rows"].as_array().is_some_and(|rows| rows.len() == NODES);
    // Status, information and state of a node are three messages, which come one after the other.
    let told = |row: &Value| ["status", "engine", "phase"].iter().all(|field| row[field].is_string());
    let known =
        |table: &Value| full(table) && table["rows"].as_array().is_some_and(|rows| rows.iter().all(told));
    let table = shown.wait(known);
    let one = row(&table, "node-0007");
    assert_eq!(
        (&one["status"], &one["model"], &one["group"], &one["phase"], &one["engine"]),
        (&"offline".into(), &"garden 0.1.0".into(), &"ponds".into(), &"running".into(), &"tract-f32".into())
    );
    // As old as what the node said of itself: nothing tells when it was kept.
    assert_eq!(one["seen"], "2026-11-23T05:32:07.123Z");
    // What changes is told alone.
    let mut stream = shown.page.open("GET", "/api/events", &[], "");
    let (mut text, mut piece) = (String::new(), vec![0; 1 << 16]);
    let mut read_until = |wished: &dyn Fn(&str) -> bool| {
        let begun = Instant::now();
        while !wished(&text) {
            let read = stream.read(&mut piece).expect("events");
            assert!(read > 0 && begun.elapsed() < Duration::from_secs(30));
            text += &String::from_utf8_lossy(&piece[..read]);
        }
        std::mem::take(&mut text)
    };
    let whole = read_until(&|text| is_whole(text, "node-0999"));
    assert!(whole.contains("\"whole\":true"));
    // What came within the second before may be told once more.
    read_until(&|text| is_whole(text, "\"whole\":false"));
    let drift = json!({
        "v": 1, "node": "node-0003", "camera": "pond", "time": "2026-11-25T05:32:07.123Z", "day": "2026-11-25",
        "state": "departed", "reasons": ["sharpness"], "today": {"answers": 128, "ranks": {"species": 1.0}},
    });
    publisher.retain("fieldmark/node-0003/pond/drift", &drift.to_string());
    let change = read_until(&|text| is_whole(text, "node-0003"));
    assert!(change.contains("\"drift\":{\"pond\":\"sharpness\"}"), "{change}");
    assert!(!change.contains("node-0004") && !change.contains("\"whole\":true"), "{change}");
    // A rollout, and how far nodes are.
    let desired = json!({
        "v": 1, "rollout": "01JDBZ3V7WQ2M0X5C8R9T4K6HN", "kind": "model", "name": "garden", "version": "0.2.0",
        "sha256": "bc4a71180870f7945155fbb02f4b0a2e3faa2a62d6d31b7039013055ed19869a", "size": 1, "state": "running",
        "stages": [5, 100], "stage": 0, "below": 500, "hold_s": 1800, "max_failures": 2,
        "started": "2026-11-23T05:32:07Z",
    });
    publisher.retain("fieldmark/fleet/ponds/desired", &desired.to_string());
    let state = json!({"v": 1, "running": model("0.1.0"), "phase": "downloading", "progress": 0.25, "group": "ponds"});
    publisher.retain("fieldmark/node-0005/model/state", &state.to_string());
    let table = shown.wait(|table| {
        row(table, "node-0005")["phase"] == "downloading" && table["rollouts"]["ponds"].is_object()
    });
    assert_eq!(row(&table, "node-0005")["progress"], 0.25);
    assert_eq!(table["rollouts"]["ponds"]["version"], "0.2.0");
    // The broker goes: what was known stays, and is said to be old.
    drop(broker);
    let table = shown.wait(|table| table["connected"] == false);
    assert!(full(&table));
}

#[test]
fn the_page_of_a_fleet_is_shown_to_whom_it_may_be_shown() {
    let broker = ["page", "--broker", "mqtt://127.0.0.1:1"];
    let output = fieldmark(&[&broker[..], &["--listen", "0.0.0.0:8081"]].concat());
    assert!(output.code == Some(64) && output.err.contains("--listen"), "{output:?}");
    assert!(!output.err.contains("page."), "arguments are named as they were given: {output:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "correct horse battery\n").expect("write");
    let shown = Shown::start(free_port(), &["--token-file", token.to_str().expect("a path")]);
    for path in ["/api/fleet", "/api/events", "/api/entry"] {
        assert_eq!(shown.page.get(path, &[]).status, 401, "{path}");
    }
    assert_eq!(shown.page.get("/", &[]).header("location"), Some("/login"));
    let admitted = ("Authorization", "Bearer correct horse battery");
    assert_eq!(shown.page.get("/", &[admitted]).status, 200);
    assert_eq!(shown.page.get("/api/fleet", &[admitted]).json()["connected"], false);
    // It shows and does nothing else.
    assert_eq!(shown.page.post("/api/fleet", &[admitted], "{}").status, 405);
}
