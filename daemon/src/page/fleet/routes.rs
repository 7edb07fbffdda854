//! What can be asked of the fleet's page: the table as events, first the whole, then what has changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::FleetTable;
use crate::page::guard::entry;
use crate::page::{Viewers, assets};

/// Between two times that changes are told.
const EVERY: Duration = Duration::from_secs(1);
/// Changes a slow reader may be behind; further behind it begins anew.
const BEHIND: usize = 30;
const JSON: &str = "application/json";

/// What routes share.
pub(super) struct Shared {
    table: Mutex<FleetTable>,
    connected: AtomicBool,
    changes: broadcast::Sender<Bytes>,
    readers: Viewers,
}

impl Shared {
    pub(super) fn new(most: usize) -> Self {
        let changes = broadcast::Sender::new(BEHIND);
        let (table, connected) = (Mutex::default(), AtomicBool::new(false));
        Self { table, connected, changes, readers: Viewers::new(most) }
    }

    fn table(&self) -> MutexGuard<'_, FleetTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hear(&self, topic: &str, payload: &[u8], retained: bool) {
        self.table().hear(topic, payload, retained, jiff::Timestamp::now());
    }

    /// Whether it was otherwise before.
    pub(super) fn connected(&self, connected: bool) -> bool {
        self.connected.swap(connected, Ordering::Relaxed) != connected
    }

    /// Everything there is.
    fn whole(&self) -> Value {
        self.change(0, true).1
    }

    /// What has changed since `revision`, and the revision that it leads to.
    fn since(&self, revision: u64) -> (u64, Value) {
        self.change(revision, false)
    }

    fn change(&self, revision: u64, whole: bool) -> (u64, Value) {
        let table = self.table();
        let rows: Vec<_> = table.since(revision).collect();
        let mut change = json!({
            "whole": whole,
            "connected": self.connected.load(Ordering::Relaxed),
            "passed_over": table.passed_over(),
            "rows": rows,
        });
        if let Some(rollouts) = table.rollouts_since(revision) {
            change["rollouts"] = json!(rollouts);
        }
        (table.revision(), change)
    }
}

fn event(change: &Value) -> Bytes {
    format!("data: {change}\n\n").into()
}

/// Tells changes once for all who read.
pub(super) async fn tell(shared: Arc<Shared>) {
    let mut revision = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        if shared.changes.receiver_count() == 0 {
            // Whoever comes begins with the whole.
            revision = shared.table().revision();
            continue;
        }
        // Nothing changed is worth a word too: it shows that somebody is there.
        let (now, change) = shared.since(revision);
        revision = now;
        let _ = shared.changes.send(event(&change));
    }
}

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || assets::html(assets::FLEET)))
        .route("/api/entry", get(entry))
        .route("/api/fleet", get(now))
        .route("/api/events", get(events))
        .with_state(shared)
}

async fn now(State(shared): State<Arc<Shared>>) -> Response {
    ([(CONTENT_TYPE, JSON)], shared.whole().to_string()).into_response()
}

async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Some(reader) = shared.readers.enter() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many are looking already\n").into_response();
    };
    // Changes from here on are heard; some of them are in the whole already, which does no harm.
    let changes = shared.changes.subscribe();
    let whole = event(&shared.whole());
    let stream = stream::unfold((Some(whole), changes, reader), async |(whole, mut changes, reader)| {
        let next: Result<Bytes, std::convert::Infallible> = match whole {
            Some(whole) => Ok(whole),
            None => match changes.recv().await {
                Ok(change) => Ok(change),
                // The browser comes again, and begins with the whole.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            },
        };
        Some((next, (None, changes, reader)))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_before_any_node_is_known_is_told_of_the_first() {
        let shared = Shared::new(1);
        let (revision, nothing) = shared.since(0);
        assert_eq!((&nothing["rows"], &shared.whole()["whole"]), (&json!([]), &json!(true)));
        shared.hear("fieldmark/n1/status", b"online", false);
        let (now, change) = shared.since(revision);
        assert_eq!((&change["rows"][0]["node"], &change["whole"]), (&json!("n1"), &json!(false)));
        assert_eq!(shared.since(now).1["rows"], json!([]));
    }
}
