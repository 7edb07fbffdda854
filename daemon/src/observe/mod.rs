//! What the daemon sees of itself while it runs, for those who look in from outside: the page, Prometheus, drift. The
//! frame path hands over numbers, and pictures only where somebody looks; it never waits here.
//!
//! [`Observer`] is the one thing the service hands everything to; [`tally`] counts and times, [`scene`] keeps the
//! latest picture of a camera while it is watched, [`tracks`] the newest tracks with thumbnails, [`day`] the taxa of
//! the day, [`drift`] whether answers are what they are meant to look like.

mod day;
pub mod drift;
mod drift_watch;
mod observer;
mod scene;
mod seen;
mod tally;
mod tracks;

pub use day::{Day, SeenTaxon};
pub use drift_watch::{DriftWatch, Watched};
pub use observer::{Observer, Reported};
pub use scene::{Scene, Viewer};
pub use seen::{Seen, SeenRegion, Sketch, Way};
pub use tally::{STAGES, Stage, Tally};
pub use tracks::{RecentTrack, Thumbnail};
