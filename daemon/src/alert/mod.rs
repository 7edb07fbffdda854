//! Which events somebody asked to be woken for: taxa on the watch list, and taxa not seen before.

mod novelty;
mod watch;

pub use novelty::{Novelty, NoveltyKind};
pub(crate) use watch::find_watched;
pub use watch::{AlertRules, Alerts, Worth};
