//! Events in one SQLite table.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{Archive, failed};
use crate::cli::Failure;
use crate::publish::line::Incoming;
use crate::publish::messages::Detection;

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS event (
    id TEXT PRIMARY KEY, boot TEXT NOT NULL, seq INTEGER NOT NULL, node TEXT NOT NULL, camera TEXT NOT NULL,
    type TEXT NOT NULL, time TEXT NOT NULL, replay INTEGER NOT NULL, track INTEGER NOT NULL,
    taxon TEXT NOT NULL, rank TEXT NOT NULL, probability REAL NOT NULL, message TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_time ON event (time);
";

/// What is no event is kept as it came, with the reason.
pub(super) const UNREADABLE: &str = "
CREATE TABLE IF NOT EXISTS unreadable (topic TEXT NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
";

/// The table.
pub(super) struct Table {
    connection: Connection,
    path: PathBuf,
    events: u64,
}

/// A connection to the SQLite file at `path` whose commits are on the disk when they return.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // Another recorder may be writing to it.
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let open = || {
            let connection = connect(path)?;
            connection.execute_batch(SCHEMA)?;
            connection.execute_batch(UNREADABLE)?;
            let events: i64 = connection.query_row("SELECT COUNT(*) FROM event", [], |row| row.get(0))?;
            Ok(Self { connection, path: path.into(), events: events.unsigned_abs() })
        };
        open().map_err(|error: rusqlite::Error| failed("open", path, &error))
    }
}

impl Archive for Table {
    fn write(&mut self, batch: &[Incoming]) -> Result<(), Failure> {
        let new = insert(&mut self.connection, batch).map_err(|error| failed("write", &self.path, &error))?;
        self.events += new as u64;
        Ok(())
    }

    fn roll(&mut self, _all: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn events(&self) -> u64 {
        self.events
    }
}

fn insert(connection: &mut Connection, batch: &[Incoming]) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut new = 0;
    {
        let mut event = transaction
            .prepare_cached("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        let mut unreadable = transaction.prepare_cached("INSERT INTO unreadable VALUES (?, ?, ?)")?;
        for message in batch {
            match serde_json::from_slice::<Detection>(&message.payload) {
                Ok(detection) => {
                    new += event.execute(params![
                        detection.id,
                        detection.boot,
                        i64::try_from(detection.seq).unwrap_or(i64::MAX),
                        detection.node,
                        detection.camera,
                        detection.kind.name(),
                        detection.time,
                        detection.replay,
                        i64::try_from(detection.track.id).unwrap_or(i64::MAX),
                        detection.taxon.name,
                        detection.taxon.rank,
                        detection.probability,
                        String::from_utf8_lossy(&message.payload),
                    ])?;
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
