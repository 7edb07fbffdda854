//! Frames of a GStreamer pipeline: video files, RTSP streams, a Jetson's CSI cameras, whatever has an element.
//!
//! A crate of its own, so that it is built and tested against a real GStreamer without the engine beside it, whose
//! dependencies would be built once more with other features. Without the feature `gstreamer` there is nothing in it.

#[cfg(feature = "gstreamer")]
mod pipeline;
#[cfg(feature = "gstreamer")]
mod sample;

#[cfg(feature = "gstreamer")]
pub use pipeline::{Pipeline, PipelineError, Pulled, check};
#[cfg(feature = "gstreamer")]
pub use sample::{FrameFormat, Scale};
