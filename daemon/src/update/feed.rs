//! The line an update comes over: its own connection, so that a package on its way never delays an event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use fieldmark_models::package::Sha256Digest;
use tokio::time::Instant;

use super::store::{Download, StoreError};
use crate::config::MqttConfig;
use crate::publish::line::{Happening, Line, LineError, Manner, Sender};
use crate::release::{
    ChunkIndex, Listed, METADATA_FILTER, TIMESTAMP, chunk_topic, index_topic, metadata_file, metadata_topic,
};
use crate::rollout::Desired;

/// A file that every repository has.
const FIRST_ROOT: &str = "1.root.json";
/// Chunks asked for and not come.
const WINDOW: usize = 8;
/// A broker that gives nothing for so long does not have it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker that does not give what is asked for.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// It has it not, or is away.
    #[error("{0}")]
    Missing(String),
    /// It is not what was released.
    #[error("{0}")]
    Wrong(String),
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else is wanted meanwhile.
    #[error("something else is wanted")]
    Interrupted,
}

/// What the fleet wants of this node, as it was last heard.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The message; `None` where there is none.
    pub desired: Option<Desired>,
    /// Whether it is another than when this was last set to false.
    pub changed: bool,
    /// Whether there may be other metadata than when this was last set to false.
    pub released: bool,
}

/// A line to the broker, and what was heard on it.
pub struct Feed {
    line: Line,
    sender: Sender,
    standing: [String; 2],
    connected: bool,
    asked: BTreeSet<String>,
    /// What the fleet wants.
    pub wanted: Wanted,
}

impl Feed {
    /// Begins to listen, as `client_id`, on the topic `desired` for what is to run.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn open(mqtt: &MqttConfig, client_id: String, desired: &str) -> Result<Self, LineError> {
        let manner = Manner { client_id, will: None, manual_acks: false, resume: false };
        let mqtt = MqttConfig { session_expiry: Duration::ZERO, ..mqtt.clone() };
        let line = Line::open(&mqtt, &manner)?;
        Ok(Self {
            sender: line.sender(),
            line,
            standing: [desired.into(), metadata_topic(TIMESTAMP)],
            connected: false,
            asked: BTreeSet::new(),
            wanted: Wanted::default(),
        })
    }

    /// The next message that was asked for; `None` when the line is closed. What the fleet wants is noted by the way,
    /// and ends the wait.
    async fn next(&mut self) -> Option<(String, Bytes)> {
        loop {
            match self.line.next().await? {
                Happening::Connected(_) => {
                    self.connected = true;
                    for topic in self.standing.iter().chain(&self.asked) {
                        self.sender.subscribe(topic).await;
                    }
                }
                Happening::Lost(_) => self.connected = false,
                Happening::Message(message) => {
                    self.note(&message.topic, &message.payload);
                    return Some((message.topic, message.payload));
                }
            }
        }
    }

    fn note(&mut self, topic: &str, payload: &Bytes) {
        if topic == self.standing[1] {
            self.wanted.released = true;
        } else if topic == self.standing[0] {
            let desired = (!payload.is_empty()).then(|| serde_json::from_slice::<Desired>(payload));
            match desired.transpose() {
                Ok(desired) => {
                    self.wanted.changed |= desired != self.wanted.desired;
                    self.wanted.desired = desired;
                }
                Err(error) => tracing::error!(topic, "what the fleet wants cannot be understood: {error}"),
            }
        }
    }

    /// Waits for something the fleet wants, for at most `patience`.
    pub async fn wait(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while !self.wanted.changed && !self.wanted.released {
            match tokio::time::timeout_at(until, self.next()).await {
                Ok(Some(_)) => {}
                Ok(None) => return tokio::time::sleep_until(until).await,
                Err(_) => return,
            }
        }
    }

    async fn ask(&mut self, topic: String) {
        if self.connected {
            self.sender.subscribe(&topic).await;
        }
        self.asked.insert(topic);
    }

    async fn drop_asked(&mut self, topic: &str) {
        if self.asked.remove(topic) && self.connected {
            self.sender.unsubscribe(topic).await;
        }
    }

    /// All metadata the broker keeps.
    ///
    /// # Errors
    /// If it keeps none, or is away.
    pub async fn metadata(&mut self) -> Result<BTreeMap<String, Bytes>, FeedError> {
        self.wait_connected().await?;
        let mut files = BTreeMap::new();
        let mut total = 0_usize;
        self.ask(METADATA_FILTER.into()).await;
        // A broker answers in the order in which it is asked: when a file that every repository has comes once more,
        // everything that was asked for before it is there.
        let last = metadata_topic(FIRST_ROOT);
        self.sender.subscribe(&last).await;
        let (mut firsts, begun) = (0, Instant::now());
        while firsts < 2 {
            let Ok(next) = tokio::time::timeout_at(begun + PATIENCE, self.next()).await else { break };
            let Some((topic, payload)) = next else { break };
            let Some(file) = metadata_file(&topic) else { continue };
            firsts += u32::from(file == FIRST_ROOT);
            total += payload.len();
            if total > 64 << 20 {
                self.drop_asked(METADATA_FILTER).await;
                return Err(FeedError::Wrong("the broker sends metadata without end".into()));
            }
            if payload.is_empty() {
                files.remove(file);
            } else {
                files.insert(file.to_owned(), payload);
            }
        }
        self.drop_asked(METADATA_FILTER).await;
        self.sender.unsubscribe(&last).await;
        self.wanted.released = false;
        if files.contains_key(TIMESTAMP) {
            return Ok(files);
        }
        Err(FeedError::Missing(
            "the broker keeps no release repository; publish it (fieldmark release publish)".into(),
        ))
    }

    async fn wait_connected(&mut self) -> Result<(), FeedError> {
        let begun = Instant::now();
        while !self.connected {
            // Messages that come meanwhile are noted; nothing else was asked for.
            if tokio::time::timeout_at(begun + PATIENCE, self.next()).await.is_err() && !self.connected {
                return Err(FeedError::Missing("there is no connection to the broker".into()));
            }
        }
        Ok(())
    }

    async fn one(&mut self, topic: String) -> Result<Bytes, FeedError> {
        self.wait_connected().await?;
        self.ask(topic.clone()).await;
        let begun = Instant::now();
        let found = loop {
            match tokio::time::timeout_at(begun + PATIENCE, self.next()).await {
                Ok(Some((heard, payload))) if heard == topic => break Some(payload),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break None,
            }
        };
        self.drop_asked(&topic).await;
        found.filter(|payload| !payload.is_empty()).ok_or_else(|| {
            FeedError::Missing(format!(
                "the broker does not keep {topic}; publish the repository again, with --again"
            ))
        })
    }

    /// The chunk index of `listed`.
    ///
    /// # Errors
    /// If the broker has none, or another than was signed.
    pub async fn index(&mut self, listed: &Listed) -> Result<ChunkIndex, FeedError> {
        let topic = index_topic(listed.release.sha256);
        let bytes = self.one(topic.clone()).await?;
        let wrong = |reason: &str| FeedError::Wrong(format!("{topic}: {reason}"));
        if listed.index.is_some_and(|signed| Sha256Digest::of(&bytes) != signed) {
            return Err(wrong("its digest is not the signed one"));
        }
        ChunkIndex::read(&bytes, listed.release.sha256, listed.release.size)
            .map_err(|error| wrong(&error.to_string()))
    }

    /// Fetches what `download` lacks; `tell` hears how far it is. Each chunk is asked for by itself, so that nothing
    /// comes twice and the broker never has to queue more than a window.
    ///
    /// # Errors
    /// If a chunk is not there, is another, cannot be kept, or something else is wanted meanwhile.
    pub async fn chunks(
        &mut self,
        sha256: Sha256Digest,
        download: &mut Download,
        tell: &mut (dyn FnMut(f64) + Send),
    ) -> Result<(), FeedError> {
        let mut waiting: std::collections::VecDeque<_> = download.missing().collect();
        let mut open: BTreeMap<String, usize> = BTreeMap::new();
        let outcome = loop {
            while open.len() < WINDOW
                && let Some(number) = waiting.pop_front()
            {
                let topic = chunk_topic(sha256, number);
                self.ask(topic.clone()).await;
                open.insert(topic, number);
            }
            if open.is_empty() {
                break Ok(());
            }
            let heard = tokio::time::timeout(PATIENCE, self.next()).await;
            if self.wanted.changed {
                break Err(FeedError::Interrupted);
            }
            let (topic, payload) = match heard {
                Ok(Some(heard)) => heard,
                Ok(None) => break Err(FeedError::Missing("the line to the broker is closed".into())),
                Err(_) if !self.connected => {
                    break Err(FeedError::Missing("the connection to the broker is lost".into()));
                }
                Err(_) => {
                    let first = open.values().min().copied().unwrap_or_default();
                    break Err(FeedError::Missing(format!(
                        "the broker does not keep chunk {first}; publish the repository again, with --again"
                    )));
                }
            };
            let Some(number) = open.remove(&topic) else { continue };
            self.drop_asked(&topic).await;
            if let Err(error) = download.keep(number, &payload) {
                break Err(match error {
                    StoreError::Chunk(_) => FeedError::Wrong(format!("{topic}: {error}")),
                    other => other.into(),
                });
            }
            tell(download.progress());
        };
        for topic in open.keys() {
            self.drop_asked(topic).await;
        }
        download.sync()?;
        outcome
    }

    /// Whether there is a connection to the broker.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Disconnects in order.
    pub async fn close(self) {
        self.line.close().await;
    }
}
