//! A repository on a broker: everything a node needs as retained messages, so that no server of ours has to run.
//!
//! Chunks go first and the timestamp last: a node that sees a release finds all of it. What is no longer released is
//! taken back afterwards.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use fieldmark_models::package::Sha256Digest;

use super::line::{Happening, Line, NotDelivered, Receipt, packet_bytes};
use super::outbox::Delivery;
use crate::release::{
    ChunkIndex, MAX_FILE, METADATA_FILTER, Repository, TIMESTAMP, chunk_topic, hex, index_topic,
    metadata_file, metadata_topic, targets_filter,
};

/// Messages on their way at one time.
const WINDOW: usize = 32;
/// A broker that gives nothing for so long has nothing more.
const QUIET: Duration = Duration::from_secs(2);

/// Why a repository is not on the broker.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// A file of the repository cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The repository has nothing nodes could read.
    #[error("{0} is not complete yet: sign what is staged, then refresh")]
    Incomplete(PathBuf),
    /// The broker refused.
    #[error("the broker refused {topic}: {reason}; check its access rules and its largest message")]
    Refused {
        /// Topic of the message.
        topic: String,
        /// What it said.
        reason: String,
    },
    /// The broker takes no message of that size.
    #[error(
        "the broker takes messages of at most {allowed} bytes, and {topic} needs {size}: raise its limit (mosquitto's \
         max_packet_size), or add the release with a smaller --chunk"
    )]
    TooLarge {
        /// Topic of the message.
        topic: String,
        /// Bytes of the packet.
        size: usize,
        /// Most that it takes.
        allowed: usize,
    },
    /// No line any more.
    #[error("the line to the broker was closed")]
    Closed,
}

/// How far publishing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Messages the broker has.
    pub done: usize,
    /// Messages there are.
    pub all: usize,
}

/// What is put on a broker.
pub struct Depot {
    folder: PathBuf,
    metadata: Vec<String>,
    targets: Vec<(PathBuf, ChunkIndex)>,
}

/// What a broker holds.
#[derive(Debug, Default)]
struct Held {
    metadata: BTreeSet<String>,
    indexes: HashMap<Sha256Digest, ChunkIndex>,
    /// Largest packet the broker takes, bytes.
    max_packet: usize,
}

impl Depot {
    /// Of a complete repository.
    ///
    /// # Errors
    /// If it is not, or a file of it is missing.
    pub fn of(repository: &Repository) -> Result<Self, DepotError> {
        let folder = repository.folder().to_owned();
        let versions = repository.versions();
        let version =
            |role: &str| versions.iter().find(|(name, ..)| *name == role).map(|(_, version, _)| *version);
        let (Some(root), Some(targets), Some(snapshot), Some(_)) =
            (version("root"), version("targets"), version("snapshot"), version("timestamp"))
        else {
            return Err(DepotError::Incomplete(folder));
        };
        // Every root, because a node that was away for long follows them one by one.
        let mut metadata: Vec<_> = (1..=root).map(|version| format!("{version}.root.json")).collect();
        metadata.extend([
            format!("{targets}.targets.json"),
            format!("{snapshot}.snapshot.json"),
            TIMESTAMP.into(),
        ]);
        let mut files = Vec::new();
        for (name, target) in repository.released() {
            let digest = hex(target.hashes.sha256.as_ref());
            let path = folder.join("targets").join(format!("{digest}.{}", name.raw()));
            let Ok(sha256) = digest.parse() else { continue };
            let beside = repository.index_path(name.raw(), sha256);
            let index = read(&beside)?;
            let index = ChunkIndex::read(&index, sha256, target.length)
                .map_err(|error| DepotError::File { path: beside, reason: error.to_string() })?;
            files.push((path, index));
        }
        Ok(Self { folder, metadata, targets: files })
    }

    /// Puts on the broker what is not there, and takes back what is no longer released. Goes on over lost
    /// connections; `tell` hears how far it is. With `again`, everything is put there: a chunk that the broker lost, or that was
    /// written over, shows in no index.
    ///
    /// # Errors
    /// If a file cannot be read or the broker refuses a message.
    pub async fn publish(
        &self,
        line: &mut Line,
        again: bool,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), DepotError> {
        let held = survey(line).await?;
        let missing = |index: &ChunkIndex| again || held.indexes.get(&index.sha256) != Some(index);
        let targets: Vec<_> = self.targets.iter().filter(|(_, index)| missing(index)).collect();
        let gone = self.gone(&held);
        let stale: Vec<_> = held.metadata.iter().filter(|file| !self.metadata.contains(file)).collect();
        let chunks = |indexes: &mut dyn Iterator<Item = &ChunkIndex>| {
            indexes.map(|index| index.chunks.len() + 1).sum::<usize>()
        };
        let all = chunks(&mut targets.iter().map(|(_, index)| index))
            + gone.len()
            + self.metadata.len()
            + stale.len();
        let mut sending = Sending {
            line,
            max_packet: held.max_packet,
            waiting: VecDeque::new(),
            progress: Progress { done: 0, all },
            tell,
        };
        for (path, index) in targets {
            let bytes = Bytes::from(read(path)?);
            for number in 0..index.chunks.len() {
                let (begin, length) = index.place(number);
                let begin = usize::try_from(begin).unwrap_or(usize::MAX).min(bytes.len());
                let chunk = bytes.slice(begin..(begin + length).min(bytes.len()));
                if !index.fits(number, &chunk) {
                    return Err(DepotError::File {
                        path: path.clone(),
                        reason: "it was changed after it was added".into(),
                    });
                }
                sending.send(chunk_topic(index.sha256, number), chunk).await?;
            }
            sending.flush().await?;
            sending.send(index_topic(index.sha256), index.to_json().into()).await?;
        }
        for file in &self.metadata {
            sending.flush().await?;
            sending
                .send(metadata_topic(file), read(&self.folder.join("metadata").join(file))?.into())
                .await?;
        }
        sending.flush().await?;
        for file in stale {
            sending.send(metadata_topic(file), Bytes::new()).await?;
        }
        for topic in gone {
            sending.send(topic, Bytes::new()).await?;
        }
        sending.flush().await
    }

    /// Topics of what is not released any more, and of chunks beyond the last of a target that was cut anew.
    fn gone(&self, held: &Held) -> Vec<String> {
        let mut topics = Vec::new();
        for index in held.indexes.values() {
            let own = self.targets.iter().find(|(_, own)| own.sha256 == index.sha256);
            let kept = own.map_or(0, |(_, own)| own.chunks.len());
            if own.is_none() {
                topics.push(index_topic(index.sha256));
            }
            topics.extend((kept..index.chunks.len()).map(|number| chunk_topic(index.sha256, number)));
        }
        topics
    }
}

/// Sends with a window, again what a lost connection took.
struct Sending<'a> {
    line: &'a mut Line,
    max_packet: usize,
    waiting: VecDeque<(String, Bytes, Receipt)>,
    progress: Progress,
    tell: &'a mut dyn FnMut(Progress),
}

impl Sending<'_> {
    async fn send(&mut self, topic: String, payload: Bytes) -> Result<(), DepotError> {
        while self.waiting.len() >= WINDOW {
            self.settle().await?;
        }
        self.hand_over(topic, payload).await
    }

    async fn hand_over(&mut self, topic: String, payload: Bytes) -> Result<(), DepotError> {
        let (size, allowed) = (packet_bytes(&topic, &payload), self.max_packet);
        if size > allowed {
            return Err(DepotError::TooLarge { topic, size, allowed });
        }
        let receipt = self.line.sender().publish(&topic, payload.clone(), Delivery::AtLeastOnce, true).await;
        self.waiting.push_back((topic, payload, receipt.ok_or(DepotError::Closed)?));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), DepotError> {
        while !self.waiting.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for the oldest message.
    async fn settle(&mut self) -> Result<(), DepotError> {
        let Some((topic, payload, mut receipt)) = self.waiting.pop_front() else { return Ok(()) };
        let outcome = loop {
            tokio::select! {
                outcome = &mut receipt => break outcome,
                happening = self.line.next() => match happening {
                    Some(Happening::Connected(limits)) => self.max_packet = limits.largest(),
                    Some(Happening::Lost(lost)) => {
                        tracing::warn!("no connection to the broker: {}; trying again", lost.reason);
                    }
                    Some(Happening::Message(_)) => {}
                    None => return Err(DepotError::Closed),
                },
            }
        };
        match outcome {
            Ok(()) => {
                self.progress.done += 1;
                (self.tell)(self.progress);
                Ok(())
            }
            Err(NotDelivered::Lost) => self.hand_over(topic, payload).await,
            Err(NotDelivered::Refused(reason)) => Err(DepotError::Refused { topic, reason }),
        }
    }
}

/// What the broker holds of a repository, payloads of targets aside.
async fn survey(line: &mut Line) -> Result<Held, DepotError> {
    let (mut held, mut subscribed) = (Held::default(), false);
    loop {
        let patience = if subscribed { QUIET } else { Duration::from_secs(3600) };
        match tokio::time::timeout(patience, line.next()).await {
            Err(_) => return Ok(held),
            Ok(None) => return Err(DepotError::Closed),
            Ok(Some(Happening::Connected(limits))) => {
                held.max_packet = limits.largest();
                subscribed = true;
                line.sender().subscribe(METADATA_FILTER).await;
                line.sender().subscribe(targets_filter()).await;
            }
            Ok(Some(Happening::Lost(lost))) => {
                subscribed = false;
                tracing::warn!("no connection to the broker: {}; trying again", lost.reason);
            }
            Ok(Some(Happening::Message(message))) if !message.payload.is_empty() => {
                if let Some(file) = metadata_file(&message.topic) {
                    held.metadata.insert(file.to_owned());
                } else if message.payload.len() <= MAX_FILE
                    && let Ok(index) = serde_json::from_slice::<ChunkIndex>(&message.payload)
                    && message.topic == index_topic(index.sha256)
                {
                    held.indexes.insert(index.sha256, index);
                }
            }
            Ok(Some(Happening::Message(_))) => {}
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DepotError> {
    std::fs::read(path).map_err(|error| DepotError::File { path: path.into(), reason: error.to_string() })
}
