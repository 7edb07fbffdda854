//! Sightings of one organism over frames and regions become one track: told as `new`, as `update` when the answer grew
//! more specific, and once as `end`, with the decision made from the evidence of all its sightings together. What one
//! organism is, is said by lineage and by place: on the ground where the camera moves over it, in the frame elsewhere.

mod evidence;
mod tracker;
mod whereat;

pub use evidence::Evidence;
pub use tracker::{EventType, Judge, Sighting, Told, Track, TrackRules, Tracker};
pub use whereat::Whereat;
