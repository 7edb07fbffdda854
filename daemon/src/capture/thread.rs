//! One thread a camera: from its source into its slot, for as long as the daemon runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::supervision::Verdict;
use super::{Captured, LatestFrames, Source, StateChange, Supervision};

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
    supervision: Supervision,
    patience: Duration,
    skipped: u64,
    tell: Box<dyn Fn(StateChange) + Send>,
}

impl CaptureThread {
    /// Starts the thread of camera number `camera`, which is lost when it gives no usable frame for `patience`;
    /// `tell` hears of every change of state.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        camera: usize,
        name: &str,
        source: Box<dyn Source>,
        patience: Duration,
        frames: Arc<LatestFrames>,
        tell: impl Fn(StateChange) + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (supervision, tell) = (Supervision::new(patience), Box::new(tell));
        let name = name.to_owned();
        let thread = std::thread::Builder::new().name(format!("capture-{name}"));
        let mut capture = Capture { camera, name, source, frames, supervision, patience, skipped: 0, tell };
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
        let verdict = match self.source.next(self.frames.buffer(self.camera)) {
            Ok(Captured::Frame(frame)) => {
                self.frames.put(self.camera, frame);
                // Damage deep inside a frame only shows when it is decoded.
                match self.frames.undecodable_for(self.camera) {
                    Some(time) if time >= self.patience => {
                        self.frames.forget_undecodable(self.camera);
                        let seconds = self.patience.as_secs_f64();
                        self.supervision.failed(format!("no frame could be decoded for {seconds} s"))
                    }
                    _ => self.supervision.frame(),
                }
            }
            Ok(Captured::Skipped(reason, buffer)) => {
                self.frames.skip(self.camera, buffer);
                self.skipped += 1;
                // The first, and then ever more rarely: a camera may send thousands of bad frames.
                if self.skipped.is_power_of_two() {
                    tracing::warn!(camera = %self.name, skipped = self.skipped, "a frame was skipped: {reason}");
                }
                self.supervision.unusable(&reason, Instant::now())
            }
            Ok(Captured::End) => {
                self.supervision.ended();
                self.tell();
                return false;
            }
            Err(error) => self.supervision.failed(error.to_string()),
        };
        match verdict {
            Verdict::Same => {}
            Verdict::Changed => self.tell(),
            Verdict::Retry(pause, news) => {
                // Told with what was delivered until now.
                if news {
                    self.tell();
                }
                self.source.close();
                std::thread::park_timeout(pause);
            }
        }
        true
    }

    fn tell(&self) {
        let (state, delivery) = (self.supervision.state(), self.source.delivery());
        let reason = self.supervision.reason().map(str::to_owned);
        match &reason {
            Some(reason) => tracing::error!(camera = %self.name, "{reason} (trying again)"),
            None => tracing::info!(
                camera = %self.name, ?state, format = %delivery.format, size = ?delivery.size,
                fps = ?delivery.fps, device = ?delivery.device, "camera {}: {state:?}", self.name
            ),
        }
        let losses = self.supervision.losses();
        (self.tell)(StateChange { camera: self.camera, state, delivery, reason, losses });
    }
}
