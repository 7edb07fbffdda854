//! The thread that has the file: writes what was decided, deletes what was acknowledged, reads what is to be sent
//! next. Everything that waits at one moment goes in one commit, so a slow disk makes commits larger, not queues
//! longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::{Class, Loss, Message};
use super::store::{Batch, Row, Store, StoreError, set_aside};
use super::waiting::{Entry, Ordinal, WINDOW, Waiting};
use super::{Clock, Limits, Shared};

/// Events in one commit.
const BATCH: usize = 512;
/// Deleted in one commit.
const DELETIONS: usize = 4096;
/// Acknowledged rows are deleted together: waiting this long for more spares the disk, and costs duplicates only
/// if the process dies meanwhile.
const LINGER: Duration = Duration::from_millis(200);
/// A disk that takes nothing is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// Failures in a row after which the file is opened anew: the disk may have been mounted again.
const REOPEN: u32 = 10;
/// Between two looks for rows that are too old.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    shared: Arc<Shared>,
    clock: Clock,
    limits: Limits,
    run: String,
    path: std::path::PathBuf,
    store: Option<Store>,
    /// Identities of the files that this run had open. They are numbered from 1.
    files: Vec<String>,
    failures: u32,
    retry_at: Instant,
    deletions_since: Option<Instant>,
    kept_house: Option<Instant>,
    /// Events dropped for want of memory, as last told.
    told_dropped: u64,
}

/// What is written, until the disk has it.
type Writing = Vec<(Class, Ordinal, Entry)>;

impl Writer {
    /// Opens the file. One that the disk does not let be opened is tried again later; until then the outbox is in
    /// memory.
    ///
    /// # Errors
    /// If another process has it.
    pub(super) fn open(
        shared: Arc<Shared>,
        clock: Clock,
        limits: Limits,
        run: String,
        path: std::path::PathBuf,
    ) -> Result<Self, StoreError> {
        let now = Instant::now();
        let mut writer = Self {
            shared,
            clock,
            limits,
            run,
            path,
            store: None,
            files: Vec::new(),
            failures: 0,
            retry_at: now,
            deletions_since: None,
            kept_house: None,
            told_dropped: 0,
        };
        match writer.try_open() {
            Err(error @ StoreError::InUse { .. }) => Err(error),
            Err(error) => {
                writer.fail(&error);
                Ok(writer)
            }
            Ok(()) => Ok(writer),
        }
    }

    fn try_open(&mut self) -> Result<(), StoreError> {
        self.store = None;
        let store = Store::open(&self.path)?;
        let (alerts, detections) = (store.extent(Class::Alert)?, store.extent(Class::Detection)?);
        let identity = store.fact("file")?.unwrap_or_default();
        let seen = store.seen()?;
        let announced = store.fact(super::ANNOUNCED)?;
        let known = self.files.iter().position(|file| *file == identity);
        let place = known.unwrap_or_else(|| {
            self.files.push(identity);
            self.files.len() - 1
        });
        let mut waiting = self.shared.lock();
        let before = std::mem::replace(&mut waiting.file, place as u64 + 1);
        if before != 0 && before != waiting.file {
            lose_file(&mut waiting);
        }
        if known.is_none() {
            // Ages go on where the last run left them, whatever the system's clock says.
            let ahead = self.shared.advance_clock(alerts.noted.max(detections.noted));
            waiting.raise(alerts.last.max(detections.last), ahead);
        }
        for (class, extent) in [(Class::Alert, alerts), (Class::Detection, detections)] {
            let lane = waiting.lane(class);
            lane.rewind();
            (lane.rows, lane.stored) = (extent.rows, extent.last);
        }
        drop(waiting);
        self.shared.recall(seen, announced);
        self.store = Some(store);
        Ok(())
    }

    /// Until the outbox is closed.
    pub(super) fn run(mut self) {
        loop {
            let closing = self.wait();
            let outcome = self.step();
            if let Err(error) = outcome {
                self.fail(&error);
            } else if self.failures > 0 && self.store.is_some() {
                self.recover();
            }
            self.tell_dropped();
            self.shared.filled.notify_one();
            if closing && (self.failures > 0 || self.shared.lock().nothing_to_write()) {
                break;
            }
        }
        if let Some(store) = self.store.take() {
            store.close();
        }
    }

    /// Waits for something to do; whether the outbox is being closed.
    fn wait(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut waiting = shared.lock();
        loop {
            let now = Instant::now();
            if waiting.closing {
                return true;
            }
            let due = self.due(&waiting, now);
            if due <= now {
                return false;
            }
            waiting = shared.wait_for_work(waiting, due - now);
        }
    }

    fn due(&mut self, waiting: &Waiting, now: Instant) -> Instant {
        if self.failures > 0 {
            return self.retry_at;
        }
        let refill =
            waiting.lanes().iter().any(|lane| lane.ready.len() < WINDOW / 2 && lane.loaded < lane.stored);
        let fresh = waiting.lanes().iter().any(|lane| !lane.fresh.is_empty());
        if refill || fresh || !waiting.seen.is_empty() || !waiting.facts.is_empty() {
            return now;
        }
        let settled: usize = waiting.lanes().iter().map(|lane| lane.settled.len()).sum();
        let housekeeping = self.kept_house.map_or(now, |kept| kept + HOUSEKEEPING);
        match settled {
            0 => {
                self.deletions_since = None;
                housekeeping
            }
            1..DELETIONS => (*self.deletions_since.get_or_insert(now) + LINGER).min(housekeeping),
            _ => now,
        }
    }

    fn step(&mut self) -> Result<(), StoreError> {
        if self.store.is_none() || self.failures >= REOPEN {
            self.failures = self.failures.min(1);
            self.try_open().inspect_err(|_| self.shared.lock().disk_unreadable = true)?;
        }
        // What is there can be sent even when nothing more can be written.
        let readable = self.refill();
        self.shared.lock().disk_unreadable = readable.is_err();
        readable?;
        self.write()?;
        self.make_room()?;
        if self.kept_house.is_none_or(|kept| kept.elapsed() >= HOUSEKEEPING) {
            self.kept_house = Some(Instant::now());
            self.expire()?;
        }
        self.refill()
    }

    fn store(&mut self) -> Result<&mut Store, StoreError> {
        let closed =
            || StoreError::Disk { path: self.path.clone(), attempt: "use", reason: "it is not open".into() };
        self.store.as_mut().ok_or_else(closed)
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let (writing, batch) = self.gather();
        if batch.rows.is_empty() && batch.gone.is_empty() && batch.seen.is_empty() && batch.facts.is_empty() {
            return Ok(());
        }
        let outcome = self.store().and_then(|store| store.commit(&batch));
        self.deletions_since = None;
        let mut waiting = self.shared.lock();
        for class in [Class::Alert, Class::Detection] {
            waiting.lane(class).writing = 0;
        }
        match outcome {
            Ok(there) => {
                waiting.written(writing, &batch.gone, &there);
                Ok(())
            }
            Err(error) => {
                for (class, ordinal, entry) in writing {
                    waiting.lane(class).fresh.insert(ordinal, entry);
                }
                waiting.seen.extend(batch.seen);
                waiting.facts.extend(batch.facts);
                waiting.shrink(self.limits.memory);
                Err(error)
            }
        }
    }

    fn gather(&self) -> (Writing, Batch) {
        let mut waiting = self.shared.lock();
        let mut writing = Writing::new();
        let mut batch = Batch::default();
        for class in [Class::Alert, Class::Detection] {
            let lane = waiting.lane(class);
            while writing.len() < BATCH
                && let Some((ordinal, entry)) = lane.fresh.pop_first()
            {
                lane.writing += 1;
                writing.push((class, ordinal, entry));
            }
            batch.gone.extend(lane.settled.iter().take(DELETIONS));
        }
        batch.seen = std::mem::take(&mut waiting.seen);
        batch.facts = std::mem::take(&mut waiting.facts);
        drop(waiting);
        batch.rows.extend(writing.iter().map(|(class, ordinal, entry)| Row {
            ordinal: *ordinal,
            class: *class,
            noted: entry.noted,
            run: entry.earlier_run.clone().unwrap_or_else(|| self.run.clone()),
            topic: entry.message.topic.clone(),
            payload: entry.message.payload.clone(),
        }));
        (writing, batch)
    }

    /// Reads the rows that are to be sent next into memory.
    fn refill(&mut self) -> Result<(), StoreError> {
        for class in [Class::Alert, Class::Detection] {
            loop {
                let (after, room) = {
                    let mut waiting = self.shared.lock();
                    let lane = waiting.lane(class);
                    if lane.ready.len() >= WINDOW / 2 || lane.loaded >= lane.stored {
                        break;
                    }
                    (lane.loaded, WINDOW - lane.ready.len())
                };
                let rows = self.store()?.rows(class, after, room)?;
                let run = self.run.clone();
                let mut waiting = self.shared.lock();
                let file = waiting.file;
                let lane = waiting.lane(class);
                lane.loaded =
                    if rows.len() < room { lane.stored } else { rows.last().map_or(0, |row| row.ordinal) };
                for row in rows {
                    if !lane.flying.contains_key(&row.ordinal) && !lane.settled.contains(&row.ordinal) {
                        lane.ready.insert(row.ordinal, entry(row, &run, file));
                    }
                }
            }
        }
        Ok(())
    }

    /// Deletes the oldest of the least important class until the file is small enough.
    fn make_room(&mut self) -> Result<(), StoreError> {
        while self.store()?.bytes()? > self.limits.max_bytes {
            let (class, rows) = {
                let mut waiting = self.shared.lock();
                let class = if waiting.detections.rows > 0 { Class::Detection } else { Class::Alert };
                (class, waiting.lane(class).rows)
            };
            let share = usize::try_from(rows / 20).unwrap_or(usize::MAX).clamp(16, DELETIONS);
            if self.drop_oldest(class, Duration::MAX, share, Loss::Size)? == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    fn expire(&mut self) -> Result<(), StoreError> {
        let Some(before) = (self.clock)().checked_sub(self.limits.max_age) else { return Ok(()) };
        for class in [Class::Alert, Class::Detection] {
            while self.drop_oldest(class, before, DELETIONS, Loss::Age)? >= DELETIONS {}
        }
        Ok(())
    }

    /// Deletes up to `share` rows of `class` noted before `before`, those in flight excepted; how many.
    fn drop_oldest(
        &mut self,
        class: Class,
        before: Duration,
        share: usize,
        loss: Loss,
    ) -> Result<usize, StoreError> {
        let flying = self.shared.lock().lane(class).flying.len();
        let mut oldest = self.store()?.oldest(class, before, share + flying)?;
        {
            let mut waiting = self.shared.lock();
            let lane = waiting.lane(class);
            oldest.retain(|ordinal| !lane.flying.contains_key(ordinal) && !lane.settled.contains(ordinal));
            oldest.truncate(share);
            for ordinal in &oldest {
                lane.ready.remove(ordinal);
            }
        }
        if oldest.is_empty() {
            return Ok(0);
        }
        let batch = Batch { gone: oldest, ..Batch::default() };
        let outcome = self.store()?.commit(&batch);
        let mut waiting = self.shared.lock();
        let lane = waiting.lane(class);
        if let Err(error) = outcome {
            lane.rewind();
            return Err(error);
        }
        let dropped = batch.gone.len();
        lane.rows = lane.rows.saturating_sub(dropped as u64);
        for _ in 0..dropped {
            waiting.lose(class, loss);
        }
        Ok(dropped)
    }

    fn fail(&mut self, error: &StoreError) {
        self.failures += 1;
        self.retry_at = Instant::now() + RETRY;
        if let StoreError::Damaged { reason, .. } = error {
            self.store = None;
            if let Err(error) = set_aside(&self.path, reason) {
                tracing::error!("{error}");
            }
        }
        let mut waiting = self.shared.lock();
        let first = !waiting.disk_fails;
        waiting.disk_fails = true;
        drop(waiting);
        if first {
            tracing::error!("{error}; events wait in memory, the disk is tried again every {RETRY:?}");
        }
    }

    /// Told once, and again whenever twice as many are gone.
    fn tell_dropped(&mut self) {
        let by_loss = |losses: &BTreeMap<Loss, u64>| losses.get(&Loss::Memory).copied().unwrap_or(0);
        let dropped: u64 = self.shared.lock().counts.dropped.values().map(by_loss).sum();
        if dropped >= (self.told_dropped * 2).max(1) {
            self.told_dropped = dropped;
            tracing::error!(
                path = %self.path.display(), dropped,
                "memory is full as well, the oldest detections are dropped; make room on the disk"
            );
        }
    }

    fn recover(&mut self) {
        self.failures = 0;
        self.shared.lock().disk_fails = false;
        tracing::info!(path = %self.path.display(), "the outbox is on the disk again");
    }
}

/// The file the rows stood in is gone: what memory still holds of them is written to the new one.
fn lose_file(waiting: &mut Waiting) {
    for class in [Class::Alert, Class::Detection] {
        let lane = waiting.lane(class);
        lane.settled.clear();
        for stored in lane.flying.values_mut() {
            *stored = false;
        }
        for (ordinal, mut entry) in std::mem::take(&mut lane.ready) {
            entry.stored = None;
            lane.fresh.insert(ordinal, entry);
        }
    }
}

fn entry(row: Row, run: &str, file: u64) -> Entry {
    let message = Message { topic: row.topic, payload: row.payload, class: row.class };
    let earlier_run = (row.run != run).then_some(row.run);
    Entry { message, noted: row.noted, earlier_run, tried: false, stored: Some(file) }
}

impl Waiting {
    /// `writing` stands on the disk, some of it as before, `gone` does not any more.
    fn written(&mut self, writing: Writing, gone: &[Ordinal], there: &BTreeSet<Ordinal>) {
        let file = self.file;
        for class in [Class::Alert, Class::Detection] {
            let lane = self.lane(class);
            for ordinal in gone {
                lane.rows = lane.rows.saturating_sub(u64::from(lane.settled.remove(ordinal)));
            }
        }
        for (class, ordinal, mut entry) in writing {
            let lane = self.lane(class);
            lane.rows += u64::from(!there.contains(&ordinal));
            entry.stored = Some(file);
            // A lane with nothing left on the disk only passes straight on; otherwise the row waits its turn there.
            // One that came back from an older file has its own, lower, ordinal and goes first.
            let next = lane.loaded >= lane.stored && lane.ready.len() < WINDOW;
            if next || ordinal < lane.loaded {
                lane.ready.insert(ordinal, entry);
                lane.loaded = lane.loaded.max(ordinal);
            }
            lane.stored = lane.stored.max(ordinal);
        }
    }

    fn nothing_to_write(&self) -> bool {
        self.lanes().iter().all(|lane| lane.fresh.is_empty() && lane.settled.is_empty())
            && self.seen.is_empty()
            && self.facts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn writer(path: &std::path::Path, run: &str, time: &Arc<std::sync::Mutex<Duration>>) -> Writer {
        let shared = Arc::new(Shared::new());
        let time = Arc::clone(time);
        let clock = shared.continued(Arc::new(move || *time.lock().expect("a time")));
        let limits = Limits { max_bytes: 1 << 24, max_age: 30 * DAY, memory: 10_000 };
        Writer::open(shared, clock, limits, run.into(), path.into()).expect("a writer")
    }

    fn put(writer: &Writer, topics: &[&str]) {
        for topic in topics {
            let message = Message { topic: (*topic).into(), payload: Bytes::new(), class: Class::Detection };
            writer.shared.lock().put(message, (writer.clock)(), writer.limits.memory);
        }
    }

    fn take(writer: &mut Writer) -> Option<(super::super::Place, Message, super::super::Sent)> {
        writer.step().expect("the disk takes it");
        writer.shared.lock().take(super::super::Rules { undurable: true, all: true })
    }

    fn topics(writer: &mut Writer) -> Vec<String> {
        let mut topics = Vec::new();
        while let Some((place, message, sent)) = take(writer) {
            writer.shared.lock().settle(&place, &sent);
            topics.push(message.topic);
        }
        topics
    }

    fn damaged(writer: &mut Writer) {
        let path = writer.path.clone();
        writer.fail(&StoreError::Damaged { path, reason: "as a test".into() });
    }

    #[test]
    fn a_file_that_is_opened_anew_makes_nothing_older() {
        let folder = tempfile::tempdir().expect("a folder");
        let time = Arc::new(std::sync::Mutex::new(40 * DAY));
        let mut writer = writer(&folder.path().join("outbox.sqlite"), "run", &time);
        put(&writer, &["a", "b"]);
        writer.step().expect("written");
        *time.lock().expect("a time") = 60 * DAY;
        for _ in 0..3 {
            // As after so many failures in a row.
            writer.failures = REOPEN;
            writer.kept_house = None;
            writer.step().expect("opened anew");
            assert_eq!((writer.clock)(), 60 * DAY);
        }
        assert!(writer.shared.lock().counts.dropped.is_empty());
        assert_eq!(topics(&mut writer), ["a", "b"]);
    }

    #[test]
    fn what_memory_holds_of_a_file_that_broke_is_written_to_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("outbox.sqlite");
        let mut writer = writer(&path, "run", &Arc::default());
        put(&writer, &["sent", "lost on the way", "waiting", "waiting too"]);
        let (sent, lost) = (take(&mut writer).expect("an event"), take(&mut writer).expect("an event"));
        damaged(&mut writer);
        writer.step().expect("a new file");
        assert!(path.with_file_name("outbox.sqlite.damaged-1").exists());
        // The row of what is acknowledged now stands in the old file alone.
        writer.shared.lock().settle(&sent.0, &sent.2);
        writer.shared.lock().put_back(&lost.0, lost.2, lost.1);
        assert_eq!(topics(&mut writer), ["lost on the way", "waiting", "waiting too"]);
        writer.step().expect("deleted");
        let waiting = writer.shared.lock();
        assert!(waiting.is_empty() && waiting.counts.dropped.is_empty(), "{waiting:?}");
    }

    #[test]
    fn events_decided_before_the_file_of_an_earlier_run_appears_come_after_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = folder.path().join("mounted");
        let mut earlier = writer(&mounted.join("outbox.sqlite"), "earlier", &Arc::default());
        put(&earlier, &["1", "2", "3"]);
        earlier.step().expect("written");
        drop(earlier);
        // Where the disk is to be mounted there is no folder yet.
        let point = folder.path().join("point");
        std::fs::write(&point, "").expect("write");
        let mut writer = writer(&point.join("outbox.sqlite"), "run", &Arc::default());
        put(&writer, &["arrives", "comes back", "4", "5"]);
        let take_from_memory = |writer: &Writer| {
            let taken = writer.shared.lock().take(super::super::Rules { undurable: true, all: true });
            taken.expect("an event")
        };
        let (arrives, back) = (take_from_memory(&writer), take_from_memory(&writer));
        std::fs::remove_file(&point).expect("remove");
        std::fs::rename(&mounted, &point).expect("mounted");
        writer.step().expect("the file");
        writer.shared.lock().settle(&arrives.0, &arrives.2);
        writer.shared.lock().put_back(&back.0, back.2, back.1);
        assert_eq!(topics(&mut writer), ["1", "2", "3", "comes back", "4", "5"]);
        writer.step().expect("deleted");
        let waiting = writer.shared.lock();
        assert!(waiting.is_empty() && waiting.counts.dropped.is_empty(), "{waiting:?}");
    }

    #[test]
    fn an_event_that_stands_there_already_is_counted_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(&folder.path().join("outbox.sqlite"), "run", &Arc::default());
        put(&writer, &["a", "b"]);
        let (writing, batch) = writer.gather();
        // The disk has it, and told of a failure.
        writer.store().expect("open").commit(&batch).expect("written");
        for (class, ordinal, entry) in writing {
            let mut waiting = writer.shared.lock();
            waiting.lane(class).writing = 0;
            waiting.lane(class).fresh.insert(ordinal, entry);
        }
        writer.try_open().expect("opened anew");
        assert_eq!(topics(&mut writer), ["a", "b"]);
        writer.step().expect("deleted");
        assert_eq!(writer.shared.lock().detections.rows, 0);
    }
}
