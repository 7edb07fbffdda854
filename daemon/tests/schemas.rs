//! Promises about `docs/schemas` and `docs/asyncapi.json`: real messages keep to them.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use boon::{Compiler, SchemaIndex, Schemas};
use field::{Broker, Field, Flaw, Listener, Office, fieldmark, free_port};
use serde_json::{Value, json};

fn docs(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

fn document() -> Value {
    serde_json::from_slice(&std::fs::read(docs("asyncapi.json")).expect("a file")).expect("JSON")
}

/// A channel of the document: its address, split into levels, and its schema.
struct Channel {
    name: String,
    levels: Vec<String>,
    retain: bool,
    schema: Option<SchemaIndex>,
}

struct Described {
    schemas: Schemas,
    channels: Vec<Channel>,
}

impl Described {
    fn read() -> Self {
        let (document, mut schemas, mut compiler) = (document(), Schemas::new(), Compiler::new());
        let mut channels = Vec::new();
        for (name, channel) in document["channels"].as_object().expect("channels") {
            let address = channel["address"].as_str().expect("an address");
            let reference = &channel["messages"][name]["payload"]["schema"]["$ref"];
            let schema = reference.as_str().map(|reference| {
                let path = docs(reference).canonicalize().expect("a schema file");
                compiler.compile(path.to_str().expect("UTF-8"), &mut schemas).expect("a schema")
            });
            let operation = &document["operations"][name];
            assert_eq!(operation["channel"]["$ref"], format!("#/channels/{name}"));
            channels.push(Channel {
                name: name.clone(),
                levels: address.split('/').map(Into::into).collect(),
                retain: operation["bindings"]["mqtt"]["retain"].as_bool().expect("retain"),
                schema,
            });
        }
        Self { schemas, channels }
    }

    fn channel(&self, topic: &str) -> Option<&Channel> {
        let levels: Vec<_> = topic.split('/').collect();
        let fits = |channel: &&Channel| {
            channel.levels.len() == levels.len()
                && channel.levels.iter().zip(&levels).all(|(own, level)| own.starts_with('{') || own == level)
        };
        // An address with more words of its own is the better fit: `model/state` is no camera.
        let words =
            |channel: &&Channel| channel.levels.iter().filter(|level| !level.starts_with('{')).count();
        self.channels.iter().filter(fits).max_by_key(words)
    }

    fn check(&self, topic: &str, payload: &str) -> Result<(), String> {
        let channel = self.channel(topic).ok_or_else(|| format!("{topic} is in no channel"))?;
        let Some(schema) = channel.schema else { return Ok(()) };
        let value = serde_json::from_str(payload).unwrap_or_else(|_| json!(payload));
        self.schemas.validate(&value, schema).map_err(|error| format!("{topic} {payload}: {error}"))
    }
}

#[test]
fn every_message_of_a_running_node_keeps_to_its_schema() {
    let port = free_port();
    let _broker = Broker::start(port);
    let tables = "[watch]\ntaxa = [\"Quercus\"]\n[snapshot]\nevery_s = 0.1\n\
                  [commands]\nallow = [\"snapshot\", \"threshold\", \"gate\", \"pause\"]\n[drift]\nspread_s = 0\n";
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.2\n");
    let field = Field::new(&mqtt, 2, "rate_hz = 50.0", tables);
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let office = Office::new(port);
    office.release(1, Flaw::None, 0);
    let begun = office.roll_out("toy@1.1.0", &["--detach"]).wait();
    assert_eq!(begun.code, Some(0), "{begun:?}");
    listener.wait("fieldmark/n1/pond/alert", |heard| !heard.is_empty());
    listener.wait_long("fieldmark/n1/pond/drift", |heard| !heard.is_empty());
    let url = format!("mqtt://127.0.0.1:{port}");
    for (command, payload) in [
        ("snapshot", r#"{"camera":"pond"}"#),
        ("threshold", r#"{"value":0.2}"#),
        ("gate", r#"{"camera":"pond","mode":"off","level":12}"#),
        ("restart", "{}"),
        ("pause", r#"{"camera":"pond"}"#),
    ] {
        let _ = fieldmark(&["cmd", "--broker", &url, "n1", command, payload]);
    }
    listener.wait("fieldmark/n1/metrics", |heard| heard.len() > 2);
    field.stop(&mut daemon, &listener);
    let described = Described::read();
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    // A picture may hold line ends: what follows one looks like a topic and is none.
    let whole = |topic: &str| topic.starts_with("fieldmark/") && topic.is_ascii();
    for (topic, payload) in listener.all().iter().filter(|(topic, _)| whole(topic)) {
        described.check(topic, payload).unwrap_or_else(|error| panic!("{error}"));
        let channel = described.channel(topic).expect("a channel");
        *counted.entry(channel.name.clone()).or_default() += 1;
    }
    let all: BTreeSet<_> = described.channels.iter().map(|channel| channel.name.as_str()).collect();
    let heard: BTreeSet<_> = counted.keys().map(String::as_str).collect();
    let unheard: Vec<_> = all.difference(&heard).collect();
    // A model is compiled on a GPU only; daemon/tests/engines.rs has its message.
    let others = [
        "commandInstall",
        "commandPrior",
        "commandRegion",
        "commandResume",
        "commandTarget",
        "commandWatch",
        "configState",
        "desiredConfig",
        "modelBuild",
    ];
    assert_eq!(unheard, others.iter().collect::<Vec<_>>(), "every channel but these carried messages");
    // What the broker kept is what the document says it keeps.
    let late = Listener::start(port, "311");
    late.wait("fieldmark/n1/pond/last", |heard| !heard.is_empty());
    for (topic, _) in late.all().iter().filter(|(topic, _)| topic.starts_with("fieldmark/")) {
        assert!(described.channel(topic).expect("a channel").retain, "{topic} is not to be kept");
    }
}

#[test]
fn the_schemas_refuse_what_is_not_a_message() {
    let described = Described::read();
    for (topic, payload) in [
        ("fieldmark/n/status", "gone"),
        ("fieldmark/n/c/detection", "{}"),
        ("fieldmark/n/reply/a", r#"{"v":1,"id":"a","state":"done","time":"yesterday"}"#),
        (
            "fieldmark/n/c/status",
            r#"{"v":1,"state":"streaming","since":"2026-11-23T05:32:07.123Z","format":"files","x":1}"#,
        ),
        ("fieldmark/n/cmd/target/a", r#"{"value":2}"#),
        ("fieldmark/n/c/d/e/f", "{}"),
    ] {
        assert!(described.check(topic, payload).is_err(), "{topic} {payload}");
    }
}

/// A message as the daemon writes it.
fn snapshot(file: &str) -> String {
    let path = format!("src/publish/snapshots/fieldmark_daemon__publish__messages__tests__{file}.snap");
    let text = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file");
    let parts = text.split_once("---\n").and_then(|(_, rest)| rest.split_once("---\n"));
    parts.expect("a snapshot").1.to_owned()
}

#[test]
fn the_example_of_the_wire_format_keeps_to_the_schema() {
    let described = Described::read();
    // modelBuild is checked against what the daemon writes as well.
    described
        .check("fieldmark/n/model/build", &snapshot("a_model_build_has_these_fields"))
        .unwrap_or_else(|error| panic!("{error}"));
    for file in
        ["a_detection_has_these_fields", "a_detection_of_the_root_has_no_lineage_and_nothing_unknown_is_sent"]
    {
        let json = snapshot(file);
        described.check("fieldmark/n/c/detection", &json).unwrap_or_else(|error| panic!("{error}"));
    }
}
