//! Promises of the way from a camera's bytes to the engine's input.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fieldmark_daemon::capture::{
    Colour, Frame, FrameDecoder, FrameImage, LatestFrames, Layout, Outcome, Taken,
};
use fieldmark_daemon::config::PixelFormat;
use fieldmark_daemon::flight::LogWriter;
use fieldmark_daemon::gate::{Gate, GateChange, GateMode, GateRules};
use fieldmark_daemon::position::{
    Attitude, Budget, Fix, Geodetic, Ground, Locator, Optical, Optics, PoseBuffer, Releases, Report,
    Whereabouts,
};
use fieldmark_daemon::region::{Motion, RegionPlanner, RegionRules};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, View, ViewRenderer, ViewSet};

/// How often memory was asked for.
fn counted(action: impl FnOnce()) -> u64 {
    allocation_counter::measure(action).count_total
}

const SIZE: (u32, u32) = (1280, 720);

fn views() -> ViewSet {
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    ViewSet::new(vec![view("whole", 1.0), view("crop", 1.5)], 260).expect("views")
}

/// Waves: neither flat nor noise.
fn picture() -> Picture {
    let wave =
        |a: u32, b: u32| (128.0 + 100.0 * (f64::from(a) / 31.0).sin() * (f64::from(b) / 17.0).cos()) as u8;
    let pixel = |i: u32| (i % SIZE.0, i / SIZE.0);
    let rgb = (0..SIZE.0 * SIZE.1).map(pixel).flat_map(|(x, y)| [wave(x, y), wave(y, x), wave(x + y, x)]);
    Picture::from_rgb(SIZE.0, SIZE.1, rgb.collect()).expect("a picture")
}

fn bytes(format: PixelFormat) -> Vec<u8> {
    if format == PixelFormat::Mjpg {
        let picture = picture();
        let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
        let format = turbojpeg::PixelFormat::RGB;
        let image = turbojpeg::Image { pixels: picture.rgb(), width, pitch: width * 3, height, format };
        return turbojpeg::compress(image, 85, turbojpeg::Subsamp::Sub2x1).expect("a JPEG").to_vec();
    }
    let needed = layout(format).needed().expect("sides that fit");
    (0..needed).map(|i| (i * 7 / 5) as u8).collect()
}

fn layout(format: PixelFormat) -> Layout {
    Layout::new(format, SIZE.0, SIZE.1, 0, Colour::default())
}

/// A frame's whole way, as capture and inference threads go it.
struct Way {
    frames: LatestFrames,
    decoder: FrameDecoder,
    renderer: ViewRenderer,
    views: ViewSet,
    inputs: Vec<Vec<u8>>,
    gate: Gate,
    planner: RegionPlanner,
    motion: Motion,
}

impl Way {
    fn new() -> Self {
        let views = views();
        let inputs = views.views().iter().map(|_| vec![0; views.view_bytes()]).collect();
        let (decoder, renderer) = (FrameDecoder::new(), ViewRenderer::new());
        let change = GateChange { mode: Some(GateMode::Motion), ..GateChange::default() };
        let gate = Gate::new(GateRules::default().changed(&change).expect("rules"));
        // 5 by 3 tiles of 360 pixels, with two views each.
        let asked = toml::from_str("kind = \"tiles\"\ntile_px = 360.0").expect("a table");
        let planner = RegionPlanner::new(RegionRules::new(&asked).expect("rules"), None, None);
        let (frames, motion) = (LatestFrames::new(1), Motion::default());
        Self { frames, decoder, renderer, views, inputs, gate, planner, motion }
    }

    fn put(&self, driver: &[u8], layout: Layout, sequence: u64) {
        let mut buffer = self.frames.buffer(0);
        buffer.clear();
        buffer.extend_from_slice(driver);
        let image = FrameImage::Raw { bytes: buffer, layout };
        self.frames.put(0, Frame { image, time: jiff::Timestamp::now(), moment: Instant::now(), sequence });
    }

    fn go(&mut self, driver: &[u8], layout: Layout) {
        // Two frames come before one is taken: the older one is pushed out.
        self.put(driver, layout, 0);
        self.put(driver, layout, 1);
        let Taken::Frame(camera, frame) = self.frames.take(Duration::ZERO) else { panic!("a frame") };
        let reduction = self.views.reduction(FractionBox::FRAME, None, (layout.width, layout.height));
        let luma = self.decoder.luma(&frame).expect("its brightness");
        self.gate.opens(luma, FractionBox::FRAME, Instant::now());
        let luma = self.decoder.luma(&frame).expect("its brightness");
        let moved = self.motion.boxes(luma, FractionBox::FRAME, 12).count();
        assert_eq!(moved, 0, "the same picture again");
        let picture = self.decoder.decode(&frame, reduction).expect("a picture");
        let regions = self.planner.plan(frame.size(), None, std::iter::empty());
        assert!(regions.len() >= 15);
        for region in regions {
            for (view, input) in self.views.views().iter().zip(&mut self.inputs) {
                let shown = self.views.shown(view, region.part, region.focus);
                self.renderer.render(picture, shown, self.views.input_size(), input).expect("a view");
            }
        }
        self.frames.settle(camera, frame, Outcome::Decided);
    }
}

#[test]
fn once_warm_a_frame_costs_no_memory_on_its_way_to_the_engine() {
    for format in PixelFormat::ALL {
        let (driver, layout) = (bytes(format), layout(format));
        let mut way = Way::new();
        (0..4).for_each(|_| way.go(&driver, layout));
        let asked = counted(|| (0..20).for_each(|_| way.go(&driver, layout)));
        assert_eq!(asked, 0, "{format}: {asked} requests for memory in 20 frames");
    }
}

/// From there on trainer and daemon go through the same renderer.
#[test]
fn a_frame_of_plain_pixels_is_the_picture_itself() {
    let picture = picture();
    let image = FrameImage::Raw { bytes: picture.rgb().to_vec(), layout: layout(PixelFormat::Rgb3) };
    let frame =
        Frame { image, time: jiff::Timestamp::UNIX_EPOCH, moment: std::time::Instant::now(), sequence: 0 };
    let mut decoder = FrameDecoder::new();
    assert_eq!(decoder.decode(&frame, 1).expect("a picture"), &picture);
}

#[test]
fn once_warm_a_frames_places_and_its_line_in_the_flight_log_cost_no_memory() {
    let (begin, folder) = (Instant::now(), tempfile::tempdir().expect("a folder"));
    let mut poses = PoseBuffer::new(Duration::from_secs(1));
    let fly = |poses: &mut PoseBuffer, tick: u32| {
        let moment = begin + Duration::from_millis(u64::from(tick) * 20);
        let at = Geodetic { lat: 47.3, lon: 8.5 }.moved(0.0, f64::from(tick) * 0.2);
        let velocity = Some((0.0, 10.0));
        let fix = Fix { at, altitude_m: None, above_home_m: Some(30.0), velocity, accuracy_m: Some(3.0) };
        poses.put(moment, Report::Fix(Some(fix)));
        poses.put(moment, Report::Attitude(Attitude::degrees(1.0, 2.0, 3.0)));
        moment
    };
    // More than are kept.
    for tick in 0..5000 {
        fly(&mut poses, tick);
    }
    let poses = Arc::new(Mutex::new(poses));
    let locator = Locator::moving(Arc::clone(&poses), Ground::Flat(None), Budget::default());
    let lens = Optics::new(70.0, Attitude::degrees(0.0, -90.0, 0.0)).expect("a lens");
    let optical = Optical { optics: Some(lens), range_m: 10.0, released: true };
    let asked = toml::from_str("kind = \"tiles\"\ntile_px = 360.0").expect("a table");
    let mut planner = RegionPlanner::new(RegionRules::new(&asked).expect("rules"), None, None);
    let regions = planner.plan(SIZE, None, std::iter::empty()).to_vec();
    let mut log = LogWriter::start(folder.path(), "uav", "BOOT").expect("a thread");
    let mut releases = Releases::default();
    let mut frame = |tick: u32| {
        let moment = (0..5).map(|step| fly(&mut poses.lock().expect("no panic"), tick * 5 + step)).max();
        let moment = moment.expect("a moment");
        poses.lock().expect("no panic").put(moment - Duration::from_millis(8), Report::Trigger);
        let taken = locator.taken(&optical, &releases, moment);
        locator.came(&optical, &mut releases, moment);
        assert_eq!(moment - taken, Duration::from_millis(8));
        let framed = locator.frame(optical, taken, SIZE);
        assert!(framed.metres_per_pixel().is_some_and(|metres| metres > 0.0));
        let known = regions.iter().filter(|region| matches!(framed.locate(region), Whereabouts::Known(_)));
        assert_eq!(known.count(), regions.len());
        log.see(taken, jiff::Timestamp::UNIX_EPOCH, framed.overflown());
    };
    (1000..1100).for_each(&mut frame);
    let asked = counted(|| (1100..1200).for_each(&mut frame));
    assert_eq!(asked, 0, "{asked} requests for memory in 100 frames");
}
