//! What the node says of itself and of its cameras.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use super::machine::{boot_id, rss_bytes, time_source};
use crate::capture::{CameraCounts, StateChange};
use crate::config::{CameraName, Config};
use crate::decide::{Answer, Decider};
use crate::publish::messages::{
    CameraStatus, Detection, EventType, Info, Metrics, Region, Track, VERSION, wire_time,
};
use crate::publish::outbox::{Delivery, Message, Outbox};
use crate::publish::topics::Topics;

/// Writes the messages of one node.
pub(super) struct Node {
    name: String,
    boot: String,
    begun: Instant,
    cameras: Vec<CameraName>,
    topics: Topics,
    info: Info,
    outbox: Arc<Outbox>,
    /// What the broker is to keep, sent on every connection.
    greeting: watch::Sender<Vec<Message>>,
}

impl Node {
    pub(super) fn new(config: &Config, decider: &Decider, outbox: Arc<Outbox>) -> Self {
        let (topics, boot) = (Topics::new(&config.node), boot_id());
        let mut taxa = BTreeMap::new();
        for (_, taxon) in decider.taxonomy().iter().skip(1) {
            *taxa.entry(taxon.rank().to_string()).or_default() += 1;
        }
        let cut_off = decider.cut_off();
        let info = Info {
            v: VERSION,
            node: config.node.as_str().into(),
            fieldmark: env!("CARGO_PKG_VERSION").into(),
            boot: boot.clone(),
            started: wire_time(jiff::Timestamp::now()),
            model: decider.identity().clone(),
            engine: decider.engine_name().into(),
            threshold: cut_off.threshold.value(),
            target: cut_off.target,
            taxa,
            cameras: config.cameras.iter().map(|camera| camera.name.as_str().to_owned()).collect(),
        };
        let greeting = watch::channel(vec![retained(topics.info(), json(&info))]).0;
        let (name, cameras) = (config.node.as_str().to_owned(), config.cameras.iter());
        let cameras = cameras.map(|camera| camera.name.clone()).collect();
        Self { name, boot, begun: Instant::now(), cameras, topics, info, outbox, greeting }
    }

    pub(super) fn greeting(&self) -> watch::Receiver<Vec<Message>> {
        self.greeting.subscribe()
    }

    pub(super) fn camera_names(&self) -> &[String] {
        &self.info.cameras
    }

    /// Publishes how a camera is, and has it told again on every later connection.
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
        let message = retained(self.topics.camera_status(camera), json(&status));
        self.greeting.send_modify(|greeting| {
            greeting.retain(|known| known.topic != message.topic);
            greeting.push(message.clone());
        });
        self.outbox.put(message);
    }

    /// Publishes an event: as `detection`, and retained as `last`.
    pub(super) fn detected(&self, event: Event<'_>) {
        let Some(camera) = self.cameras.get(event.camera) else { return };
        let Answer { taxon, probability, cut_off, stop, best_leaf, checklist, latency_ms, .. } = event.answer;
        let detection = Detection {
            v: VERSION,
            id: ulid::Ulid::generate().to_string(),
            boot: self.boot.clone(),
            seq: event.seq,
            kind: event.kind,
            node: self.name.clone(),
            camera: camera.as_str().into(),
            time: wire_time(event.time),
            time_source: time_source().into(),
            replay: false,
            taxon,
            probability,
            threshold: cut_off.threshold.value(),
            target: cut_off.target,
            stop,
            best_leaf,
            checklist,
            track: event.track,
            region: event.region.clone(),
            model: self.info.model.clone(),
            engine: self.info.engine.clone(),
            latency_ms,
        };
        let payload = json(&detection);
        let (topic, delivery) = (self.topics.detection(camera), Delivery::AtLeastOnce);
        self.outbox.put(Message { topic, payload: payload.clone(), delivery, retain: false });
        self.outbox.put(retained(self.topics.last(camera), payload));
    }

    pub(super) fn measured(&self, cameras: BTreeMap<String, CameraCounts>) {
        let metrics = Metrics {
            v: VERSION,
            time: wire_time(jiff::Timestamp::now()),
            uptime_s: self.begun.elapsed().as_secs(),
            cameras,
            queue: self.outbox.counts(),
            rss_bytes: rss_bytes(),
        };
        let (topic, payload) = (self.topics.metrics(), json(&metrics));
        self.outbox.put(Message { topic, payload, delivery: Delivery::AtMostOnce, retain: false });
    }
}

/// Something worth a message.
pub(super) struct Event<'a> {
    pub(super) camera: usize,
    pub(super) seq: u64,
    pub(super) kind: EventType,
    pub(super) track: Track,
    pub(super) time: jiff::Timestamp,
    pub(super) region: &'a Region,
    pub(super) answer: Answer,
}

fn retained(topic: String, payload: Bytes) -> Message {
    Message { topic, payload, delivery: Delivery::AtLeastOnce, retain: true }
}

/// The messages are structs of texts and numbers, which always become JSON.
fn json(message: &impl Serialize) -> Bytes {
    serde_json::to_vec(message).unwrap_or_default().into()
}
