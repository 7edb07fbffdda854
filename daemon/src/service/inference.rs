//! The inference thread: the latest frames in, events out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use fieldmark_models::taxonomy::TaxonIndex;
use fieldmark_models::views::FractionBox;

use super::node::{Event, Node};
use crate::alert::Alerts;
use crate::capture::{Frame, FrameDecoder, LatestFrames, Outcome, Taken};
use crate::command::{Settings, SettingsCell, Vocabulary, VocabularyCell};
use crate::config::CameraConfig;
use crate::decide::{Answer, Decider, LookTime};
use crate::gate::Gate;
use crate::observe::Observer;
use crate::publish::messages::Region;
use crate::publish::snapshot::Snapshots;
use crate::track::{EventType, Judge, Sighting, Told, Tracker};
use crate::update::{Change, Exchange};

const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the time a frame took, stage by stage.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StageTimes {
    /// From the camera's bytes to a picture.
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
}

struct Watched {
    name: String,
    decoder: FrameDecoder,
    gate: Gate,
    part: FractionBox,
    region: Region,
    paused: bool,
    tracker: Tracker,
}

/// Numbers events, finds those somebody waits for, and hands them over.
struct Teller {
    node: Arc<Node>,
    alerts: Alerts,
    seq: u64,
}

impl Teller {
    fn tell(&mut self, decider: &Decider, camera: usize, region: &Region, told: Told) {
        let taxon = told.answer.index;
        let worth = self.alerts.weigh(decider.taxonomy(), camera, taxon, told.time, Instant::now());
        let seq = self.seq;
        self.seq += 1;
        self.node.detected(Event { camera, seq, told, worth, region });
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

/// Notes an answer, and what the model in the shadow says of the same picture.
fn observe(
    exchange: &Exchange,
    answer: &Answer,
    shadow: Option<&mut Decider>,
    picture: &Picture,
    part: FractionBox,
) {
    let other = shadow.map(|shadow| shadow.decide(picture, part, None));
    let mut observed = exchange.observe();
    observed.live.answered(answer);
    match other {
        Some(Ok(other)) => {
            observed.shadow.answered(&other);
            observed.agreement.note(answer, &other);
        }
        Some(Err(error)) => observed.shadow.failed(&error),
        None => {}
    }
}

/// Frees a model on another thread: an engine may take its time.
fn discard(decider: Option<Box<Decider>>) {
    if let Some(decider) = decider {
        let _ = std::thread::Builder::new().name("discard".into()).spawn(move || drop(decider));
    }
}

fn region(part: Option<FractionBox>) -> (FractionBox, Region) {
    let name = if part.is_some() { "region" } else { "frame" };
    let part = part.unwrap_or(FractionBox::FRAME);
    (part, Region { edges: part.edges(), name: name.into() })
}

impl Inference {
    pub(super) fn new(decider: Decider, gear: Gear, cameras: &[CameraConfig]) -> Self {
        let Gear { frames, node, alerts, snapshots, settings: cell, vocabulary, exchange, observer } = gear;
        let watch = |camera: &CameraConfig| {
            let (part, region) = region(camera.region);
            let (decoder, tracker) = (FrameDecoder::new(), Tracker::new(camera.tracks));
            let gate = Gate::new(camera.gate);
            Watched { name: camera.name.as_str().into(), decoder, gate, part, region, paused: false, tracker }
        };
        let (settings, watched) = (cell.get(), cameras.iter().map(watch).collect());
        let teller = Teller { node, alerts, seq: 0 };
        Self {
            decider,
            frames,
            watched,
            teller,
            probabilities: Vec::new(),
            told: Vec::new(),
            snapshots,
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
            (watched.part, watched.region) = region(camera.region);
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
        let (taxonomy, calibration) = (self.decider.taxonomy().clone(), self.decider.calibration().clone());
        self.vocabulary.store(Arc::new(Vocabulary { taxonomy, calibration }));
        self.teller.node.model_changed(&self.decider);
        next
    }

    pub(super) fn look(&mut self, camera: usize, frame: &Frame) -> Outcome {
        let Some(watched) = self.watched.get_mut(camera) else { return Outcome::Undecided };
        if watched.paused {
            self.observer.frame(camera, frame);
            return Outcome::Paused;
        }
        // What cannot be judged is looked at, and found damaged there.
        if watched.gate.is_on()
            && !self.snapshots.wanted(camera)
            && let Ok(luma) = watched.decoder.luma(frame)
            && !watched.gate.opens(luma, watched.part, Instant::now())
        {
            self.observer.frame(camera, frame);
            return Outcome::Still;
        }
        let begun = Instant::now();
        let (width, height) = frame.size();
        let mut reduction = self.decider.views().reduction(watched.part, width, height);
        if let Some(shadow) = &self.shadow {
            reduction = reduction.min(shadow.views().reduction(watched.part, width, height));
        }
        let picture = match watched.decoder.decode(frame, reduction) {
            Ok(picture) => picture,
            Err(error) => {
                tracing::debug!(camera = %watched.name, "a frame was skipped: {error}");
                return Outcome::Undecodable;
            }
        };
        let decoded = Instant::now();
        let answer = self.decider.decide(picture, watched.part, None);
        // Now and not before: whoever looks sees the picture with its answer.
        self.observer.picture(camera, picture);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                if let Some(exchange) = &self.exchange {
                    exchange.observe().live.failed(&error);
                }
                tracing::error!(camera = %watched.name, "a frame got no decision: {error}");
                return Outcome::Undecided;
            }
        };
        self.teller.node.decided(camera, answer.latency_ms);
        self.observer.decided(camera, &self.decider, &answer, frame.time);
        if let Some(exchange) = &self.exchange {
            observe(exchange, &answer, self.shadow.as_deref_mut(), picture, watched.part);
        }
        self.probabilities.clear();
        self.probabilities.extend_from_slice(self.decider.probabilities());
        let (time, now) = (frame.time, Instant::now());
        let sighting = Sighting { answer: &answer, probabilities: &self.probabilities, time, now };
        watched.tracker.see(sighting, &mut self.decider, &mut |told| self.told.push(told));
        let decided = Instant::now();
        let is_new = self.told.iter().any(|told| told.kind == EventType::New);
        self.snapshots.offer(camera, picture, is_new);
        if self.told.iter().any(|told| told.kind != EventType::End) {
            self.observer.sighted(camera, picture, watched.region.edges);
        }
        for told in self.told.drain(..) {
            self.teller.tell(&self.decider, camera, &watched.region, told);
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
        Outcome::Decided
    }

    fn each_track(&mut self, mut act: impl FnMut(&mut Tracker, &mut dyn FnMut(Told))) {
        for (camera, watched) in self.watched.iter_mut().enumerate() {
            act(&mut watched.tracker, &mut |told| self.told.push(told));
            for told in self.told.drain(..) {
                self.teller.tell(&self.decider, camera, &watched.region, told);
            }
        }
    }
}
