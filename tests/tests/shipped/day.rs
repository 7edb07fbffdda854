//! A photograph goes in, the right taxon comes out over MQTT.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::broker::{Listener, Mosquitto, Running, wait_until};
use crate::programs::{photograph, program};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/packages/garden-0.1.0.fieldmark");

fn daemon(folder: &std::path::Path, port: u16) -> Running {
    let config = folder.join("fieldmark.toml");
    let files = ["animals/mammals/cats/tiger", "animals/fish/clownfish"].map(photograph);
    let text = format!(
        "node = \"field\"\n[model]\npackage = {PACKAGE:?}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n\
         [outbox]\nfolder = {:?}\n\
         [camera.garden]\nsource = \"files\"\nfiles = {files:?}\nrate_hz = 2.0\n",
        folder.join("state")
    );
    std::fs::write(&config, text).expect("write");
    let log = std::fs::File::create(folder.join("log")).expect("a log");
    let child =
        Command::new(program("fieldmarkd")).arg("--config").arg(config).stderr(Stdio::from(log)).spawn();
    Running(child.expect("the daemon"))
}

#[test]
fn a_photograph_goes_in_and_the_right_taxon_comes_out_over_mqtt() {
    let (broker, folder) = (Mosquitto::start(), tempfile::tempdir().expect("a folder"));
    let listener = Listener::start(broker.port);
    let mut daemon = daemon(folder.path(), broker.port);
    wait_until("online", || listener.on("fieldmark/field/status") == ["online"]);
    wait_until("info", || !listener.on("fieldmark/field/info").is_empty());
    wait_until("streaming", || {
        listener.on("fieldmark/field/garden/status").iter().any(|s| s.contains("streaming"))
    });
    wait_until("two detections", || listener.on("fieldmark/field/garden/detection").len() >= 2);
    let detections = listener.on("fieldmark/field/garden/detection");
    let named: Vec<Value> = detections.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    for (detection, lineage) in named.iter().zip(["Felidae", "Actinopterygii"]) {
        let names = detection["taxon"]["lineage"].as_array().expect("a lineage");
        assert!(names.iter().any(|name| name == lineage), "{detection}");
        assert_eq!(detection["model"]["name"], "garden");
    }
    daemon.0.kill().expect("kill -9");
    wait_until("the will", || listener.on("fieldmark/field/status").last().is_some_and(|s| s == "offline"));
}
