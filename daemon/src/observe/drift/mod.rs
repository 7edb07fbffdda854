//! Whether what a camera's answers look like is still what they are meant to look like: beside the figures that the
//! package was measured with, and beside the camera's own first answers. A dirty lens makes answers shallow and pictures
//! soft; a wrong model or a new season moves the mix of ranks.
//!
//! [`summary`] gathers, [`blocks`] says what that is worth, [`measure`] compares, [`sharpness`] looks at pictures. No
//! clock and no thread in any of them: [`DriftWatch`](super::DriftWatch) is who asks.

mod blocks;
mod gathered;
mod measure;
mod number;
mod sharpness;
mod summary;
mod usual;

pub use blocks::Blocks;
pub use gathered::Gathered;
pub use measure::{Departure, FEWEST, Mix, departure};
pub(in crate::observe) use number::number;
pub use sharpness::{Look, look};
pub use summary::{Answers, Given, Looks, Summary};
pub use usual::{Terms, Usual};
