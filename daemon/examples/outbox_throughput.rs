//! Durable events a second through the outbox, beside bare SQLite on the same disk in the same run.
//! `tests/bench/outbox [FOLDER]` runs it.
#![allow(clippy::expect_used, reason = "a measurement that cannot go on has failed")]

use std::path::Path;
use std::time::{Duration, Instant};

use fieldmark_daemon::config::{DiskFull, OutboxConfig};
use fieldmark_daemon::publish::outbox::{Class, Message, Outbox};
use rusqlite::{Connection, params};

const ROUNDS: u32 = 7;
const SINGLE: u32 = 200;
const BURST: u32 = 20_000;
/// Events the outbox writes in one commit at most.
const GROUP: u32 = 512;

fn payload() -> Vec<u8> {
    format!("{{\"v\":1,\"replay\":false,\"filler\":\"{}\"}}", "x".repeat(900)).into_bytes()
}

fn bare(folder: &Path, round: u32, events: u32, group: u32) -> f64 {
    let path = folder.join(format!("bare-{group}-{round}.sqlite"));
    let mut connection = Connection::open(path).expect("a file");
    connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    connection.pragma_update(None, "synchronous", "FULL").expect("FULL");
    let schema =
        "CREATE TABLE event (ordinal INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL)";
    connection.execute(schema, []).expect("a table");
    let (payload, begun) = (payload(), Instant::now());
    for first in (0..events).step_by(group as usize) {
        let transaction = connection.transaction().expect("a transaction");
        for ordinal in first..(first + group).min(events) {
            transaction
                .prepare_cached("INSERT INTO event VALUES (?, ?, ?)")
                .and_then(|mut insert| insert.execute(params![ordinal, "fieldmark/n/c/detection", payload]))
                .expect("a row");
        }
        transaction.commit().expect("a commit");
    }
    f64::from(events) / begun.elapsed().as_secs_f64()
}

fn outbox(folder: &Path, round: u32, events: u32, one_by_one: bool) -> f64 {
    let config = OutboxConfig {
        path: Some(folder.join(format!("outbox-{one_by_one}-{round}.sqlite"))),
        max_bytes: 1 << 30,
        max_age: Duration::from_secs(3600),
        memory: BURST as usize,
        disk_full: DiskFull::Publish,
        late: Duration::from_secs(3),
    };
    let outbox = Outbox::open(&config, "run").expect("an outbox");
    let (payload, begun) = (bytes::Bytes::from(payload()), Instant::now());
    let durable = || {
        // Looked at seldom enough that looking is not what is measured.
        while outbox.at_risk() > 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    };
    for _ in 0..events {
        outbox.put(Message {
            topic: "fieldmark/n/c/detection".into(),
            payload: payload.clone(),
            class: Class::Detection,
        });
        if one_by_one {
            durable();
        }
    }
    durable();
    f64::from(events) / begun.elapsed().as_secs_f64()
}

/// Medians of both, taken in turn: what else the machine does meets both.
fn medians(mut bare: impl FnMut(u32) -> f64, mut outbox: impl FnMut(u32) -> f64) -> (f64, f64) {
    let (mut bares, mut outboxes): (Vec<_>, Vec<_>) =
        (0..ROUNDS).map(|round| (bare(round), outbox(round))).unzip();
    bares.sort_by(f64::total_cmp);
    outboxes.sort_by(f64::total_cmp);
    let middle = ROUNDS as usize / 2;
    (bares[middle], outboxes[middle])
}

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let folder = folder.path();
    println!("events/s, durable, median of {ROUNDS}\tbare SQLite\toutbox\tratio");
    let one = medians(|round| bare(folder, round, SINGLE, 1), |round| outbox(folder, round, SINGLE, true));
    println!("one at a time\t{:.0}\t{:.0}\t{:.2}", one.0, one.1, one.1 / one.0);
    let all = medians(|round| bare(folder, round, BURST, GROUP), |round| outbox(folder, round, BURST, false));
    println!("{BURST} at once\t{:.0}\t{:.0}\t{:.2}", all.0, all.1, all.1 / all.0);
}
