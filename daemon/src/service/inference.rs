//! The inference thread: the latest frames in, events out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use fieldmark_models::taxonomy::TaxonIndex;
use fieldmark_models::views::{FractionBox, ViewSet};

use super::node::{Event, Node};
use crate::alert::Alerts;
use crate::capture::{DecodeError, Frame, FrameDecoder, LatestFrames, Outcome, Taken};
use crate::command::{CameraSettings, Settings, SettingsCell, Vocabulary, VocabularyCell};
use crate::config::{CameraConfig, CameraSource, FilesConfig, Pace};
use crate::decide::{Answer, DecideError, Decider};
use crate::engine::LookTime;
use crate::flight::LogWriter;
use crate::gate::Gate;
use crate::observe::{Observer, Sketch};
use crate::position::{Framed, Locator, Optical, Releases, TimeSource};
use crate::publish::snapshot::Snapshots;
use crate::region::{Detector, DetectorError, Motion, NewDetector, Region, RegionPlanner};
use crate::track::{EventType, Judge, Sighting, Told, Tracker};
use crate::update::{Change, Exchange};

const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the time a frame took, stage by stage.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StageTimes {
    /// From the camera's bytes to a picture and its regions.
    pub(super) decode: Duration,
    /// Cutting out views.
    pub(super) views: Duration,
    /// The engine.
    pub(super) inference: Duration,
    /// Specificity control and tracks.
    pub(super) decision: Duration,
    /// Writing the event and handing it to the outbox.
    pub(super) outbox: Duration,
}

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
    cell: SettingsCell,
    settings: Arc<Settings>,
    times: StageTimes,
    vocabulary: VocabularyCell,
    /// Where another model comes from; `None` where nothing is updated.
    exchange: Option<Arc<Exchange>>,
    /// A model that looks at the same frames.
    shadow: Option<Box<Decider>>,
    /// The model that answered before, while the present one is on probation.
    at_hand: Option<Box<Decider>>,
    observer: Arc<Observer>,
}

/// What the inference thread is given.
pub(super) struct Gear {
    pub(super) frames: Arc<LatestFrames>,
    pub(super) node: Arc<Node>,
    pub(super) alerts: Alerts,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) settings: SettingsCell,
    pub(super) vocabulary: VocabularyCell,
    pub(super) exchange: Option<Arc<Exchange>>,
    pub(super) observer: Arc<Observer>,
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
    releases: Releases,
    paused: bool,
    /// Frames carry the time they were recorded at.
    recorded: bool,
    tracker: Tracker,
}

/// What models look at a picture through.
#[derive(Clone, Copy)]
struct Viewed<'a> {
    live: &'a ViewSet,
    shadow: Option<&'a ViewSet>,
}

impl Viewed<'_> {
    /// How much smaller a frame of this size may be decoded for views of `part`, or of its `focus`.
    fn reduction(self, part: FractionBox, focus: Option<FractionBox>, size: (u32, u32)) -> u32 {
        let reduction = |views: &ViewSet| views.reduction(part, focus, size);
        self.shadow.map_or(u32::MAX, reduction).min(reduction(self.live))
    }
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
    flight: Option<LogWriter>,
    seq: u64,
}

impl Teller {
    fn tell(&mut self, decider: &Decider, camera: usize, told: Told) {
        if let Some(flight) = self.flight.as_mut().filter(|_| told.kind == EventType::End) {
            flight.count_track();
        }
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

/// Notes what the models say of one frame: the one that answers, and the one in the shadow.
struct Noted<'a> {
    exchange: &'a Exchange,
    /// The one in the shadow, and when it began to look.
    shadow: Option<(&'a mut Decider, Instant)>,
}

impl<'a> Noted<'a> {
    /// The model that answers looked for `latency_ms`; now the one in the shadow does.
    fn frame(
        exchange: &'a Exchange,
        shadow: Option<&'a mut Decider>,
        (picture, regions): (&Picture, &[Region]),
        latency_ms: f64,
    ) -> Self {
        let begun = Instant::now();
        let looked = shadow.map(|shadow| shadow.look(picture, regions).map(|()| shadow));
        let mut observed = exchange.observe();
        observed.live.looked(latency_ms);
        let shadow = match looked {
            Some(Ok(shadow)) => {
                observed.shadow.looked(milliseconds(begun));
                observed.agreement.frames += 1;
                Some((shadow, begun))
            }
            Some(Err(error)) => {
                observed.shadow.failed(&error);
                None
            }
            None => None,
        };
        Self { exchange, shadow }
    }

    fn region(&mut self, number: usize, answer: &Result<Answer, DecideError>) {
        let other = self.shadow.as_mut().map(|(shadow, begun)| shadow.answer(number, *begun));
        let mut observed = self.exchange.observe();
        match answer {
            Ok(answer) => observed.live.answered(answer),
            Err(error) => observed.live.failed(error),
        }
        match (answer, &other) {
            (_, Some(Err(error))) => observed.shadow.failed(error),
            (Ok(answer), Some(Ok(other))) => {
                observed.shadow.answered(other);
                observed.agreement.note(answer, other);
            }
            _ => {}
        }
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Frees a model on another thread: an engine may take its time.
fn discard<M: Send + 'static>(model: Option<M>) {
    if let Some(model) = model {
        let _ = std::thread::Builder::new().name("discard".into()).spawn(move || drop(model));
    }
}

impl Inference {
    pub(super) fn new(decider: Decider, gear: Gear, cameras: &[CameraConfig]) -> Self {
        let Gear { frames, node, alerts, snapshots, settings: cell, vocabulary, exchange, .. } = gear;
        let Gear { locator, flight, detectors, observer, .. } = gear;
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
            releases: Releases::default(),
            paused: false,
            recorded: matches!(camera.source, CameraSource::Files(FilesConfig { pace: Pace::Recorded, .. })),
            tracker: Tracker::new(camera.tracks),
        };
        let (settings, watched) = (cell.get(), cameras.iter().zip(detectors).map(watch).collect());
        let teller = Teller { node, alerts, flight, seq: 0 };
        Self {
            decider,
            frames,
            watched,
            teller,
            probabilities: Vec::new(),
            told: Vec::new(),
            snapshots,
            locator,
            cell,
            settings,
            times: StageTimes::default(),
            vocabulary,
            exchange,
            shadow: None,
            at_hand: None,
            observer,
        }
    }

    /// What became of the time the last frame took that was decided.
    pub(super) fn times(&self) -> StageTimes {
        self.times
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
            self.exchange_models();
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
            let CameraSettings { region, focus, regions, detector, .. } = camera;
            if let Some(next) = detector.as_ref().and_then(NewDetector::take) {
                discard(watched.divided.detector.replace(next));
            }
            watched.divided.planner = RegionPlanner::new(regions.clone(), *region, *focus);
            watched.divided.motion.forget();
            watched.paused = camera.paused;
            // Whatever changed, the scene is looked at again.
            watched.gate.set(camera.gate);
        }
        self.settings = settings;
    }

    /// Takes a change of models, where one is asked for: here no frame is under way.
    fn exchange_models(&mut self) {
        let Some((change, done)) = self.exchange.as_ref().and_then(|exchange| exchange.asked()) else {
            return;
        };
        let made = match change {
            Change::Shadow(decider) => {
                self.shadow = Some(decider);
                true
            }
            Change::Unshadow => {
                discard(self.shadow.take());
                true
            }
            Change::Promote => {
                let next = self.shadow.take();
                next.map(|next| self.at_hand = Some(self.answer_with(next))).is_some()
            }
            Change::Revert => {
                let next = self.at_hand.take();
                next.map(|next| discard(Some(self.answer_with(next)))).is_some()
            }
            Change::Become(next) => {
                let before = self.answer_with(next);
                discard(Some(before));
                true
            }
            Change::Settle => {
                discard(self.at_hand.take());
                true
            }
        };
        if let Some(exchange) = &self.exchange {
            // What was seen of the models before says nothing of these.
            exchange.forget();
        }
        let _ = done.send(made);
    }

    /// `next` answers from now on; what answered before. Tracks of the other taxonomy end first.
    fn answer_with(&mut self, mut next: Box<Decider>) -> Box<Decider> {
        self.each_track(|tracker, tell| tracker.end(tell));
        std::mem::swap(&mut self.decider, next.as_mut());
        let settings = Arc::clone(&self.settings);
        if let Err(error) = self.decider.turn(&settings.dial) {
            tracing::error!("the target in force cannot be used with this model: {error}");
        }
        if let Err(error) = self.decider.expect(&settings.expected) {
            tracing::error!("the priors in force cannot be used with this model: {error}");
        }
        if let Err(error) = self.teller.alerts.change_model(self.decider.taxonomy(), &settings.watch) {
            tracing::error!("the watch list in force cannot be used with this model: {error}");
        }
        self.vocabulary.store(Arc::new(Vocabulary::of(&self.decider)));
        self.teller.node.model_changed(&self.decider);
        next
    }

    pub(super) fn look(&mut self, camera: usize, frame: &Frame) -> Outcome {
        let Some(watched) = self.watched.get_mut(camera) else { return Outcome::Undecided };
        if watched.paused {
            self.observer.frame(camera, frame);
            return Outcome::Paused;
        }
        let wanted = self.snapshots.wanted(camera);
        if !wanted && watched.is_still(frame) {
            self.observer.frame(camera, frame);
            return Outcome::Still;
        }
        let (optical, size, begun) = (watched.optical, frame.size(), Instant::now());
        let scale = match watched.divided.planner.rules().tile_m() {
            Some(_) => {
                let taken = self.locator.taken(&optical, &watched.releases, frame.moment);
                self.locator.frame(optical, taken, size).metres_per_pixel()
            }
            None => None,
        };
        let viewed =
            Viewed { live: self.decider.views(), shadow: self.shadow.as_deref().map(Decider::views) };
        let Watched { name, divided, tracker, recorded, releases, .. } = watched;
        let (picture, regions) = match divided.divide(frame, scale, viewed, wanted) {
            Ok(divided) => divided,
            Err(undivided) => {
                if matches!(undivided, Undivided::Still) {
                    self.observer.frame(camera, frame);
                }
                return undivided.told(name);
            }
        };
        let decoded = Instant::now();
        let looked = self.decider.look(picture, regions);
        // Now and not before: whoever looks sees the picture with its answer.
        let sketch = self.observer.picture(camera, picture, frame.sequence);
        if let Err(error) = looked {
            if let Some(exchange) = &self.exchange {
                exchange.observe().live.failed(&error);
            }
            tracing::error!(camera = %name, "a frame got no decision: {error}");
            return Outcome::Undecided;
        }
        let latency_ms = milliseconds(decoded);
        let mut noted = None;
        if !regions.is_empty() {
            self.teller.node.decided(camera, latency_ms);
            let exchange = self.exchange.as_deref();
            noted = exchange.map(|exchange| {
                Noted::frame(exchange, self.shadow.as_deref_mut(), (picture, regions), latency_ms)
            });
        }
        self.probabilities.clear();
        self.probabilities.extend_from_slice(self.decider.probabilities());
        // Poses and releases that came while the network ran are better than those before.
        let taken = self.locator.taken(&optical, releases, frame.moment);
        self.locator.came(&optical, releases, frame.moment);
        let framed = self.locator.frame(optical, taken, size);
        let (time, clock) = if *recorded {
            (frame.time, TimeSource::Recorded)
        } else {
            self.locator.time(taken).map_or((frame.time, TimeSource::System), |time| (time, TimeSource::Gps))
        };
        let by_ground = self.locator.tells_ground(&optical);
        if let Some(flight) = self.teller.flight.as_mut().filter(|_| by_ground) {
            flight.see(taken, time, framed.overflown());
        }
        let seen = Seen { camera, name, framed, time, clock, now: Instant::now(), by_ground, decoded };
        let (observer, probabilities) = (&*self.observer, &self.probabilities[..]);
        let judge = &mut self.decider;
        let outcome = seen.conclude(
            regions,
            probabilities,
            (judge, tracker),
            noted,
            (observer, sketch),
            &mut self.told,
        );
        let decided = Instant::now();
        let is_new = self.told.iter().any(|told| told.kind == EventType::New);
        self.snapshots.offer(camera, picture, is_new);
        if let Some(told) = self.told.iter().find(|told| told.kind != EventType::End) {
            self.observer.sighted(camera, picture, told.region.part.edges());
        }
        for told in self.told.drain(..) {
            self.teller.tell(&self.decider, camera, told);
        }
        let LookTime { views, inference } = self.decider.time();
        self.times = StageTimes {
            decode: decoded - begun,
            views,
            inference,
            decision: (decided - decoded).saturating_sub(views + inference),
            outbox: decided.elapsed(),
        };
        let StageTimes { decode, views, inference, decision, outbox } = self.times;
        self.observer.timed(camera, [decode, views, inference, decision, outbox]);
        outcome
    }

    fn each_track(&mut self, mut act: impl FnMut(&mut Tracker, &mut dyn FnMut(Told))) {
        for (camera, watched) in self.watched.iter_mut().enumerate() {
            act(&mut watched.tracker, &mut |told| self.told.push(told));
            for told in self.told.drain(..) {
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

impl Undivided {
    /// Says what is wrong, and what becomes of the frame of the camera `name`.
    fn told(self, name: &str) -> Outcome {
        match self {
            Self::Still => Outcome::Still,
            Self::Damaged(error) => {
                tracing::debug!(camera = %name, "a frame was skipped: {error}");
                Outcome::Undecodable
            }
            Self::Detector(error) => {
                tracing::error!(camera = %name, "a frame got no regions: {error}");
                Outcome::Undecided
            }
        }
    }
}

impl Watched {
    /// Whether the gate passes over `frame`. What cannot be judged is looked at, and found damaged there.
    fn is_still(&mut self, frame: &Frame) -> bool {
        let Self { divided, gate, .. } = self;
        gate.is_on()
            && divided
                .decoder
                .luma(frame)
                .is_ok_and(|luma| !gate.opens(luma, divided.planner.part(), Instant::now()))
    }
}

/// A frame that the network has looked at.
struct Seen<'a> {
    camera: usize,
    name: &'a str,
    framed: Framed<'a>,
    /// When it was taken, and by what clock.
    time: jiff::Timestamp,
    clock: TimeSource,
    now: Instant,
    by_ground: bool,
    decoded: Instant,
}

impl Seen<'_> {
    /// Decides on every region, and has the tracks see it: what they tell goes to `told`.
    fn conclude(
        &self,
        regions: &[Region],
        probabilities: &[f32],
        (decider, tracker): (&mut Decider, &mut Tracker),
        mut noted: Option<Noted<'_>>,
        (observer, mut sketch): (&Observer, Option<Sketch>),
        told: &mut Vec<Told>,
    ) -> Outcome {
        let Self { camera, time, clock, now, by_ground, decoded, .. } = *self;
        let rows = probabilities.chunks_exact(decider.taxonomy().leaf_count());
        let mut outcome = Outcome::Decided;
        for (number, (region, probabilities)) in regions.iter().zip(rows).enumerate() {
            let answer = decider.answer(number, decoded);
            if let Some(noted) = &mut noted {
                noted.region(number, &answer);
            }
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::error!(camera = %self.name, region = &*region.name, "a region got no decision: {error}");
                    outcome = Outcome::Undecided;
                    continue;
                }
            };
            observer.decided(camera, &answer);
            // Before the track is judged: it shows the way to this answer.
            if let Some(sketch) = &mut sketch {
                sketch.add(decider, region, &answer);
            }
            let (place, answer) = (&self.framed.locate(region), &answer);
            let sighting = Sighting { answer, probabilities, time, clock, now, region, place, by_ground };
            tracker.see(sighting, decider, &mut |news| told.push(news));
        }
        if let Some(sketch) = sketch {
            observer.sketched(camera, sketch, time);
        }
        outcome
    }
}

impl Divided {
    /// The picture in `frame`, no larger than its views need, and its regions.
    ///
    /// Where nothing moved and no picture is `wanted`, nothing is decoded.
    fn divide<'a>(
        &'a mut self,
        frame: &'a Frame,
        scale: Option<f64>,
        viewed: Viewed<'_>,
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
        let reductions = regions.iter().map(|region| viewed.reduction(region.part, region.focus, size));
        let reduction = reductions.min().unwrap_or_else(|| viewed.reduction(part, None, size));
        Ok((decoder.decode(frame, reduction).map_err(Undivided::Damaged)?, regions))
    }
}
