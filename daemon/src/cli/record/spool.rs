//! Events on their way into Parquet files. A Parquet file is written whole, and a broker hands over only some twenty
//! events that are not acknowledged: waiting for a file to fill before acknowledging would make files of twenty. So
//! events are acknowledged when they are in a SQLite file, the spool, and leave it when their Parquet file is on the
//! disk.
//!
//! Which events go into which file is written down first: whatever dies in between, the same file is written again
//! over itself, with the same events.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};

use super::table::{UNREADABLE, connect};
use super::{Archive, failed, parquet};
use crate::cli::Failure;
use crate::publish::line::Incoming;
use crate::publish::messages::Detection;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS known (ordinal INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS waiting (
    ordinal INTEGER PRIMARY KEY, file INTEGER, message TEXT NOT NULL
) STRICT;
INSERT OR IGNORE INTO fact VALUES ('spool', lower(hex(randomblob(4)))), ('files', 0);
";

/// When a file is written, and how many ids are remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rolling {
    pub(super) events: u32,
    pub(super) age: Duration,
    pub(super) remembered: u32,
}

/// The spool of a folder of Parquet files. Recorders of one folder share it.
pub(super) struct Spool {
    connection: Connection,
    folder: PathBuf,
    /// Part of the name of its files: a spool that is begun anew must not write over the files of another.
    name: String,
    rolling: Rolling,
    /// Since when there has been something to write.
    since: Option<Instant>,
    events: u64,
}

impl Spool {
    pub(super) fn open(folder: &Path, rolling: Rolling) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|error| failed("create the folder", folder, &error))?;
        let path = folder.join("spool.sqlite");
        let open = || {
            let connection = connect(&path)?;
            connection.execute_batch(SCHEMA)?;
            connection.execute_batch(UNREADABLE)?;
            let name =
                connection.query_row("SELECT value FROM fact WHERE name = 'spool'", [], |row| row.get(0))?;
            Ok((connection, name))
        };
        let (connection, name) = open().map_err(|error: rusqlite::Error| failed("open", &path, &error))?;
        let mut spool = Self { connection, folder: folder.into(), name, rolling, since: None, events: 0 };
        spool.events = spool.count("SELECT COALESCE(MAX(ordinal), 0) FROM known")?;
        if spool.count("SELECT COUNT(*) FROM waiting")? > 0 {
            spool.since = Some(Instant::now());
        }
        Ok(spool)
    }

    fn count(&self, query: &str) -> Result<u64, Failure> {
        let count: rusqlite::Result<i64> = self.connection.query_row(query, [], |row| row.get(0));
        count.map(i64::unsigned_abs).map_err(|error| failed("read the spool of", &self.folder, &error))
    }

    /// Writes down which events the next file holds.
    fn assign(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("UPDATE fact SET value = value + 1 WHERE name = 'files'", [])?;
        transaction.execute(
            "UPDATE waiting SET file = (SELECT value FROM fact WHERE name = 'files') WHERE ordinal IN
             (SELECT ordinal FROM waiting WHERE file IS NULL ORDER BY ordinal LIMIT ?)",
            [self.rolling.events],
        )?;
        transaction.execute(
            "DELETE FROM known WHERE ordinal <= (SELECT MAX(ordinal) FROM known) - ?",
            [self.rolling.remembered],
        )?;
        transaction.commit()
    }

    fn assigned(&self) -> rusqlite::Result<Vec<i64>> {
        let mut files = self
            .connection
            .prepare_cached("SELECT DISTINCT file FROM waiting WHERE file IS NOT NULL ORDER BY file")?;
        files.query_map([], |row| row.get(0))?.collect()
    }

    fn messages(&self, file: i64) -> rusqlite::Result<Vec<String>> {
        let mut messages =
            self.connection.prepare_cached("SELECT message FROM waiting WHERE file = ? ORDER BY ordinal")?;
        messages.query_map([file], |row| row.get(0))?.collect()
    }

    /// Writes the file `number`, and lets its events go.
    fn write_out(&self, number: i64) -> Result<(), Failure> {
        let spool_failed = |error: rusqlite::Error| failed("use the spool of", &self.folder, &error);
        let messages = self.messages(number).map_err(spool_failed)?;
        // Another recorder of this folder was faster.
        if messages.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(format!("events-{}-{number:08}.parquet", self.name));
        parquet::write(&path, &messages).map_err(|error| failed("write", &path, &format!("{error:#}")))?;
        let gone = self.connection.execute("DELETE FROM waiting WHERE file = ?", [number]);
        gone.map(|_| ()).map_err(spool_failed)
    }
}

impl Archive for Spool {
    fn write(&mut self, batch: &[Incoming]) -> Result<(), Failure> {
        let new = insert(&mut self.connection, batch)
            .map_err(|error| failed("write to the spool of", &self.folder, &error))?;
        self.events += new as u64;
        if new > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
        self.roll(false)
    }

    fn roll(&mut self, all: bool) -> Result<(), Failure> {
        let Some(since) = self.since else { return Ok(()) };
        let due = all || since.elapsed() >= self.rolling.age;
        let full = |spool: &Self| {
            let waiting = spool.count("SELECT COUNT(*) FROM waiting WHERE file IS NULL")?;
            Ok::<_, Failure>(waiting >= u64::from(spool.rolling.events) || (due && waiting > 0))
        };
        while full(self)? {
            self.assign().map_err(|error| failed("use the spool of", &self.folder, &error))?;
        }
        for file in self.assigned().map_err(|error| failed("read the spool of", &self.folder, &error))? {
            self.write_out(file)?;
        }
        let left = self.count("SELECT COUNT(*) FROM waiting")?;
        self.since = match (left, due) {
            (0, _) => None,
            (_, true) => Some(Instant::now()),
            (_, false) => Some(since),
        };
        Ok(())
    }

    fn events(&self) -> u64 {
        self.events
    }
}

fn insert(connection: &mut Connection, batch: &[Incoming]) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut new = 0;
    {
        let mut known = transaction.prepare_cached("INSERT OR IGNORE INTO known (id) VALUES (?)")?;
        let mut waiting = transaction.prepare_cached("INSERT INTO waiting (message) VALUES (?)")?;
        let mut unreadable = transaction.prepare_cached("INSERT INTO unreadable VALUES (?, ?, ?)")?;
        for message in batch {
            match serde_json::from_slice::<Detection>(&message.payload) {
                Ok(detection) => {
                    if known.execute([&detection.id])? > 0 {
                        new += waiting.execute([String::from_utf8_lossy(&message.payload)])?;
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    unreadable.execute(params![message.topic, reason, &message.payload[..]])?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLING: Rolling = Rolling { events: 10, age: Duration::from_secs(3600), remembered: 15 };

    fn event(number: u64) -> Incoming {
        let detection = parquet::tests::detection(number);
        let payload = serde_json::to_vec(&detection).expect("JSON");
        Incoming::unacknowledged("fieldmark/n/c/detection", payload)
    }

    fn write(spool: &mut Spool, numbers: std::ops::Range<u64>) {
        spool.write(&numbers.map(event).collect::<Vec<_>>()).expect("written");
    }

    /// The numbers in all files of `folder`, in the order of their names.
    fn recorded(folder: &Path) -> Vec<u64> {
        let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
        files.sort();
        files.iter().flat_map(|file| parquet::tests::numbers(file)).collect()
    }

    #[test]
    fn files_are_written_when_full_and_the_rest_at_the_end_each_event_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::open(folder.path(), ROLLING).expect("a spool");
        write(&mut spool, 0..7);
        assert!(recorded(folder.path()).is_empty());
        write(&mut spool, 3..25);
        assert_eq!(recorded(folder.path()), (0..20).collect::<Vec<_>>());
        drop(spool);
        let mut spool = Spool::open(folder.path(), ROLLING).expect("a spool");
        assert_eq!(spool.events(), 25);
        spool.roll(true).expect("rolled");
        assert_eq!(recorded(folder.path()), (0..25).collect::<Vec<_>>());
        assert_eq!(spool.count("SELECT COUNT(*) FROM waiting").expect("a count"), 0);
    }

    #[test]
    fn a_death_between_file_and_spool_writes_the_same_file_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::open(folder.path(), ROLLING).expect("a spool");
        write(&mut spool, 0..9);
        spool.assign().expect("assigned");
        // The file is there, the events are still in the spool, and the process is gone.
        let path = folder.path().join(format!("events-{}-00000001.parquet", spool.name));
        parquet::write(&path, &spool.messages(1).expect("messages")).expect("a file");
        drop(spool);
        let mut spool = Spool::open(folder.path(), ROLLING).expect("a spool");
        write(&mut spool, 5..12);
        spool.roll(true).expect("rolled");
        assert_eq!(recorded(folder.path()), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn ids_are_forgotten_after_as_many_as_are_to_be_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::open(folder.path(), ROLLING).expect("a spool");
        write(&mut spool, 0..30);
        assert_eq!(spool.count("SELECT COUNT(*) FROM known").expect("a count"), 15);
        write(&mut spool, 15..30);
        spool.roll(true).expect("rolled");
        assert_eq!(recorded(folder.path()), (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_event_is_kept_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::open(folder.path(), ROLLING).expect("a spool");
        let bad = Incoming::unacknowledged("fieldmark/n/c/detection", b"\xff no event".to_vec());
        spool.write(&[bad, event(0)]).expect("written");
        assert_eq!(spool.count("SELECT COUNT(*) FROM unreadable").expect("a count"), 1);
        assert_eq!(spool.events(), 1);
    }
}
