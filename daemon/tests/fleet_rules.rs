//! Promises about what a node takes, from where, and who may ask: against a real mosquitto, with nodes as processes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use field::{Broker, Flaw, Gate, Listener, Node, Office, SmallDisk, fieldmark, free_port, wait_for_port};
use serde_json::Value;

/// An update in seconds: a short shadow and a short probation.
const QUICK: &str = "shadow_s = 0.5\nprobation_s = 1.0\nprobation_frames = 5";
/// All nodes at once.
const AT_ONCE: [&str; 4] = ["--stages", "100", "--hold", "0s"];

/// A broker, who manages releases on it, and who listens to all of it.
struct Fleet {
    port: u16,
    _broker: Broker,
    office: Office,
    listener: Listener,
}

impl Fleet {
    fn new() -> Self {
        let port = free_port();
        let _broker = Broker::start(port);
        Self { port, _broker, office: Office::new(port), listener: Listener::start(port, "311") }
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn state(listener: &Listener, node: &str) -> Value {
    listener.on(&format!("fieldmark/{node}/model/state")).last().map(|text| parsed(text)).unwrap_or_default()
}

fn wait_answers(listener: &Listener, node: &str, version: &str) {
    listener.wait_long(&format!("fieldmark/{node}/pond/detection"), |heard| {
        heard.last().is_some_and(|text| parsed(text)["model"]["version"] == version)
    });
}

/// A node of the office that answers with the model it is configured with.
fn running(office: &Office, listener: &Listener, name: &str, update: &str) -> Node {
    let mut node = office.node(name, update);
    node.start();
    wait_answers(listener, name, "1.0.0");
    node
}

/// A web server of somebody else's, which knows nothing of ranges.
struct WebServer(Child, u16);

impl WebServer {
    fn start(folder: &str) -> Self {
        let port = free_port();
        let child = Command::new("python3")
            .args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory", folder])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        wait_for_port(port);
        Self(child, port)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_mirror_on_a_web_server_serves_as_well_as_the_broker() {
    let Fleet { _broker, office, listener, .. } = Fleet::new();
    let server = WebServer::start(office.path("").to_str().expect("UTF-8"));
    let url = format!("http://127.0.0.1:{}/repository", server.1);
    let _node = running(&office, &listener, "n1", &format!("{QUICK}\nrepository = {url:?}"));
    let file = office.package(field::Toy { version: (1, 1, 0), flaw: Flaw::None, filler: 300_000 });
    let (repository, targets, online) =
        (office.repository(), office.text("targets.pem"), office.text("online.pem"));
    office.must(&["release", "add", &repository, &file, "--key", &targets, "--key", &online]);
    let mut more = AT_ONCE.to_vec();
    more.extend(["--repository", &url]);
    let output = office.roll_out("toy@1.1.0", &more).wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    wait_answers(&listener, "n1", "1.1.0");
    assert!(
        listener.all().iter().all(|(topic, _)| !topic.starts_with("fieldmark/release")),
        "nothing was on the broker"
    );
}

#[test]
fn a_rollout_over_a_group_that_nobody_is_in_is_not_begun() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    office.release(1, Flaw::None, 0);
    let refused = office.roll_out("toy@1.1.0", &AT_ONCE).wait();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("toy@1.1.0: no node of g is known to the broker"), "{refused:?}");
    let status = office.rollout("status");
    assert!(!status.out.contains("done"), "nothing was published: {status:?}");
}

#[test]
fn a_rollout_that_is_called_off_begins_no_further_node_and_leaves_the_others_as_they_are() {
    let Fleet { _broker, office, listener, .. } = Fleet::new();
    let nodes = ["n1", "n2", "n3"].map(|name| running(&office, &listener, name, QUICK));
    office.release(1, Flaw::None, 0);
    let driver = office.roll_out("toy@1.1.0", &["--stages", "1,100", "--hold", "5m"]);
    let begun = std::time::Instant::now();
    let first = loop {
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "no node was confirmed");
        let found = nodes.iter().position(|node| node.phase() == "confirmed");
        if let Some(found) = found {
            break found;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let aborted = office.rollout("abort");
    assert_eq!(aborted.code, Some(0), "{aborted:?}");
    assert!(aborted.out.contains("aborted"), "{aborted:?}");
    let output = driver.wait();
    assert_eq!(output.code, Some(1), "whoever drives it is told: {output:?}");
    for (number, node) in nodes.iter().enumerate() {
        wait_answers(&listener, &node.name, if number == first { "1.1.0" } else { "1.0.0" });
    }
    assert!(office.rollout("status").out.contains("aborted"));
    assert_eq!(office.rollout("resume").code, Some(1), "what was called off is not resumed");
    // The next rollout reaches everybody.
    office.release(2, Flaw::None, 0);
    let output = office.roll_out("toy@1.2.0", &AT_ONCE).wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    for node in &nodes {
        wait_answers(&listener, &node.name, "1.2.0");
    }
}

#[test]
fn a_driver_whose_link_was_down_does_not_undo_what_was_decided_meanwhile() {
    let Fleet { port, _broker, office, listener } = Fleet::new();
    let nodes = ["n1", "n2", "n3"].map(|name| running(&office, &listener, name, QUICK));
    office.release(1, Flaw::None, 0);
    let gate = Gate::new(port, 0, 0);
    gate.open();
    let over = format!("mqtt://127.0.0.1:{}", gate.port);
    let driver = office.roll_out_over(&over, "toy@1.1.0", &["--stages", "1,100", "--hold", "3s"]);
    listener.wait_long("fieldmark/fleet/g/desired", |heard| {
        heard.last().is_some_and(|text| parsed(text)["well_since"].is_string())
    });
    gate.close();
    let aborted = office.rollout("abort");
    assert_eq!(aborted.code, Some(0), "{aborted:?}");
    // The stage has been well for long enough.
    std::thread::sleep(std::time::Duration::from_secs(4));
    gate.open();
    let output = driver.wait();
    assert_eq!(output.code, Some(1), "whoever drives it is told: {output:?}");
    let state = |text: &String| parsed(text)["state"].as_str().map(str::to_owned);
    let written: Vec<_> = listener.on("fieldmark/fleet/g/desired").iter().filter_map(state).collect();
    assert_eq!(written.last().map(String::as_str), Some("aborted"), "{written:?}");
    let one = |node: &&Node| node.phase() == "confirmed";
    assert_eq!(nodes.iter().filter(one).count(), 1, "no further node began");
}

#[test]
fn a_model_that_is_called_off_while_it_is_tried_leaves_the_node_as_it_was() {
    let Fleet { _broker, office, listener, .. } = Fleet::new();
    let node = running(&office, &listener, "n1", "shadow_s = 600.0");
    office.release(1, Flaw::None, 0);
    let driver = office.roll_out("toy@1.1.0", &AT_ONCE);
    node.wait_phase(&["shadow"]);
    assert_eq!(office.rollout("abort").code, Some(0));
    assert_eq!(driver.wait().code, Some(1));
    node.wait_phase(&["running"]);
    let seen = listener.on("fieldmark/n1/pond/detection").len();
    listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > seen + 5);
    wait_answers(&listener, "n1", "1.0.0");
}

#[test]
fn a_model_beyond_the_limits_of_the_node_is_refused_with_what_it_needs() {
    let Fleet { _broker, office, listener, .. } = Fleet::new();
    let limits = [
        ("n1", "max_latency_ms = 0.1", " ms a picture, 0.1 are allowed"),
        ("n2", "max_memory_mb = 1.0", " MB of memory, 1 are allowed"),
    ];
    let nodes =
        limits.map(|(name, limit, _)| running(&office, &listener, name, &format!("{QUICK}\n{limit}")));
    office.release(1, Flaw::None, 0);
    let output = office.roll_out("toy@1.1.0", &AT_ONCE).wait();
    assert_eq!(output.code, Some(1), "{output:?}");
    for (node, (name, _, reason)) in nodes.iter().zip(limits) {
        node.wait_phase(&["failed"]);
        let error = node.error();
        assert!(error.starts_with("it needs ") && error.ends_with(reason), "{name}: {error}");
        wait_answers(&listener, name, "1.0.0");
    }
}

#[test]
fn the_button_of_home_assistants_update_entity_installs_what_is_offered() {
    let Fleet { port, _broker, office, listener } = Fleet::new();
    let rules = format!("{QUICK}\nautomatic = false\n[home_assistant]\ndiscovery = true");
    let node = running(&office, &listener, "n1", &rules);
    office.release(1, Flaw::None, 0);
    let driver = office.roll_out("toy@1.1.0", &AT_ONCE);
    node.wait_phase(&["offered"]);
    listener.wait("fieldmark/n1/model/state", |heard| {
        heard.last().is_some_and(|text| parsed(text)["desired"]["version"] == "1.1.0")
    });
    // What Home Assistant is told of the entity says where its button publishes, and what.
    let announced = listener.wait("homeassistant/device/n1/config", |heard| !heard.is_empty());
    let announced = parsed(announced.last().expect("an announcement"));
    let components = announced["components"].as_object().or(announced["cmps"].as_object());
    let entities = components.expect("components").values();
    let entity = entities.clone().find(|entity| entity["platform"] == "update").expect("the update entity");
    let (topic, payload) = (&entity["command_topic"], &entity["payload_install"]);
    let pressed = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1"])
        .args(["-t", topic.as_str().expect("a topic"), "-m", payload.as_str().expect("a payload")])
        .status();
    assert!(pressed.expect("mosquitto_pub").success());
    wait_answers(&listener, "n1", "1.1.0");
    let output = driver.wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(state(&listener, "n1")["phase"], "confirmed");
}

#[test]
fn a_release_needs_as_many_keys_as_the_root_says_and_those_of_openssl_count() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let (repository, theirs) = (office.text("two"), office.text("theirs.pem"));
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out", &theirs]).output();
    assert!(made.expect("openssl").status.success());
    let (root, targets, online) =
        (office.text("root.pem"), office.text("targets.pem"), office.text("online.pem"));
    office.must(&[
        "release",
        "init",
        &repository,
        "--root-key",
        &root,
        "--targets-key",
        &targets,
        "--targets-key",
        &theirs,
        "--targets-threshold",
        "2",
        "--online-key",
        &online,
    ]);
    let file = office.package(field::Toy { version: (1, 1, 0), flaw: Flaw::None, filler: 0 });
    let said = office.must(&["release", "add", &repository, &file, "--key", &targets, "--key", &online]);
    assert!(said.contains("staged: targets has 1 of 2 signatures"), "{said}");
    let verify = ["release", "verify", &repository, "--root", &format!("{repository}/metadata/1.root.json")];
    assert!(!office.must(&verify).contains("toy-1.1.0"), "what is staged is not released");
    let said = office.must(&["release", "sign", &repository, "--key", &theirs, "--key", &online]);
    assert!(said.contains("complete: nodes may see it"), "{said}");
    let said = office.must(&verify);
    assert!(said.contains("ok    toy-1.1.0.fieldmark"), "{said}");
    let id = office.must(&["release", "key", "new", &office.text("stranger.pem")]);
    assert!(said.contains("targets: 2 of the keys ") && !said.contains(id.trim()), "{said}");
    // A key that has no say is refused, and the keys that have one can be looked up.
    let refused = fieldmark(&["release", "refresh", &repository, "--key", &office.text("stranger.pem")]);
    assert!(refused.err.contains("`fieldmark release verify` lists the keys of each role"), "{refused:?}");
}

#[test]
fn a_release_that_is_cut_anew_is_whole_on_the_broker() {
    let Fleet { port, _broker, office, listener } = Fleet::new();
    let _node = running(&office, &listener, "n1", QUICK);
    let file = office.package(field::Toy { version: (1, 1, 0), flaw: Flaw::None, filler: 200_000 });
    office.release_file(&file, &["--chunk", "16384"]);
    office.release_file(&file, &["--chunk", "65536"]);
    office.release_file(&file, &["--chunk", "32768"]);
    let output = office.roll_out("toy@1.1.0", &AT_ONCE).wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    wait_answers(&listener, "n1", "1.1.0");
    // What was beyond the last chunk is taken back; a broker forgets what is empty.
    let late = Listener::start(port, "311");
    late.wait_subscribed(port);
    let number = |(topic, _): (String, String)| {
        let (_, number) = topic.strip_prefix("fieldmark/release/targets/")?.split_once('/')?;
        number.parse::<u64>().ok()
    };
    let size = std::fs::metadata(&file).expect("a package").len();
    let wanted: std::collections::BTreeSet<u64> = (0..size.div_ceil(32_768)).collect();
    let held = || late.all().into_iter().filter_map(number).collect::<std::collections::BTreeSet<u64>>();
    let begun = std::time::Instant::now();
    while held() != wanted {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?} of {wanted:?}", held());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_broker_that_takes_no_message_of_that_size_is_told_of() {
    let port = free_port();
    let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 65536\n");
    let _broker = Broker::with(port, &text);
    let office = Office::new(port);
    let file = office.package(field::Toy { version: (1, 1, 0), flaw: Flaw::None, filler: 200_000 });
    let (repository, targets, online, broker) =
        (office.repository(), office.text("targets.pem"), office.text("online.pem"), office.broker());
    let add = ["release", "add", &repository, &file, "--key", &targets, "--key", &online];
    let refused = fieldmark(&[&add[..], &["--broker", &broker]].concat());
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("the broker takes messages of at most 65536 bytes"), "{refused:?}");
    assert!(refused.err.contains("--chunk"), "what to do: {refused:?}");
    office.release_file(&file, &["--chunk", "32768"]);
}

#[test]
fn a_node_goes_back_to_the_model_before_although_its_disk_is_full() {
    let Fleet { _broker, office, listener, .. } = Fleet::new();
    let mut node = office.node("n1", "shadow_s = 0.0\nprobation_s = 120.0\nmax_failures = 60");
    let Some(disk) = SmallDisk::mount(node.path("state"), "8m") else {
        println!("not run: this user may not mount a tmpfs");
        return;
    };
    node.start();
    wait_answers(&listener, "n1", "1.0.0");
    // Every other picture gets no answer: sixty of them take six seconds, time enough to fill a disk.
    office.release(1, Flaw::NotNumbersForGreen, 0);
    let driver = office.roll_out("toy@1.1.0", &AT_ONCE);
    node.wait_phase(&["active"]);
    let mut filler = std::fs::File::create(disk.path().join("filler")).expect("a file");
    while filler.write_all(&[0; 512]).is_ok() {}
    listener.wait_long("fieldmark/n1/model/state", |heard| {
        heard.last().is_some_and(|text| {
            let state = parsed(text);
            let error = state["error"].as_str().unwrap_or_default();
            state["phase"] == "rolled-back"
                && error.contains("frames got no answer")
                && error.contains("make room")
        })
    });
    wait_answers(&listener, "n1", "1.0.0");
    assert_eq!(node.phase(), "active", "the disk does not know yet");
    assert_eq!(driver.wait().code, Some(1));
    drop(filler);
    std::fs::remove_file(disk.path().join("filler")).expect("room");
    node.wait_phase(&["rolled-back"]);
    assert!(!node.error().contains("make room"), "{}", node.error());
    wait_answers(&listener, "n1", "1.0.0");
    let table = fieldmark(&["nodes", "--broker", &office.broker(), "--wait", "1"]).out;
    assert!(table.contains("rolled-back") && table.contains("toy 1.0.0"), "{table}");
    node.kill();
}
