//! Answers on their way to a broker: [`messages`] are what goes over the wire, [`topics`] where it goes,
//! [`events`] which answers go, [`outbox`] where they wait, [`session`] the line to the broker.

pub mod broker;
pub mod events;
pub mod messages;
pub mod outbox;
pub mod session;
pub mod topics;
