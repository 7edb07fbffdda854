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

    /// Copies `picture` where somebody watches and one is due.
    pub fn show(&self, picture: &Picture) {
        let layout = Layout::new(PixelFormat::Rgb3, picture.width(), picture.height(), 0, Colour::default());
        self.put(picture.rgb(), layout);
    }

    /// As [`Self::show`], of a frame that is not decoded.
    pub fn show_frame(&self, frame: &Frame) {
        match &frame.image {
            FrameImage::Picture(picture) => self.show(picture),
            FrameImage::Raw { bytes, layout } => self.put(bytes, *layout),
        }
    }

    fn put(&self, bytes: &[u8], layout: Layout) {
        if self.viewers() == 0 {
            return;
        }
        let now = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        if now < self.due.load(Ordering::Relaxed) {
            return;
        }
        let mut place = match self.place.try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.due.store(now.saturating_add(self.every), Ordering::Relaxed);
        let older = place.frame.take().map(Frame::into_buffer);
        let mut copy = older.unwrap_or_else(|| std::mem::take(&mut place.spare));
        copy.clear();
        copy.extend_from_slice(bytes);
        let image = FrameImage::Raw { bytes: copy, layout };
        place.frame =
            Some(Frame { image, time: jiff::Timestamp::now(), moment: Instant::now(), sequence: 0 });
        drop(place);
        self.news.notify_one();
    }

    /// The next picture, as [`FrameImage::Raw`]; forgets it. One taker at a time.
    pub async fn next(&self) -> Frame {
        loop {
            let frame = self.place.lock().unwrap_or_else(PoisonError::into_inner).frame.take();
            if let Some(frame) = frame {
                return frame;
            }
            self.news.notified().await;
        }
    }

    /// Gives the memory of a picture back.
    pub fn give_back(&self, frame: Frame) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).spare = frame.into_buffer();
    }
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
        scene.show(&picture(1));
        assert_eq!(level(&scene), None);
        let viewer = Scene::watch(&scene);
        scene.show(&picture(2));
        assert_eq!(level(&scene), Some(2));
        drop(viewer);
        scene.show(&picture(3));
        assert_eq!(level(&scene), Some(2));
    }

    #[test]
    fn the_newest_picture_stands_and_no_faster_than_the_cap() {
        let scene = Arc::new(Scene::new(Duration::from_secs(3600)));
        let _viewer = Scene::watch(&scene);
        scene.show(&picture(1));
        scene.show(&picture(2));
        assert_eq!(level(&scene), Some(1), "the second came too early");
    }

    #[test]
    fn the_frame_path_goes_on_while_the_place_is_being_emptied() {
        let scene = Arc::new(Scene::new(Duration::ZERO));
        let _viewer = Scene::watch(&scene);
        let held = scene.place.lock().expect("no panic");
        scene.show(&picture(1));
        drop(held);
        assert_eq!(level(&scene), None);
    }

    #[test]
    fn once_warm_a_picture_is_copied_without_memory_being_asked_for() {
        let scene = Arc::new(Scene::new(Duration::ZERO));
        let _viewer = Scene::watch(&scene);
        let shown = picture(1);
        scene.show(&shown);
        let asked = allocation_counter::measure(|| scene.show(&shown)).count_total;
        assert_eq!(asked, 0);
    }
}
