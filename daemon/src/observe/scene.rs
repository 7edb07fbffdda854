//! The latest picture of a camera, for those who watch it. With nobody there the frame path reads one number and goes
//! on; otherwise it copies a picture now and then, into memory that is used again. It never waits: where the place is
//! being emptied at that moment, this picture is not shown.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use tokio::sync::Notify;

use crate::capture::{Colour, Frame, FrameImage, Layout};
use crate::config::PixelFormat;

#[derive(Default)]
struct Place {
    frame: Option<Frame>,
    decided: bool,
    spare: Vec<u8>,
}

/// One camera.
pub struct Scene {
    viewers: AtomicUsize,
    begun: Instant,
    /// Microseconds between two pictures, and when the next is due since `begun`.
    every: u64,
    due: AtomicU64,
    place: Mutex<Place>,
    news: Notify,
}

/// Somebody who watches, until it is dropped.
pub struct Viewer(Arc<Scene>);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Scene {
    /// With nobody watching; at most a picture in `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            viewers: AtomicUsize::new(0),
            begun: Instant::now(),
            every: u64::try_from(every.as_micros()).unwrap_or(u64::MAX),
            due: AtomicU64::new(0),
            place: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Begins to watch `scene`.
    #[must_use]
    pub fn watch(scene: &Arc<Self>) -> Viewer {
        scene.viewers.fetch_add(1, Ordering::Relaxed);
        Viewer(Arc::clone(scene))
    }

    /// How many watch.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Copies `picture` where somebody watches and one is due; whether it did. It is of the frame numbered `sequence`,
    /// and a decision on it will follow.
    pub fn show(&self, picture: &Picture, sequence: u64) -> bool {
        self.put(picture.rgb(), layout_of(picture), (sequence, true))
    }

    /// As [`Self::show`], of a frame that is not decided on.
    pub fn show_frame(&self, frame: &Frame) {
        let (bytes, layout) = match &frame.image {
            FrameImage::Picture(picture) => (picture.rgb(), layout_of(picture)),
            FrameImage::Raw { bytes, layout } => (&bytes[..], *layout),
        };
        self.put(bytes, layout, (frame.sequence, false));
    }

    fn put(&self, bytes: &[u8], layout: Layout, (sequence, decided): (u64, bool)) -> bool {
        if self.viewers() == 0 {
            return false;
        }
        let now = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        if now < self.due.load(Ordering::Relaxed) {
            return false;
        }
        let mut place = match self.place.try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.due.store(now.saturating_add(self.every), Ordering::Relaxed);
        let older = place.frame.take().map(Frame::into_buffer);
        let mut copy = older.unwrap_or_else(|| std::mem::take(&mut place.spare));
        copy.clear();
        copy.extend_from_slice(bytes);
        let image = FrameImage::Raw { bytes: copy, layout };
        let frame = Frame { image, time: jiff::Timestamp::now(), moment: Instant::now(), sequence };
        place.frame = Some(frame);
        place.decided = decided;
        drop(place);
        self.news.notify_one();
        true
    }

    /// The next picture, as [`FrameImage::Raw`], and whether its frame is decided on; forgets it. One taker at a time.
    pub async fn next(&self) -> (Frame, bool) {
        loop {
            {
                let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(frame) = place.frame.take() {
                    return (frame, place.decided);
                }
            }
            self.news.notified().await;
        }
    }

    /// Gives the memory of a picture back.
    pub fn give_back(&self, frame: Frame) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).spare = frame.into_buffer();
    }
}

fn layout_of(picture: &Picture) -> Layout {
    Layout::new(PixelFormat::Rgb3, picture.width(), picture.height(), 0, Colour::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(level: u8) -> Picture {
        Picture::from_rgb(4, 2, vec![level; 24]).expect("a picture")
    }

    fn level(scene: &Scene) -> Option<u8> {
        match &scene.place.lock().expect("no panic").frame.as_ref()?.image {
            FrameImage::Picture(picture) => picture.rgb().first().copied(),
            FrameImage::Raw { bytes, .. } => bytes.first().copied(),
        }
    }

    #[test]
    fn nothing_is_copied_while_nobody_watches() {
        let scene = Arc::new(Scene::new(Duration::ZERO));
        scene.show(&picture(1), 1);
        assert_eq!(level(&scene), None);
        let viewer = Scene::watch(&scene);
        scene.show(&picture(2), 2);
        assert_eq!(level(&scene), Some(2));
        drop(viewer);
        scene.show(&picture(3), 3);
        assert_eq!(level(&scene), Some(2));
    }

    #[test]
    fn the_newest_picture_stands_and_no_faster_than_the_cap() {
        let scene = Arc::new(Scene::new(Duration::from_secs(3600)));
        let _viewer = Scene::watch(&scene);
        scene.show(&picture(1), 1);
        scene.show(&picture(2), 2);
        assert_eq!(level(&scene), Some(1), "the second came too early");
    }

    #[test]
    fn the_frame_path_goes_on_while_the_place_is_being_emptied() {
        let scene = Arc::new(Scene::new(Duration::ZERO));
        let _viewer = Scene::watch(&scene);
        let held = scene.place.lock().expect("no panic");
        scene.show(&picture(1), 1);
        drop(held);
        assert_eq!(level(&scene), None);
    }

    #[test]
    fn once_warm_a_picture_is_copied_without_memory_being_asked_for() {
        let scene = Arc::new(Scene::new(Duration::ZERO));
        let _viewer = Scene::watch(&scene);
        let shown = picture(1);
        scene.show(&shown, 1);
        let asked = allocation_counter::measure(|| _ = scene.show(&shown, 2)).count_total;
        assert_eq!(asked, 0);
    }
}
