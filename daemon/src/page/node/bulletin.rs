//! What the page shows, written once for all who read it, when something has changed and once a second.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::{Notify, watch};

use super::Shared;
use crate::page::Viewers;

/// Least time between two, where live pictures do not come faster: each waits for the decision on it.
const LEAST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));
/// Most: ages and rates go on without anything happening.
const MOST: Duration = Duration::from_secs(1);

/// The latest state, and who reads it.
pub(super) struct Bulletin {
    latest: watch::Sender<Bytes>,
    readers: Viewers,
    least: Duration,
    somebody: Notify,
}

impl Bulletin {
    /// For at most `most` readers, of pictures that come at most once in `every`.
    pub(super) fn new(most: usize, every: Duration) -> Self {
        let (latest, somebody) = (watch::Sender::new(Bytes::new()), Notify::new());
        Self { latest, readers: Viewers::new(most), least: every.clamp(LEAST.0, LEAST.1), somebody }
    }

    /// How many read it.
    pub(super) fn readers(&self) -> usize {
        self.readers.count()
    }

    /// Events for a browser's `EventSource`, for as long as they are read; `None` where too many read already.
    pub(super) fn stream(
        &self,
    ) -> Option<impl Stream<Item = Result<Bytes, std::convert::Infallible>> + use<>> {
        let reader = self.readers.enter()?;
        let mut states = self.latest.subscribe();
        states.mark_unchanged();
        self.somebody.notify_one();
        Some(stream::unfold((states, reader), async |(mut states, reader)| {
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            Some((Ok(state), (states, reader)))
        }))
    }
}

/// Writes while somebody reads.
pub(super) async fn run(shared: Arc<Shared>) {
    let bulletin = &shared.bulletin;
    loop {
        while bulletin.readers() == 0 {
            bulletin.somebody.notified().await;
        }
        shared.sources.observer.look();
        let state = super::state::state(&shared).to_string();
        bulletin.latest.send_replace(format!("data: {state}\n\n").into());
        tokio::time::sleep(bulletin.least).await;
        tokio::select! {
            () = shared.sources.observer.changed() => {}
            () = bulletin.somebody.notified() => {}
            () = tokio::time::sleep(MOST - bulletin.least) => {}
        }
    }
}
