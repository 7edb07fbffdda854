//! The inference thread: the latest frames in, events out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use fieldmark_models::taxonomy::TaxonIndex;
use fieldmark_models::views::ViewSet;

use super::node::{Event, Node};
use crate::alert::Alerts;
use crate::capture::{DecodeError, Frame, FrameDecoder, LatestFrames, Outcome, Taken};
use crate::command::{CameraSettings, Settings, SettingsCell};
use crate::config::{CameraConfig, CameraSource, FilesConfig, Pace};
use crate::decide::{Answer, Decider};
use crate::flight::LogWriter;
use crate::gate::Gate;
use crate::position::{Locator, Optical, TimeSource};
use crate::publish::snapshot::Snapshots;
use crate::region::{Detector, DetectorError, Motion, Region, RegionPlanner};
use crate::track::{EventType, Judge, Sighting, Told, Tracker};

const PATIENCE: Duration = Duration::from_secs(1);

/// Looks at frames until there will be no more.
pub(super) struct Inference {
    decider: Decider,
    frames: Arc<LatestFrames>,
    watched: Vec<Watched>,
    teller: Teller,
    /// Used again from frame to frame.
    probabilities: Vec<f32>,
    told: Vec<Told>,
    snapshots: Arc<Snapshots>,
    locator: Locator,
    flight: Option<LogWriter>,
    cell: SettingsCell,
    settings: Arc<Settings>,
}

/// What the inference thread is given.
pub(super) struct Gear {
    pub(super) frames: Arc<LatestFrames>,
    pub(super) node: Arc<Node>,
    pub(super) alerts: Alerts,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) settings: SettingsCell,
    pub(super) locator: Locator,
    pub(super) flight: Option<LogWriter>,
    /// By number of the camera.
    pub(super) detectors: Vec<Option<Detector>>,
}

struct Watched {
    name: String,
    divided: Divided,
    gate: Gate,
    optical: Optical,
    paused: bool,
    /// Frames carry the time they were recorded at.
    recorded: bool,
    tracker: Tracker,
}

/// From a frame to a picture and its regions.
struct Divided {
    decoder: FrameDecoder,
    planner: RegionPlanner,
    motion: Motion,
    detector: Option<Detector>,
}

/// Numbers events, finds those somebody waits for, and hands them over.
struct Teller {
    node: Arc<Node>,
    alerts: Alerts,
    seq: u64,
}

impl Teller {
    fn tell(&mut self, decider: &Decider, camera: usize, told: Told) {
        let taxon = told.answer.index;
        let worth = self.alerts.weigh(decider.taxonomy(), camera, taxon, told.time, Instant::now());
        let seq = self.seq;
        self.seq += 1;
        self.node.detected(Event { camera, seq, told, worth });
    }
}

/// The decider judges what tracks have gathered.
impl Judge for Decider {
    fn judge(&mut self, fused: &[f32], latency_ms: f64) -> Option<Answer> {
        let answer = self.conclude(fused, latency_ms);
        answer.inspect_err(|error| tracing::error!("a track got no decision: {error}")).ok()
    }

    fn contains(&self, ancestor: TaxonIndex, taxon: TaxonIndex) -> bool {
        self.taxonomy().contains(ancestor, taxon)
    }
}

impl Inference {
    pub(super) fn new(decider: Decider, gear: Gear, cameras: &[CameraConfig]) -> Self {
        let Gear { frames, node, alerts, snapshots, settings: cell, locator, flight, detectors } = gear;
        let watch = |(camera, detector): (&CameraConfig, Option<Detector>)| Watched {
            name: camera.name.as_str().into(),
            divided: Divided {
                decoder: FrameDecoder::new(),
                planner: RegionPlanner::new(camera.regions.clone(), camera.region, camera.focus),
                motion: Motion::default(),
                detector,
            },
            gate: Gate::new(camera.gate),
            optical: camera.optical,
            paused: false,
            recorded: matches!(camera.source, CameraSource::Files(FilesConfig { pace: Pace::Recorded, .. })),
            tracker: Tracker::new(camera.tracks),
        };
        let (settings, watched) = (cell.get(), cameras.iter().zip(detectors).map(watch).collect());
        let teller = Teller { node, alerts, seq: 0 };
        Self {
            decider,
            frames,
            watched,
            teller,
            probabilities: Vec::new(),
            told: Vec::new(),
            snapshots,
            locator,
            flight,
            cell,
            settings,
        }
    }

    pub(super) fn run(mut self) {
        let mut passed = Instant::now();
        loop {
            let taken = self.frames.take(PATIENCE);
            // Frames of another camera, or of a still scene, say nothing of a track that is to end.
            if passed.elapsed() >= PATIENCE {
                passed = Instant::now();
                self.each_track(|tracker, tell| tracker.pass_time(passed, tell));
            }
            if let Some(settings) = self.cell.newer_than(&self.settings) {
                self.adjust(settings);
            }
            match taken {
                Taken::Frame(camera, frame) => {
                    let outcome = self.look(camera, &frame);
                    self.frames.settle(camera, frame, outcome);
                }
                Taken::Nothing => {}
                Taken::Closed => return self.each_track(|tracker, tell| tracker.end(tell)),
            }
        }
    }

    /// Puts changed settings in force; they were checked when they were asked for.
    fn adjust(&mut self, settings: Arc<Settings>) {
        if settings.dial != self.settings.dial
            && let Err(error) = self.decider.turn(&settings.dial)
        {
            tracing::error!("the target asked for cannot be used: {error}");
        }
        // Reads the checklist again, so only where something else is expected.
        if (settings.expected != self.settings.expected || settings.reloads != self.settings.reloads)
            && let Err(error) = self.decider.expect(&settings.expected)
        {
            tracing::error!("the priors asked for cannot be used: {error}");
        }
        if let Err(error) = self.teller.alerts.watch(self.decider.taxonomy(), &settings.watch) {
            tracing::error!("the watch list asked for cannot be used: {error}");
        }
        for (watched, camera) in self.watched.iter_mut().zip(&settings.cameras) {
            let CameraSettings { region, focus, regions, .. } = camera;
            watched.divided.planner = RegionPlanner::new(regions.clone(), *region, *focus);
            watched.divided.motion.forget();
            watched.paused = camera.paused;
            // Whatever changed, the scene is looked at again.
            watched.gate.set(camera.gate);
        }
        self.settings = settings;
    }

    fn look(&mut self, camera: usize, frame: &Frame) -> Outcome {
        let Some(watched) = self.watched.get_mut(camera) else { return Outcome::Undecided };
        if watched.paused {
            return Outcome::Paused;
        }
        let part = watched.divided.planner.part();
        // What cannot be judged is looked at, and found damaged there.
        if watched.gate.is_on()
            && !self.snapshots.wanted(camera)
            && let Ok(luma) = watched.divided.decoder.luma(frame)
            && !watched.gate.opens(luma, part, Instant::now())
        {
            return Outcome::Still;
        }
        let (optical, size, begun) = (watched.optical, frame.size(), Instant::now());
        let taken = self.locator.taken(&optical, frame.moment);
        let scale = match watched.divided.planner.rules().tile_m() {
            Some(_) => self.locator.frame(optical, taken, size).metres_per_pixel(),
            None => None,
        };
        let wanted = self.snapshots.wanted(camera);
        let (picture, regions) = match watched.divided.divide(frame, scale, self.decider.views(), wanted) {
            Ok(divided) => divided,
            Err(Undivided::Still) => return Outcome::Still,
            Err(Undivided::Damaged(error)) => {
                tracing::debug!(camera = %watched.name, "a frame was skipped: {error}");
                return Outcome::Undecodable;
            }
            Err(Undivided::Detector(error)) => {
                tracing::error!(camera = %watched.name, "a frame got no regions: {error}");
                return Outcome::Undecided;
            }
        };
        if let Err(error) = self.decider.look(picture, regions) {
            tracing::error!(camera = %watched.name, "a frame got no decision: {error}");
            return Outcome::Undecided;
        }
        self.teller.node.decided(camera, begun.elapsed().as_secs_f64() * 1000.0);
        self.probabilities.clear();
        self.probabilities.extend_from_slice(self.decider.probabilities());
        // Poses that came while the network ran are better than those before.
        let framed = self.locator.frame(optical, taken, size);
        let (time, clock) = match self.locator.time(taken) {
            _ if watched.recorded => (frame.time, TimeSource::Recorded),
            Some(time) => (time, TimeSource::Gps),
            None => (frame.time, TimeSource::System),
        };
        let (by_ground, now) = (self.locator.tells_ground(&optical), Instant::now());
        if let Some(flight) = self.flight.as_mut().filter(|_| by_ground) {
            flight.see(taken, time, framed.overflown());
        }
        let leaves = self.decider.taxonomy().leaf_count();
        let mut outcome = Outcome::Decided;
        for (number, (region, probabilities)) in
            regions.iter().zip(self.probabilities.chunks_exact(leaves)).enumerate()
        {
            let answer = match self.decider.answer(number, begun) {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::error!(camera = %watched.name, region = &*region.name, "a region got no decision: {error}");
                    outcome = Outcome::Undecided;
                    continue;
                }
            };
            let (place, answer) = (&framed.locate(region), &answer);
            let sighting = Sighting { answer, probabilities, time, clock, now, region, place, by_ground };
            watched.tracker.see(sighting, &mut self.decider, &mut |told| self.told.push(told));
        }
        let is_new = self.told.iter().any(|told| told.kind == EventType::New);
        self.snapshots.offer(camera, picture, is_new);
        for told in self.told.drain(..) {
            if let Some(flight) = self.flight.as_mut().filter(|_| told.kind == EventType::End) {
                flight.count_track();
            }
            self.teller.tell(&self.decider, camera, told);
        }
        outcome
    }

    fn each_track(&mut self, mut act: impl FnMut(&mut Tracker, &mut dyn FnMut(Told))) {
        for (camera, watched) in self.watched.iter_mut().enumerate() {
            act(&mut watched.tracker, &mut |told| self.told.push(told));
            for told in self.told.drain(..) {
                if let Some(flight) = self.flight.as_mut().filter(|_| told.kind == EventType::End) {
                    flight.count_track();
                }
                self.teller.tell(&self.decider, camera, told);
            }
        }
    }
}

/// Why a frame has no regions.
enum Undivided {
    Still,
    Damaged(DecodeError),
    Detector(DetectorError),
}

impl Divided {
    /// The picture in `frame`, no larger than its views need, and its regions.
    ///
    /// Where nothing moved and no picture is `wanted`, nothing is decoded.
    fn divide<'a>(
        &'a mut self,
        frame: &'a Frame,
        scale: Option<f64>,
        views: &ViewSet,
        wanted: bool,
    ) -> Result<(&'a Picture, &'a [Region]), Undivided> {
        let Self { decoder, planner, motion, detector } = self;
        let (size, part) = (frame.size(), planner.part());
        if let (Some(look), Some(detector)) = (planner.rules().look(part), detector) {
            // What is to be found may be small.
            let picture = decoder.decode(frame, 1).map_err(Undivided::Damaged)?;
            let found = detector.boxes(picture, look).map_err(Undivided::Detector)?;
            return Ok((picture, planner.plan(size, scale, found.iter().copied())));
        }
        let regions = match planner.motion_level() {
            Some(level) => {
                let luma = decoder.luma(frame).map_err(Undivided::Damaged)?;
                planner.plan(size, scale, motion.boxes(luma, part, level))
            }
            None => planner.plan(size, scale, std::iter::empty()),
        };
        if regions.is_empty() && !wanted {
            return Err(Undivided::Still);
        }
        let reductions = regions.iter().map(|region| views.reduction(region.part, size.0, size.1));
        let reduction = reductions.min().unwrap_or_else(|| views.reduction(part, size.0, size.1));
        Ok((decoder.decode(frame, reduction).map_err(Undivided::Damaged)?, regions))
    }
}
