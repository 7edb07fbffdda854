//! Promises to the service manager, kept with the datagram socket it would listen on.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use field::{Broker, Daemon, Field, Listener, fieldmarkd, free_port};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// What systemd is to a service.
struct Manager {
    socket: UnixDatagram,
    path: String,
    heard: Vec<String>,
}

impl Manager {
    fn new(field: &Field) -> Self {
        let path = field.text("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time");
        Self { socket, path, heard: Vec::new() }
    }

    fn start(&self, field: &Field, watchdog: Duration) -> Daemon {
        let watchdog = watchdog.as_micros().to_string();
        field.start_with(&[("NOTIFY_SOCKET", &self.path), ("WATCHDOG_USEC", &watchdog)])
    }

    /// Listens for `time`, and returns what came.
    fn listen(&mut self, time: Duration) -> &[String] {
        let (begun, before) = (Instant::now(), self.heard.len());
        while begun.elapsed() < time {
            self.hear();
        }
        &self.heard[before..]
    }

    fn hear(&mut self) {
        let mut bytes = [0; 4096];
        if let Ok(length) = self.socket.recv(&mut bytes) {
            self.heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
    }

    /// Listens until something with `text` came that had not been heard yet; where in all that was heard.
    fn wait(&mut self, text: &str) -> usize {
        self.wait_after(self.heard.len(), text)
    }

    /// The same among everything from number `from` on.
    fn wait_after(&mut self, from: usize, text: &str) -> usize {
        let begun = Instant::now();
        loop {
            let found = self.heard.iter().skip(from).position(|heard| heard.contains(text));
            if let Some(found) = found {
                return from + found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {text:?}: {:#?}", self.heard);
            self.hear();
        }
    }

    fn has_heard(&self, text: &str) -> bool {
        self.heard.iter().any(|heard| heard.contains(text))
    }
}

fn at(port: u16) -> String {
    format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.2\nstop_timeout_s = 0.3\n")
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn ready_is_told_when_the_camera_streams_and_not_before() {
    let field = Field::new(&at(free_port()), 0, "", "");
    let mut manager = Manager::new(&field);
    let mut daemon = manager.start(&field, MINUTE);
    manager.wait_after(0, "STATUS=loading the model");
    manager.wait_after(0, "waiting for camera pond; pond lost (");
    manager.listen(Duration::from_secs(3));
    assert!(!manager.has_heard("READY=1"), "{:#?}", manager.heard);
    assert!(manager.has_heard("EXTEND_TIMEOUT_USEC="), "waiting is not being stuck: {:#?}", manager.heard);
    field::write_folder(&field.path("pictures"), 1);
    let ready = manager.wait_after(0, "READY=1");
    assert!(manager.heard[ready].contains("STATUS=pond streaming; "), "{:#?}", manager.heard);
    field.end(&mut daemon);
    manager.wait_after(ready, "STOPPING=1");
}

#[test]
fn an_optional_camera_is_not_waited_for() {
    let field = Field::new(&at(free_port()), 0, "optional = true", "");
    let mut manager = Manager::new(&field);
    let _daemon = manager.start(&field, MINUTE);
    manager.wait_after(0, "READY=1");
}

#[test]
fn a_model_that_misses_its_golden_answers_never_gets_as_far_as_ready() {
    let field = Field::new(&at(free_port()), 1, "", "");
    field::write_package(&field.path("toy.fieldmark"), field::Flaw::Golden);
    let mut manager = Manager::new(&field);
    let mut daemon = manager.start(&field, MINUTE);
    assert_eq!(daemon.wait(), Some(1), "{}", field.log());
    manager.listen(Duration::from_millis(300));
    assert!(!manager.has_heard("READY=1"), "{:#?}", manager.heard);
}

#[test]
fn the_watchdog_hears_from_a_pipeline_that_goes_on_and_from_no_other() {
    let field = Field::new(&at(free_port()), 2, "rate_hz = 20.0", "");
    let mut manager = Manager::new(&field);
    let daemon = manager.start(&field, Duration::from_secs(2));
    let ready = manager.wait_after(0, "READY=1");
    let first = manager.wait_after(ready, "WATCHDOG=1");
    manager.wait_after(first + 1, "WATCHDOG=1");
    daemon.signal("-STOP");
    manager.listen(Duration::from_secs(1));
    let silence = manager.listen(Duration::from_secs(3)).to_vec();
    assert_eq!(silence, Vec::<String>::new(), "a stopped process says nothing");
    daemon.signal("-CONT");
    manager.wait("WATCHDOG=1");
}

#[test]
fn an_idle_pipeline_is_alive_too() {
    let field = Field::new(&at(free_port()), 1, "rate_hz = 0.01\noptional = true", "");
    let mut manager = Manager::new(&field);
    let _daemon = manager.start(&field, Duration::from_secs(2));
    manager.wait_after(0, "READY=1");
    manager.listen(Duration::from_secs(3));
    manager.wait("WATCHDOG=1");
}

#[test]
fn a_reload_puts_a_good_file_in_force_and_names_what_needs_a_restart() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", "");
    let listener = Listener::start(port, "311");
    let mut manager = Manager::new(&field);
    let daemon = manager.start(&field, MINUTE);
    let ready = manager.wait_after(0, "READY=1");
    let event = |what: &dyn Fn(&Value) -> bool| {
        listener.wait("fieldmark/n1/pond/detection", |heard| {
            heard.last().is_some_and(|text| what(&serde_json::from_str(text).expect("JSON")))
        });
    };
    event(&|event| event["threshold"] == 0.6);
    let text = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a file");
    let text = text
        .replacen("[model]\n", "[model]\nthreshold = 0.3\n", 1)
        .replace("metrics_s = 0.2", "metrics_s = 0.5");
    std::fs::write(field.path("fieldmark.toml"), text).expect("write");
    daemon.signal("-HUP");
    let reloading = manager.wait_after(ready + 1, "RELOADING=1");
    assert!(manager.heard[reloading].contains("MONOTONIC_USEC="), "{:#?}", manager.heard);
    let again = manager.wait_after(reloading, "READY=1");
    assert!(manager.heard[again].contains("restart to put in force: mqtt.metrics_s"), "{:#?}", manager.heard);
    event(&|event| event["threshold"] == 0.3);
    listener.wait("fieldmark/n1/info", |heard| {
        heard.last().is_some_and(|text| text.contains("\"threshold\":0.3"))
    });
    field.wait_for_log("in force: model.threshold");
    // One boot all along: nothing was started again.
    let boots: std::collections::BTreeSet<String> = listener
        .on("fieldmark/n1/pond/detection")
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).expect("JSON")["boot"].to_string())
        .collect();
    assert_eq!(boots.len(), 1);
}

#[test]
fn a_reload_changes_regions_between_two_frames() {
    let port = free_port();
    let _broker = Broker::start(port);
    let lines = "rate_hz = 20.0\ntracks = false\n[camera.pond.regions]\nkind = \"centre\"";
    let field = Field::new(&at(port), 2, lines, "");
    let listener = Listener::start(port, "311");
    let mut manager = Manager::new(&field);
    let daemon = manager.start(&field, MINUTE);
    let mut last = manager.wait_after(0, "READY=1");
    let name = |wanted: &str| {
        listener.wait("fieldmark/n1/pond/detection", |heard| {
            let event = |text: &String| serde_json::from_str::<Value>(text).expect("JSON");
            heard.last().is_some_and(|text| event(text)["region"]["name"] == wanted)
        });
    };
    name("centre");
    let good = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a file");
    let mut reload = |regions: &str| {
        let text = good.replace("kind = \"centre\"", regions);
        std::fs::write(field.path("fieldmark.toml"), text).expect("write");
        daemon.signal("-HUP");
        let reloading = manager.wait_after(last + 1, "RELOADING=1");
        last = manager.wait_after(reloading, "READY=1");
        manager.heard[last].clone()
    };
    let told = reload("kind = \"boxes\"\nboxes = { feeder = [0.0, 0.0, 0.5, 0.5] }");
    assert!(!told.contains("restart") && !told.contains("refused"), "{told}");
    name("feeder");
    field.wait_for_log("in force: camera.pond.regions.boxes.feeder, camera.pond.regions.kind");
    // What a start would have refused, a reload does: no detector, no height.
    for (regions, reason) in [
        ("kind = \"detector\"\ndetector = \"/nowhere.onnx\"", "camera.pond.regions.detector: cannot read"),
        ("kind = \"tiles\"\ntile_px = 2", "camera.pond.regions.tile_px = 2"),
    ] {
        let told = reload(regions);
        assert!(told.contains("the new configuration is refused") && told.contains(reason), "{told}");
    }
    let before = listener.on("fieldmark/n1/pond/detection").len();
    let still = listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > before + 5);
    assert!(still.last().is_some_and(|text| text.contains("\"name\":\"feeder\"")), "{still:?}");
    assert!(!reload("kind = \"centre\"").contains("refused"));
    name("centre");
}

#[test]
fn a_reload_of_a_bad_file_is_refused_and_the_old_one_stays() {
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 2, "rate_hz = 20.0", "");
    let listener = Listener::start(port, "311");
    let mut manager = Manager::new(&field);
    let daemon = manager.start(&field, MINUTE);
    let mut last = manager.wait_after(0, "READY=1");
    let good = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a file");
    for (bad, reason) in [
        (good.replacen("[model]\n", "[model]\nthreshold = 3\n", 1), "model.threshold = 3"),
        (good.replacen("[model]\n", "[model\n", 1), "fieldmark.toml"),
        (good.replacen("[model]\n", "[model]\npriors = [\"Querkus\"]\n", 1), "did you mean Quercus?"),
        (format!("{good}\n[log]\nlevel = \"loud\"\n"), "log.level"),
    ] {
        std::fs::write(field.path("fieldmark.toml"), bad).expect("write");
        daemon.signal("-HUP");
        let reloading = manager.wait_after(last + 1, "RELOADING=1");
        last = manager.wait_after(reloading, "READY=1");
        let told = &manager.heard[last];
        assert!(told.contains("the new configuration is refused") && told.contains(reason), "{told}");
        field.wait_for_log("is refused and the old one stays");
    }
    let before = listener.on("fieldmark/n1/pond/detection").len();
    let still = listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > before + 5);
    assert!(still.last().is_some_and(|text| text.contains("\"threshold\":0.6")), "{still:?}");
}

#[test]
fn a_check_of_values_alone_says_what_is_wrong_without_model_and_cameras() {
    let field = Field::new(&at(free_port()), 0, "", "");
    std::fs::remove_file(field.path("toy.fieldmark")).expect("remove");
    let config = field.text("fieldmark.toml");
    assert_eq!(fieldmarkd(&["check", "--values", "--config", &config]).code, Some(0));
    let text = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a file");
    std::fs::write(field.path("fieldmark.toml"), text.replace("metrics_s = 0.2", "metrics_s = -1.0"))
        .expect("write");
    let bad = fieldmarkd(&["check", "--values", "--config", &config]);
    assert_eq!(bad.code, Some(64), "{bad:?}");
    assert!(bad.err.contains("mqtt.metrics_s = -1: give seconds from 0.1 to 3600"), "{bad:?}");
}

#[test]
fn a_check_says_of_the_broker_whether_it_is_there_and_of_its_secrets_whether_they_can_be_read() {
    let port = free_port();
    let field = Field::new(&at(port), 1, "", "");
    let config = field.text("fieldmark.toml");
    let away = fieldmarkd(&["check", "--config", &config]);
    assert_eq!(away.code, Some(0), "{away:?}");
    assert!(away.out.contains("note  broker: ") && away.out.contains("cannot be reached now"), "{away:?}");
    let _broker = Broker::start(port);
    let there = fieldmarkd(&["check", "--config", &config]);
    assert!(there.out.contains("ok    broker: ") && there.out.contains("can be reached"), "{there:?}");
    let text = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a file");
    let text = text.replace("metrics_s = 0.2", "username = \"n1\"\npassword_file = \"/nowhere/secret\"");
    std::fs::write(field.path("fieldmark.toml"), text).expect("write");
    let unreadable = fieldmarkd(&["check", "--config", &config]);
    assert_eq!(unreadable.code, Some(1), "{unreadable:?}");
    assert!(
        unreadable.out.contains("FAIL  broker: cannot read mqtt.password_file /nowhere/secret"),
        "{unreadable:?}"
    );
}

#[test]
fn a_line_that_repeats_is_counted_instead_of_written() {
    // Every picture of the folder is damaged, and the camera shows fifty a second: told at 1, 2, 4, 8, … 1024 of them.
    let port = free_port();
    let _broker = Broker::start(port);
    let field = Field::new(&at(port), 0, "rate_hz = 100.0", "");
    std::fs::create_dir_all(field.path("pictures")).expect("a folder");
    std::fs::write(field.path("pictures/bad.png"), b"nothing of the kind").expect("write");
    let mut daemon = field.start();
    let listener = Listener::start(port, "311");
    let skipped = |text: &String| {
        let metrics: Value = serde_json::from_str(text).expect("JSON");
        metrics["cameras"]["pond"]["skipped"].as_u64().expect("a number")
    };
    listener.wait("fieldmark/n1/metrics", |heard| heard.last().is_some_and(|text| skipped(text) > 1024));
    field.end(&mut daemon);
    let log = field.log();
    let told = log.lines().filter(|line| line.contains("a frame was skipped") && !line.contains("left out"));
    assert_eq!(told.count(), 5, "{log}");
    assert!(log.contains("left out of the log 6 times: camera pond: a frame was skipped"), "{log}");
}

#[test]
fn the_manual_has_a_page_for_every_command_and_shells_complete_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path").to_owned();
    let written = fieldmarkd(&["shell-files", &path]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = |name: &str| {
        std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for (command, subcommands) in [
        ("fieldmarkd", ["run", "check", "classify", "cameras", "snapshot", "keys"].as_slice()),
        ("fieldmark", ["watch", "nodes", "cmd", "record"].as_slice()),
    ] {
        let page = text(&format!("man/man1/{command}.1"));
        assert!(page.contains(".TH"), "{page}");
        let bash = text(&format!("bash-completion/completions/{command}"));
        let fish = text(&format!("fish/vendor_completions.d/{command}.fish"));
        let zsh = text(&format!("zsh/vendor-completions/_{command}"));
        for subcommand in subcommands {
            assert!(text(&format!("man/man1/{command}-{subcommand}.1")).contains("Example"), "{subcommand}");
            for completion in [&bash, &fish, &zsh] {
                assert!(completion.contains(subcommand), "{command} {subcommand}");
            }
        }
    }
    assert!(!folder.path().join("man/man1/fieldmarkd-shell-files.1").exists(), "it is for the package");
}
