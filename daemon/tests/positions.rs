//! Promises about where events say an organism is: kept against pymavlink as an autopilot over UDP and a
//! pseudo-terminal, a receiver's recorded log on a pseudo-terminal, gpsd fed by gpsfake, and a fixed station.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use field::{Broker, Field, Gate, Listener, fieldmark, free_port};
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

/// A script of tests/field that speaks as a device does.
struct Speaker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Speaker {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(root().join("work/venv/bin/python"))
            .arg(root().join("tests/field").join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(INSTALL);
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect(INSTALL);
        assert!(!line.is_empty(), "it ended: {INSTALL}");
        line.trim().to_owned()
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.input, "{what}").expect("its input");
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// pymavlink on the other end of a link.
struct Autopilot {
    speaker: Speaker,
    device: Option<String>,
    /// Seconds since 1970.
    begun: f64,
}

impl Autopilot {
    fn start(arguments: &[&str]) -> Self {
        let mut speaker = Speaker::start("autopilot.py", arguments);
        let device = (arguments[0] == "pty").then(|| speaker.line());
        let begun = speaker.line().parse().expect("seconds");
        Self { speaker, device, begun }
    }

    fn tell(&mut self, what: &str) {
        self.speaker.tell(what);
    }

    /// Metres from where it was at the time that a placed event has to the event's place.
    fn off_m(&self, event: &Value) -> f64 {
        let north = 5.0 * (unix(event) - self.begun);
        let (lat, lon) = latitude_longitude(event);
        ((lat - 47.3) * 111_170.0 - north).hypot((lon - 8.5) * 75_400.0)
    }
}

/// Seconds since 1970 of an event.
fn unix(event: &Value) -> f64 {
    let time: jiff::Timestamp = event["time"].as_str().expect("a time").parse().expect("a time");
    time.as_microsecond() as f64 / 1e6
}

fn latitude_longitude(event: &Value) -> (f64, f64) {
    let number = |key: &str| event["position"][key].as_f64().expect("a number");
    (number("lat"), number("lon"))
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
    // A frame that was divided before the first pose came is whole, though the pose may have come by its decision.
    until(&listener, |event| {
        is_placed(event) && event["region"]["name"].as_str().is_some_and(|name| name.starts_with('r'))
    });
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

/// Events as they come, with the seconds since 1970 at which they came.
fn coming(listener: &Listener, count: usize) -> Vec<(f64, Value)> {
    let mut events = Vec::new();
    let mut before = listener.on(DETECTION).len();
    while events.len() < count {
        let heard = listener.wait(DETECTION, |heard| heard.len() > before);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs_f64();
        events.extend(heard[before..].iter().map(|text| (now, parsed(text))));
        before = heard.len();
    }
    events
}

#[test]
fn a_frame_that_the_autopilot_released_has_the_time_and_the_pose_of_its_release() {
    const PERIOD: f64 = 0.5;
    let (port, link) = (free_port(), free_port());
    let _broker = Broker::start(port);
    let position = format!("source = \"mavlink\"\naddress = \"udp://127.0.0.1:{link}\"");
    let lines = "rate_hz = 2.0\ntracks = false\n[camera.pond.optics]\nfov_deg = 60.0\nreleased = true";
    let field = Field::new(&at(port, &position), 1, lines, "");
    let listener = Listener::start(port, "311");
    let mut autopilot = Autopilot::start(&["udp", &link.to_string()]);
    let mut daemon = field.start();
    until(&listener, |event| is_placed(event) && event["time_source"] == "gps");
    // Nobody releases yet: a frame's time is when it came.
    let came: Vec<f64> = coming(&listener, 3).iter().map(|(_, event)| unix(event)).collect();
    for (way, late) in [("trigger", 0.0), ("feedback", 0.0), ("captured", 0.0), ("trigger", 0.3)] {
        // A release 150 ms before each frame comes.
        let phase = (came[2] - 0.15).rem_euclid(PERIOD);
        autopilot.tell(&format!("release {way} {PERIOD} {phase} {late}"));
        // What was under way, and what it is learned from.
        coming(&listener, 8);
        let events = coming(&listener, 10);
        let (mut off_s, mut on_the_way): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        for (now, event) in &events {
            assert!(is_placed(event) && event["time_source"] == "gps", "{event}");
            let since = (unix(event) - phase).rem_euclid(PERIOD);
            off_s.push(since.min(PERIOD - since));
            on_the_way.push(now - unix(event));
            let off_m = autopilot.off_m(event);
            // Feedback tells a place of its own, four metres east.
            let of_the_camera = if late == 0.0 && way != "trigger" { 3.77 } else { 0.0 };
            assert!((off_m - of_the_camera).abs() < 0.5, "{way} {late}: {off_m} m: {event}");
        }
        off_s.sort_by(f64::total_cmp);
        on_the_way.sort_by(f64::total_cmp);
        println!("{way}, told {late} s late: {off_s:.3?} s from a release, told {on_the_way:.3?} s after it");
        // Told of in time, it is the release to the millisecond; late, it is known from the frames before.
        let allowed = if late == 0.0 { 0.008 } else { 0.1 };
        assert!(off_s[7] < allowed, "{way} {late}: {off_s:?}");
        // The release of the frame before would be half a second more.
        assert!(on_the_way[4] > 0.1 && on_the_way[4] < 0.45, "{way} {late}: {on_the_way:?}");
    }
    field.stop(&mut daemon, &listener);
}

#[test]
fn a_clock_that_steps_moves_no_frame_ends_no_track_and_loses_no_event() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(Path::new(library).exists(), "libfaketime is needed: tests/install");
    let (port, link) = (free_port(), free_port());
    let _broker = Broker::start(port);
    let gate = Gate::new(port, 0, 0);
    gate.open();
    let position = format!("source = \"mavlink\"\naddress = \"udp://127.0.0.1:{link}\"");
    let lines = format!(
        "{NADIR}\n[camera.still]\nsource = \"files\"\nfolder = \"STILL\"\nrate_hz = 5.0\ntracks = true\n\
         track_gap_s = 20.0\ntrack_max_s = 3600.0"
    );
    let field = Field::new(&at(gate.port, &position), 2, &lines, "");
    std::fs::create_dir(field.path("still")).expect("a folder");
    std::fs::copy(field.path("pictures/000.png"), field.path("still/000.png")).expect("a picture");
    let config = field.path("fieldmark.toml");
    let text =
        std::fs::read_to_string(&config).expect("a configuration").replace("STILL", &field.text("still"));
    std::fs::write(&config, text).expect("write");
    let time = field.text("time");
    std::fs::write(&time, "+0\n").expect("write");
    let listener = Listener::start(port, "311");
    let mut autopilot = Autopilot::start(&["udp", &link.to_string()]);
    let mut daemon = field.start_with(&[
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &time),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_NO_CACHE", "1"),
    ]);
    let is_good = |event: &Value| is_placed(event) && event["time_source"] == "gps";
    until(&listener, is_good);
    let placed_from = listener.on(DETECTION).len();
    for (number, jump) in ["@1970-01-02 00:00:00", "+10y", "-1h"].iter().enumerate() {
        // The second step comes while there is no broker: what waits is not taken for ten years old.
        if number == 1 {
            gate.close();
        }
        let heard = listener.on(DETECTION).len();
        std::fs::write(&time, format!("{jump}\n")).expect("write");
        if number == 1 {
            std::thread::sleep(Duration::from_secs(4));
            gate.open();
        }
        listener.wait(DETECTION, |now| now.len() > heard + 15);
    }
    let placed: Vec<Value> = listener.on(DETECTION)[placed_from..].iter().map(|text| parsed(text)).collect();
    let worst = placed.iter().map(|event| {
        assert!(is_good(event), "{event}");
        assert!(event["position"]["age_ms"].as_f64().is_some_and(|age| age < 1000.0), "{event}");
        assert!(
            (unix(event) - autopilot.begun).abs() < 600.0,
            "the receiver's time, whatever the system's does: {event}"
        );
        autopilot.off_m(event)
    });
    let worst = worst.fold(0.0, f64::max);
    println!("{} events over three steps of the clock, the worst {worst:.2} m off", placed.len());
    assert!(worst < 1.0, "{worst}");
    // Without the receiver the system's clock is told, and told to be that: an hour behind now.
    autopilot.tell("silent");
    let own = until(&listener, |event| event["time_source"] != "gps");
    assert!(matches!(own["time_source"].as_str(), Some("ntp" | "unsynchronised")), "{own}");
    let behind = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs_f64() - unix(&own);
    assert!((3590.0..3700.0).contains(&behind), "{behind}");
    field.stop(&mut daemon, &listener);
    // One track, which no step has ended, and every number from the first event to the last.
    let still: Vec<Value> =
        listener.on("fieldmark/n1/still/detection").iter().map(|text| parsed(text)).collect();
    let of = |kind: &str| still.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((of("new"), of("end")), (1, 1), "{still:#?}");
    let mut numbers: Vec<u64> = listener
        .all()
        .iter()
        .filter(|(topic, _)| topic.ends_with("/detection"))
        .map(|(_, text)| parsed(text)["seq"].as_u64().expect("a number"))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, numbers[numbers.len() - 1] + 1, "numbers from 0 on without a hole");
}

/// The log that comes with the parser's sources: an aircraft, a fix every second, lost on the way.
fn recorded_log() -> PathBuf {
    // Crates of other platforms are not fetched where nothing but a build was done.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--filter-platform", &platform])
        .args(["--format-version", "1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let nmea = packages.iter().find(|package| package["name"] == "nmea").expect("the parser");
    let manifest = Path::new(nmea["manifest_path"].as_str().expect("a path"));
    manifest.with_file_name("tests").join("data/nmea1.log")
}

/// Places of a log by the second of its day.
fn recorded_places(log: &Path) -> std::collections::BTreeMap<i64, [f64; 2]> {
    let degrees = |text: &str, whole: usize| -> Option<f64> {
        Some(text.get(..whole)?.parse::<f64>().ok()? + text.get(whole..)?.parse::<f64>().ok()? / 60.0)
    };
    let text = std::fs::read_to_string(log).expect("a log");
    let place = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [_, time, lat, _, lon, _, "2", ..] = cells[..] else { return None };
        let number = |at: usize| time.get(at..at + 2)?.parse::<i64>().ok();
        let second = number(0)? * 3600 + number(2)? * 60 + number(4)?;
        Some((second, [degrees(lat, 2)?, degrees(lon, 3)?]))
    };
    text.lines().filter(|line| line.starts_with("$GPGGA")).filter_map(place).collect()
}

#[test]
fn a_receiver_on_a_serial_line_is_believed_as_far_as_its_checksums_and_fixes_go() {
    let log = recorded_log();
    let places = recorded_places(&log);
    let port = free_port();
    let _broker = Broker::start(port);
    let folder = tempfile::tempdir().expect("a folder");
    let device = folder.path().join("gps").to_str().expect("UTF-8").to_owned();
    let position = format!("source = \"nmea\"\naddress = \"serial:{device}:9600\"\nground_m = 500.0");
    let field = Field::new(&at(port, &position), 2, "rate_hz = 10.0\ntracks = false", "");
    let listener = Listener::start(port, "311");
    let mut receiver = Speaker::start("receiver.py", &[&device, log.to_str().expect("UTF-8")]);
    assert_eq!(receiver.line(), "ready");
    let mut daemon = field.start();
    let is_fixed = |event: &Value| is_placed(event) && event["time_source"] == "gps";
    until(&listener, is_fixed);
    let mut checked = 0;
    // What is said while the receiver is heard: where the log says it was at the event's time.
    let mut check = |from: usize| {
        let events: Vec<Value> = listener.on(DETECTION)[from..].iter().map(|text| parsed(text)).collect();
        let placed: Vec<_> = events.iter().filter(|event| is_placed(event)).collect();
        let mut within = 0;
        for event in &placed {
            assert_eq!(
                (&event["time_source"], &event["position"]["method"]),
                (&json!("gps"), &json!("station"))
            );
            assert!(event["time"].as_str().is_some_and(|time| time.starts_with("2017-03-31T11:")), "{event}");
            let number = |key: &str| event["position"][key].as_f64().expect("a number");
            assert!(number("age_ms") <= 2500.0 && number("alt_agl_m") > 100.0, "{event}");
            let second = unix(event).rem_euclid(86_400.0);
            let at = |second: f64| places.get(&(second as i64)).expect("a second of the log");
            let (from, to, share) = (at(second), at(second + 1.0), second.fract());
            let there = [0, 1].map(|axis| from[axis] + (to[axis] - from[axis]) * share);
            let off = ((number("lat") - there[0]) * 111_300.0)
                .hypot((number("lon") - there[1]) * 111_300.0 * there[0].to_radians().cos());
            assert!(off < 100.0, "{off} m: {event}");
            within += usize::from(off <= number("accuracy_m"));
        }
        checked += placed.len();
        assert!(within * 20 >= placed.len() * 19, "{within} of {} within what is stated", placed.len());
        events
    };
    let mut from = listener.on(DETECTION).len();
    listener.wait(DETECTION, |heard| heard.len() >= from + 60);
    let events = check(from);
    assert!(events.iter().all(is_placed), "a fix a second: none is stale in between");
    // Nothing that is damaged is believed: after the last good fix there is none.
    receiver.tell("damaged");
    let stale = until(&listener, |event| event["no_position"] == "stale");
    assert!(stale.get("position").is_none(), "{stale}");
    from = listener.on(DETECTION).len();
    listener.wait(DETECTION, |heard| heard.len() >= from + 20);
    assert!(check(from).iter().all(|event| event["no_position"] == "stale"), "still damaged");
    receiver.tell("play");
    until(&listener, is_fixed);
    // The receiver says that it lost its fix: that is told at once, not when the last one has grown old.
    receiver.tell("void");
    let told = Instant::now();
    let none = until(&listener, |event| event["no_position"] == "no_fix");
    assert!(none.get("position").is_none() && told.elapsed() < Duration::from_secs(10), "{none}");
    receiver.tell("play");
    until(&listener, is_fixed);
    from = listener.on(DETECTION).len();
    listener.wait(DETECTION, |heard| heard.len() >= from + 20);
    check(from);
    // Unplugged: stale, then not even the time; plugged in again it is found by itself.
    receiver.tell("unplug");
    until(&listener, |event| event["no_position"] == "stale");
    field.wait_for_log("no positions");
    let own = until(&listener, |event| event["time_source"] != "gps");
    assert!(
        own.get("position").is_none() && own["time"].as_str().is_some_and(|time| !time.starts_with("2017")),
        "{own}"
    );
    receiver.tell("plug");
    until(&listener, is_fixed);
    from = listener.on(DETECTION).len();
    listener.wait(DETECTION, |heard| heard.len() >= from + 20);
    check(from);
    println!("{checked} events compared with the log");
    field.stop(&mut daemon, &listener);
}
