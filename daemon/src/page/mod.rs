//! What a node sees, in any browser, and in Prometheus: assets in the binary, nothing loaded from elsewhere.
//!
//! A connection walks: [`server`] (accepted, with limits) → [`guard`] (who is it, may it) → a route. What is the same
//! for every page lies here; [`node`] is the page of one node, [`fleet`] that of all, from the broker alone.

mod assets;
mod error;
pub mod fleet;
mod guard;
pub mod node;
mod rate;
mod server;
mod session;
mod token;
mod viewers;

pub use error::PageError;
pub(crate) use guard::{Guard, Peer};
pub(crate) use server::{Server, serve};
pub(crate) use token::Token;
pub(crate) use viewers::{Viewers, Viewing};
