//! The session of a node with its broker: says who is there, sends what the outbox holds, settles it when the
//! broker has acknowledged it, and hands over the commands that come.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::Connection;
use super::line::{
    BrokerLimits, Happening, Incoming, Line, LineError, Manner, NotDelivered, PACKET_OVERHEAD, Sender,
    packet_bytes,
};
use super::messages::status;
use super::outbox::{Class, Delivery, Loss, Message, Outbox, Place, Sent};
use super::pace::Pace;
use super::topics::{HOME_ASSISTANT_BIRTH, Topics};
use crate::config::{MqttConfig, NodeName};

/// Commands that came and were not looked at; more are told to come later.
const COMMANDS: usize = 32;
/// Of the patience of a stop, as long as it is worth to wait for a broker that is away.
const PATIENCE_WHILE_AWAY: f64 = 0.25;

/// The MQTT client identifier of `node`.
#[must_use]
pub fn client_id(node: &NodeName) -> String {
    format!("fieldmark-{}", node.as_str())
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    /// Messages acknowledged over the session's life.
    pub acknowledged: u64,
    /// Events that wait in the outbox for the next start.
    pub kept: u64,
    /// Events that were neither delivered nor kept.
    pub lost: u64,
    /// Whether the broker acknowledged `stopped`.
    pub announced: bool,
}

type Outcome = (Place, Message, Sent, Result<(), NotDelivered>);

/// The session of a node.
pub struct Session {
    line: Line,
    sender: Sender,
    outbox: Arc<Outbox>,
    topics: Topics,
    subscriptions: Vec<String>,
    commands: mpsc::Sender<Incoming>,
    connection: Arc<Connection>,
    flying: JoinSet<Outcome>,
    in_flight: usize,
    max_packet: usize,
    limits: Option<BrokerLimits>,
    /// Subscriptions the broker has not confirmed yet.
    subscribing: JoinSet<(String, Result<(), NotDelivered>)>,
    subscribed: bool,
    greeted: bool,
    told_lost: bool,
    pace: Pace,
    url: String,
    oversized: u64,
    commands_dropped: u64,
    stopping: bool,
}

impl Session {
    /// Starts connecting; never fails for a broker that is away. Messages on `subscriptions` come out of the
    /// receiver.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn start(
        mqtt: &MqttConfig,
        node: &NodeName,
        outbox: Arc<Outbox>,
        subscriptions: Vec<String>,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), LineError> {
        let topics = Topics::new(node);
        let manner = Manner {
            client_id: client_id(node),
            will: Some((topics.status(), status::OFFLINE)),
            manual_acks: false,
            resume: false,
        };
        let line = Line::open(mqtt, &manner)?;
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let session = Self {
            sender: line.sender(),
            line,
            outbox,
            topics,
            subscriptions,
            commands,
            connection: Arc::new(Connection::new(mqtt.url.to_string())),
            flying: JoinSet::new(),
            in_flight: mqtt.in_flight.into(),
            max_packet: mqtt.max_packet as usize,
            limits: None,
            subscribing: JoinSet::new(),
            subscribed: false,
            greeted: false,
            told_lost: false,
            pace: Pace::new(mqtt.max_bytes_per_second, mqtt.batch),
            url: mqtt.url.to_string(),
            oversized: 0,
            commands_dropped: 0,
            stopping: false,
        };
        Ok((session, receiver))
    }

    /// How its connection is.
    #[must_use]
    pub fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    /// Takes commands in beside those of the broker: what is handed over here is judged, carried out and answered as
    /// they are.
    #[must_use]
    pub fn commands(&self) -> mpsc::Sender<Incoming> {
        self.commands.clone()
    }

    /// Sends until `stop` turns true, then what is left, then `stopped`; all of that for at most `patience`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>, patience: Duration) -> Farewell {
        while !*stop.borrow_and_update() {
            self.step(&mut stop).await;
        }
        let begun = Instant::now();
        let announced = self.finish(&mut stop, patience).await;
        if !announced {
            tracing::warn!(
                "the broker did not acknowledge everything within {:.1} s; the outbox keeps what it can",
                begun.elapsed().as_secs_f64()
            );
        }
        self.line.close().await;
        let counts = self.outbox.counts();
        Farewell { acknowledged: counts.acknowledged, kept: counts.waiting, lost: 0, announced }
    }

    /// Everything that waits, for most of the time; then only what is in flight, and the farewell itself.
    async fn finish(&mut self, stop: &mut watch::Receiver<bool>, patience: Duration) -> bool {
        let begun = Instant::now();
        self.stopping = true;
        if self.is_left_alone(stop, patience).await {
            return false;
        }
        let drained = tokio::time::timeout(patience.mul_f64(0.7).saturating_sub(begun.elapsed()), async {
            while !self.outbox.is_empty() || !self.flying.is_empty() {
                self.step(stop).await;
            }
        });
        let _ = drained.await;
        // From here on nothing new is taken.
        self.in_flight = 0;
        let left = patience.saturating_sub(begun.elapsed());
        let announced = tokio::time::timeout(left, async {
            while !self.flying.is_empty() {
                self.step(stop).await;
            }
            self.announce_stop(stop).await;
        });
        announced.await.is_ok()
    }

    /// Whether the broker is away and stays so for a part of `patience`, while all that waits for it waits on disk.
    async fn is_left_alone(&mut self, stop: &mut watch::Receiver<bool>, patience: Duration) -> bool {
        let connected = tokio::time::timeout(patience.mul_f64(PATIENCE_WHILE_AWAY), async {
            while self.limits.is_none() {
                self.step(stop).await;
            }
        });
        connected.await.is_err() && self.outbox.at_risk() == 0
    }

    /// Resolves when the broker has it; a lost connection is tried again until patience ends.
    async fn announce_stop(&mut self, stop: &mut watch::Receiver<bool>) {
        loop {
            while self.limits.is_none() || !self.greeted {
                self.step(stop).await;
            }
            let Some(receipt) = self.publish_status(status::STOPPED).await else { return };
            tokio::pin!(receipt);
            loop {
                tokio::select! {
                    outcome = &mut receipt => match outcome {
                        Ok(()) => return,
                        Err(_) => break,
                    },
                    happening = self.line.next() => match happening {
                        Some(happening) => self.happened(happening),
                        None => return,
                    },
                }
            }
        }
    }

    /// Sends what can be sent, then waits for anything to happen.
    async fn step(&mut self, stop: &mut watch::Receiver<bool>) {
        if self.limits.is_some() && !self.subscribed {
            self.subscribe().await;
        }
        // What was in flight when the last connection was lost comes back first: it is older than all that waits. And
        // whoever hears `online` may ask something at once.
        let heard = self.subscribed && self.subscribing.is_empty();
        if self.limits.is_some() && !self.greeted && heard && self.flying.is_empty() {
            self.greet().await;
        }
        let until = self.send_waiting().await;
        if self.stopping && self.flying.is_empty() && (self.outbox.is_empty() || self.in_flight == 0) {
            let connected = self.limits.is_some() && self.greeted;
            if connected {
                return;
            }
        }
        let later = Instant::now() + Duration::from_secs(3600);
        tokio::select! {
            Some(outcome) = self.flying.join_next() => {
                if let Ok(outcome) = outcome { self.settle(outcome) }
            }
            Some(happening) = self.line.next() => self.happened(happening),
            Some(outcome) = self.subscribing.join_next() => {
                if let Ok((filter, Err(NotDelivered::Refused(reason)))) = outcome {
                    tracing::error!(filter, "the broker refused a subscription: {reason}; check its access rules");
                }
            }
            () = self.outbox.filled() => {}
            _ = stop.changed() => {}
            () = tokio::time::sleep_until(until.unwrap_or(later)) => {}
        }
    }

    /// Hands over what may be sent now; when it is worth looking again, where time alone decides that.
    async fn send_waiting(&mut self) -> Option<Instant> {
        if self.limits.is_none() || !self.greeted {
            return None;
        }
        while self.flying.len() < self.in_flight {
            let now = Instant::now();
            if let Some(wait) = self.pace.must_wait(now) {
                return Some(wait);
            }
            let all = self.stopping || self.pace.batch_is_due(now);
            match self.outbox.take(all) {
                Some((place, message, sent)) => self.send(place, message, sent).await,
                None if all => {
                    self.pace.batch_is_sent(now);
                    return self.pace.next_batch();
                }
                None => return self.pace.next_batch(),
            }
        }
        None
    }

    async fn subscribe(&mut self) {
        self.subscribed = true;
        for filter in &self.subscriptions {
            if let Some(receipt) = self.sender.subscribed(filter).await {
                let filter = filter.clone();
                self.subscribing.spawn(async move { (filter, receipt.await) });
            }
        }
    }

    async fn greet(&mut self) {
        self.greeted = true;
        if !self.stopping {
            let _ = self.publish_status(status::ONLINE).await;
            self.outbox.tell_again();
        }
        self.pace.connected(Instant::now());
    }

    async fn publish_status(&self, status: &'static str) -> Option<super::line::Receipt> {
        let payload = Bytes::from_static(status.as_bytes());
        self.sender.publish(&self.topics.status(), payload, Delivery::AtLeastOnce, true).await
    }

    async fn send(&mut self, place: Place, message: Message, sent: Sent) {
        let size = packet_bytes(&message.topic, &message.payload);
        let broker = self.limits.map_or(usize::MAX, BrokerLimits::largest);
        if size > self.max_packet.min(broker) {
            self.too_large(&message, size, broker);
            self.outbox.give_up(&place, &sent, message.class, Loss::Packet);
            return;
        }
        self.pace.spend(size, Instant::now());
        let (delivery, retain) = (message.class.delivery(), message.class.retained());
        match self.sender.publish(&message.topic, message.payload.clone(), delivery, retain).await {
            Some(receipt) => {
                self.flying.spawn(async move { (place, message, sent, receipt.await) });
            }
            None => self.outbox.put_back(&place, sent, message),
        }
    }

    fn too_large(&mut self, message: &Message, size: usize, broker: usize) {
        self.oversized += 1;
        if self.oversized.is_power_of_two() {
            tracing::error!(
                topic = %message.topic, size, allowed_here = self.max_packet, allowed_by_broker = broker,
                oversized = self.oversized,
                "a message is too large and was dropped; raise mqtt.max_packet_kb or the broker's limit"
            );
        }
    }

    fn settle(&self, (place, message, sent, outcome): Outcome) {
        match outcome {
            Ok(()) => self.outbox.settle(&place, &sent),
            Err(NotDelivered::Refused(reason)) => {
                tracing::error!(topic = %message.topic, "the broker refused a message: {reason}; check its access rules");
                self.outbox.give_up(&place, &sent, message.class, Loss::Refused);
            }
            Err(NotDelivered::Lost) if message.class == Class::Metrics => {
                self.outbox.give_up(&place, &sent, Class::Metrics, Loss::Offline);
            }
            Err(NotDelivered::Lost) => self.outbox.put_back(&place, sent, message),
        }
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Connected(limits) => {
                (self.limits, self.greeted, self.told_lost) = (Some(limits), false, false);
                (self.subscribing, self.subscribed) = (JoinSet::new(), false);
                let longest_topic = 256;
                self.outbox.set_max_payload(
                    self.max_packet.min(limits.largest()).saturating_sub(PACKET_OVERHEAD + longest_topic),
                );
                self.connection.made();
                tracing::info!("connected to the broker {}", self.url);
            }
            Happening::Lost(lost) => {
                (self.limits, self.greeted) = (None, false);
                self.connection.lost(lost.reason.clone());
                if !self.told_lost {
                    tracing::error!(
                        "no connection to the broker {}: {}; trying again, events wait in the outbox",
                        self.url,
                        lost.reason
                    );
                    self.told_lost = true;
                }
            }
            Happening::Message(message) if message.topic == HOME_ASSISTANT_BIRTH => {
                if message.payload == "online" {
                    self.outbox.tell_again();
                }
            }
            Happening::Message(message) => {
                if self.commands.try_send(message).is_err() {
                    self.commands_dropped += 1;
                    if self.commands_dropped.is_power_of_two() {
                        tracing::warn!(dropped = self.commands_dropped, "too many commands at once: dropped");
                    }
                }
            }
        }
    }
}
