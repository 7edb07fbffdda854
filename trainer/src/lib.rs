//! Makes a fieldmark model: dataset -> pictures -> network -> features -> head -> evaluate -> calibrate ->
//! package.
//!
//! The backbone's columns stay as they were pretrained; their features are computed once and cached, and the
//! head above the merge is trained with the paper's hierarchical knowledge transfer.

pub mod calibrate;
pub mod compare;
pub mod dataset;
pub mod evaluate;
pub mod features;
pub mod head;
pub mod lint;
pub mod network;
pub mod package;
pub mod pictures;
pub mod quantise;
pub mod recalibrate;
pub mod recipe;
pub mod run;
pub mod synthetic;
pub mod training;
pub mod wiring;
