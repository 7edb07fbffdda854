//! Sightings of one organism over frames become one track: told as `new`, as `update` when the answer grew more
//! specific, and once as `end`, with the decision made from the evidence of all its frames together.

mod evidence;
mod tracker;

pub use evidence::Evidence;
pub use tracker::{EventType, Judge, Sighting, Told, Track, TrackRules, Tracker};
