//! Promises about where events say an organism is: kept against pymavlink as an autopilot over UDP and a
//! pseudo-terminal, gpsd fed by gpsfake, and a fixed station.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use field::{Broker, Field, Listener, fieldmark, free_port};
use serde_json::{Value, json};

const DETECTION: &str = "fieldmark/n1/pond/detection";
const INSTALL: &str = "pymavlink, gpsd and gpsfake are needed: tests/install";

fn at(port: u16, position: &str) -> String {
    format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n[position]\n{position}\n")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Waits for an event that is so, and gives it.
fn until(listener: &Listener, what: impl Fn(&Value) -> bool) -> Value {
    let heard = listener.wait(DETECTION, |heard| heard.last().is_some_and(|text| what(&parsed(text))));
    heard.iter().rev().map(|text| parsed(text)).find(|event| what(event)).expect("the event")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// pymavlink on the other end of a link.
struct Autopilot {
    child: Child,
    input: ChildStdin,
    device: Option<String>,
}

impl Autopilot {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(root().join("work/venv/bin/python"))
            .arg(root().join("tests/field/autopilot.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(INSTALL);
        let input = child.stdin.take().expect("its input");
        let device = (arguments[0] == "pty").then(|| {
            let mut line = String::new();
            BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect(INSTALL);
            line.trim().to_owned()
        });
        Self { child, input, device }
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.input, "{what}").expect("its input");
    }
}

impl Drop for Autopilot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NADIR: &str = "rate_hz = 5.0\ntracks = false\n[camera.pond.optics]\nfov_deg = 60.0";

fn is_placed(event: &Value) -> bool {
    event.get("position").is_some() && event.get("no_position").is_none()
}

#[test]
fn an_autopilots_fix_is_told_and_its_silence_and_its_lost_fix_are_told_too() {
    let (port, link) = (free_port(), free_port());
    let _broker = Broker::start(port);
    let position = format!("source = \"mavlink\"\naddress = \"udp://127.0.0.1:{link}\"");
    let field = Field::new(&at(port, &position), 2, NADIR, "");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let before = until(&listener, |event| event["no_position"] == "no_fix");
    assert!(before.get("position").is_none(), "{before}");
    let mut autopilot = Autopilot::start(&["udp", &link.to_string()]);
    for doing in ["fix", "lossy"] {
        autopilot.tell(doing);
        let event = until(&listener, |event| is_placed(event) && event["time_source"] == "gps");
        let place = &event["position"];
        let number = |key: &str| place[key].as_f64().expect("a number");
        assert!((47.2999..47.31).contains(&number("lat")) && (number("lon") - 8.5).abs() < 1e-4, "{place}");
        assert_eq!((&place["method"], &place["alt_agl_m"]), (&json!("pose"), &json!(30.0)));
        assert!((2.0..40.0).contains(&number("accuracy_m")) && number("age_ms") <= 1000.0, "{place}");
    }
    // A tenth of the messages is lost: frames lie between those that come.
    let since = listener.on(DETECTION).len();
    listener.wait(DETECTION, |heard| heard.len() >= since + 20);
    let lossy = listener.on(DETECTION).split_off(since);
    assert!(lossy.iter().all(|text| is_placed(&parsed(text))), "{lossy:#?}");
    autopilot.tell("silent");
    let stale = until(&listener, |event| event["no_position"] == "stale");
    assert!(stale.get("position").is_none(), "{stale}");
    autopilot.tell("fix");
    until(&listener, is_placed);
    autopilot.tell("nofix");
    let none = until(&listener, |event| event["no_position"] == "no_fix");
    assert!(none.get("position").is_none(), "{none}");
    field.stop(&mut daemon, &listener);
    for (topic, text) in listener.all().iter().filter(|(topic, _)| topic == DETECTION) {
        let event = parsed(text);
        let told = (event.get("position").is_some(), event.get("no_position").is_some());
        assert!(told.0 != told.1, "{topic}: exactly one of them: {event}");
        assert!(!told.0 || event["position"]["lat"] != 0.0, "{event}");
    }
}

#[test]
fn an_autopilot_on_a_serial_line_and_one_track_for_what_it_hovers_over() {
    let port = free_port();
    let _broker = Broker::start(port);
    let mut autopilot = Autopilot::start(&["pty"]);
    let device = autopilot.device.clone().expect("a device");
    let position =
        format!("source = \"mavlink\"\naddress = \"serial:{device}:115200\"\nflight_log = \"LOGS\"");
    let lines = "rate_hz = 5.0\n[camera.pond.regions]\nkind = \"tiles\"\ntile_m = 20.0\n\
                 [camera.pond.optics]\nfov_deg = 60.0";
    let field = Field::new(&at(port, &position), 1, lines, "");
    let (config, logs) = (field.path("fieldmark.toml"), field.text("logs"));
    let text = std::fs::read_to_string(&config).expect("a configuration").replace("LOGS", &logs);
    std::fs::write(&config, text).expect("write");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let event = until(&listener, is_placed);
    assert!(event["region"]["name"].as_str().is_some_and(|name| name.starts_with('r')), "{event}");
    autopilot.tell("fix");
    field.stop(&mut daemon, &listener);
    let ends: Vec<_> =
        listener.on(DETECTION).iter().map(|text| parsed(text)).filter(|e| e["type"] == "end").collect();
    let mut tracks: Vec<_> = ends.iter().map(|end| end["track"]["id"].as_u64()).collect();
    tracks.dedup();
    assert!(!ends.is_empty() && tracks.len() == ends.len(), "one end a track: {ends:?}");
    assert!(ends.iter().any(is_placed), "{ends:?}");
    let log = std::fs::read_dir(logs).expect("flight logs").next().expect("a log").expect("a file").path();
    let log = parsed(&std::fs::read_to_string(log).expect("a file"));
    let flight = &log["features"][0]["properties"];
    assert!(flight["frames"].as_u64() > Some(0) && flight["covered_m2"].as_f64() > Some(100.0), "{flight}");
}

/// A walk north at a metre a second, as a receiver tells it.
fn walk(path: &Path) {
    let sentence = |body: &str| {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    };
    let mut text = String::new();
    for second in 0..600 {
        let time = format!("05{:02}{:02}.00", 32 + second / 60, second % 60);
        let minutes = 18.0 + f64::from(second) * 5.4e-4;
        text +=
            &sentence(&format!("GPGGA,{time},47{minutes:08.5},N,00830.00000,E,1,10,0.8,530.0,M,48.0,M,,"));
        text += &sentence(&format!("GPRMC,{time},A,47{minutes:08.5},N,00830.00000,E,1.94,0.0,231126,,,A"));
    }
    std::fs::write(path, text).expect("write");
}

#[test]
fn gpsd_tells_where_a_camera_without_a_lens_is() {
    let (port, gpsd) = (free_port(), free_port());
    let _broker = Broker::start(port);
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("walk.nmea");
    walk(&log);
    let path = std::env::var("PATH").unwrap_or_default();
    // Installed, or unpacked by tests/install.
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../work/gpsd/usr/bin/gpsfake");
    let gpsfake = if unpacked.is_file() { unpacked } else { "gpsfake".into() };
    let child = Command::new(gpsfake)
        .env("PATH", format!("{path}:/usr/sbin"))
        .args(["-c", "0.2", "-n", "-q", "-P", &gpsd.to_string()])
        .arg(&log)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect(INSTALL);
    let mut child = Ending(child);
    field::wait_for_port(gpsd);
    let position = format!("source = \"gpsd\"\naddress = \"tcp://127.0.0.1:{gpsd}\"");
    let field = Field::new(&at(port, &position), 2, "rate_hz = 5.0", "");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let event = until(&listener, |event| is_placed(event) && event["time_source"] == "gps");
    assert_eq!(event["position"]["method"], "station");
    assert!(event["position"]["lat"].as_f64().is_some_and(|lat| (47.29..47.32).contains(&lat)), "{event}");
    assert!(event["time"].as_str().is_some_and(|time| time.starts_with("2026-11-23T05:")), "{event}");
    child.end();
    until(&listener, |event| event["no_position"] == "stale" || event["no_position"] == "no_fix");
    field.stop(&mut daemon, &listener);
}

/// gpsfake ends its gpsd when it is asked to end, not when it is killed.
struct Ending(Child);

impl Ending {
    fn end(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn a_station_says_where_it_is_and_its_survey_is_exported() {
    let port = free_port();
    let _broker = Broker::start(port);
    let place = "[place]\nlatitude = -33.5\nlongitude = 151.2\n";
    let field = Field::new(&at(port, "source = \"station\"\naccuracy_m = 4.0"), 2, "rate_hz = 10.0", place);
    let record = field.text("events.sqlite");
    let broker = format!("mqtt://127.0.0.1:{port}");
    let recorder = std::thread::spawn({
        let record = record.clone();
        move || fieldmark(&["record", "--broker", &broker, "--out", &record, "--count", "6"])
    });
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let event = until(&listener, is_placed);
    assert_eq!((&event["position"]["lat"], &event["position"]["method"]), (&json!(-33.5), &json!("station")));
    assert!(matches!(event["time_source"].as_str(), Some("ntp" | "unsynchronised")));
    assert_eq!(recorder.join().expect("no panic").code, Some(0));
    field.stop(&mut daemon, &listener);
    for format in ["geojson", "gpkg", "csv", "dwca"] {
        let out = field.text(&format!("survey.{format}"));
        let written = fieldmark(&["export", &record, "--format", format, "--out", &out]);
        assert_eq!(written.code, Some(0), "{written:?}");
        let again = fieldmark(&["export", &record, "--format", format, "--out", &out]);
        assert!(again.code == Some(64) && again.err.contains("is there already"), "{again:?}");
    }
    let geojson = parsed(&std::fs::read_to_string(field.path("survey.geojson")).expect("a file"));
    assert_eq!(geojson["features"][0]["geometry"]["coordinates"], json!([151.2, -33.5]));
}
