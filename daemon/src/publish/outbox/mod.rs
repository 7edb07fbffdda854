//! Where messages wait for the broker. Events are on the disk before they are sent, and leave it when the broker
//! has acknowledged them; what only matters now stays in memory. Whoever puts a message in never waits, neither for
//! the network nor for the disk.
//!
//! Data walks: [`Outbox::put`] → [`waiting`] (memory) → [`writer`] (one thread) → [`store`] (the file) → `waiting`
//! → [`Outbox::take`] (the session) → [`Outbox::settle`] → `writer`, which deletes the row.

mod counts;
mod message;
mod replay;
mod store;
#[cfg(test)]
mod tests;
mod waiting;
mod writer;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub use counts::QueueCounts;
pub use message::{Class, Delivery, Loss, Message};
pub use replay::replayed;
pub use store::StoreError;
pub use waiting::{Ordinal, Place, Raised, Sent};

use crate::config::{DiskFull, OutboxConfig};
use waiting::{Rules, Waiting};
use writer::Writer;

/// Time since some moment; never steps back, whatever the system's clock does.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What the node was announced as, kept over restarts.
const ANNOUNCED: &str = "announced";

/// How much it may hold.
#[derive(Debug, Clone, Copy)]
struct Limits {
    max_bytes: u64,
    max_age: Duration,
    memory: usize,
}

/// What the threads around the outbox share.
struct Shared {
    waiting: Mutex<Waiting>,
    work: Condvar,
    filled: Notify,
    /// Milliseconds by which the outbox's clock is ahead of this run's.
    ahead: AtomicU64,
    recalled: Mutex<Recalled>,
    /// Largest payload the present broker takes, bytes.
    max_payload: AtomicUsize,
}

/// What the file remembers beside the queue.
#[derive(Debug, Default)]
struct Recalled {
    seen: Vec<(String, i64)>,
    announced: Option<String>,
}

impl Shared {
    // Counters and maps stay usable when a thread that held them panicked.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_work<'a>(
        &self,
        guard: MutexGuard<'a, Waiting>,
        patience: Duration,
    ) -> MutexGuard<'a, Waiting> {
        self.work.wait_timeout(guard, patience).unwrap_or_else(PoisonError::into_inner).0
    }

    fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            work: Condvar::new(),
            filled: Notify::new(),
            ahead: AtomicU64::new(0),
            recalled: Mutex::default(),
            max_payload: AtomicUsize::new(usize::MAX),
        }
    }

    /// `clock` as this outbox has it, which goes on where the last run's stopped.
    fn continued(self: &Arc<Self>, clock: Clock) -> Clock {
        let shared = Arc::clone(self);
        Arc::new(move || clock() + Duration::from_millis(shared.ahead.load(Ordering::Relaxed)))
    }

    /// Goes on where a run stopped that noted its last event at `noted`; by how much that is later than before.
    fn advance_clock(&self, noted: Duration) -> Duration {
        let noted = u64::try_from(noted.as_millis()).unwrap_or(u64::MAX);
        let before = self.ahead.fetch_max(noted, Ordering::Relaxed);
        Duration::from_millis(noted.saturating_sub(before))
    }

    fn recall(&self, seen: Vec<(String, i64)>, announced: Option<String>) {
        *self.recalled.lock().unwrap_or_else(PoisonError::into_inner) = Recalled { seen, announced };
    }
}

/// The queue between the frame path and the session.
pub struct Outbox {
    shared: Arc<Shared>,
    clock: Clock,
    limits: Limits,
    disk_full: DiskFull,
    late: Duration,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Outbox {
    /// Opens the outbox `config` describes, for the run of the daemon called `run`. A damaged file is set aside; a
    /// disk that takes nothing is tried again until it does, and events wait in memory meanwhile.
    ///
    /// # Errors
    /// If another process has the file, or the system gives no thread.
    pub fn open(config: &OutboxConfig, run: &str) -> Result<Self, StoreError> {
        let begun = Instant::now();
        Self::open_with_clock(config, run, Arc::new(move || begun.elapsed()))
    }

    /// As [`Self::open`], by another clock than the system's monotonic one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_clock(config: &OutboxConfig, run: &str, clock: Clock) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new());
        let limits = Limits { max_bytes: config.max_bytes, max_age: config.max_age, memory: config.memory };
        let clock = shared.continued(clock);
        let (mut writer, mut disk_full) = (None, config.disk_full);
        if let Some(path) = &config.path {
            let thread =
                Writer::open(Arc::clone(&shared), Arc::clone(&clock), limits, run.to_owned(), path.clone())?;
            let spawned = std::thread::Builder::new().name("outbox".into()).spawn(move || thread.run());
            writer = Some(spawned.map_err(|error| StoreError::Disk {
                path: path.clone(),
                attempt: "start the thread of",
                reason: error.to_string(),
            })?);
        } else {
            // Without a file memory is all there is.
            shared.lock().disk_fails = true;
            disk_full = DiskFull::Publish;
        }
        Ok(Self { shared, clock, limits, disk_full, late: config.late, writer: Mutex::new(writer) })
    }

    /// Puts `message` last of its class. Never waits: an event goes to the disk on another thread.
    pub fn put(&self, message: Message) {
        self.shared.lock().put(message, (self.clock)(), self.limits.memory);
        self.shared.work.notify_one();
        self.shared.filled.notify_one();
    }

    /// The next message to send, which is then in flight until [`Self::settle`], [`Self::put_back`] or
    /// [`Self::give_up`]. Without `all`, only what cannot wait for the next batch.
    #[must_use]
    pub fn take(&self, all: bool) -> Option<(Place, Message, Sent)> {
        let rules = Rules { undurable: self.disk_full == DiskFull::Publish, all };
        let now = (self.clock)();
        let mut waiting = self.shared.lock();
        let (place, mut message, sent) = waiting.take(rules)?;
        let late = |noted: Duration| now.saturating_sub(noted) > self.late;
        let is_late = match (&sent.entry, sent.noted) {
            (Some(entry), _) => entry.earlier_run.is_some() || entry.tried || late(entry.noted),
            (None, Some(noted)) => late(noted),
            (None, None) => false,
        };
        if is_late {
            message.payload = replayed(&message.payload);
            waiting.counts.replayed += u64::from(sent.entry.is_some());
        }
        let refill = waiting.lanes().iter().any(|lane| lane.loaded < lane.stored);
        drop(waiting);
        if refill {
            self.shared.work.notify_one();
        }
        Some((place, message, sent))
    }

    /// Resolves when there may be something to take.
    pub async fn filled(&self) {
        self.shared.filled.notified().await;
    }

    /// A message arrived: its row can go.
    pub fn settle(&self, place: &Place, sent: &Sent) {
        self.shared.lock().settle(place, sent);
        self.shared.work.notify_one();
    }

    /// A message did not arrive, or nobody knows: it takes its old place.
    pub fn put_back(&self, place: &Place, sent: Sent, message: Message) {
        self.shared.lock().put_back(place, sent, message);
        self.shared.work.notify_one();
        self.shared.filled.notify_one();
    }

    /// A message will never arrive: nobody shall wait for it.
    pub fn give_up(&self, place: &Place, sent: &Sent, class: Class, loss: Loss) {
        self.shared.lock().give_up(place, sent, class, loss);
        self.shared.work.notify_one();
    }

    /// Everything the broker keeps is to be sent again.
    pub fn tell_again(&self) {
        self.shared.lock().tell_again();
        self.shared.filled.notify_one();
    }

    /// Nothing more is to be told on the retained `topic`.
    pub fn forget(&self, topic: &str) {
        self.shared.lock().forget(topic);
    }

    /// Whether everything that was put in is acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.lock().is_empty()
    }

    /// Messages taken and not landed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.lock().in_flight()
    }

    /// What became of messages.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        let waiting = self.shared.lock();
        QueueCounts {
            waiting: waiting.lanes().iter().map(|lane| lane.waiting()).sum(),
            in_flight: waiting.in_flight() as u64,
            acknowledged: waiting.counts.acknowledged,
            replayed: waiting.counts.replayed,
            dropped: waiting.counts.dropped.clone(),
            durable: !waiting.disk_fails,
        }
    }

    /// Events that would be lost if the process ended now.
    #[must_use]
    pub fn at_risk(&self) -> u64 {
        let waiting = self.shared.lock();
        let fresh = |lane: &&waiting::Lane| {
            let flying = lane.flying.values().filter(|&&stored| !stored).count();
            lane.writing + (lane.fresh.len() + flying) as u64
        };
        waiting.lanes().iter().map(fresh).sum()
    }

    /// Taxa and the day each was last seen, as the file knew them at the start.
    #[must_use]
    pub fn seen(&self) -> Vec<(String, i64)> {
        self.shared.recalled.lock().unwrap_or_else(PoisonError::into_inner).seen.clone()
    }

    /// Remembers the day on which `taxon` was last seen.
    pub fn see(&self, taxon: &str, day: i64) {
        if self.limits.memory > 0 && self.has_file() {
            self.shared.lock().seen.push((taxon.into(), day));
            self.shared.work.notify_one();
        }
    }

    /// What the node was announced as when it ran before.
    #[must_use]
    pub fn announced(&self) -> Option<String> {
        self.shared.recalled.lock().unwrap_or_else(PoisonError::into_inner).announced.clone()
    }

    /// Remembers what the node is announced as.
    pub fn announce(&self, text: String) {
        if self.has_file() {
            self.shared.lock().facts.push((ANNOUNCED, text));
            self.shared.work.notify_one();
        }
    }

    fn has_file(&self) -> bool {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Largest payload the present broker takes, bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.shared.max_payload.load(Ordering::Relaxed)
    }

    /// Notes the largest payload the present broker takes, bytes.
    pub fn set_max_payload(&self, bytes: usize) {
        self.shared.max_payload.store(bytes, Ordering::Relaxed);
    }

    /// Writes what is not written and closes the file. What is put in later is lost.
    pub fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the outbox's thread had panicked; the lines above say where");
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
    }
}
