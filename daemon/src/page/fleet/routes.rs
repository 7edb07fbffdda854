//! What can be asked of the fleet's page: the table as events, first the whole, then what has changed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::FleetTable;
use crate::page::assets;
use crate::page::guard::Entry;

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
    readers: Arc<AtomicUsize>,
    most: usize,
}

struct Reader(Arc<AtomicUsize>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(most: usize) -> Self {
        let changes = broadcast::Sender::new(BEHIND);
        Self {
            table: Mutex::default(),
            connected: AtomicBool::new(false),
            changes,
            readers: Arc::default(),
            most,
        }
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

    /// What has changed since `revision`; everything since 0.
    fn since(&self, revision: u64) -> (u64, Value) {
        let table = self.table();
        let rows: Vec<_> = table.since(revision).collect();
        let mut change = json!({
            "whole": revision == 0,
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
        let (now, mut change) = shared.since(revision.max(1));
        change["whole"] = false.into();
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

async fn entry(Extension(entry): Extension<Entry>) -> Response {
    let text = json!({ "csrf": entry.csrf, "user": entry.user, "session": entry.session.is_some() });
    ([(CONTENT_TYPE, JSON)], text.to_string()).into_response()
}

async fn now(State(shared): State<Arc<Shared>>) -> Response {
    ([(CONTENT_TYPE, JSON)], shared.since(0).1.to_string()).into_response()
}

async fn events(State(shared): State<Arc<Shared>>) -> Response {
    if shared.readers.fetch_add(1, Ordering::Relaxed) >= shared.most {
        shared.readers.fetch_sub(1, Ordering::Relaxed);
        return (StatusCode::SERVICE_UNAVAILABLE, "too many are looking already\n").into_response();
    }
    let reader = Reader(Arc::clone(&shared.readers));
    // Changes from here on are heard; some of them are in the whole already, which does no harm.
    let changes = shared.changes.subscribe();
    let whole = event(&shared.since(0).1);
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
