//! What people ask for on the page: the same commands, by the same way, with the same replies as over MQTT.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use crate::publish::line::Incoming;
use crate::publish::messages::{Reply, ReplyState};

/// How long a reply is waited for: a picture may take its time.
const PATIENCE: Duration = Duration::from_secs(35);

/// Why nothing was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// The page only shows.
    ReadOnly,
    /// Too much is being asked for already.
    Busy,
    /// Nobody answered in time.
    Silent,
}

impl NotAsked {
    pub(super) fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::ReadOnly => (StatusCode::FORBIDDEN, "this page is read-only (page.read_only)\n"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too much is being asked for: try again\n"),
            Self::Silent => (StatusCode::GATEWAY_TIMEOUT, "no reply came in time\n"),
        }
    }
}

/// Asks for `kind` with `payload`; the last reply.
pub(super) async fn ask(shared: &Shared, kind: &str, payload: Vec<u8>) -> Result<Reply, NotAsked> {
    if shared.read_only {
        return Err(NotAsked::ReadOnly);
    }
    let id = format!("page-{}", ulid::Ulid::generate());
    let mut replies = shared.sources.equipment.replies.subscribe();
    let message = Incoming::unacknowledged(&shared.sources.equipment.topics.command(kind, &id), payload);
    shared.sources.commands.try_send(message).map_err(|_| NotAsked::Busy)?;
    let settled = async {
        loop {
            match replies.recv().await {
                Ok(reply) if reply.id == id && is_last(reply.state) => return Ok(reply),
                // Others' replies; what was missed among many was not ours alone.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(NotAsked::Silent),
            }
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap_or(Err(NotAsked::Silent))
}

fn is_last(state: ReplyState) -> bool {
    matches!(state, ReplyState::Done | ReplyState::Failed)
}
