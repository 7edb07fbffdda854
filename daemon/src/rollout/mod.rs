//! Rollouts: which release a group of nodes is to run, and which part of them already. All of it is one retained
//! message a group, [`Desired`]; nodes read it, and a coordinator, which may be replaced at any time, writes it.
//!
//! Data walks: `rollout start` → [`desired`] (the message) → nodes (`update`) → their `model/state` → [`coordinate`]
//! (the next message, or none) → [`coordinator`] (writes it).

mod coordinate;
mod coordinator;
mod desired;

pub use coordinate::{Fleet, Member, Survey, advance, begin, survey};
pub use coordinator::{Coordinator, CoordinatorError};
pub use desired::{Desired, RolloutState, bucket, desired_topic};
