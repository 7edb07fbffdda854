//! `fieldmark record`: events into a SQLite table or Parquet files, each once by its id.

mod parquet;
mod spool;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::listen::{settings, subscribe};
use super::{BrokerArguments, Failure};
use crate::config::MqttConfig;
use crate::publish::line::{Happening, Incoming, Line, Manner};
use spool::{Rolling, Spool};
#[cfg(test)]
pub(crate) use table::SCHEMA;
use table::Table;

/// How long the broker keeps events for a recorder that is away.
const AWAY: Duration = Duration::from_secs(7 * 86_400);
/// Events in one commit.
const BATCH: usize = 256;
/// Between two looks at whether a file is due.
const TICK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// SQLite file, or folder of Parquet files; made where it is not there.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// What is written to --out.
    #[arg(long, value_enum, default_value_t = Format::Sqlite)]
    format: Format,
    /// Name of this recorder at the broker, which keeps a week of events for it while it is away; over MQTT 3.1.1, as
    /// many as the broker is set to keep.
    #[arg(long, default_value = "record")]
    name: String,
    /// Share the events with the other recorders of this group, where the broker has shared subscriptions.
    #[arg(long)]
    group: Option<String>,
    /// End when this many events are recorded.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Parquet: events after which a file is written.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    roll_events: u32,
    /// Parquet: seconds after which a file is written with what there is.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    roll_s: f64,
    /// Parquet: ids remembered, so that an event that comes again is not written again.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    remember: u32,
}

/// What a recorder writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One table in a SQLite file.
    Sqlite,
    /// A folder of Parquet files, for tools that read tables by column.
    Parquet,
}

/// Where events are kept, each once.
trait Archive {
    /// Writes and syncs all of `batch`; an event that is there already stays as it is.
    fn write(&mut self, batch: &[Incoming]) -> Result<(), Failure>;

    /// Brings what was written into its final form, where that takes a step of its own; all of it where `all`.
    fn roll(&mut self, all: bool) -> Result<(), Failure>;

    /// Events kept so far.
    fn events(&self) -> u64;
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
    let mut archive: Box<dyn Archive> = match arguments.format {
        Format::Sqlite => Box::new(Table::open(&arguments.out)?),
        Format::Parquet => {
            let rolling = Rolling {
                events: arguments.roll_events,
                age: Duration::try_from_secs_f64(arguments.roll_s).map_err(Failure::usage)?,
                remembered: arguments.remember,
            };
            Box::new(Spool::open(&arguments.out, rolling)?)
        }
    };
    let mqtt = MqttConfig { session_expiry: AWAY, ..settings(&arguments.broker)? };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.block_on(record(arguments, &mqtt, archive.as_mut()))
}

async fn record(
    arguments: &RecordArguments,
    mqtt: &MqttConfig,
    archive: &mut dyn Archive,
) -> Result<(), Failure> {
    let filter = "fieldmark/+/+/detection";
    let filter = arguments.group.as_ref().map_or(filter.into(), |group| format!("$share/{group}/{filter}"));
    let client_id = format!("fieldmark-record-{}", arguments.name);
    let manner = Manner { client_id, will: None, manual_acks: true, resume: true };
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut line = Line::open(mqtt, &manner)?;
    let mut told = false;
    while arguments.count.is_none_or(|count| archive.events() < count) {
        let happening = tokio::select! {
            happening = line.next() => happening,
            _ = ticks.tick() => {
                archive.roll(false)?;
                continue;
            }
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        let Some(happening) = happening else { break };
        let mut batch = Vec::new();
        let mut next = Some(happening);
        while let Some(happening) = next {
            match happening {
                Happening::Connected(_) => {
                    told = false;
                    subscribe(&line, &filter).await;
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
        if !batch.is_empty() {
            archive.write(&batch)?;
            // Only now: what is not on the disk when this process dies comes again.
            batch.into_iter().for_each(Incoming::acknowledge);
        }
    }
    line.close().await;
    archive.roll(true)
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    Ok(signal(kind)?)
}

fn failed(attempt: &str, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    anyhow::anyhow!("cannot {attempt} {}: {error}; the broker keeps what was not written", path.display())
        .into()
}
