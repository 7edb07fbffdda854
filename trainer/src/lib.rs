//! Makes a fieldmark model: prepare -> download -> dataset -> pictures -> network -> training, or features -> head -> evaluate -> calibrate ->
//! package.
//!
//! `training` trains the whole network by gradient with the paper's hierarchical knowledge transfer. Where there are few
//! photographs, the backbone's columns stay as they were published: their `features` are computed once and cached, and a
//! `head` above the merge is trained on them.

pub mod calibrate;
pub mod compare;
pub mod dataset;
pub mod download;
pub mod evaluate;
pub mod features;
pub mod head;
pub mod lint;
pub mod network;
pub mod package;
pub mod pictures;
pub mod prepare;
pub mod quantise;
pub mod recalibrate;
pub mod recipe;
pub mod report;
pub mod run;
pub mod synthetic;
pub mod training;
