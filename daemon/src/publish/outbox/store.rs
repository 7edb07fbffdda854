//! The file of the outbox: SQLite with a write-ahead log, each commit on the disk before it returns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};

use super::message::Class;
use super::waiting::Ordinal;

/// "FMob".
const APPLICATION_ID: i64 = 0x464d_6f62;
const VERSION: i64 = 1;
/// Damaged files kept beside the outbox; older ones are removed, so that they cannot fill the disk.
const KEPT_ASIDE: usize = 3;

const SCHEMA: &str = "
CREATE TABLE event (
    ordinal INTEGER PRIMARY KEY,
    class INTEGER NOT NULL,
    noted INTEGER NOT NULL,
    run TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX event_of_class ON event (class, ordinal);
CREATE TABLE fact (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
CREATE TABLE seen (taxon TEXT PRIMARY KEY, day INTEGER NOT NULL) STRICT;
INSERT INTO fact VALUES ('file', hex(randomblob(8)));
";

/// Why the file does not take or give rows.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its content is not what was written.
    #[error("the outbox {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// Another process has it.
    #[error(
        "the outbox {path} is in use by another process: stop that one, or give each daemon its own outbox.folder"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full, read-only, or gone.
    #[error(
        "cannot {attempt} the outbox {path}: {reason}; make room, or point outbox.folder at a folder this user can write"
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// What was tried.
        attempt: &'static str,
        /// What the system or SQLite said.
        reason: String,
    },
}

/// A row of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) ordinal: Ordinal,
    pub(super) class: Class,
    /// When it was decided, on the outbox's clock.
    pub(super) noted: Duration,
    /// Which run of the daemon decided it.
    pub(super) run: String,
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

/// What of a class stands on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) rows: u64,
    /// Highest ordinal; 0 without rows.
    pub(super) last: Ordinal,
    /// When the last one was decided, on the outbox's clock.
    pub(super) noted: Duration,
}

/// What goes to the disk in one commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    pub(super) gone: Vec<Ordinal>,
    /// Taxa and the day each was last seen.
    pub(super) seen: Vec<(String, i64)>,
    pub(super) facts: Vec<(&'static str, String)>,
}

/// The open file. Only this process has it.
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
}

pub(super) fn number(class: Class) -> i64 {
    i64::from(class == Class::Detection)
}

fn class(number: i64) -> Class {
    if number == 0 { Class::Alert } else { Class::Detection }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn signed(ordinal: Ordinal) -> i64 {
    i64::try_from(ordinal).unwrap_or(i64::MAX)
}

impl Store {
    /// Opens or creates the file at `path`. A damaged one is renamed, told, and replaced by a new one.
    ///
    /// # Errors
    /// If another process has it, or the disk does not let it be opened.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| StoreError::Disk {
                path: path.into(),
                attempt: "create the folder of",
                reason: error.to_string(),
            })?;
        }
        match Self::open_file(path) {
            Err(StoreError::Damaged { reason, .. }) => {
                set_aside(path, &reason)?;
                Self::open_file(path)
            }
            other => other,
        }
    }

    fn open_file(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| failure(path, "open", &error);
        let mut connection = Connection::open(path).map_err(failed)?;
        prepare(&mut connection).map_err(failed)?;
        let store = Self { path: path.into(), connection };
        store.check()?;
        Ok(store)
    }

    /// A file that was not closed in order is read through once.
    fn check(&self) -> Result<(), StoreError> {
        let clean = self.fact("clean")?;
        if clean.as_deref() == Some("no") {
            let told: String = self
                .connection
                .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
                .map_err(|error| failure(&self.path, "check", &error))?;
            if told != "ok" {
                return Err(StoreError::Damaged { path: self.path.clone(), reason: told });
            }
        }
        match self.connection.execute("INSERT OR REPLACE INTO fact VALUES ('clean', 'no')", []) {
            Ok(_) => Ok(()),
            // On a full disk what is in the file can still be read and sent.
            Err(error) => match failure(&self.path, "write", &error) {
                StoreError::Disk { .. } => Ok(()),
                worse => Err(worse),
            },
        }
    }

    /// Writes all of `batch` and syncs it, or nothing. Gives the ordinals that stood there already: of an event that an attempt
    /// thought to have failed has written, and of one that came back from another file of this run. They stay as they are.
    ///
    /// # Errors
    /// If the disk is full or the file damaged.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<BTreeSet<Ordinal>, StoreError> {
        let path = self.path.clone();
        commit(&mut self.connection, batch).map_err(|error| failure(&path, "write", &error))
    }

    /// At most `limit` rows of `class` after `ordinal`, in order.
    ///
    /// # Errors
    /// If the file is damaged or gone.
    pub(super) fn rows(
        &self,
        class_wanted: Class,
        after: Ordinal,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT ordinal, class, noted, run, topic, payload FROM event
                 WHERE class = ? AND ordinal > ? ORDER BY ordinal LIMIT ?",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![number(class_wanted), signed(after), limit], |row| {
                Ok(Row {
                    ordinal: row.get::<_, i64>(0)?.unsigned_abs(),
                    class: class(row.get(1)?),
                    noted: Duration::from_millis(row.get::<_, i64>(2)?.unsigned_abs()),
                    run: row.get(3)?,
                    topic: row.get(4)?,
                    payload: row.get::<_, Vec<u8>>(5)?.into(),
                })
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(|error| failure(&self.path, "read", &error))
    }

    /// The first `limit` ordinals of `class` noted before `before`.
    ///
    /// # Errors
    /// If the file is damaged or gone.
    pub(super) fn oldest(
        &self,
        class_wanted: Class,
        before: Duration,
        limit: usize,
    ) -> Result<Vec<Ordinal>, StoreError> {
        let read = || {
            // Rows are noted in the order of their ordinals: the first that is young enough ends the search.
            let mut statement = self.connection.prepare_cached(
                "SELECT ordinal, noted FROM event WHERE class = ? ORDER BY ordinal LIMIT ?",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![number(class_wanted), limit], |row| {
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?))
            })?;
            let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
            let old = rows.into_iter().take_while(|&(_, noted)| noted < milliseconds(before));
            Ok(old.map(|(ordinal, _)| ordinal).collect())
        };
        read().map_err(|error| failure(&self.path, "read", &error))
    }

    /// How many rows of `class` there are, and the last of them.
    ///
    /// # Errors
    /// If the file is damaged or gone.
    pub(super) fn extent(&self, class: Class) -> Result<Extent, StoreError> {
        let number = number(class);
        let read = || {
            let count = "SELECT COUNT(*) FROM event WHERE class = ?";
            let rows: i64 = self.connection.query_row(count, [number], |row| row.get(0))?;
            let last = "SELECT ordinal, noted FROM event WHERE class = ? ORDER BY ordinal DESC LIMIT 1";
            let pair = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            let (last, noted) =
                self.connection.query_row(last, [number], pair).optional()?.unwrap_or_default();
            let noted = Duration::from_millis(noted.unsigned_abs());
            Ok(Extent { rows: rows.unsigned_abs(), last: last.unsigned_abs(), noted })
        };
        read().map_err(|error| failure(&self.path, "read", &error))
    }

    /// Bytes of the pages in use; free pages inside the file are used before it grows.
    ///
    /// # Errors
    /// If the file is damaged or gone.
    pub(super) fn bytes(&self) -> Result<u64, StoreError> {
        let pragma = |name: &str| {
            let value: Result<i64, _> =
                self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
            value.map(i64::unsigned_abs).map_err(|error| failure(&self.path, "read", &error))
        };
        Ok(pragma("page_count")?.saturating_sub(pragma("freelist_count")?) * pragma("page_size")?)
    }

    /// A small text kept with the rows.
    ///
    /// # Errors
    /// If the file is damaged or gone.
    pub(super) fn fact(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .query_row("SELECT value FROM fact WHERE name = ?", [name], |row| row.get(0))
            .optional()
            .map_err(|error| failure(&self.path, "read", &error))
    }

    /// Taxa and the day each was last seen.
    ///
    /// # Errors
    /// If the file is damaged or gone.
    pub(super) fn seen(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT taxon, day FROM seen")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(|error| failure(&self.path, "read", &error))
    }

    /// Marks the file as closed in order.
    pub(super) fn close(self) {
        let closed = self.connection.execute("INSERT OR REPLACE INTO fact VALUES ('clean', 'yes')", []);
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        // What fails here costs a check at the next start, nothing else.
        if closed.is_err() || self.connection.query_row(checkpoint, [], |_| Ok(())).is_err() {
            tracing::warn!(path = %self.path.display(), "the outbox was not closed in order; it will be checked");
        }
    }
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // Exclusive before the log is touched: it then needs no shared memory, and a second daemon is noticed.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Nothing of a large backlog stays in memory.
    connection.pragma_update(None, "cache_size", -2000)?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i64 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version, tables) {
        (APPLICATION_ID, VERSION, _) => {}
        (0, 0, 0) => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        _ => {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
            let reason = format!("it is no outbox of this version ({application:#x}, version {version})");
            return Err(rusqlite::Error::SqliteFailure(code, Some(reason)));
        }
    }
    transaction.commit()
}

fn commit(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<BTreeSet<Ordinal>> {
    let mut there = BTreeSet::new();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut delete = transaction.prepare_cached("DELETE FROM event WHERE ordinal = ?")?;
        for &ordinal in &batch.gone {
            delete.execute([signed(ordinal)])?;
        }
        let mut insert =
            transaction.prepare_cached("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?)")?;
        for row in &batch.rows {
            let (ordinal, class, noted) = (signed(row.ordinal), number(row.class), milliseconds(row.noted));
            let row_of = params![ordinal, class, noted, row.run, row.topic, &row.payload[..]];
            if insert.execute(row_of)? == 0 {
                there.insert(row.ordinal);
            }
        }
        let mut see = transaction.prepare_cached("INSERT OR REPLACE INTO seen VALUES (?, ?)")?;
        for (taxon, day) in &batch.seen {
            see.execute(params![taxon, day])?;
        }
        let mut know = transaction.prepare_cached("INSERT OR REPLACE INTO fact VALUES (?, ?)")?;
        for (name, value) in &batch.facts {
            know.execute(params![name, value])?;
        }
    }
    transaction.commit()?;
    Ok(there)
}

fn failure(path: &Path, attempt: &'static str, error: &rusqlite::Error) -> StoreError {
    let (path, reason) = (path.to_owned(), error.to_string());
    let damaged = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => true,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return StoreError::InUse { path },
        Some(_) => false,
        // A column of another type or a text that is none: the rows are not the ones that were written.
        None => true,
    };
    if damaged { StoreError::Damaged { path, reason } } else { StoreError::Disk { path, attempt, reason } }
}

/// Renames a damaged file and its log, so that it can be looked at and no start fails on it again.
pub(super) fn set_aside(path: &Path, reason: &str) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Disk {
        path: path.into(),
        attempt: "set aside",
        reason: error.to_string(),
    };
    let mut number: usize = 1;
    let aside = loop {
        let name = with_suffix(path, &format!(".damaged-{number}"));
        if !name.exists() {
            break name;
        }
        number += 1;
    };
    std::fs::rename(path, &aside).map_err(failed)?;
    for log in ["-wal", "-shm"] {
        let (from, to) = (with_suffix(path, log), with_suffix(&aside, log));
        if from.exists() {
            std::fs::rename(from, to).map_err(failed)?;
        }
    }
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    tracing::error!(
        damaged = %aside.display(),
        "the outbox {} was damaged ({reason}): set aside as {}, a new one is begun; `sqlite3 {} .recover` may \
         save what it held",
        path.display(), aside.display(), aside.display()
    );
    for old in 1..number.saturating_sub(KEPT_ASIDE - 1) {
        let old = with_suffix(path, &format!(".damaged-{old}"));
        // An old one that cannot be removed is in nobody's way.
        let _ = std::fs::remove_file(with_suffix(&old, "-wal"));
        let _ = std::fs::write(&old, b"");
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
