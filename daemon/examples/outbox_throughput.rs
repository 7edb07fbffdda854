//! Durable events a second through the outbox, beside bare SQLite on the same disk in the same run.
//! `tests/bench/outbox [FOLDER]` runs it.
#![allow(clippy::expect_used, reason = "a measurement that cannot go on has failed")]

use std::path::Path;
use std::time::{Duration, Instant};

use fieldmark_daemon::config::{DiskFull, OutboxConfig};
use fieldmark_daemon::publish::outbox::{Class, Message, Outbox};
use rusqlite::{Connection, params};

const SINGLE: u32 = 300;
const BURST: u32 = 20_000;
/// Events the outbox writes in one commit at most.
const GROUP: u32 = 512;

fn payload() -> Vec<u8> {
    format!("{{\"v\":1,\"replay\":false,\"filler\":\"{}\"}}", "x".repeat(900)).into_bytes()
}

fn bare(folder: &Path, events: u32, group: u32) -> f64 {
    let path = folder.join(format!("bare-{group}.sqlite"));
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

fn outbox(folder: &Path, events: u32, one_by_one: bool) -> f64 {
    let config = OutboxConfig {
        path: Some(folder.join(format!("outbox-{one_by_one}.sqlite"))),
        max_bytes: 1 << 30,
        max_age: Duration::from_secs(3600),
        memory: BURST as usize,
        disk_full: DiskFull::Publish,
        late: Duration::from_secs(3),
    };
    let outbox = Outbox::open(&config, "run").expect("an outbox");
    let (payload, begun) = (bytes::Bytes::from(payload()), Instant::now());
    let durable = || {
        while outbox.at_risk() > 0 {
            std::thread::yield_now();
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

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    println!("events/s, durable\tbare SQLite\toutbox\tratio");
    let one = (bare(folder.path(), SINGLE, 1), outbox(folder.path(), SINGLE, true));
    println!("one at a time\t{:.0}\t{:.0}\t{:.2}", one.0, one.1, one.1 / one.0);
    let all = (bare(folder.path(), BURST, GROUP), outbox(folder.path(), BURST, false));
    println!("{BURST} at once\t{:.0}\t{:.0}\t{:.2}", all.0, all.1, all.1 / all.0);
}
