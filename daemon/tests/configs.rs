//! Every ready configuration runs as it stands on the demonstration's pictures, with the shipped model.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use field::{Broker, Listener, free_port};
use serde_json::Value;

const STAMPS: &str = "/usr/share/tuxpaint/stamps/animals";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_ready_configuration_runs_as_it_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("samples")).expect("a folder");
    for photo in ["mammals/cats/tiger", "mammals/rodents/mouse"] {
        let name = photo.rsplit('/').next().expect("a name");
        let from = format!("{STAMPS}/{photo}.png");
        std::fs::copy(&from, folder.path().join(format!("samples/{name}.png"))).expect("tests/install");
    }
    for (config, node, camera) in [
        ("uav-survey", "uav", "nadir"),
        ("backyard-pests", "backyard", "bed"),
        ("fleet-node", "fleet-node", "cam0"),
    ] {
        let port = free_port();
        let _broker = Broker::start(port);
        let listener = Listener::start(port, "311");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        // Nothing is changed but where this machine's test has its broker, its ports and its state.
        let fieldmarkd = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_fieldmarkd"));
            command
                .current_dir(folder.path())
                .args(arguments)
                .arg(root.join(format!("configs/{config}.toml")))
                .env("FIELDMARK__MQTT__URL", format!("mqtt://127.0.0.1:{port}"))
                .env("FIELDMARK__MODEL__PACKAGE", root.join("models/packages/garden-0.1.0.fieldmark"))
                .env("STATE_DIRECTORY", folder.path().join(config));
            command
        };
        let checked = fieldmarkd(&["check", "--config"]).output().expect("a check");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && !said.contains("FAIL"), "{config}: {checked:?}");
        let no_root = "note  update: group ponds; nothing is updated until /etc/fieldmark/root.json is there";
        let given = Path::new("/etc/fieldmark/root.json").exists();
        assert_eq!(said.contains(no_root), config == "fleet-node" && !given, "{said}");
        let child = fieldmarkd(&["--config"]).stderr(Stdio::from(log)).spawn();
        let _running = Running(child.expect("the daemon"));
        let topic = format!("fieldmark/{node}/{camera}/detection");
        let heard = listener.wait_long(&topic, |heard| !heard.is_empty());
        let event: Value = serde_json::from_str(&heard[0]).expect("JSON");
        let log = || std::fs::read_to_string(folder.path().join("log")).expect("a log");
        match config {
            // Nobody flies here.
            "uav-survey" => assert_eq!(event["no_position"], "no_fix", "{event}\n{}", log()),
            "fleet-node" => assert_eq!(event["position"]["method"], "station", "{event}\n{}", log()),
            _ => {
                assert!(event["taxon"]["lineage"][0] == "Animalia", "{event}");
                let alert = format!("fieldmark/{node}/{camera}/alert");
                listener.wait_long(&alert, |heard| heard.iter().any(|text| text.contains("Muridae")));
                listener.wait_long("homeassistant/device/backyard/config", |heard| !heard.is_empty());
            }
        }
    }
}
