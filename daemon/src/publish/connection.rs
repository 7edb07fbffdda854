//! How the session's connection to the broker is, for those who look.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionState {
    /// The broker, without secrets.
    pub url: String,
    /// Whether there is one now.
    pub connected: bool,
    /// Times one was made.
    pub connections: u64,
    /// Times one was lost; attempts that made none are not counted.
    pub losses: u64,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Kept by the session, read by anybody.
#[derive(Debug)]
pub struct Connection(Mutex<ConnectionState>);

impl Connection {
    pub(super) fn new(url: String) -> Self {
        Self(Mutex::new(ConnectionState { url, ..ConnectionState::default() }))
    }

    pub(super) fn made(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.connected = true;
        state.connections += 1;
        state.reason = None;
    }

    pub(super) fn lost(&self, reason: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.losses += u64::from(state.connected);
        state.connected = false;
        state.reason = Some(reason);
    }

    /// How it is now.
    #[must_use]
    pub fn now(&self) -> ConnectionState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_in_vain_are_no_losses() {
        let connection = Connection::new("mqtt://h:1883".into());
        connection.lost("refused".into());
        connection.made();
        connection.lost("reset".into());
        connection.lost("refused".into());
        connection.made();
        let ConnectionState { connected, connections, losses, reason, .. } = connection.now();
        assert_eq!((connected, connections, losses, reason), (true, 2, 1, None));
    }
}
