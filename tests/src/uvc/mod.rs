//! An emulated USB Video Class camera. The kernel's `vhci-hcd` takes USB devices over a socket (USB/IP); this one is
//! answered by a program, so the real `uvcvideo` driver binds to it and everything above that is real too.
//!
//! MJPG and YUYV, 640 x 360, at 30, 15 or 5 frames a second, over a bulk endpoint.

pub mod descriptors;
mod link;
mod picture;
mod stream;

pub use link::Camera;
pub use picture::Mood;
