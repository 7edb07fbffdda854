//! Promises of cameras that are GStreamer pipelines, kept by the whole daemon:
//! `cargo nextest run --workspace --features fieldmark-daemon/gstreamer -E 'binary(pipelines)'`.
#![cfg(feature = "gstreamer")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use field::{Broker, Field, Listener, fieldmarkd, free_port};
use serde_json::Value;

/// A daemon whose camera is `pipeline`.
fn with(port: u16, pipeline: &str, lines: &str) -> Field {
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.2\n");
    let field = Field::new(&mqtt, 1, lines, "");
    let config = std::fs::read_to_string(field.path("fieldmark.toml")).expect("a configuration");
    let folder = format!("source = \"files\"\nfolder = {:?}\n", field.path("pictures"));
    assert!(config.contains(&folder), "{config}");
    let pipeline = format!("source = \"gstreamer\"\npipeline = {pipeline:?}\ntracks = false\n");
    std::fs::write(field.path("fieldmark.toml"), config.replace(&folder, &pipeline)).expect("write");
    field
}

fn last(heard: &[String]) -> Value {
    heard.last().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// An RTSP camera that shows red.
struct Camera(Child);

impl Camera {
    fn start(port: u16) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/gstreamer/tests/rtsp_server.py");
        let mut server = Command::new("/usr/bin/python3");
        let server = server.args([script, &port.to_string()]).stdout(Stdio::piped());
        let mut child = server.spawn().expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_rtsp_camera_is_named_lost_and_found_again_and_every_frame_is_counted() {
    let (port, rtsp) = (free_port(), free_port());
    let _broker = Broker::start(port);
    let pipeline = format!(
        "rtspsrc location=rtsp://127.0.0.1:{rtsp}/camera protocols=tcp latency=100 ! rtpjpegdepay ! jpegdec"
    );
    let field = with(port, &pipeline, "stall_timeout_s = 3.0");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let state = |heard: &[String], state: &str| last(heard)["state"] == state;
    listener.wait("fieldmark/n1/pond/status", |heard| state(heard, "lost"));
    for _ in 0..2 {
        let seen = listener.on("fieldmark/n1/pond/detection").len();
        let camera = Camera::start(rtsp);
        let statuses = listener.wait("fieldmark/n1/pond/status", |heard| state(heard, "streaming"));
        assert_eq!(last(&statuses)["size"], serde_json::json!([320, 240]));
        let events = listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() > seen + 3);
        assert_eq!(last(&events)["taxon"]["name"], "Apis mellifera", "a red picture");
        drop(camera);
        listener.wait("fieldmark/n1/pond/status", |heard| state(heard, "lost"));
    }
    daemon.signal("-TERM");
    assert_eq!(daemon.wait(), Some(0), "{}", field.log());
    let counts = last(&listener.on("fieldmark/n1/metrics"))["cameras"]["pond"].clone();
    let count = |key: &str| counts[key].as_u64().unwrap_or_else(|| panic!("{key} of {counts}"));
    assert_eq!(count("captured"), count("inferred") + count("dropped") + count("skipped") + count("waiting"));
}

#[test]
fn a_recording_ends_and_a_pipeline_is_checked_without_being_played() {
    let port = free_port();
    let _broker = Broker::start(port);
    let source = "videotestsrc num-buffers=5 pattern=green ! video/x-raw,width=64,height=48,framerate=10/1";
    let field = with(port, source, "");
    let config = field.path("fieldmark.toml");
    let checked = fieldmarkd(&["check", "--config", config.to_str().expect("UTF-8")]);
    assert!(checked.out.contains("camera pond: its pipeline can be made"), "{checked:?}");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let events = listener.wait("fieldmark/n1/pond/detection", |heard| !heard.is_empty());
    assert_eq!(last(&events)["taxon"]["name"], "Quercus", "a green picture");
    listener.wait("fieldmark/n1/pond/status", |heard| last(heard)["state"] == "ended");
    daemon.signal("-TERM");
    assert_eq!(daemon.wait(), Some(0), "{}", field.log());
}
