//! Whether what a camera's answers look like is still what they are meant to look like: beside the figures that the
//! package was measured with, and beside the camera's own first answers. A dirty lens makes answers shallow and pictures
//! soft; a wrong model or a new season moves the mix of ranks.
//!
//! [`summary`] gathers, [`blocks`] says what that is worth, [`measure`] compares, [`sharpness`] looks at pictures. No
//! clock and no thread in any of them: [`watch`] is who asks.

mod blocks;
mod gathered;
mod measure;
mod sharpness;
mod summary;
mod watch;

pub use blocks::Blocks;
pub use gathered::{Gathered, Terms, Usual};
pub use measure::{Departure, FEWEST, Mix, departure};
pub use sharpness::{Look, look};
pub use summary::{Answers, Given, Looks, Summary};
pub use watch::DriftWatch;
