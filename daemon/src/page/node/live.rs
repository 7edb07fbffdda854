//! Live pictures: compressed once for all who watch a camera, on a thread that may be waited for, and not at all while
//! nobody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use turbojpeg::{Compressor, Image, PixelFormat as Pixels, Subsamp};

use super::Sources;
use crate::capture::{Frame, FrameDecoder, FrameImage};
use crate::config::{PageConfig, PixelFormat as Format};
use crate::observe::{Scene, Viewer};
use crate::page::{Viewers, Viewing};

/// Good enough to recognise a beetle by, small enough for a field's link.
const QUALITY: i32 = 75;

/// What parts of a stream are told from each other by.
const BOUNDARY: &str = "fieldmark-frame";

/// The type of a stream.
pub(super) const STREAM_TYPE: &str = "multipart/x-mixed-replace; boundary=fieldmark-frame";

/// The pictures of one camera.
struct Feed {
    name: String,
    scene: Arc<Scene>,
    latest: watch::Sender<Shown>,
    somebody: Notify,
}

/// A picture, and of what frame.
#[derive(Debug, Clone, Default)]
struct Shown {
    jpeg: Bytes,
    frame: u64,
    /// Whether there is a decision on that frame.
    decided: bool,
}

/// All cameras.
pub(super) struct Live {
    feeds: Vec<Arc<Feed>>,
    viewers: Viewers,
    compressed: Arc<AtomicU64>,
}

/// One who watches a camera.
struct Watching {
    _scene: Viewer,
    _viewing: Viewing,
}

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPicture {
    /// There is no such camera.
    Camera,
    /// Too many watch.
    Full,
}

impl Live {
    pub(super) fn new(sources: &Sources, config: &PageConfig) -> Self {
        let feed = |(number, name): (usize, &String)| {
            let scene = Arc::clone(sources.observer.scene(number)?);
            let (latest, somebody) = (watch::Sender::default(), Notify::new());
            Some(Arc::new(Feed { name: name.clone(), scene, latest, somebody }))
        };
        Self {
            feeds: sources.equipment.cameras.iter().enumerate().filter_map(feed).collect(),
            viewers: Viewers::new(config.max_viewers),
            compressed: Arc::default(),
        }
    }

    /// One task a camera; it sleeps while nobody watches.
    pub(super) fn start(&self, width: u32) -> Vec<JoinHandle<()>> {
        let feeds = self.feeds.iter();
        feeds
            .map(|feed| tokio::spawn(develop(Arc::clone(feed), width, Arc::clone(&self.compressed))))
            .collect()
    }

    /// How many watch.
    pub(super) fn viewers(&self) -> usize {
        self.viewers.count()
    }

    /// Pictures compressed so far.
    pub(super) fn compressed(&self) -> u64 {
        self.compressed.load(Ordering::Relaxed)
    }

    fn watch(&self, camera: &str) -> Result<(watch::Receiver<Shown>, Watching), NoPicture> {
        let feed = self.feeds.iter().find(|feed| feed.name == camera).ok_or(NoPicture::Camera)?;
        let viewing = self.viewers.enter().ok_or(NoPicture::Full)?;
        let watching = Watching { _scene: Scene::watch(&feed.scene), _viewing: viewing };
        feed.somebody.notify_one();
        Ok((feed.latest.subscribe(), watching))
    }

    /// The pictures of `camera`, as parts of one answer, for as long as it is read. Whoever reads slowly misses some.
    pub(super) fn stream(
        &self,
        camera: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, std::convert::Infallible>> + use<>, NoPicture> {
        let (mut pictures, watching) = self.watch(camera)?;
        pictures.mark_unchanged();
        Ok(stream::unfold((pictures, watching), async |(mut pictures, watching)| {
            pictures.changed().await.ok()?;
            let shown = pictures.borrow_and_update().clone();
            Some((Ok(part(&shown)), (pictures, watching)))
        }))
    }

    /// The next picture of `camera`.
    pub(super) async fn next(&self, camera: &str) -> Result<Option<Bytes>, NoPicture> {
        let (mut pictures, _watching) = self.watch(camera)?;
        pictures.mark_unchanged();
        Ok(pictures.changed().await.is_ok().then(|| pictures.borrow_and_update().jpeg.clone()))
    }
}

/// A picture with what stands around it. The boundary comes after it as well: a browser shows a part when that has
/// come.
fn part(Shown { jpeg, frame, decided }: &Shown) -> Bytes {
    let decided = if *decided { "yes" } else { "no" };
    let head = format!(
        "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\
         X-Fieldmark-Frame: {frame}\r\nX-Fieldmark-Decided: {decided}\r\n\r\n",
        jpeg.len()
    );
    let mut part = Vec::with_capacity(head.len() + jpeg.len() + BOUNDARY.len() + 8);
    part.extend_from_slice(head.as_bytes());
    part.extend_from_slice(jpeg);
    part.extend_from_slice(b"\r\n");
    part.into()
}

async fn develop(feed: Arc<Feed>, width: u32, compressed: Arc<AtomicU64>) {
    let mut developer = match Developer::new(width) {
        Ok(developer) => developer,
        Err(error) => return tracing::warn!(camera = feed.name, "there will be no live pictures: {error}"),
    };
    loop {
        while feed.scene.viewers() == 0 {
            feed.somebody.notified().await;
        }
        let (frame, decided) = feed.scene.next().await;
        let number = frame.sequence;
        let task = tokio::task::spawn_blocking(move || {
            let jpeg = developer.jpeg(&frame);
            (developer, frame, jpeg)
        });
        let Ok((back, frame, jpeg)) = task.await else { return };
        developer = back;
        feed.scene.give_back(frame);
        match jpeg {
            Ok(jpeg) => {
                compressed.fetch_add(1, Ordering::Relaxed);
                // What is not looked at any more is not kept either.
                let jpeg = if feed.scene.viewers() > 0 { jpeg } else { Bytes::new() };
                feed.latest.send_replace(Shown { jpeg, frame: number, decided });
            }
            Err(reason) => tracing::warn!(camera = feed.name, "no live picture: {reason}"),
        }
    }
}

/// Makes small JPEGs of frames, in memory that is used again.
struct Developer {
    decoder: FrameDecoder,
    compressor: Compressor,
    width: u32,
}

impl Developer {
    fn new(width: u32) -> turbojpeg::Result<Self> {
        let mut compressor = Compressor::new()?;
        compressor.set_quality(QUALITY)?;
        compressor.set_subsamp(Subsamp::Sub2x2)?;
        Ok(Self { decoder: FrameDecoder::new(), compressor, width })
    }

    /// By how much each side may be divided so that the width asked for is left.
    fn reduction(&self, frame: &Frame) -> u32 {
        let (wide, high) = frame.size();
        // A JPEG is made smaller whatever its sides are; all else in whole blocks of pixels.
        let compressed =
            matches!(&frame.image, FrameImage::Raw { layout, .. } if layout.format == Format::Mjpg);
        let fits = |&reduction: &u32| {
            let whole = wide.is_multiple_of(reduction) && high.is_multiple_of(reduction);
            wide / reduction >= self.width && (compressed || whole)
        };
        [8, 4, 2].into_iter().find(fits).unwrap_or(1)
    }

    fn jpeg(&mut self, frame: &Frame) -> Result<Bytes, String> {
        let reduction = self.reduction(frame);
        let decoded;
        let (pixels, wide, high) = match &frame.image {
            FrameImage::Raw { bytes, layout }
                if layout.format == Format::Rgb3 && reduction == 1 && layout.stride == layout.row_bytes() =>
            {
                (bytes.as_slice(), layout.width, layout.height)
            }
            _ => {
                decoded = self.decoder.decode(frame, reduction).map_err(|error| error.to_string())?;
                (decoded.rgb(), decoded.width(), decoded.height())
            }
        };
        let (width, height) = (wide as usize, high as usize);
        let image = Image { pixels, width, pitch: width * 3, height, format: Pixels::RGB };
        self.compressor.compress_to_vec(image).map(Bytes::from).map_err(|error| error.to_string())
    }
}

/// `rgb` `[height, width, 3]` as a JPEG.
pub(super) fn small_jpeg(rgb: &[u8], width: u32, height: u32) -> turbojpeg::Result<Vec<u8>> {
    let mut compressor = Compressor::new()?;
    compressor.set_quality(85)?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    let (width, height) = (width as usize, height as usize);
    compressor.compress_to_vec(Image { pixels: rgb, width, pitch: width * 3, height, format: Pixels::RGB })
}

#[cfg(test)]
mod tests {
    use fieldmark_models::picture::Picture;

    use super::*;

    #[test]
    fn live_pictures_are_as_wide_as_asked_for_and_less_than_twice() {
        let mut developer = Developer::new(100).expect("a compressor");
        for (wide, wanted) in
            [(60, 60), (100, 100), (199, 199), (200, 100), (330, 165), (1600, 200), (1608, 201)]
        {
            let picture = Picture::from_rgb(wide, 48, vec![90; (wide * 48 * 3) as usize]).expect("a picture");
            let scene = Arc::new(Scene::new(std::time::Duration::ZERO));
            let _viewer = Scene::watch(&scene);
            scene.show(&picture, 0);
            let (frame, _) = futures::executor::block_on(scene.next());
            let jpeg = developer.jpeg(&frame).expect("a JPEG");
            assert_eq!(Picture::decode(&jpeg).expect("a picture").width(), wanted, "{wide}");
        }
    }
}
