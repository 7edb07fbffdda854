//! CPU time of a frame from a camera's bytes to the engine's input: the copy out of the driver's memory, the
//! hand-over, decoding and both views. One line of JSON a case; `tests/bench/frame_path` puts OpenCV beside it.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on says why")]

use std::time::{Duration, Instant};

use fieldmark_daemon::capture::{
    Colour, Frame, FrameDecoder, FrameImage, LatestFrames, Layout, Outcome, Taken,
};
use fieldmark_daemon::config::PixelFormat;
use fieldmark_daemon::gate::{Gate, GateChange, GateMode, GateRules};
use fieldmark_models::views::{FractionBox, View, ViewRenderer, ViewSet};

/// Nanoseconds this thread has been on a processor, as the kernel's scheduler counts.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn views() -> ViewSet {
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    ViewSet::new(vec![view("whole", 1.0), view("crop", 1.5)], 260).expect("views")
}

/// Milliseconds of CPU a frame: the least of several rounds.
fn measure(bytes: &[u8], layout: Layout, reduction: u32, frames: usize) -> f64 {
    let (slot, views) = (LatestFrames::new(1), views());
    let (mut decoder, mut renderer) = (FrameDecoder::new(), ViewRenderer::new());
    let mut input = vec![0; views.view_bytes()];
    let mut frame = |slot: &LatestFrames| {
        let mut buffer = slot.buffer(0);
        buffer.clear();
        buffer.extend_from_slice(bytes);
        let image = FrameImage::Raw { bytes: buffer, layout };
        slot.put(0, Frame { image, time: jiff::Timestamp::now(), moment: Instant::now(), sequence: 0 });
        let Taken::Frame(camera, frame) = slot.take(Duration::ZERO) else { return };
        let picture = decoder.decode(&frame, reduction).expect("a picture");
        for view in views.views() {
            let shown = views.shown(view, FractionBox::FRAME, None);
            renderer.render(picture, shown, views.input_size(), &mut input).expect("a view");
        }
        slot.settle(camera, frame, Outcome::Decided);
    };
    (0..5).for_each(|_| frame(&slot));
    let round = |_| {
        let begun = cpu_ns();
        (0..frames).for_each(|_| frame(&slot));
        (cpu_ns() - begun) as f64 / frames as f64 / 1e6
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}

/// Milliseconds of CPU that judging a frame in the gate takes.
fn measure_gate(bytes: &[u8], layout: Layout, frames: usize) -> f64 {
    let change = GateChange { mode: Some(GateMode::Novelty), ..GateChange::default() };
    let mut gate = Gate::new(GateRules::default().changed(&change).expect("rules"));
    let image = FrameImage::Raw { bytes: bytes.to_vec(), layout };
    let (frame, mut decoder) = (
        Frame { image, time: jiff::Timestamp::now(), moment: Instant::now(), sequence: 0 },
        FrameDecoder::new(),
    );
    let mut judge = || {
        let luma = decoder.luma(&frame).expect("its brightness");
        gate.opens(luma, FractionBox::FRAME, Instant::now())
    };
    let round = |_| {
        let begun = cpu_ns();
        (0..frames).for_each(|_| {
            judge();
        });
        (cpu_ns() - begun) as f64 / frames as f64 / 1e6
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    // `cargo bench` passes `--bench`; the folder comes from the script.
    let Some(folder) = std::env::args().nth(1).filter(|argument| !argument.starts_with("--")) else {
        eprintln!("run tests/bench/frame_path");
        return;
    };
    for (name, format, width, height) in [
        ("720p.mjpg", PixelFormat::Mjpg, 1280, 720),
        ("720p.yuyv", PixelFormat::Yuyv, 1280, 720),
        ("4k.mjpg", PixelFormat::Mjpg, 3840, 2160),
        ("4k.yuyv", PixelFormat::Yuyv, 3840, 2160),
    ] {
        let bytes = std::fs::read(std::path::Path::new(&folder).join(name)).expect("a frame from the script");
        let layout = Layout::new(format, width, height, 0, Colour::default());
        let frames = if width > 2000 { 10 } else { 60 };
        let reduction = views().reduction(FractionBox::FRAME, None, (width, height));
        let reduced = measure(&bytes, layout, reduction, frames);
        let whole = measure(&bytes, layout, 1, frames);
        let gate = measure_gate(&bytes, layout, if format == PixelFormat::Mjpg { frames } else { 300 });
        println!(
            "{{\"frame\":{name:?},\"reduction\":{reduction},\"ms\":{reduced:.3},\"whole_ms\":{whole:.3},\"gate_ms\":{gate:.3}}}"
        );
    }
}
