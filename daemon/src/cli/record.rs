//! `fieldmark record`: events into a table, each once by its id.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rusqlite::{Connection, params};

use super::listen::settings;
use super::{BrokerArguments, Failure};
use crate::config::MqttConfig;
use crate::publish::line::{Happening, Incoming, Line, Manner};
use crate::publish::messages::Detection;

/// How long the broker keeps events for a recorder that is away.
const AWAY: Duration = Duration::from_secs(7 * 86_400);
/// Events in one commit.
const BATCH: usize = 256;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS event (
    id TEXT PRIMARY KEY, boot TEXT NOT NULL, seq INTEGER NOT NULL, node TEXT NOT NULL, camera TEXT NOT NULL,
    type TEXT NOT NULL, time TEXT NOT NULL, replay INTEGER NOT NULL, track INTEGER NOT NULL,
    taxon TEXT NOT NULL, rank TEXT NOT NULL, probability REAL NOT NULL, message TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_time ON event (time);
CREATE TABLE IF NOT EXISTS unreadable (topic TEXT NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
";

#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// SQLite file; made where it is not there.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Name of this recorder at the broker, which keeps a week of events for it while it is away.
    #[arg(long, default_value = "record")]
    name: String,
    /// Share the events with the other recorders of this group (MQTT 5 shared subscription).
    #[arg(long)]
    group: Option<String>,
    /// End when the table holds this many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

pub(super) fn execute(arguments: &RecordArguments) -> Result<(), Failure> {
    for (what, text) in [("--name", Some(&arguments.name)), ("--group", arguments.group.as_ref())] {
        let fits = |text: &String| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        if !text.is_none_or(fits) {
            return Err(Failure::usage(anyhow::anyhow!("{what}: give letters, digits, - and _")));
        }
    }
    let table = Table::open(&arguments.out)?;
    let mqtt = MqttConfig { session_expiry: AWAY, ..settings(&arguments.broker)? };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.block_on(record(arguments, &mqtt, table))
}

async fn record(arguments: &RecordArguments, mqtt: &MqttConfig, mut table: Table) -> Result<(), Failure> {
    let filter = "fieldmark/+/+/detection";
    let filter = arguments.group.as_ref().map_or(filter.into(), |group| format!("$share/{group}/{filter}"));
    let client_id = format!("fieldmark-record-{}", arguments.name);
    let manner = Manner { client_id, will: None, manual_acks: true, resume: true };
    let mut line = Line::open(mqtt, &manner)?;
    let mut told = false;
    while let Some(happening) = line.next().await {
        let mut batch = Vec::new();
        let mut next = Some(happening);
        while let Some(happening) = next {
            match happening {
                Happening::Connected(_) => {
                    told = false;
                    line.sender().subscribe(&filter).await;
                }
                Happening::Lost(lost) if !told => {
                    told = true;
                    eprintln!("no connection to the broker {}: {}; trying again", mqtt.url, lost.reason);
                }
                Happening::Lost(_) => {}
                Happening::Message(message) => batch.push(message),
            }
            next = if batch.len() < BATCH { line.try_next() } else { None };
        }
        if batch.is_empty() {
            continue;
        }
        table.write(&batch)?;
        // Only now: what is not in the table when this process dies comes again.
        batch.into_iter().for_each(Incoming::acknowledge);
        if arguments.count.is_some_and(|count| table.events >= count) {
            line.close().await;
            return Ok(());
        }
    }
    Ok(())
}

struct Table {
    connection: Connection,
    path: PathBuf,
    events: u64,
}

impl Table {
    fn open(path: &std::path::Path) -> Result<Self, Failure> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(SCHEMA)?;
            let events: i64 = connection.query_row("SELECT COUNT(*) FROM event", [], |row| row.get(0))?;
            Ok(Self { connection, path: path.into(), events: events.unsigned_abs() })
        };
        open().map_err(|error: rusqlite::Error| failed("open", path, &error))
    }

    /// Writes and syncs all of `batch`; an event that is there already stays as it is.
    fn write(&mut self, batch: &[Incoming]) -> Result<(), Failure> {
        let path = self.path.clone();
        let new = insert(&mut self.connection, batch).map_err(|error| failed("write", &path, &error))?;
        self.events += new as u64;
        Ok(())
    }
}

fn failed(attempt: &str, path: &std::path::Path, error: &rusqlite::Error) -> Failure {
    anyhow::anyhow!("cannot {attempt} {}: {error}; the broker keeps what was not written", path.display())
        .into()
}

fn insert(connection: &mut Connection, batch: &[Incoming]) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    let mut new = 0;
    {
        let mut event = transaction
            .prepare_cached("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        let mut unreadable = transaction.prepare_cached("INSERT INTO unreadable VALUES (?, ?, ?)")?;
        for message in batch {
            match serde_json::from_slice::<Detection>(&message.payload) {
                Ok(detection) => {
                    let kind = serde_json::to_string(&detection.kind).unwrap_or_default();
                    new += event.execute(params![
                        detection.id,
                        detection.boot,
                        i64::try_from(detection.seq).unwrap_or(i64::MAX),
                        detection.node,
                        detection.camera,
                        kind.trim_matches('"'),
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
