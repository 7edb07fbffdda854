//! Promises about a fleet that take minutes to look at: `tests/fleet/run`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::io::Write as _;
use std::time::{Duration, Instant};

use field::{Broker, Flaw, Listener, Node, Office, free_port};
use fieldmark_daemon::config::{BrokerUrl, MqttConfig};
use fieldmark_daemon::release::{Shelf, Truster};
use fieldmark_daemon::update::{Download, Feed};
use serde_json::Value;

fn note(what: &str, measured: &str) {
    let line = format!("| {what} | {measured} |\n");
    print!("{line}");
    if let Some(path) = std::env::var_os("FIELDMARK_FLEET_TABLE") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.expect("the table").write_all(line.as_bytes()).expect("write");
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Phases and how often each was met.
fn told(phases: &std::collections::BTreeMap<String, u32>) -> String {
    let phases: Vec<_> = phases.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
    phases.join(", ")
}

/// Waits until `node` answers with a model, and gives its version.
fn answers(listener: &Listener, node: &Node, since: usize) -> String {
    let topic = format!("fieldmark/{}/pond/detection", node.name);
    let heard = listener.wait_long(&topic, |heard| heard.len() > since);
    parsed(heard.last().expect("an event"))["model"]["version"].as_str().expect("a version").to_owned()
}

fn count(listener: &Listener, node: &Node) -> usize {
    listener.on(&format!("fieldmark/{}/pond/detection", node.name)).len()
}

/// A random number below `bound`, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

const PATIENT: &str = "max_tries = 1000\nmax_starts = 1000\nprobation_frames = 3";

#[test]
#[ignore = "minutes: tests/fleet/run"]
fn two_hundred_kills_at_random_moments() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let rules = format!("shadow_s = 0.7\nprobation_s = 0.7\n{PATIENT}");
    let mut node = office.node("n1", &rules);
    let mut listener = Listener::of_node(port, "n1");
    let (mut dice, mut kills, mut minor) = (Dice(0x9E37_79B9_7F4A_7C15), 0, 0);
    let mut phases: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
    node.start();
    let before = count(&listener, &node);
    answers(&listener, &node, before);
    while kills < 200 {
        minor += 1;
        office.release(minor, Flaw::None, 2_000_000);
        let (old, new) = (format!("1.{}.0", minor - 1), format!("1.{minor}.0"));
        let driver = office.roll_out(&format!("toy@{new}"), &["--stages", "100", "--hold", "0s"]);
        // Eight kills an update, then it is left to end.
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(dice.below(2500)));
            node.kill();
            kills += 1;
            *phases.entry(node.phase()).or_default() += 1;
            // What is counted afterwards came from this start.
            listener = Listener::of_node(port, "n1");
            let before = count(&listener, &node);
            node.start();
            let version = answers(&listener, &node, before);
            assert!(
                version == old || version == new,
                "after kill {kills}: {version} answers\n{}",
                node.log()
            );
        }
        let output = driver.wait();
        assert_eq!(output.code, Some(0), "{output:?}\n{}", node.log());
        assert_eq!(answers(&listener, &node, count(&listener, &node)), new);
    }
    note(
        &format!("{kills} kills -9 of one node during {minor} updates; phases it was in: {}", told(&phases)),
        &format!("after each the old or the new model answered; {minor} of {minor} updates were confirmed"),
    );
}

#[test]
#[ignore = "minutes: tests/fleet/run"]
fn three_nodes_killed_in_every_state() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let rules = format!("shadow_s = 1.5\nprobation_s = 1.5\n{PATIENT}");
    let mut nodes: Vec<_> = ["n1", "n2", "n3"].map(|name| office.node(name, &rules)).into();
    let listener = Listener::start(port, "311");
    nodes.iter_mut().for_each(Node::start);
    for node in &nodes {
        answers(&listener, node, 0);
    }
    let way = ["downloading", "verifying", "building", "self-test", "shadow", "active", "confirmed"];
    let mut met = Vec::new();
    let mut phases: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
    for (round, phase) in way.iter().enumerate() {
        let minor = round as u64 + 1;
        office.release(minor, Flaw::None, 2_000_000);
        let driver = office.roll_out(&format!("toy@1.{minor}.0"), &["--stages", "34,67,100", "--hold", "0s"]);
        for _ in 0..nodes.len() {
            let begun = Instant::now();
            // Whichever node is next to come to the phase, or past it, since a phase may be too short to be seen.
            let (which, found) = loop {
                let found = nodes.iter().enumerate().find_map(|(which, node)| {
                    let journal = node.journal()?;
                    let about = journal["offer"]["release"]["version"] == format!("1.{minor}.0");
                    let now = journal["phase"].as_str()?.to_owned();
                    let killed = met.contains(&(minor, which));
                    let there = way.iter().skip(round).any(|later| *later == now);
                    (about && there && !killed).then_some((which, now))
                });
                if let Some(found) = found {
                    break found;
                }
                assert!(begun.elapsed() < Duration::from_secs(120), "nobody came to {phase}");
            };
            nodes[which].kill();
            met.push((minor, which));
            *phases.entry(nodes[which].phase()).or_default() += 1;
            let before = count(&listener, &nodes[which]);
            nodes[which].start();
            let version = answers(&listener, &nodes[which], before);
            let either = [format!("1.{}.0", minor - 1), format!("1.{minor}.0")];
            assert!(either.contains(&version), "{found}: {version} answers");
        }
        let output = driver.wait();
        assert_eq!(output.code, Some(0), "{phase}: {output:?}");
    }
    let unmet: Vec<_> = way.iter().filter(|phase| !phases.contains_key(**phase)).collect();
    assert!(unmet.is_empty(), "killed in {phases:?}, never in {unmet:?}");
    note(
        &format!("kill -9 of each of three nodes, seven rollouts; phases they were in: {}", told(&phases)),
        "after each the old or the new model answered; every rollout ended with three confirmed nodes",
    );
}

fn mqtt(port: u16) -> MqttConfig {
    let url = BrokerUrl::parse("url", &format!("mqtt://127.0.0.1:{port}")).expect("a URL");
    MqttConfig::subscriber(url, None, None)
}

/// What one node does for a model: metadata, verification, index, chunks, digest.
async fn fetch(port: u16, root: Vec<u8>, folder: std::path::PathBuf, name: String) {
    let mut feed = Feed::open(&mqtt(port), name, "g").expect("a line");
    let files = feed.metadata().await.expect("metadata");
    let truster = Truster::new(root, &folder);
    let trusted = truster.verify(&Shelf::gathered(files), jiff::Timestamp::now()).await.expect("trusted");
    let listed = trusted.releases.first().expect("a release").clone();
    let index = feed.index(&listed).await.expect("an index");
    let mut download = Download::open(&folder.join("store"), &listed, Some(index), 0).expect("a download");
    feed.wanted.changed = false;
    feed.chunks(listed.release.sha256, &mut download, &mut |_| {}).await.expect("chunks");
    download.finish().expect("the released file");
    feed.close().await;
}

/// A counter of the broker's own.
fn counter(port: u16, name: &str) -> u64 {
    let output = std::process::Command::new("mosquitto_sub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-C",
            "1",
            "-t",
            &format!("$SYS/broker/bytes/{name}"),
        ])
        .output()
        .expect("mosquitto_sub");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// `messages` of the release, chunks and index, as mosquitto_sub fetches them.
fn plain_download(port: u16, messages: u64) {
    let status = std::process::Command::new("mosquitto_sub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-q",
            "1",
            "-C",
            &messages.to_string(),
            "-W",
            "60",
        ])
        .args(["-t", "fieldmark/release/targets/+/+", "-N"])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("mosquitto_sub").success());
}

#[test]
#[ignore = "minutes: tests/fleet/run"]
fn a_broken_model_rolls_back_on_every_canary() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let rules = "shadow_s = 0.0\nprobation_s = 30.0\nmax_failures = 3";
    let mut nodes: Vec<_> = (1..=8).map(|number| office.node(&format!("n{number}"), rules)).collect();
    let listener = Listener::start(port, "311");
    nodes.iter_mut().for_each(Node::start);
    for node in &nodes {
        answers(&listener, node, 0);
    }
    office.release(1, Flaw::NotNumbersForGreen, 0);
    // More failures are allowed than there are nodes: it is the whole stage's that stop it.
    let output =
        office.roll_out("toy@1.1.0", &["--stages", "50,100", "--hold", "0s", "--max-failures", "9"]).wait();
    assert_eq!(output.code, Some(1), "{output:?}");
    let rolled: Vec<_> = nodes.iter().filter(|node| node.phase() == "rolled-back").collect();
    let canaries = rolled.len();
    let said = format!("{canaries} of {canaries} nodes failed");
    assert!((1..nodes.len()).contains(&canaries) && output.err.contains(&said), "{output:?}");
    for node in &nodes {
        assert!(
            ["rolled-back", "running", "offered", ""].contains(&node.phase().as_str()),
            "{}",
            node.phase()
        );
        assert_eq!(answers(&listener, node, count(&listener, node)), "1.0.0");
    }
    note(
        &format!("a broken model at 50 % of {} nodes", nodes.len()),
        &format!(
            "{canaries} of {canaries} canaries rolled back, the others never began, the rollout stopped"
        ),
    );
}

#[test]
#[ignore = "minutes: tests/fleet/run"]
fn a_hundred_nodes_on_one_broker() {
    const NODES: usize = 100;
    let port = free_port();
    let text =
        format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nsys_interval 1\n");
    let _broker = Broker::with(port, &text);
    let office = Office::new(port);
    office.release(1, Flaw::None, 4_000_000);
    let package = std::fs::metadata(office.path("toy-1.1.0.fieldmark")).expect("the package").len();
    let root = std::fs::read(office.root()).expect("the root");
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let settled = || {
        // The broker counts once a second.
        std::thread::sleep(Duration::from_secs(3));
        (counter(port, "sent"), counter(port, "received"))
    };
    let before = settled();
    let folder = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    threads.block_on(async {
        let mut nodes = tokio::task::JoinSet::new();
        for number in 0..NODES {
            let name = format!("sim-{number}");
            nodes.spawn(fetch(port, root.clone(), folder.path().join(&name), name));
        }
        while let Some(node) = nodes.join_next().await {
            node.expect("a node");
        }
    });
    let together = begun.elapsed();
    let after = settled();
    let wire = (after.0 - before.0 + after.1 - before.1) as f64 / NODES as f64;
    let begun = Instant::now();
    for number in 0..NODES {
        let name = format!("one-{number}");
        threads.block_on(fetch(port, root.clone(), folder.path().join(&name), name.clone()));
    }
    let one_by_one = begun.elapsed();
    // The plain way: the same messages by somebody else's client, nothing checked and nothing kept.
    let begun = Instant::now();
    for _ in 0..NODES {
        plain_download(port, package.div_ceil(u64::from(fieldmark_daemon::release::CHUNK)) + 1);
    }
    let plain = begun.elapsed();
    let ratio = wire / package as f64;
    note(
        &format!(
            "{NODES} simulated nodes fetch a package of {package} bytes from one broker: bytes on the wire a node"
        ),
        &format!("{wire:.0}, {ratio:.4} times the package"),
    );
    note(
        &format!(
            "the same: time of all {NODES} at once, beside one after the other, beside mosquitto_sub one after the other"
        ),
        &format!(
            "{:.1} s, {:.1} s, {:.1} s: {:.2} times, {:.2} times",
            together.as_secs_f64(),
            one_by_one.as_secs_f64(),
            plain.as_secs_f64(),
            together.as_secs_f64() / one_by_one.as_secs_f64(),
            together.as_secs_f64() / plain.as_secs_f64()
        ),
    );
    assert!(ratio <= 1.05, "{ratio}");
}
