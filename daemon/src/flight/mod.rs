//! A log of each flight: where it went, what ground its frames showed and how often, and where they showed none.
//!
//! [`FlightLog`] gathers, without clock or file; [`LogWriter`] does so on a thread of its own and brings it to the disk.

mod ground;
mod log;
mod writer;

pub use log::{FlightLog, FlightRules};
pub use writer::LogWriter;
