//! What the node says of itself and of its cameras.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Notify;

use super::machine::{rss_bytes, temperatures, time_source};
use super::meter::Meter;
use crate::alert::Worth;
use crate::capture::{CameraCounts, CameraState, StateChange};
use crate::config::{CameraName, Config};
use crate::decide::{Answer, CutOff, Decider};
use crate::engine::ModelIdentity;
use crate::observe::Observer;
use crate::position::TimeSource;
use crate::publish::Phase;
use crate::publish::home_assistant::{self, Announced};
use crate::publish::messages::{
    CameraStatus, Detection, Info, Metrics, ModelState, Region, VERSION, wire_time,
};
use crate::publish::outbox::{Class, Message, Outbox};
use crate::publish::topics::Topics;
use crate::track::{EventType, Told};

/// Who answers.
struct Answering {
    identity: ModelIdentity,
    engine: String,
}

/// Writes the messages of one node.
pub(super) struct Node {
    name: String,
    boot: String,
    begun: Instant,
    cameras: Vec<CameraName>,
    camera_names: Vec<String>,
    topics: Topics,
    info: Mutex<Info>,
    answering: ArcSwap<Answering>,
    home_assistant: bool,
    outbox: Arc<Outbox>,
    meter: Meter,
    /// How each camera was last told to be, pauses aside.
    states: Mutex<BTreeMap<usize, CameraStatus>>,
    /// Cameras whose frames make tracks.
    tracked: BTreeSet<usize>,
    /// Which cameras ever streamed.
    streamed: Mutex<BTreeSet<usize>>,
    news: Notify,
    observer: Arc<Observer>,
}

/// How a camera is, for those who look at the whole.
#[derive(Debug, Clone)]
pub(super) struct CameraNews {
    /// Pauses aside.
    pub(super) state: CameraState,
    /// Why, where that needs saying.
    pub(super) reason: Option<String>,
    /// Whether it ever gave a frame.
    pub(super) streamed: bool,
}

impl Node {
    /// Writes as `boot`, the present start of the daemon.
    pub(super) fn new(
        config: &Config,
        decider: &Decider,
        outbox: Arc<Outbox>,
        boot: String,
        observer: Arc<Observer>,
    ) -> Self {
        let topics = Topics::new(&config.node);
        let cut_off = decider.cut_off();
        let info = Info {
            v: VERSION,
            node: config.node.as_str().into(),
            fieldmark: env!("CARGO_PKG_VERSION").into(),
            boot: boot.clone(),
            started: wire_time(jiff::Timestamp::now()),
            model: decider.identity().clone(),
            engine: decider.engine_name().into(),
            engines_passed_over: decider.passed_over().to_vec(),
            threshold: cut_off.threshold.value(),
            target: cut_off.target,
            taxa: taxa(decider),
            cameras: config.cameras.iter().map(|camera| camera.name.as_str().to_owned()).collect(),
        };
        outbox.put(retained(topics.info(), json(&info)));
        let state = ModelState::idle(info.model.clone(), Phase::Running);
        observer.info(&info);
        observer.model_state(&state);
        outbox.put(retained(topics.model_state(), json(&state)));
        let cameras: Vec<_> = config.cameras.iter().map(|camera| camera.name.clone()).collect();
        let node = Self {
            name: config.node.as_str().into(),
            boot,
            begun: Instant::now(),
            meter: Meter::new(cameras.len(), Instant::now()),
            camera_names: info.cameras.clone(),
            cameras,
            topics,
            answering: ArcSwap::from_pointee(Answering {
                identity: info.model.clone(),
                engine: info.engine.clone(),
            }),
            home_assistant: config.home_assistant,
            info: Mutex::new(info),
            outbox,
            states: Mutex::default(),
            tracked: (0..)
                .zip(&config.cameras)
                .filter(|(_, camera)| camera.tracks.is_some())
                .map(|(n, _)| n)
                .collect(),
            streamed: Mutex::default(),
            news: Notify::new(),
            observer,
        };
        node.announce(config.home_assistant);
        node
    }

    /// Tells Home Assistant, where it is to know, and takes back what is no more.
    fn announce(&self, home_assistant: bool) {
        let before = self.outbox.announced().and_then(|text| serde_json::from_str(&text).ok());
        let before: Announced = before.unwrap_or_default();
        let present = before.then(&self.camera_names, home_assistant);
        for camera in present.gone.iter().filter_map(|name| CameraName::new(name).ok()) {
            for topic in [
                self.topics.last(&camera),
                self.topics.camera_status(&camera),
                self.topics.snapshot(&camera),
                self.topics.drift(&camera),
            ] {
                self.outbox.put(retained(topic, Bytes::new()));
            }
        }
        let info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        if home_assistant {
            let discovery = home_assistant::discovery(&info, &self.topics, &self.cameras, &present.gone);
            self.outbox.put(retained(home_assistant::topic(&info), json(&discovery)));
        } else if before.home_assistant {
            self.outbox.put(retained(home_assistant::topic(&info), Bytes::new()));
        }
        if present != before {
            self.outbox.announce(serde_json::to_string(&present).unwrap_or_default());
        }
    }

    /// Publishes that another model answers.
    pub(super) fn model_changed(&self, decider: &Decider) {
        let cut_off = decider.cut_off();
        let mut info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        (info.model, info.engine) = (decider.identity().clone(), decider.engine_name().into());
        (info.threshold, info.target) = (cut_off.threshold.value(), cut_off.target);
        info.taxa = taxa(decider);
        let answering = Answering { identity: info.model.clone(), engine: info.engine.clone() };
        self.answering.store(Arc::new(answering));
        self.outbox.put(retained(self.topics.info(), json(&*info)));
        self.observer.info(&info);
        drop(info);
        if self.home_assistant {
            self.announce(true);
        }
    }

    /// Publishes how far an update is.
    pub(super) fn model_state(&self, state: &ModelState) {
        self.observer.model_state(state);
        self.outbox.put(retained(self.topics.model_state(), json(state)));
    }

    /// Publishes how far an update of the configuration is.
    pub(super) fn config_state(&self, state: &ModelState) {
        self.outbox.put(retained(self.topics.config_state(), json(state)));
    }

    pub(super) fn camera_names(&self) -> &[String] {
        &self.camera_names
    }

    /// The present start of the daemon.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    pub(super) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }

    pub(super) fn topics(&self) -> &Topics {
        &self.topics
    }

    pub(super) fn snapshot_topics(&self) -> Vec<String> {
        self.cameras.iter().map(|camera| self.topics.snapshot(camera)).collect()
    }

    /// Publishes another cut-off in force.
    pub(super) fn cut_off_changed(&self, cut_off: CutOff) {
        let mut info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        (info.threshold, info.target) = (cut_off.threshold.value(), cut_off.target);
        self.observer.info(&info);
        self.outbox.put(retained(self.topics.info(), json(&*info)));
    }

    /// Publishes that a camera is paused, or how it is now that it is not.
    pub(super) fn pause_changed(&self, camera: usize, paused: bool) {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(known), Some(name)) = (states.get(&camera), self.cameras.get(camera)) else { return };
        let mut status = known.clone();
        status.since = wire_time(jiff::Timestamp::now());
        if paused {
            status.state = CameraState::Paused;
        }
        self.observer.camera(camera, &status);
        self.outbox.put(retained(self.topics.camera_status(name), json(&status)));
    }

    /// Publishes how a camera is.
    pub(super) fn camera_changed(&self, change: StateChange) {
        let Some(camera) = self.cameras.get(change.camera) else { return };
        let status = CameraStatus {
            v: VERSION,
            state: change.state,
            since: wire_time(jiff::Timestamp::now()),
            format: change.delivery.format,
            size: change.delivery.size,
            fps: change.delivery.fps,
            device: change.delivery.device.map(|device| device.display().to_string()),
            losses: change.losses,
            reason: change.reason,
        };
        self.observer.camera(change.camera, &status);
        self.outbox.put(retained(self.topics.camera_status(camera), json(&status)));
        self.states.lock().unwrap_or_else(PoisonError::into_inner).insert(change.camera, status);
        if matches!(change.state, CameraState::Streaming | CameraState::Ended) {
            self.streamed.lock().unwrap_or_else(PoisonError::into_inner).insert(change.camera);
        }
        self.news.notify_one();
    }

    /// Resolves when a camera is otherwise than before.
    pub(super) async fn camera_news(&self) {
        self.news.notified().await;
    }

    /// How every camera is, in their order.
    pub(super) fn cameras_now(&self) -> Vec<CameraNews> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let streamed = self.streamed.lock().unwrap_or_else(PoisonError::into_inner);
        let news = |number: usize| CameraNews {
            state: states.get(&number).map_or(CameraState::Starting, |status| status.state),
            reason: states.get(&number).and_then(|status| status.reason.clone()),
            streamed: streamed.contains(&number),
        };
        (0..self.cameras.len()).map(news).collect()
    }

    /// Events the broker has not got.
    pub(super) fn events_waiting(&self) -> u64 {
        self.outbox.counts().waiting
    }

    /// Publishes an event: as `detection`, retained as `last`, and as `alert` where somebody waits for it.
    pub(super) fn detected(&self, event: Event) {
        let Some(camera) = self.cameras.get(event.camera) else { return };
        let Told { kind, track, answer, time, clock, region, position } = event.told;
        let Answer { taxon, probability, cut_off, stop, best_leaf, checklist, latency_ms, .. } = answer;
        let alerts = !event.worth.reasons.is_empty();
        let answering = self.answering.load();
        let detection = Detection {
            v: VERSION,
            id: ulid::Ulid::generate().to_string(),
            boot: self.boot.clone(),
            seq: event.seq,
            kind,
            node: self.name.clone(),
            camera: camera.as_str().into(),
            time: wire_time(time),
            time_source: match clock {
                TimeSource::Gps => "gps",
                TimeSource::System => time_source(),
                // Nobody knows who set the clock of the camera that wrote them.
                TimeSource::Recorded => "unsynchronised",
            }
            .into(),
            replay: false,
            taxon,
            probability,
            threshold: cut_off.threshold.value(),
            target: cut_off.target,
            stop,
            best_leaf,
            checklist,
            track,
            region: Region { edges: region.part.edges(), name: (&*region.name).into() },
            no_position: position.as_ref().and_then(|position| position.as_ref().err().copied()),
            position: position.and_then(Result::ok),
            watch: event.worth.reasons,
            model: answering.identity.clone(),
            engine: answering.engine.clone(),
            latency_ms,
        };
        log(&detection, self.tracked.contains(&event.camera));
        self.observer.told(event.camera, &detection);
        let payload = json(&detection);
        for (taxon, day) in event.worth.noted {
            self.outbox.see(&taxon, day);
        }
        if alerts {
            let topic = self.topics.alert(camera);
            self.outbox.put(Message { topic, payload: payload.clone(), class: Class::Alert });
        }
        let topic = self.topics.detection(camera);
        self.outbox.put(Message { topic, payload: payload.clone(), class: Class::Detection });
        self.outbox.put(Message { topic: self.topics.last(camera), payload, class: Class::Last });
    }

    /// Notes how long a frame took, whether or not it is worth a message.
    pub(super) fn decided(&self, camera: usize, latency_ms: f64) {
        self.meter.decided(camera, latency_ms);
    }

    pub(super) fn measured(&self, cameras: BTreeMap<String, CameraCounts>) {
        let metrics = Metrics {
            v: VERSION,
            time: wire_time(jiff::Timestamp::now()),
            uptime_s: self.begun.elapsed().as_secs(),
            rates: self.meter.look(&self.camera_names, &cameras, Instant::now()),
            temperatures_c: temperatures(),
            cameras,
            queue: self.outbox.counts(),
            rss_bytes: rss_bytes(),
        };
        let (topic, payload) = (self.topics.metrics(), json(&metrics));
        self.outbox.put(Message { topic, payload, class: Class::Metrics });
    }
}

/// Something worth a message.
pub(super) struct Event {
    pub(super) camera: usize,
    pub(super) seq: u64,
    pub(super) told: Told,
    pub(super) worth: Worth,
}

/// What begins and what ends stands in the log; decisions in between, and those of cameras without tracks, are for who
/// wants all.
fn log(detection: &Detection, tracked: bool) {
    let Detection { camera, kind, seq, taxon, probability, model, .. } = detection;
    let track = detection.track.id;
    let model = format!("{} {}", model.name, model.version);
    let what = format!("{kind:?} {} ({}), {probability:.2}", taxon.name, taxon.rank);
    if tracked && *kind != EventType::Update {
        tracing::info!(camera, track, seq, model, "{what}");
    } else {
        tracing::debug!(camera, track, seq, model, "{what}");
    }
}

/// Taxa a model can name, by rank.
fn taxa(decider: &Decider) -> BTreeMap<String, u64> {
    let mut taxa = BTreeMap::new();
    for (_, taxon) in decider.taxonomy().iter().skip(1) {
        *taxa.entry(taxon.rank().to_string()).or_default() += 1;
    }
    taxa
}

fn retained(topic: String, payload: Bytes) -> Message {
    Message { topic, payload, class: Class::State }
}

/// The messages are structs of texts and numbers, which always become JSON.
fn json(message: &impl Serialize) -> Bytes {
    serde_json::to_vec(message).unwrap_or_default().into()
}
