//! Promises about what a running node can be asked, what it tells of tracks and alerts, and how Home Assistant
//! learns of it; kept against a real mosquitto.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use field::{Broker, Field, Listener, fieldmark, free_port};
use serde_json::{Value, json};

const ALL: &str = "[commands]\nallow = [\"snapshot\", \"target\", \"threshold\", \"prior\", \"region\", \"gate\", \"watch\", \"pause\", \"resume\", \"restart\"]\n";

fn at(port: u16) -> String {
    format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.2\n")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn ask(port: u16, command: &str, payload: &str) -> field::Output {
    let broker = format!("mqtt://127.0.0.1:{port}");
    fieldmark(&["cmd", "--broker", &broker, "n1", command, payload])
}

#[test]
fn a_threshold_a_prior_and_a_region_change_what_is_answered_from_the_next_frame_on() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", ALL);
    let _daemon = field.start();
    let listener = Listener::start(port, "311");
    let until = |what: &dyn Fn(&Value) -> bool| {
        listener
            .wait("fieldmark/n1/pond/detection", |heard| heard.last().is_some_and(|text| what(&parsed(text))))
    };
    until(&|event| event["taxon"]["name"] == "Quercus" && event["threshold"] == 0.6);
    let done = ask(port, "threshold", r#"{"value":0.3}"#);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "accepted\ndone\n"), "{done:?}");
    until(&|event| event["taxon"]["rank"] == "species" && event["threshold"] == 0.3);
    listener.wait("fieldmark/n1/info", |heard| parsed(heard.last().expect("info"))["threshold"] == 0.3);
    assert_eq!(ask(port, "target", r#"{"value":0.8}"#).code, Some(0));
    until(&|event| event["target"] == 0.8 && event["threshold"] == 0.4);
    assert_eq!(ask(port, "prior", r#"{"taxa":["honey bee"]}"#).code, Some(0));
    let bees = |heard: &[String]| {
        let last = heard.iter().rev().take(4);
        heard.len() > 4 && last.into_iter().all(|text| parsed(text)["taxon"]["name"] == "Apis mellifera")
    };
    listener.wait("fieldmark/n1/pond/detection", bees);
    assert_eq!(ask(port, "region", r#"{"camera":"pond","box":[0,0,0.5,0.5]}"#).code, Some(0));
    until(&|event| event["region"] == json!({"box": [0.0, 0.0, 0.5, 0.5], "name": "region"}));
}

#[test]
fn boxes_tiles_and_a_focus_by_command_are_all_answered_and_survive_a_restart() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", ALL);
    let mut daemon = field.start();
    let listener = Listener::start(port, "311");
    let names = |since: usize| {
        let heard = listener.on("fieldmark/n1/pond/detection");
        let name = |text: &String| parsed(text)["region"]["name"].as_str().map(str::to_owned);
        heard.iter().skip(since).filter_map(name).collect::<std::collections::BTreeSet<_>>()
    };
    let until = |wanted: &[&str]| {
        let since = listener.on("fieldmark/n1/pond/detection").len();
        listener
            .wait("fieldmark/n1/pond/detection", |_| wanted.iter().all(|name| names(since).contains(*name)));
    };
    until(&["frame"]);
    let boxes = r#"{"camera":"pond","regions":{"kind":"boxes","boxes":{"feeder":[0,0,0.5,1],"nest":[0.5,0,1,1]}},"persist":true}"#;
    let done = ask(port, "region", boxes);
    assert_eq!(done.code, Some(0), "{done:?}");
    until(&["feeder", "nest"]);
    field.end(&mut daemon);
    let _daemon = field.start();
    until(&["feeder", "nest"]);
    // 64 pixels: two by two tiles, and three by three with the half between them.
    let tiles = r#"{"camera":"pond","regions":{"kind":"tiles","tile_px":32},"focus":[0.4,0.4,0.6,0.6]}"#;
    assert_eq!(ask(port, "region", tiles).code, Some(0));
    until(&["r1c1", "r2c2"]);
    let refused = ask(port, "region", r#"{"camera":"pond","regions":{"kind":"tiles","tile_m":4}}"#);
    assert!(refused.code == Some(1) && refused.out.contains("does not know its height"), "{refused:?}");
    let refused =
        ask(port, "region", r#"{"camera":"pond","regions":{"kind":"detector","detector":"/x.onnx"}}"#);
    assert!(refused.code == Some(1) && refused.out.contains("in the configuration only"), "{refused:?}");
}

#[test]
fn what_is_not_allowed_not_known_or_not_right_is_refused_with_the_reason() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(
        &at(port),
        2,
        "",
        "[commands]\nallow = [\"target\", \"prior\", \"region\", \"restart\"]\n",
    );
    let mut daemon = field.start();
    field.wait_for_log("connected to the broker");
    for (command, payload, reason) in [
        ("snapshot", r#"{"camera":"pond"}"#, "add \"snapshot\" to commands.allow"),
        ("target", r#"{"value":0.95}"#, "its calibration ends at 0.9"),
        ("prior", r#"{"taxa":["Querkus"]}"#, "did you mean Quercus?"),
        ("region", r#"{"camera":"lake"}"#, "give one of pond"),
    ] {
        let output = fieldmark(&[
            "cmd",
            "--json",
            "--broker",
            &format!("mqtt://127.0.0.1:{port}"),
            "n1",
            command,
            payload,
        ]);
        assert_eq!(output.code, Some(1), "{output:?}");
        let reply = parsed(output.out.lines().last().expect("a reply"));
        assert_eq!(reply["state"], "failed");
        assert!(reply["reason"].as_str().is_some_and(|text| text.contains(reason)), "{reason:?}: {reply}");
    }
    // What no client of ours would send: unknown, damaged, twice, without an id.
    let listener = Listener::start(port, "311");
    let send = |topic: &str, payload: &str, retain: bool| {
        let mut publish = std::process::Command::new("mosquitto_pub");
        publish.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", topic, "-m", payload]);
        if retain {
            publish.arg("-r");
        }
        assert!(publish.status().expect("mosquitto_pub").success());
    };
    send("fieldmark/n1/cmd/explode/a", "{}", false);
    send("fieldmark/n1/cmd/target/b", "\u{7f}{{{", false);
    send("fieldmark/n1/cmd/target/c", r#"{"value":0.8}"#, false);
    send("fieldmark/n1/cmd/target/c", r#"{"value":0.8}"#, false);
    for id in ["", "x y", "no.dots", &"long".repeat(40)] {
        send(&format!("fieldmark/n1/cmd/target/{id}"), "{}", false);
    }
    send("fieldmark/n1/cmd/target/last", r#"{"value":2}"#, false);
    listener.wait("fieldmark/n1/reply/last", |heard| !heard.is_empty());
    let said = |id: &str| listener.on(&format!("fieldmark/n1/reply/{id}")).join("\n");
    assert!(said("a").contains("there is no such command"), "{}", said("a"));
    assert!(said("b").contains("give JSON such as"), "{}", said("b"));
    assert!(said("c").contains("\"done\"") && said("c").contains("this id was used before"), "{}", said("c"));
    assert!(said("last").contains("give a number from 0.01 to 0.999"));
    let replies = listener.all().into_iter().filter(|(topic, _)| topic.starts_with("fieldmark/n1/reply/"));
    let ids: std::collections::BTreeSet<_> = replies.map(|(topic, _)| topic).collect();
    assert!(ids.len() <= 5, "{ids:?}");
    // A retained restart reaches a running subscriber as a live message, once; the next connection gets it retained.
    send("fieldmark/n1/cmd/restart/kept", "{}", true);
    field.wait_for_log("restart by command");
    listener.wait("fieldmark/n1/reply/kept", |heard| {
        heard.iter().any(|reply| reply.contains("send it without retain"))
    });
    field.stop(&mut daemon, &listener);
}

#[test]
fn a_target_that_is_kept_survives_a_restart_by_command() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", ALL);
    let mut daemon = field.start();
    let listener = Listener::start(port, "311");
    listener.wait("fieldmark/n1/status", |heard| !heard.is_empty());
    let done = ask(port, "target", r#"{"value":0.8,"persist":true}"#);
    assert!(done.out.contains("settings-n1.toml"), "{done:?}");
    assert_eq!(ask(port, "watch", r#"{"taxa":["Quercus"],"persist":true}"#).code, Some(0));
    let boot = parsed(&listener.wait("fieldmark/n1/info", |heard| !heard.is_empty())[0])["boot"].clone();
    assert_eq!(ask(port, "restart", "{}").code, Some(0));
    let infos = listener
        .wait("fieldmark/n1/info", |heard| heard.last().is_some_and(|text| parsed(text)["boot"] != boot));
    assert_eq!(parsed(infos.last().expect("info"))["target"], 0.8);
    let statuses = listener.wait("fieldmark/n1/status", |heard| heard.ends_with(&["online".into()]));
    assert!(statuses.contains(&"stopped".to_owned()), "{statuses:?}");
    listener.wait("fieldmark/n1/pond/alert", |heard| !heard.is_empty());
    // The same process, begun anew.
    field.stop(&mut daemon, &listener);
}

#[test]
fn a_paused_camera_says_so_and_its_frames_are_passed_over() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 2, "rate_hz = 50.0", ALL);
    let _daemon = field.start();
    let listener = Listener::start(port, "311");
    listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > 5);
    assert_eq!(ask(port, "pause", r#"{"camera":"pond"}"#).code, Some(0));
    let state = |heard: &[String]| parsed(heard.last().expect("a status"))["state"].clone();
    listener.wait("fieldmark/n1/pond/status", |heard| state(heard) == "paused");
    // Nobody waits for a picture that will not come.
    let refused = ask(port, "snapshot", r#"{"camera":"pond"}"#);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.out.ends_with("failed: pond is paused and takes no pictures: resume it first\n"),
        "{refused:?}"
    );
    let skipped = |heard: &[String]| {
        parsed(heard.last().expect("metrics"))["cameras"]["pond"]["skipped"].as_u64() > Some(10)
    };
    let metrics = listener.wait("fieldmark/n1/metrics", |heard| !heard.is_empty() && skipped(heard));
    let pond = parsed(metrics.last().expect("metrics"))["cameras"]["pond"].clone();
    let count = |key: &str| pond[key].as_u64().expect("a count");
    assert_eq!(count("captured"), count("inferred") + count("dropped") + count("skipped") + count("waiting"));
    let before = listener.on("fieldmark/n1/pond/detection").len();
    assert_eq!(ask(port, "resume", r#"{"camera":"pond"}"#).code, Some(0));
    listener.wait("fieldmark/n1/pond/status", |heard| state(heard) == "streaming");
    listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > before + 5);
}

#[test]
fn a_gate_shut_by_command_passes_a_still_scene_over_and_counts_every_frame() {
    let port = free_port();
    let _broker = Broker::start(port);
    // One picture again and again is as still as a scene gets.
    let field = Field::new(&at(port), 1, "rate_hz = 50.0\ngate_hold_s = 0.0", ALL);
    let mut daemon = field.start();
    let listener = Listener::start(port, "311");
    let counts = |heard: &[String]| parsed(heard.last().expect("metrics"))["cameras"]["pond"].clone();
    let count = |heard: &[String], key: &str| counts(heard)[key].as_u64().expect("a count");
    let metrics =
        listener.wait("fieldmark/n1/metrics", |heard| !heard.is_empty() && count(heard, "inferred") > 5);
    assert_eq!(count(&metrics, "still"), 0, "no gate was configured");
    assert_eq!(ask(port, "gate", r#"{"camera":"pond","mode":"novelty","persist":true}"#).code, Some(0));
    let still = count(&metrics, "still") + 20;
    let metrics = listener.wait("fieldmark/n1/metrics", |heard| count(heard, "still") > still);
    let sum = |key| count(&metrics, key);
    assert_eq!(sum("captured"), sum("inferred") + sum("dropped") + sum("skipped") + sum("waiting"));
    // Whoever asks for a picture gets one, and a scene is looked at again when something else is asked of it.
    assert_eq!(ask(port, "snapshot", r#"{"camera":"pond"}"#).code, Some(0));
    let inferred = sum("inferred");
    assert_eq!(ask(port, "threshold", r#"{"value":0.3}"#).code, Some(0));
    listener.wait("fieldmark/n1/metrics", |heard| count(heard, "inferred") > inferred);
    let refused = ask(port, "gate", r#"{"camera":"pond","area":2}"#);
    assert!(
        refused.err.contains("share from 0.0001 to 1") || refused.out.contains("share from 0.0001 to 1"),
        "{refused:?}"
    );
    daemon.signal("-TERM");
    assert_eq!(daemon.wait(), Some(0), "{}", field.log());
    let kept = std::fs::read_to_string(field.path("state/settings-n1.toml"));
    assert!(kept.as_ref().is_ok_and(|text| text.contains("novelty")), "{kept:?}");
}

#[test]
fn a_snapshot_is_a_picture_small_enough_for_the_broker() {
    let port = free_port();
    // mosquitto tells of its limit when a client connects.
    let limit = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 1400\n");
    let _broker = Broker::with(port, &limit);
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", &format!("{ALL}[snapshot]\nevery_s = 0.1\n"));
    let _daemon = field.start();
    field.wait_for_log("connected to the broker");
    let done = ask(port, "snapshot", r#"{"camera":"pond"}"#);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with("accepted\nrunning\ndone: 40 x 40 pixels"), "{done:?}");
    let jpeg = std::process::Command::new("mosquitto_sub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-t",
            "fieldmark/n1/pond/snapshot",
            "-C",
            "1",
            "-N",
        ])
        .output()
        .expect("mosquitto_sub");
    let picture = image::load_from_memory(&jpeg.stdout).expect("a JPEG");
    assert_eq!((picture.width(), picture.height()), (40, 40));
    assert!(jpeg.stdout.len() < 1400);
}

#[test]
fn a_family_on_the_watch_list_and_a_novelty_raise_alerts_once() {
    let port = free_port();
    let _broker = Broker::start(port);
    let watch = "[watch]\ntaxa = [\"Quercus\"]\nnovelty = [\"first_ever\"]\ncooldown_s = 3600.0\n";
    let field = Field::new(&at(port), 2, "rate_hz = 50.0", watch);
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > 20);
    let reasons = || -> Vec<Value> {
        listener.on("fieldmark/n1/pond/alert").iter().map(|text| parsed(text)["watch"].clone()).collect()
    };
    assert_eq!(reasons(), [json!(["first_ever"]), json!(["Quercus", "first_ever"])], "a bee, then an oak");
    let alert = parsed(&listener.on("fieldmark/n1/pond/alert")[1]);
    let same = |text: &&String| parsed(text)["id"] == alert["id"];
    let detections = listener.on("fieldmark/n1/pond/detection");
    assert_eq!(parsed(detections.iter().find(same).expect("the same event")), alert);
    field.stop(&mut daemon, &listener);
    // After a restart nothing is new any more; the silence after an alert ends with the process.
    let _again = field.start();
    let seen = listener.on("fieldmark/n1/pond/detection").len();
    listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > seen + 20);
    assert_eq!(reasons().split_off(2), [json!(["Quercus"])]);
}

#[test]
fn a_track_is_new_then_end_not_a_message_for_every_frame() {
    let port = free_port();
    let _broker = Broker::start(port);
    let lines = "rate_hz = 100.0\ntracks = true\ntrack_gap_s = 30.0\ntrack_max_s = 30.0";
    let field = Field::new(&at(port), 1, lines, "");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let frames = |heard: &[String]| {
        let inferred = |text: &String| parsed(text)["cameras"]["pond"]["inferred"].as_u64();
        heard.last().and_then(inferred) > Some(40)
    };
    listener.wait("fieldmark/n1/metrics", frames);
    field.stop(&mut daemon, &listener);
    let events: Vec<_> = listener.on("fieldmark/n1/pond/detection").iter().map(|text| parsed(text)).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["new", "end"]);
    assert_eq!(events[1]["taxon"]["name"], "Apis mellifera");
    assert!(events[1]["track"]["hits"].as_u64() > Some(40), "{}", events[1]);
    assert_eq!(events[0]["track"]["id"], events[1]["track"]["id"]);
}

#[test]
fn home_assistant_is_told_again_when_it_starts_and_cameras_that_left_are_taken_back() {
    const DISCOVERY: &str = "homeassistant/device/n1/config";
    let port = free_port();
    let _broker = Broker::start(port);
    let two = "[home_assistant]\ndiscovery = true\n[camera.gate]\nsource = \"files\"\nfolder = \"/tmp\"\n";
    let field = Field::new(&at(port), 2, "", two);
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let first = parsed(&listener.wait(DISCOVERY, |heard| !heard.is_empty())[0]);
    let components = first["components"].as_object().expect("components");
    for camera in ["pond", "gate"] {
        for entity in ["species", "probability", "image", "event", "connectivity", "alert"] {
            assert!(components.contains_key(&format!("{camera}_{entity}")), "{camera} {entity}");
        }
    }
    assert_eq!(components["model"]["platform"], "update");
    listener.wait("fieldmark/n1/model/state", |heard| {
        heard.first().is_some_and(|text| parsed(text)["running"]["version"] == "0.1.0")
    });
    let birth = ["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "homeassistant/status", "-m", "online"];
    assert!(std::process::Command::new("mosquitto_pub").args(birth).status().expect("pub").success());
    listener.wait(DISCOVERY, |heard| heard.len() == 2);
    field.stop(&mut daemon, &listener);
    let config = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a configuration");
    let (before, _) = config.split_once("[camera.gate]").expect("two cameras");
    let (_, pond) = config.split_once("[camera.pond]").expect("two cameras");
    std::fs::write(field.path("fieldmark.toml"), format!("{before}[camera.pond]{pond}")).expect("write");
    let _again = field.start();
    let last = parsed(listener.wait(DISCOVERY, |heard| heard.len() >= 3).last().expect("an announcement"));
    assert_eq!(last["components"]["gate_species"], json!({"platform": "sensor"}));
    assert_eq!(last["components"]["pond_species"]["name"], "pond species");
    let gone = Listener::start(port, "311");
    gone.wait("fieldmark/n1/pond/status", |heard| !heard.is_empty());
    assert!(gone.on("fieldmark/n1/gate/status").is_empty(), "no retained message is left");
}
