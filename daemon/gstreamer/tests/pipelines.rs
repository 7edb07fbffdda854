//! Promises kept against a real GStreamer.
#![cfg(feature = "gstreamer")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fieldmark_gstreamer::{FrameFormat, Pipeline, PipelineError, Pulled};

const PATIENCE: Duration = Duration::from_secs(20);

fn frame(pipeline: &mut Pipeline, buffer: &mut Vec<u8>) -> FrameFormat {
    match pipeline.next(PATIENCE, buffer).expect("a frame") {
        Pulled::Frame(format) => format,
        Pulled::End => panic!("the pipeline ended"),
    }
}

#[test]
fn every_format_that_is_read_comes_as_it_is_and_others_are_converted() {
    // 322 pixels: GStreamer pads rows to whole words.
    for (given, fourcc, bytes) in [
        ("NV12", b"NV12", 322 * 240 * 3 / 2),
        ("YUY2", b"YUYV", 322 * 240 * 2),
        ("UYVY", b"UYVY", 322 * 240 * 2),
        ("RGB", b"RGB3", 322 * 240 * 3),
        ("GRAY8", b"GREY", 322 * 240),
    ] {
        let caps = format!("video/x-raw,format={given},width=322,height=240,framerate=10/1");
        let description = format!("videotestsrc num-buffers=3 pattern=white ! {caps}");
        let mut pipeline = Pipeline::open(&description, PATIENCE).expect("a pipeline");
        let mut buffer = vec![1, 2, 3];
        let format = frame(&mut pipeline, &mut buffer);
        assert_eq!((&format.fourcc, format.width, format.height), (fourcc, 322, 240), "{given}");
        assert_eq!((format.fps, buffer.len()), (Some(10.0), bytes), "{given}");
        // White: luma 235 in video range, 255 in RGB.
        let brightest = buffer.iter().max().copied();
        assert!(
            matches!((given, brightest), ("RGB", Some(255)) | (_, Some(235..=255))),
            "{given} {brightest:?}"
        );
    }
    let caps = "video/x-raw,format=I420,width=64,height=48";
    let mut pipeline =
        Pipeline::open(&format!("videotestsrc num-buffers=1 ! {caps}"), PATIENCE).expect("a pipeline");
    assert_ne!(frame(&mut pipeline, &mut Vec::new()).fourcc, *b"MJPG");
    let jpeg = "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! jpegenc ! image/jpeg";
    let (mut pipeline, mut buffer) = (Pipeline::open(jpeg, PATIENCE).expect("a pipeline"), Vec::new());
    assert_eq!(frame(&mut pipeline, &mut buffer).fourcc, *b"MJPG");
    assert!(buffer.starts_with(&[0xff, 0xd8]) && buffer.len() < 64 * 48);
}

#[test]
fn a_video_file_is_shown_at_its_own_pace_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("video.avi");
    let made = Command::new("gst-launch-1.0")
        .args([
            "-q",
            "videotestsrc",
            "num-buffers=20",
            "!",
            "video/x-raw,width=320,height=240,framerate=20/1",
        ])
        .args(["!", "jpegenc", "!", "avimux", "!", "filesink", &format!("location={}", file.display())])
        .status();
    assert!(made.expect("gst-launch-1.0: apt-get install -y gstreamer1.0-tools").success());
    let description = format!("filesrc location={} ! decodebin", file.display());
    let begun = Instant::now();
    let mut pipeline = Pipeline::open(&description, PATIENCE).expect("a pipeline");
    assert!(!pipeline.is_live());
    let (mut frames, mut buffer) = (0, Vec::new());
    while let Pulled::Frame(format) = pipeline.next(PATIENCE, &mut buffer).expect("a frame or the end") {
        assert_eq!((format.width, format.height), (320, 240));
        frames += 1;
    }
    assert!(frames >= 10, "{frames} of 20 frames: older ones give way on a slow machine, not most of them");
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?} for a second of video", begun.elapsed());
}

#[test]
fn what_cannot_play_says_why() {
    let reason = |description: &str| match Pipeline::open(description, PATIENCE) {
        Ok(mut pipeline) => pipeline.next(PATIENCE, &mut Vec::new()).expect_err("no frame").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(reason("nosuchsrc").contains("no element \"nosuchsrc\""), "{}", reason("nosuchsrc"));
    let missing = reason("filesrc location=/nonexistent.mp4 ! decodebin");
    assert!(
        missing.contains("the pipeline failed: filesrc") && missing.contains("/nonexistent.mp4"),
        "{missing}"
    );
    let stalled = Pipeline::open("videotestsrc is-live=true ! valve drop=true", PATIENCE)
        .expect("a pipeline")
        .next(Duration::from_millis(300), &mut Vec::new());
    assert!(matches!(stalled, Err(PipelineError::Stalled(_))), "{stalled:?}");
}

/// An RTSP camera in a process of its own.
struct Camera(Child);

impl Camera {
    fn start(port: u16) -> Self {
        // As it runs, not as it was compiled: a kept target folder may have been filled from another checkout.
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs this");
        let script = format!("{package}/tests/rtsp_server.py");
        let mut child = Command::new("/usr/bin/python3")
            .args([script, port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "apt-get install -y python3-gi gir1.2-gst-rtsp-server-1.0");
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
fn an_rtsp_camera_that_dies_is_told_and_is_there_again_when_it_comes_back() {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let description = format!(
        "rtspsrc location=rtsp://127.0.0.1:{port}/camera protocols=tcp latency=100 ! rtpjpegdepay ! jpegdec"
    );
    let absent = Pipeline::open(&description, PATIENCE)
        .and_then(|mut pipeline| pipeline.next(PATIENCE, &mut Vec::new()))
        .expect_err("no camera");
    assert!(matches!(absent, PipelineError::Failed { .. }), "{absent}");
    let mut buffer = Vec::new();
    for _ in 0..2 {
        let camera = Camera::start(port);
        let mut pipeline = Pipeline::open(&description, PATIENCE).expect("a pipeline");
        assert!(pipeline.is_live());
        let format = frame(&mut pipeline, &mut buffer);
        assert_eq!((format.width, format.height), (320, 240));
        drop(camera);
        let lost = loop {
            match pipeline.next(Duration::from_secs(5), &mut buffer) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(
            matches!(lost, PipelineError::Ended | PipelineError::Failed { .. } | PipelineError::Stalled(_)),
            "{lost}"
        );
    }
}
