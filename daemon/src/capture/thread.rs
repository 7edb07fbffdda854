//! One thread a camera: from its source into its slot, for as long as the daemon runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Captured, Delivery, LatestFrames, Source};

/// Pause before a source that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How a camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraState {
    /// Not opened yet.
    Starting,
    /// Frames arrive.
    Streaming,
    /// No frames arrive; it is tried again and again.
    Lost,
    /// All pictures were shown.
    Ended,
    /// Its frames are passed over, by command.
    Paused,
}

/// A camera is otherwise than before.
#[derive(Debug, Clone, PartialEq)]
pub struct StateChange {
    /// Number of the camera.
    pub camera: usize,
    /// How it is now.
    pub state: CameraState,
    /// What it delivers.
    pub delivery: Delivery,
    /// Why, where that needs saying.
    pub reason: Option<String>,
}

/// The running thread of one camera.
pub struct CaptureThread {
    stop: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

struct Capture {
    camera: usize,
    name: String,
    source: Box<dyn Source>,
    frames: Arc<LatestFrames>,
    state: CameraState,
    skipped: u64,
    tell: Box<dyn Fn(StateChange) + Send>,
}

impl CaptureThread {
    /// Starts the thread of camera number `camera`; `tell` hears of every change of state.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        camera: usize,
        name: &str,
        source: Box<dyn Source>,
        frames: Arc<LatestFrames>,
        tell: impl Fn(StateChange) + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, state) = (Arc::clone(&stop), CameraState::Starting);
        let mut capture =
            Capture { camera, name: name.into(), source, frames, state, skipped: 0, tell: Box::new(tell) };
        let thread = std::thread::Builder::new().name(format!("capture-{name}"));
        let handle = thread.spawn(move || while !stopped.load(Ordering::Relaxed) && capture.step() {})?;
        Ok(Self { stop, handle })
    }

    /// Asks the thread to end. A source that waits for a slow camera ends after its present frame.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handle.thread().unpark();
    }
}

impl Capture {
    /// One frame; `false` after the last.
    fn step(&mut self) -> bool {
        match self.source.next(self.frames.buffer(self.camera)) {
            Ok(Captured::Frame(frame)) => {
                self.frames.put(self.camera, frame);
                self.change(CameraState::Streaming, None);
            }
            Ok(Captured::Skipped(reason)) => {
                self.frames.skip(self.camera);
                self.skipped += 1;
                // The first, and then ever more rarely: a camera may send thousands of bad frames.
                if self.skipped.is_power_of_two() {
                    tracing::warn!(camera = %self.name, skipped = self.skipped, "a frame was skipped: {reason}");
                }
            }
            Ok(Captured::End) => {
                self.change(CameraState::Ended, None);
                return false;
            }
            Err(error) => {
                self.change(CameraState::Lost, Some(error.to_string()));
                std::thread::park_timeout(RETRY);
            }
        }
        true
    }

    fn change(&mut self, state: CameraState, reason: Option<String>) {
        if self.state == state {
            return;
        }
        self.state = state;
        match &reason {
            Some(reason) => tracing::error!(camera = %self.name, "{reason} (trying again every second)"),
            None => tracing::info!(camera = %self.name, ?state, "camera"),
        }
        let delivery = self.source.delivery();
        (self.tell)(StateChange { camera: self.camera, state, delivery, reason });
    }
}
