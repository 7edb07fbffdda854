//! Answers on their way to a broker: [`messages`] are what goes over the wire, [`topics`] where it goes,
//! [`snapshot`] the pictures among them, [`outbox`] where they wait, [`session`] who sends them, [`line`] over what.
//! [`BuildNotice`] tells of what happens before all that runs; [`Depot`] keeps a release repository on a broker.

pub mod broker;
mod building;
mod connection;
mod depot;
pub mod home_assistant;
pub mod line;
pub mod messages;
pub mod outbox;
mod pace;
mod phase;
pub mod session;
pub mod snapshot;
pub mod topics;

pub use building::BuildNotice;
pub use connection::{Connection, ConnectionState};
pub use depot::{Depot, DepotError, Progress};
pub use phase::{Phase, ShadowReport};
