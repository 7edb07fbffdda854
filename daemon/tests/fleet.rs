//! Promises about a fleet: against a real mosquitto, with nodes as processes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::time::{Duration, Instant};

use field::{Broker, Flaw, Listener, Node, Office, fieldmark, free_port};
use serde_json::Value;

/// An update in seconds: a short shadow and a short probation.
const QUICK: &str = "shadow_s = 0.5\nprobation_s = 1.0\nprobation_frames = 5";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn last(listener: &Listener, topic: &str) -> Value {
    listener.on(topic).last().map(|text| parsed(text)).unwrap_or_default()
}

fn state_topic(node: &str) -> String {
    format!("fieldmark/{node}/model/state")
}

/// Waits until a node answers with `version`.
fn wait_answers(listener: &Listener, node: &str, version: &str) {
    listener.wait_long(&format!("fieldmark/{node}/pond/detection"), |heard| {
        heard.last().is_some_and(|text| parsed(text)["model"]["version"] == version)
    });
}

fn wait_status(node: &str, listener: &Listener) {
    listener.wait(&state_topic(node), |heard| !heard.is_empty());
}

#[test]
fn three_nodes_are_updated_in_stages_and_lose_no_frame() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let mut nodes: Vec<_> = ["n1", "n2", "n3"].map(|name| office.node(name, QUICK)).into();
    let listener = Listener::start(port, "311");
    for node in &mut nodes {
        node.start();
    }
    for node in &nodes {
        wait_status(&node.name, &listener);
        wait_answers(&listener, &node.name, "1.0.0");
    }
    office.release(1, Flaw::None, 300_000);
    let output =
        office.roll_out("toy@1.1.0", &["--stages", "1,2,100", "--hold", "1s", "--max-failures", "1"]).wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.out.contains("1 of 3 nodes take part") && output.out.contains("3 confirmed"),
        "{output:?}"
    );
    for node in &mut nodes {
        wait_answers(&listener, &node.name, "1.1.0");
        assert_eq!(node.phase(), "confirmed");
        assert!(node.is_alive());
    }
    // Stages follow each other: no node began before the one before it was confirmed.
    let rollout = last(&listener, "fieldmark/fleet/g/desired")["rollout"].clone();
    let all: Vec<_> =
        listener.all().into_iter().filter(|(topic, _)| topic.ends_with("/model/state")).collect();
    let first = |node: &Node, is: &dyn Fn(&Value) -> bool| {
        let topic = state_topic(&node.name);
        let fits = |(heard, text): &(String, String)| {
            *heard == topic && parsed(text)["rollout"] == rollout && is(&parsed(text)["phase"])
        };
        all.iter().position(fits).expect("the phase")
    };
    let mut order: Vec<_> = nodes
        .iter()
        .map(|node| (first(node, &|phase| phase != "offered"), first(node, &|phase| phase == "confirmed")))
        .collect();
    order.sort_unstable();
    assert!(order.windows(2).all(|pair| pair[0].1 < pair[1].0), "{order:?}");
    for node in &nodes {
        let states: Vec<_> = listener.on(&state_topic(&node.name)).iter().map(|text| parsed(text)).collect();
        let mut phases: Vec<_> =
            states.iter().map(|state| state["phase"].as_str().unwrap_or_default().to_owned()).collect();
        phases.dedup();
        // Only the latest of what is retained is told: a phase that passes in a moment may not be heard of.
        let way = [
            "running",
            "offered",
            "downloading",
            "verifying",
            "building",
            "self-test",
            "shadow",
            "active",
            "confirmed",
        ];
        let places: Vec<_> = phases.iter().map(|phase| way.iter().position(|step| step == phase)).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{phases:?}");
        assert!(
            ["shadow", "active"].iter().all(|phase| phases.iter().any(|heard| heard == phase)),
            "{phases:?}"
        );
        let shadow = states.iter().rev().find_map(|state| state["shadow"]["frames"].as_u64());
        assert!(shadow.is_some_and(|frames| frames > 0), "the shadow looked at frames");
        // Every frame has one fate, and none was lost to the change of models.
        let metrics = last(&listener, &format!("fieldmark/{}/metrics", node.name));
        assert_eq!(metrics["cameras"]["pond"]["skipped"], 0, "{metrics}");
    }
    let info = last(&listener, "fieldmark/n1/info");
    assert_eq!(info["model"]["version"], "1.1.0");
    let table = fieldmark(&["nodes", "--broker", &office.broker(), "--wait", "1"]).out;
    assert!(table.contains("toy 1.1.0") && table.contains("confirmed") && table.contains("PHASE"), "{table}");
    // And back, by one command, to the model before.
    let back = office.rollout("rollback");
    assert_eq!(back.code, Some(0), "{back:?}");
    for node in &nodes {
        wait_answers(&listener, &node.name, "1.0.0");
        assert_eq!(node.wait_phase(&["rolled-back"]), "rolled-back");
    }
}

/// Of "3 frames got no answer: ...": how many; more than the limit may have passed before anybody looks.
fn unanswered(said: &str) -> u32 {
    let (count, _) = said.split_once(" frames got no answer").unwrap_or_default();
    count.parse().unwrap_or_default()
}

#[test]
fn a_broken_model_shipped_on_purpose_rolls_back_on_the_canary_and_the_rollout_stops_by_itself() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    // Without a shadow it is the probation that finds it.
    let rules = "shadow_s = 0.0\nprobation_s = 30.0\nmax_failures = 3";
    let mut nodes: Vec<_> = ["n1", "n2", "n3"].map(|name| office.node(name, rules)).into();
    let listener = Listener::start(port, "311");
    nodes.iter_mut().for_each(Node::start);
    for node in &nodes {
        wait_answers(&listener, &node.name, "1.0.0");
    }
    office.release(1, Flaw::NotNumbersForGreen, 0);
    let output =
        office.roll_out("toy@1.1.0", &["--stages", "1,100", "--hold", "0s", "--max-failures", "2"]).wait();
    assert_eq!(output.code, Some(1), "{output:?}");
    // A stage has at least one node; at 1 % two are rare, and three next to impossible.
    let (counts, said) = output.err.split_once(" nodes failed: ").unwrap_or_default();
    assert!(unanswered(said) >= 3, "{output:?}");
    let rolled: Vec<_> =
        nodes.iter().filter(|node| node.phase() == "rolled-back").map(|node| node.name.clone()).collect();
    let canaries = rolled.len();
    assert!((1..3).contains(&canaries), "the others never began: {rolled:?}");
    assert!(counts.ends_with(&format!("stopped: {canaries} of {canaries}")), "{output:?}");
    for canary in &rolled {
        wait_answers(&listener, canary, "1.0.0");
    }
    for node in &mut nodes {
        assert!(node.is_alive());
        assert!(
            rolled.contains(&node.name)
                || ["", "running"].contains(&node.phase().as_str())
                || node.phase() == "offered"
        );
    }
    // In the shadow the same model does no harm at all.
    let mut careful = office.node("n4", "shadow_s = 30.0\nmax_failures = 3\nautomatic = false");
    careful.start();
    wait_answers(&listener, "n4", "1.0.0");
    let asked = fieldmark(&["cmd", "--broker", &office.broker(), "n4", "install"]);
    assert_eq!(asked.code, Some(0), "{asked:?}");
    careful.wait_phase(&["failed"]);
    let error = careful.error();
    assert!(unanswered(error.strip_prefix("in the shadow, ").unwrap_or_default()) >= 3, "{error}");
    // Asked for once, tried once.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((careful.phase().as_str(), careful.error()), ("failed", error));
    assert!(
        listener
            .on("fieldmark/n4/pond/detection")
            .iter()
            .all(|text| parsed(text)["model"]["version"] == "1.0.0")
    );
}

#[test]
fn every_corrupt_package_is_refused_with_its_reason_and_the_old_model_answers() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let mut node =
        office.node("n1", "shadow_s = 0.0\nprobation_s = 0.5\nprobation_frames = 1\nmax_tries = 2");
    let listener = Listener::start(port, "311");
    node.start();
    wait_answers(&listener, "n1", "1.0.0");
    let mut minor = 0;
    for (case, reason) in cases(&office) {
        minor += 1;
        let name = format!("toy-1.{minor}.0.fieldmark");
        std::fs::write(office.path(&name), case).expect("write");
        office.release_file(&office.text(&name), &["--unopened"]);
        let release = format!("toy@1.{minor}.0");
        let output =
            office.roll_out(&release, &["--stages", "100", "--hold", "0s", "--max-failures", "1"]).wait();
        assert_eq!(output.code, Some(1), "{release}: {output:?}");
        assert!(output.err.contains(reason), "{release}: {reason:?} is not in {output:?}");
        assert_eq!(node.phase(), "failed", "{release}");
        assert!(node.is_alive());
    }
    wait_answers(&listener, "n1", "1.0.0");
    // None of it is in the way of a good one.
    office.release(50, Flaw::None, 0);
    let output = office.roll_out("toy@1.50.0", &["--stages", "100", "--hold", "0s"]).wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    wait_answers(&listener, "n1", "1.50.0");
    // What is older than what runs is not taken, although it is signed.
    let output = office.roll_out("toy@1.1.0", &["--stages", "100", "--hold", "0s"]).wait();
    assert!(output.err.contains("toy@1.1.0 is older than toy 1.50.0, which runs"), "{output:?}");
    wait_answers(&listener, "n1", "1.50.0");
}

/// Changes the entries of a package: paths and contents.
type Edit<'a> = &'a dyn Fn(&mut Vec<(String, Vec<u8>)>);

/// Packages that are wrong, and a part of what is said of each.
fn cases(office: &Office) -> Vec<(Vec<u8>, &'static str)> {
    let made = |minor: u64, flaw| {
        let path = office.package(field::Toy { version: (1, minor, 0), flaw, filler: 0 });
        std::fs::read(path).expect("read")
    };
    let good = made(4, Flaw::None);
    let rewrite = |edit: Edit<'_>| repacked(&good, edit);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    vec![
        (made(1, Flaw::NotNumbers), "does not give the golden answers"),
        (made(2, Flaw::Golden), "does not give the golden answers"),
        (made(3, Flaw::Leaves), "graph output \"probabilities\""),
        (good[..good.len() / 2].to_vec(), "damaged"),
        (flipped, "1 of 1 nodes failed: "),
        (b"PK\x03\x04 a zip".to_vec(), "not a fieldmark package"),
        (
            rewrite(&|entries| entries.push(("../../evil".into(), b"x".to_vec()))),
            "\"../../evil\" is not a regular file named once",
        ),
        (
            rewrite(&|entries| entries.push(("/etc/evil".into(), b"x".to_vec()))),
            "\"/etc/evil\" is not a regular file named once",
        ),
        (
            rewrite(&|entries| {
                let text = String::from_utf8(entries[0].1.clone()).expect("text");
                entries[0].1 = text.replace("format = 1", "format = 2").into_bytes();
            }),
            "the package has format 2, this fieldmark reads format 1",
        ),
        (rewrite(&|entries| entries[1].1.push(b' ')), "does not have the size the manifest gives"),
        (
            rewrite(&|entries| {
                let last = entries[1].1.len() - 2;
                entries[1].1[last] ^= 1;
            }),
            "does not have the SHA-256 digest",
        ),
        (made(90, Flaw::None), "the package says it is toy@1.90.0"),
    ]
}

/// A package with its entries changed.
fn repacked(package: &[u8], edit: Edit<'_>) -> Vec<u8> {
    let mut decoder = zstd::Decoder::with_buffer(package).expect("zstd");
    decoder.window_log_max(27).expect("a window");
    let mut archive = tar::Archive::new(decoder);
    let mut entries = Vec::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("content");
        entries.push((entry.path().expect("a path").to_string_lossy().into_owned(), bytes));
    }
    edit(&mut entries);
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).expect("zstd"));
    for (path, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, &bytes[..]).expect("append");
    }
    builder.into_inner().expect("tar").finish().expect("zstd")
}

#[test]
fn a_broker_that_lies_is_found_out_and_one_that_is_honest_again_is_followed() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let mut node = office.node("n1", &format!("{QUICK}\nmax_tries = 100"));
    let listener = Listener::start(port, "311");
    node.start();
    wait_answers(&listener, "n1", "1.0.0");
    office.release(1, Flaw::None, 200_000);
    let digest = |listener: &Listener| {
        let all = listener.all();
        all.iter().find_map(|(topic, _)| topic.strip_suffix("/index")).expect("an index").to_owned()
    };
    let retain = |topic: &str, payload: &str| {
        let port = port.to_string();
        let status = std::process::Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-r", "-t", topic, "-m", payload])
            .status();
        assert!(status.expect("mosquitto_pub").success());
    };
    let begun = Instant::now();
    while !listener.all().iter().any(|(topic, _)| topic.ends_with("/index")) {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    let target = digest(&listener);
    retain(&format!("{target}/1"), "another chunk");
    let driver = office.roll_out("toy@1.1.0", &["--stages", "100", "--hold", "0s"]);
    listener.wait_long(&state_topic("n1"), |heard| {
        heard.iter().any(|text| {
            parsed(text)["error"].as_str().is_some_and(|error| error.contains("is not the released one"))
        })
    });
    assert_eq!(last(&listener, &state_topic("n1"))["running"]["version"], "1.0.0");
    // Its index is there: unless it is told, publishing sees nothing that is missing.
    office.must(&["release", "publish", &office.repository(), "--again", "--broker", &office.broker()]);
    let output = driver.wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    wait_answers(&listener, "n1", "1.1.0");
}

#[test]
fn an_update_goes_on_after_kill_nine() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let rules = "shadow_s = 1.5\nprobation_s = 1.5\nprobation_frames = 3\nmax_tries = 50\nmax_starts = 50";
    let mut node = office.node("n1", rules);
    let listener = Listener::start(port, "311");
    let mut minor = 0;
    for phase in
        ["offered", "downloading", "verifying", "building", "self-test", "shadow", "active", "confirmed"]
    {
        minor += 1;
        node.start();
        wait_answers(&listener, "n1", &format!("1.{}.0", minor - 1));
        office.release(minor, Flaw::None, 1_500_000);
        let driver = office.roll_out(&format!("toy@1.{minor}.0"), &["--stages", "100", "--hold", "0s"]);
        // A phase may pass faster than it can be seen; then the next one is met.
        let from =
            ["offered", "downloading", "verifying", "building", "self-test", "shadow", "active", "confirmed"];
        let later: Vec<_> = from.iter().copied().skip_while(|name| *name != phase).collect();
        let begun = Instant::now();
        let rollout = loop {
            let journal = node.journal().unwrap_or_default();
            let about = journal["offer"]["release"]["version"] == format!("1.{minor}.0");
            if about && later.contains(&journal["phase"].as_str().unwrap_or_default()) {
                break journal["offer"]["rollout"].as_str().unwrap_or_default().to_owned();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{phase}: {journal}\n{}", node.log());
        };
        node.kill();
        assert!(!rollout.is_empty());
        node.start();
        let output = driver.wait();
        assert_eq!(output.code, Some(0), "{phase}: {output:?}\n{}", node.log());
        wait_answers(&listener, "n1", &format!("1.{minor}.0"));
    }
}

#[test]
fn a_second_coordinator_continues_and_a_paused_rollout_waits() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let mut nodes: Vec<_> = ["n1", "n2", "n3"].map(|name| office.node(name, QUICK)).into();
    let listener = Listener::start(port, "311");
    nodes.iter_mut().for_each(Node::start);
    for node in &nodes {
        wait_answers(&listener, &node.name, "1.0.0");
    }
    office.release(1, Flaw::None, 0);
    let driver = office.roll_out("toy@1.1.0", &["--stages", "30,100", "--hold", "2s"]);
    listener.wait("fieldmark/fleet/g/desired", |heard| !heard.is_empty());
    driver.kill();
    let paused = office.rollout("pause");
    assert!(paused.out.contains("paused"), "{paused:?}");
    assert!(office.rollout("drive").out.contains("paused"), "a paused rollout is not driven");
    let resumed = office.rollout("resume");
    assert!(resumed.out.contains("running"), "{resumed:?}");
    let driven = office.rollout("drive");
    assert_eq!(driven.code, Some(0), "{driven:?}");
    for node in &nodes {
        wait_answers(&listener, &node.name, "1.1.0");
    }
    let status = office.rollout("status");
    assert!(status.out.contains("done") && status.out.contains("3 confirmed"), "{status:?}");
    assert_eq!(office.rollout("abort").code, Some(1), "what is done is not called off");
}

#[test]
fn a_mirror_in_a_folder_serves_as_well_as_the_broker() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let mut node = office.node("n1", &format!("{QUICK}\nrepository = {:?}", office.repository()));
    let listener = Listener::start(port, "311");
    node.start();
    wait_answers(&listener, "n1", "1.0.0");
    let file = office.package(field::Toy { version: (1, 1, 0), flaw: Flaw::None, filler: 200_000 });
    let (repository, targets, online) =
        (office.repository(), office.text("targets.pem"), office.text("online.pem"));
    office.must(&["release", "add", &repository, &file, "--key", &targets, "--key", &online]);
    let output = office
        .roll_out("toy@1.1.0", &["--stages", "100", "--hold", "0s", "--repository", &repository])
        .wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    wait_answers(&listener, "n1", "1.1.0");
    let verified = office.must(&["release", "verify", &repository, "--root", &office.root()]);
    assert!(verified.contains("ok    toy-1.1.0.fieldmark"), "{verified}");
}

#[test]
fn a_wrong_clock_defers_the_update_and_inference_goes_on() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let mut node = office.node("n1", QUICK);
    let listener = Listener::start(port, "311");
    let output =
        std::process::Command::new("faketime").args(["-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]).output();
    let preload = String::from_utf8(output.expect("faketime").stdout).expect("text").trim().to_owned();
    node.start_with(&[
        ("LD_PRELOAD", &preload),
        ("FAKETIME", "+800d"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]);
    wait_answers(&listener, "n1", "1.0.0");
    office.release(1, Flaw::None, 0);
    let driver = office.roll_out("toy@1.1.0", &["--stages", "100", "--hold", "0s"]);
    listener.wait_long(&state_topic("n1"), |heard| {
        heard.iter().any(|text| {
            parsed(text)["error"].as_str().is_some_and(|error| error.contains("is expired, by this clock"))
        })
    });
    let before = listener.on("fieldmark/n1/pond/detection").len();
    listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > before + 10);
    // The clock is set right: the update follows.
    node.stop();
    node.start();
    let output = driver.wait();
    assert_eq!(output.code, Some(0), "{output:?}");
    wait_answers(&listener, "n1", "1.1.0");
}

#[test]
fn a_configuration_is_rolled_out_the_same_way_and_one_with_which_the_node_does_not_come_up_is_taken_back() {
    let port = free_port();
    let _broker = Broker::start(port);
    let office = Office::new(port);
    let mut node = office.node("n1", QUICK);
    let listener = Listener::start(port, "311");
    node.start();
    wait_answers(&listener, "n1", "1.0.0");
    let roll_out = |version: &str, text: &str| {
        let name = format!("dusk-{version}.toml");
        std::fs::write(office.path(&name), text).expect("write");
        office.release_file(&office.text(&name), &[]);
        let release = format!("dusk@{version}");
        let stages = ["--kind", "config", "--stages", "100", "--hold", "0s", "--max-failures", "1"];
        office.roll_out(&release, &stages).wait()
    };
    assert!(listener.on("fieldmark/n1/pond/alert").is_empty());
    let output = roll_out("1.0.0", "[watch]\ntaxa = [\"Quercus\"]\n");
    assert_eq!(output.code, Some(0), "{output:?}\n{}", node.log());
    listener.wait("fieldmark/n1/pond/alert", |heard| !heard.is_empty());
    assert_eq!(last(&listener, "fieldmark/n1/config/state")["running"]["name"], "dusk");
    // What is wrong on its face never comes into force.
    for (version, text, reason) in [
        ("1.1.0", "[watch]\ntaxa = [\"Nothing\"]\n", "watch.taxa"),
        ("1.2.0", "node = \"other\"\n", "does not change which node this is"),
        ("1.3.0", "[watch]\nteaxa = []\n", "teaxa"),
    ] {
        let output = roll_out(version, text);
        assert_eq!(output.code, Some(1), "{version}: {output:?}");
        assert!(output.err.contains(reason), "{version}: {output:?}");
    }
    // What is wrong in the field is found out there.
    let boot = last(&listener, "fieldmark/n1/info")["boot"].clone();
    let output = roll_out("1.4.0", "[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("it does not reach its broker"), "{output:?}");
    assert_eq!(last(&listener, "fieldmark/n1/config/state")["running"]["version"], "1.0.0");
    // The watch list is in force again, in the process that came up with it.
    let told = listener
        .wait("fieldmark/n1/info", |heard| heard.last().is_some_and(|text| parsed(text)["boot"] != boot));
    let boot = parsed(&told[told.len() - 1])["boot"].clone();
    listener.wait("fieldmark/n1/pond/alert", |heard| heard.iter().any(|text| parsed(text)["boot"] == boot));
    assert!(node.is_alive());
}
