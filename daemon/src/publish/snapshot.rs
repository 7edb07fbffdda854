//! Pictures of what cameras see, as JPEG small enough for the link. The frame path copies one when one is wanted and
//! does nothing else; scaling and compressing happen elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};
use tokio::sync::{mpsc, oneshot};

use super::outbox::{Class, Message, Outbox};
use crate::config::SnapshotConfig;

/// JPEG qualities tried before the picture is made smaller.
const QUALITIES: [u8; 3] = [80, 60, 40];
/// Narrower than this a picture is of no use.
const NARROWEST: u32 = 48;
/// Pictures copied and not compressed yet.
const COPIES: usize = 4;

type Waiter = oneshot::Sender<Result<String, String>>;

struct Desire {
    wanted: AtomicBool,
    waiters: Mutex<Vec<Waiter>>,
    last: Mutex<Option<Instant>>,
}

/// Wishes for pictures, by camera.
pub struct Snapshots {
    cameras: Vec<Desire>,
    copies: mpsc::Sender<(usize, Picture)>,
    /// Least time between two pictures of events; `None` takes none of events.
    every: Option<Duration>,
}

/// Compresses and publishes.
pub struct Developer {
    snapshots: Arc<Snapshots>,
    copies: mpsc::Receiver<(usize, Picture)>,
    config: SnapshotConfig,
    topics: Vec<String>,
    outbox: Arc<Outbox>,
}

impl Snapshots {
    /// Wishes for the cameras whose pictures go to `topics`, and who fulfils them.
    #[must_use]
    pub fn new(config: &SnapshotConfig, topics: Vec<String>, outbox: Arc<Outbox>) -> (Arc<Self>, Developer) {
        let desire =
            |_| Desire { wanted: AtomicBool::new(false), waiters: Mutex::default(), last: Mutex::default() };
        let (sender, copies) = mpsc::channel(COPIES);
        let cameras = topics.iter().map(desire).collect();
        let snapshots = Arc::new(Self { cameras, copies: sender, every: config.every });
        let developer =
            Developer { snapshots: Arc::clone(&snapshots), copies, config: config.clone(), topics, outbox };
        (snapshots, developer)
    }

    /// Asks for a picture of `camera`; the receiver hears what became of it.
    #[must_use]
    pub fn want(&self, camera: usize) -> oneshot::Receiver<Result<String, String>> {
        let (sender, receiver) = oneshot::channel();
        if let Some(desire) = self.cameras.get(camera) {
            desire.waiters.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
            desire.wanted.store(true, Ordering::Relaxed);
        }
        receiver
    }

    /// Tells everybody who waits for a picture of `camera` why there will be none.
    pub fn refuse(&self, camera: usize, reason: &str) {
        let Some(desire) = self.cameras.get(camera) else { return };
        desire.wanted.store(false, Ordering::Relaxed);
        desire.tell(&Err(reason.into()));
    }

    /// Whether somebody waits for a picture of `camera`.
    #[must_use]
    pub fn wanted(&self, camera: usize) -> bool {
        self.cameras.get(camera).is_some_and(|desire| desire.wanted.load(Ordering::Relaxed))
    }

    /// Takes a copy of the frame where one is wanted, or where it shows something new (`event`) and the last such
    /// picture is old enough.
    pub fn offer(&self, camera: usize, picture: &Picture, event: bool) {
        let Some(desire) = self.cameras.get(camera) else { return };
        let asked = desire.wanted.load(Ordering::Relaxed);
        let due = event && self.every.is_some_and(|every| desire.is_due(every));
        if (asked || due) && self.copies.try_send((camera, picture.clone())).is_ok() {
            desire.wanted.store(false, Ordering::Relaxed);
        }
    }
}

impl Desire {
    fn tell(&self, outcome: &Result<String, String>) {
        let waiters = std::mem::take(&mut *self.waiters.lock().unwrap_or_else(PoisonError::into_inner));
        for waiter in waiters {
            // Whoever asked may have given up.
            let _ = waiter.send(outcome.clone());
        }
    }

    fn is_due(&self, every: Duration) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= every);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

impl Developer {
    /// Until the node stops.
    pub async fn run(mut self) {
        while let Some((camera, picture)) = self.copies.recv().await {
            let (width, most) = (self.config.width, self.config.max_bytes.min(self.outbox.max_payload()));
            let done = tokio::task::spawn_blocking(move || compress(&picture, width, most)).await;
            let outcome = done.unwrap_or_else(|error| Err(error.to_string()));
            let told = match outcome {
                Ok((jpeg, width, height)) => {
                    let told = format!("{width} x {height} pixels, {} bytes", jpeg.len());
                    if let Some(topic) = self.topics.get(camera) {
                        let message =
                            Message { topic: topic.clone(), payload: jpeg.into(), class: Class::State };
                        self.outbox.put(message);
                    }
                    Ok(told)
                }
                Err(reason) => {
                    tracing::warn!(camera, "no snapshot: {reason}");
                    Err(reason)
                }
            };
            let Some(desire) = self.snapshots.cameras.get(camera) else { continue };
            desire.tell(&told);
        }
    }
}

/// The largest and best JPEG of `picture` at most `width` wide that has at most `most` bytes, and its size.
fn compress(picture: &Picture, width: u32, most: usize) -> Result<(Vec<u8>, u32, u32), String> {
    let pixels: ImageBuffer<Rgb<u8>, &[u8]> =
        ImageBuffer::from_raw(picture.width(), picture.height(), picture.rgb())
            .ok_or("the frame has no pixels")?;
    let mut width = width.min(picture.width());
    while width >= NARROWEST.min(picture.width()) {
        let height = (u64::from(picture.height()) * u64::from(width) / u64::from(picture.width())).max(1);
        let height = u32::try_from(height).unwrap_or(u32::MAX);
        let small = resize(&pixels, width, height, FilterType::Triangle);
        for quality in QUALITIES {
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, quality)
                .encode_image(&small)
                .map_err(|error| error.to_string())?;
            if jpeg.len() <= most {
                return Ok((jpeg, width, height));
            }
        }
        width = width * 2 / 3;
    }
    Err(format!("even a small picture has more than the {most} bytes the broker or snapshot.max_kb allow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise, which compresses badly.
    fn noise(width: u32, height: u32) -> Picture {
        let mut state = 1u32;
        let pixels = (0..width * height * 3).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        Picture::from_rgb(width, height, pixels.collect()).expect("a picture")
    }

    #[test]
    fn a_snapshot_is_made_smaller_until_it_fits_and_is_a_picture() {
        let picture = noise(800, 600);
        let mut last = u32::MAX;
        for most in [1_000_000, 60_000, 20_000, 6_000] {
            let (jpeg, width, height) = compress(&picture, 640, most).expect("a snapshot");
            assert!(jpeg.len() <= most && width <= last.min(640));
            last = width;
            let decoded = Picture::decode(&jpeg).expect("a JPEG");
            assert_eq!((decoded.width(), decoded.height()), (width, height));
        }
        assert!(compress(&picture, 640, 300).expect_err("a reason").contains("300 bytes"));
    }

    #[test]
    fn a_picture_narrower_than_any_limit_is_taken_as_it_is() {
        assert_eq!(
            compress(&noise(20, 10), 640, 10_000).map(|(_, width, height)| (width, height)),
            Ok((20, 10))
        );
    }
}
