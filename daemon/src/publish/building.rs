//! Tells a broker that a model is being compiled. That happens before anything else runs, for minutes, so it has a line
//! of its own, opened only when there is something to tell. It is told as far as it can be: a node without a broker
//! compiles all the same.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::line::{Happening, Line, Manner};
use super::messages::{ModelBuild, VERSION, wire_time};
use super::outbox::Delivery;
use super::topics::Topics;
use crate::config::{Config, MqttConfig};
use crate::engine::Phase;

/// How long the end waits for the last message to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells a broker how far a build is.
pub struct BuildNotice {
    mqtt: MqttConfig,
    client_id: String,
    topic: String,
    telling: Option<Telling>,
}

struct Telling {
    latest: watch::Sender<Bytes>,
    thread: std::thread::JoinHandle<()>,
}

impl BuildNotice {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            mqtt: config.mqtt.clone(),
            client_id: format!("fieldmark-{}-build", config.node.as_str()),
            topic: Topics::new(&config.node).model_build(),
            telling: None,
        }
    }

    /// Tells of `phase`, where it is one of building.
    pub fn tell(&mut self, phase: &Phase) {
        let Phase::Building { engine, step, percent } = phase else { return };
        let build = ModelBuild {
            v: VERSION,
            time: wire_time(jiff::Timestamp::now()),
            engine: *engine,
            step: step.clone(),
            progress: percent.map(|percent| f64::from(percent) / 100.0),
        };
        // Texts and numbers always become JSON.
        let payload = Bytes::from(serde_json::to_vec(&build).unwrap_or_default());
        match &self.telling {
            Some(telling) => drop(telling.latest.send(payload)),
            None => self.telling = self.open(payload),
        }
    }

    fn open(&self, first: Bytes) -> Option<Telling> {
        let (latest, steps) = watch::channel(first);
        let (mqtt, topic) = (self.mqtt.clone(), self.topic.clone());
        let manner =
            Manner { client_id: self.client_id.clone(), will: None, manual_acks: false, resume: false };
        let work = move || {
            let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match threads {
                Ok(threads) => threads.block_on(publish(&mqtt, &manner, &topic, steps)),
                Err(error) => tracing::warn!("the build is not published: {error}"),
            }
        };
        let thread = std::thread::Builder::new().name("build-notice".into()).spawn(work);
        thread.ok().map(|thread| Telling { latest, thread })
    }
}

impl Drop for BuildNotice {
    fn drop(&mut self) {
        if let Some(Telling { latest, thread }) = self.telling.take() {
            drop(latest);
            let _ = thread.join();
        }
    }
}

/// Publishes the latest step whenever there is another one and a broker; a step that another one has overtaken is not
/// told any more.
async fn publish(mqtt: &MqttConfig, manner: &Manner, topic: &str, mut steps: watch::Receiver<Bytes>) {
    let mut line = match Line::open(mqtt, manner) {
        Ok(line) => line,
        Err(error) => return tracing::warn!("the build is not published: {error}"),
    };
    let (sender, mut connected, mut told) = (line.sender(), false, false);
    steps.mark_changed();
    let given_up = given_up(steps.clone());
    tokio::pin!(given_up);
    loop {
        tokio::select! {
            happening = line.next() => match happening {
                Some(Happening::Connected(_)) => connected = true,
                Some(Happening::Lost(lost)) => {
                    connected = false;
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!("the build is not published: {}", lost.reason);
                    }
                }
                Some(Happening::Message(_)) => {}
                None => return,
            },
            changed = steps.changed(), if connected => {
                let last = changed.is_err();
                let payload = steps.borrow_and_update().clone();
                let receipt = sender.publish(topic, payload, Delivery::AtLeastOnce, false).await;
                if last {
                    if let Some(receipt) = receipt {
                        let _ = tokio::time::timeout(PATIENCE, receipt).await;
                    }
                    return line.close().await;
                }
            }
            () = &mut given_up, if !connected => return line.close().await,
        }
    }
}

/// Resolves some time after there will be no more steps: a broker that was not there until then is not waited for.
async fn given_up(steps: watch::Receiver<Bytes>) {
    while steps.has_changed().is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(PATIENCE).await;
}
