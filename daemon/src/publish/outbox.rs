//! Where messages wait for the broker: bounded, in memory, the oldest going first when it overflows. Whoever
//! puts a message in never waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::messages::QueueCounts;

/// How surely a message is to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0: now or never.
    AtMostOnce,
    /// QoS 1: until it is acknowledged.
    AtLeastOnce,
}

/// A message and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Content.
    pub payload: Bytes,
    /// Quality of service.
    pub delivery: Delivery,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

/// Place in the order of messages.
pub type Ordinal = u64;

#[derive(Default)]
struct Waiting {
    /// In order: a message that comes back unsent takes its old place.
    messages: BTreeMap<Ordinal, Message>,
    next: Ordinal,
    in_flight: u64,
    acknowledged: u64,
    dropped: u64,
}

/// The queue between the frame path and the session.
pub struct Outbox {
    waiting: Mutex<Waiting>,
    capacity: usize,
    filled: Notify,
}

impl Outbox {
    /// Room for `capacity` messages.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { waiting: Mutex::default(), capacity, filled: Notify::new() }
    }

    // Counters and a map stay usable when a thread that held them panicked.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `message` last. When the queue is full the oldest goes, and is counted.
    pub fn put(&self, message: Message) {
        let mut waiting = self.lock();
        let ordinal = waiting.next;
        waiting.next += 1;
        waiting.messages.insert(ordinal, message);
        if waiting.messages.len() > self.capacity {
            waiting.messages.pop_first();
            waiting.dropped += 1;
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Takes the oldest message, which is then in flight until [`Self::settle`] or [`Self::put_back`].
    #[must_use]
    pub fn take(&self) -> Option<(Ordinal, Message)> {
        let mut waiting = self.lock();
        let first = waiting.messages.pop_first()?;
        waiting.in_flight += 1;
        Some(first)
    }

    /// Resolves when there may be something to take.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// A message arrived.
    pub fn settle(&self) {
        let mut waiting = self.lock();
        waiting.in_flight = waiting.in_flight.saturating_sub(1);
        waiting.acknowledged += 1;
    }

    /// A message did not arrive, or nobody knows: it takes its old place.
    pub fn put_back(&self, ordinal: Ordinal, message: Message) {
        let mut waiting = self.lock();
        waiting.in_flight = waiting.in_flight.saturating_sub(1);
        waiting.messages.insert(ordinal, message);
        drop(waiting);
        self.filled.notify_one();
    }

    /// A message will never arrive: nobody shall wait for it.
    pub fn give_up(&self) {
        let mut waiting = self.lock();
        waiting.in_flight = waiting.in_flight.saturating_sub(1);
        waiting.dropped += 1;
    }

    /// What became of messages.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        let Waiting { messages, in_flight, acknowledged, dropped, .. } = &*self.lock();
        QueueCounts {
            waiting: messages.len() as u64,
            in_flight: *in_flight,
            acknowledged: *acknowledged,
            dropped: *dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str) -> Message {
        let (payload, delivery) = (Bytes::new(), Delivery::AtLeastOnce);
        Message { topic: topic.into(), payload, delivery, retain: false }
    }

    #[test]
    fn the_oldest_goes_when_the_queue_is_full() {
        let outbox = Outbox::new(2);
        ["a", "b", "c"].map(message).into_iter().for_each(|message| outbox.put(message));
        assert_eq!(outbox.take().map(|(_, message)| message.topic), Some("b".into()));
        assert_eq!(outbox.counts(), QueueCounts { waiting: 1, in_flight: 1, acknowledged: 0, dropped: 1 });
    }

    #[test]
    fn a_message_that_comes_back_keeps_its_place() {
        let outbox = Outbox::new(9);
        ["a", "b"].map(message).into_iter().for_each(|message| outbox.put(message));
        let (ordinal, first) = outbox.take().expect("a message");
        outbox.put_back(ordinal, first.clone());
        assert_eq!(outbox.take(), Some((ordinal, first)));
    }
}
