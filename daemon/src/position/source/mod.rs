//! Where positions come from: an autopilot speaking MAVLink, a receiver speaking NMEA 0183, gpsd. What each says becomes
//! [`Report`](super::Report)s; what a message means is known here without clock or socket, [`PositionThread`] brings
//! the bytes.

mod gpsd;
mod link;
mod mavlink;
mod nmea;
mod thread;

use std::time::Instant;

pub use gpsd::GpsdReader;
pub use link::{Address, AddressError};
pub use mavlink::MavlinkMeaning;
pub use nmea::NmeaReader;
pub use thread::PositionThread;

use super::Report;

/// Takes reports in, each with the moment it speaks of.
pub type Put<'a> = &'a mut dyn FnMut(Instant, Report);

/// What is spoken on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MAVLink 1 or 2, from the system with this number or the first that tells a position.
    Mavlink(Option<u8>),
    /// NMEA 0183.
    Nmea,
    /// gpsd's JSON.
    Gpsd,
}
