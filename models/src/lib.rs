//! What a fieldmark model *is*, shared by the trainer that makes one and the daemon that runs it.
//!
//! A photograph walks through this crate front to back: a [`picture`] is decoded from hostile bytes,
//! [`views`] cut the whole region and its magnified crop out of it, an engine (elsewhere) turns them into
//! leaf probabilities, and [`specificity`] control reads off the tree of the [`taxonomy`] the most specific
//! taxon that is sure enough; a [`checklist`] says what is to be expected. [`calibration`] says how sure that has to be; a [`package`] carries all of it.

pub mod calibration;
pub mod checklist;
pub mod onnx;
pub mod package;
pub mod picture;
pub mod specificity;
pub mod taxonomy;
pub mod vectors;
pub mod views;
