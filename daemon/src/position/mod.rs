//! Where on the ground a region is: poses from an autopilot, a receiver or the configuration, matched to frames by
//! time, and rays through the camera's optics to flat ground or a terrain model, with what that is worth.
//!
//! Data walks: [`source`]s read messages into a [`PoseBuffer`]; a [`Locator`] takes the [`Pose`] of a frame's moment
//! out of it and [`Optics`] and [`Ground`] make a [`Sighted`] place of each region. No clock and no socket but in
//! [`source`].

mod boot_clock;
mod buffer;
mod geodesy;
mod ground;
mod locator;
mod optics;
mod release;
pub mod source;
mod terrain;

use serde::{Deserialize, Serialize};

pub use boot_clock::BootClock;
pub use buffer::{Fix, Gimbal, Pose, PoseBuffer, Report};
pub use geodesy::Geodetic;
pub use ground::{Budget, Ground};
pub use locator::{Framed, Locator, Optical, Overflown, Station};
pub use optics::{Attitude, Optics, OpticsError};
pub use release::Releases;
pub use terrain::{Terrain, TerrainError};

/// From a normal error's standard deviation along each of two axes to the radius that holds 95 % of it.
pub const RADIUS_95: f64 = 2.4477;

/// How a position came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Straight down from the receiver: no attitude was known.
    Nadir,
    /// Through the camera as it was held.
    Pose,
    /// Where the camera itself is.
    Station,
}

/// `position` of an event: where on the ground the organism is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Degrees north, WGS 84.
    pub lat: f64,
    /// Degrees east, WGS 84.
    pub lon: f64,
    /// Metres of the camera above the ground; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_agl_m: Option<f64>,
    /// Radius in metres within which it is with 95 %.
    pub accuracy_m: f64,
    /// Milliseconds between the frame and the nearest fix.
    pub age_ms: f64,
    /// How it came about.
    pub method: Method,
}

/// Why there is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoPosition {
    /// The receiver has none, or never said one.
    NoFix,
    /// The nearest fix is too far from the frame in time.
    Stale,
    /// Nobody knows how high the camera is above the ground.
    NoHeight,
    /// The region shows no ground: sky, or too near the horizon.
    OffGround,
}

/// One region's place, with what has to be known to put several together.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighted {
    /// The place.
    pub at: Geodetic,
    /// The camera's height above the ground, metres.
    pub alt_agl_m: Option<f64>,
    /// Milliseconds between the frame and the nearest fix.
    pub age_ms: f64,
    /// How it came about.
    pub method: Method,
    /// Metres east and north of the place within which the organism's middle lies.
    pub reach: [f64; 2],
    /// Errors that all sightings of a pass share: standard deviation along an axis, metres.
    pub shared_m: f64,
    /// Errors that are drawn anew for each sighting: standard deviation along an axis, metres.
    pub drawn_m: f64,
}

/// What is known of a region's place.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Whereabouts {
    /// No position source is configured.
    #[default]
    Unasked,
    /// Nothing can be said, for this reason.
    Unknown(NoPosition),
    /// Here.
    Known(Sighted),
}

/// What `time` of an event rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TimeSource {
    /// The receiver's.
    Gps,
    /// The system's clock.
    #[default]
    System,
    /// The names of recorded pictures.
    Recorded,
}
