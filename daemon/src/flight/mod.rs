//! A log of each flight: where it went, what ground its frames showed and how often, and where they showed none.
//!
//! [`FlightLog`] gathers, without clock or file; [`LogWriter`] brings its text to the disk, off the frame path.

mod log;
mod writer;

pub use log::{FlightLog, FlightRules};
pub use writer::LogWriter;
