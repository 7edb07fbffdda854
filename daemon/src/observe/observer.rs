//! The one thing the service hands everything to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use tokio::sync::Notify;

use super::day::Day;
use super::drift::{self, Gathered, Given, Terms, Usual};
use super::scene::Scene;
use super::seen::{Seen, Sketch};
use super::tally::Tally;
use super::tracks::{RecentTrack, Thumbnail, Tracks};
use crate::capture::Frame;
use crate::decide::Answer;
use crate::publish::messages::{CameraStatus, Detection, Drift, Info, ModelState};
use crate::track::EventType;

/// How long after the last look decisions are still written out in full.
const ATTENTION: Duration = Duration::from_secs(5);
/// Between two decisions that are written out where nobody looks, so that whoever comes finds one.
const SELDOM: Duration = Duration::from_secs(1);
/// Between two that are written out while somebody looks at the page, beside those of frames that are shown.
const OFTEN: Duration = Duration::from_millis(400);
/// Between two pictures of a camera whose sharpness is measured.
const LOOKS: Duration = Duration::from_secs(10);
/// Between two thumbnails of a camera.
const THUMBNAILS: Duration = Duration::from_millis(400);

/// What the node last published of itself.
#[derive(Debug, Clone, Default)]
pub struct Reported {
    /// `fieldmark/N/info`.
    pub info: Option<Info>,
    /// `fieldmark/N/model/state`.
    pub model: Option<ModelState>,
    /// `fieldmark/N/C/status`, by number of the camera.
    pub cameras: Vec<Option<CameraStatus>>,
    /// `fieldmark/N/C/drift`, by number of the camera.
    pub drifts: Vec<Option<Drift>>,
}

struct OfCamera {
    scene: Arc<Scene>,
    frames: AtomicU64,
    seen: Mutex<Option<Seen>>,
    written: Mutex<Option<Instant>>,
    pictured: Mutex<Pictured>,
    gathered: Mutex<Gathered>,
    looked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Pictured {
    last: Option<Instant>,
    waiting: Option<Thumbnail>,
}

/// What the daemon sees of itself.
pub struct Observer {
    cameras: Vec<OfCamera>,
    tally: Tally,
    /// Whether there is a page at all; without one only numbers are kept.
    page: AtomicBool,
    begun: Instant,
    looked: AtomicU64,
    reported: Mutex<Reported>,
    tracks: Mutex<Tracks>,
    day: Mutex<Day>,
    revision: AtomicU64,
    news: Notify,
    terms: Mutex<Terms>,
    drift_due: Notify,
    spread: Duration,
}

// What is inside stays of use when a thread that held it panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer {
    /// Of the cameras called `names`, each shown at most once in `every`; `page` says whether anybody can look; a day's
    /// answers say something of drift once they are spread over `spread`.
    ///
    /// # Errors
    /// If two names are alike.
    pub fn new(names: &[String], every: Duration, page: bool, spread: Duration) -> prometheus::Result<Self> {
        let camera = |_: &String| OfCamera {
            scene: Arc::new(Scene::new(every)),
            frames: AtomicU64::new(0),
            seen: Mutex::default(),
            written: Mutex::default(),
            pictured: Mutex::default(),
            gathered: Mutex::default(),
            looked: Mutex::default(),
        };
        let reported = Reported {
            cameras: vec![None; names.len()],
            drifts: vec![None; names.len()],
            ..Reported::default()
        };
        Ok(Self {
            cameras: names.iter().map(camera).collect(),
            tally: Tally::new(names)?,
            page: AtomicBool::new(page),
            begun: Instant::now(),
            looked: AtomicU64::new(0),
            reported: Mutex::new(reported),
            tracks: Mutex::default(),
            day: Mutex::default(),
            revision: AtomicU64::new(0),
            news: Notify::new(),
            terms: Mutex::default(),
            drift_due: Notify::new(),
            spread,
        })
    }

    /// Counters and histograms.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The latest picture of a camera.
    #[must_use]
    pub fn scene(&self, camera: usize) -> Option<&Arc<Scene>> {
        self.cameras.get(camera).map(|camera| &camera.scene)
    }

    /// Changes whenever something worth showing has changed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Resolves when something worth showing has changed. One waits at a time.
    pub async fn changed(&self) {
        self.news.notified().await;
    }

    fn tell(&self) {
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// Somebody looks, now.
    pub fn look(&self) {
        self.looked.store(self.milliseconds() + 1, Ordering::Relaxed);
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn somebody_looks(&self) -> bool {
        let looked = self.looked.load(Ordering::Relaxed);
        looked > 0 && self.milliseconds().saturating_sub(looked) < ATTENTION.as_millis() as u64
    }

    /// A frame of `camera` gets no decision, and is not decoded.
    pub fn frame(&self, camera: usize, frame: &Frame) {
        if let Some(of_camera) = self.cameras.get(camera) {
            of_camera.scene.show_frame(frame);
        }
    }

    /// The network has looked at `picture`, the frame of `camera` numbered `sequence`. Where its decisions are to be
    /// written out (somebody sees this picture, or it is time again), they are to be drawn on what is returned.
    pub fn picture(&self, camera: usize, picture: &Picture, sequence: u64) -> Option<Sketch> {
        let of_camera = self.cameras.get(camera)?;
        let shown = of_camera.scene.show(picture, sequence);
        {
            let mut looked = lock(&of_camera.looked);
            if looked.is_none_or(|last| last.elapsed() >= LOOKS) {
                *looked = Some(Instant::now());
                let (seen, now) = (drift::look(picture), jiff::Timestamp::now());
                self.gather(of_camera, |gathered| gathered.looked(seen, now, self.spread));
            }
        }
        if !self.page.load(Ordering::Relaxed) {
            return None;
        }
        let number = of_camera.frames.fetch_add(1, Ordering::Relaxed) + 1;
        let mut written = lock(&of_camera.written);
        let least = if self.somebody_looks() { OFTEN } else { SELDOM };
        let due = shown || written.is_none_or(|last| last.elapsed() >= least);
        due.then(|| {
            *written = Some(Instant::now());
            Sketch::new(number, sequence)
        })
    }

    /// All regions of a frame of `camera` that was taken at `time` are decided on and drawn on `sketch`.
    pub fn sketched(&self, camera: usize, sketch: Sketch, time: jiff::Timestamp) {
        if let Some(of_camera) = self.cameras.get(camera) {
            *lock(&of_camera.seen) = Some(sketch.seen(time));
            self.tell();
        }
    }

    /// Adds to what is gathered of a camera, and calls whoever looks at it where it is due.
    fn gather(&self, of_camera: &OfCamera, add: impl FnOnce(&mut Gathered)) {
        let mut gathered = lock(&of_camera.gathered);
        add(&mut gathered);
        if gathered.due.is_some() || gathered.learned {
            self.drift_due.notify_one();
        }
    }

    /// Resolves when a camera's day is to be looked at. One waits at a time.
    pub async fn drift_is_due(&self) {
        self.drift_due.notified().await;
    }

    /// What is gathered of `camera`; what is due in it counts as looked at.
    #[must_use]
    pub fn gathered(&self, camera: usize) -> Option<Gathered> {
        let mut gathered = lock(&self.cameras.get(camera)?.gathered);
        let seen = gathered.clone();
        (gathered.due, gathered.learned) = (None, false);
        Some(seen)
    }

    /// What is usual for `camera`.
    #[must_use]
    pub fn usual(&self, camera: usize) -> Option<Usual> {
        self.cameras.get(camera).map(|camera| lock(&camera.gathered).usual.clone())
    }

    /// What was usual for `camera` before the daemon started; answers count under the same terms only.
    pub fn recall_usual(&self, camera: usize, usual: Usual) {
        if let Some(of_camera) = self.cameras.get(camera) {
            lock(&of_camera.gathered).usual = usual;
        }
    }

    /// How a camera's day stands.
    pub fn drift(&self, camera: usize, drift: Drift) {
        if let Some(place) = lock(&self.reported).drifts.get_mut(camera) {
            *place = Some(drift);
        }
        self.tell();
    }

    /// A region of a frame of `camera` was decided on.
    pub fn decided(&self, camera: usize, answer: &Answer) {
        self.tally.decided(camera, answer);
    }

    /// New or better answers of `camera` are about to be told, of the part of `picture` between `edges`: how they look.
    pub fn sighted(&self, camera: usize, picture: &Picture, edges: [f64; 4]) {
        let Some(of_camera) = self.cameras.get(camera).filter(|_| self.page.load(Ordering::Relaxed)) else {
            return;
        };
        let mut pictured = lock(&of_camera.pictured);
        if pictured.last.is_none_or(|last| last.elapsed() >= THUMBNAILS) {
            pictured.last = Some(Instant::now());
            pictured.waiting = Some(Thumbnail::new(picture, edges));
        }
    }

    /// An event of `camera` is published.
    pub fn told(&self, camera: usize, detection: &Detection) {
        self.tally.told(camera, detection.kind.name());
        // The first answer of a track is one frame's, as those a model is measured with are.
        if let Some(of_camera) = self.cameras.get(camera).filter(|_| detection.kind == EventType::New) {
            self.answered(of_camera, detection);
        }
        if !self.page.load(Ordering::Relaxed) {
            return;
        }
        // What ended is not in the picture any more.
        let of_camera = self.cameras.get(camera).filter(|_| detection.kind != EventType::End);
        let thumbnail = of_camera.and_then(|camera| lock(&camera.pictured).waiting.take());
        lock(&self.tracks).told(detection, thumbnail);
        lock(&self.day).told(detection);
        self.tell();
    }

    fn answered(&self, of_camera: &OfCamera, detection: &Detection) {
        let Ok(time) = detection.time.parse() else { return };
        let terms = lock(&self.terms).clone();
        let (taxon, best_leaf) = (&detection.taxon, detection.best_leaf.probability);
        let given = Given { rank: &taxon.rank, depth: taxon.depth, best_leaf };
        self.gather(of_camera, |gathered| gathered.answered(&given, time, &terms, self.spread));
    }

    /// A decided frame of `camera` took so long in each of [`super::STAGES`].
    pub fn timed(&self, camera: usize, times: [Duration; 5]) {
        self.tally.timed(camera, times);
    }

    /// The node says of itself.
    pub fn info(&self, info: &Info) {
        *lock(&self.terms) = Terms { model: info.model.sha256.to_string(), threshold: info.threshold };
        lock(&self.reported).info = Some(info.clone());
        self.tell();
    }

    /// The node says of an update.
    pub fn model_state(&self, state: &ModelState) {
        lock(&self.reported).model = Some(state.clone());
        self.tell();
    }

    /// The node says of a camera.
    pub fn camera(&self, camera: usize, status: &CameraStatus) {
        if let Some(place) = lock(&self.reported).cameras.get_mut(camera) {
            *place = Some(status.clone());
        }
        self.tell();
    }

    /// What the node last said.
    #[must_use]
    pub fn reported(&self) -> Reported {
        lock(&self.reported).clone()
    }

    /// The latest decision of `camera`.
    #[must_use]
    pub fn seen(&self, camera: usize) -> Option<Seen> {
        self.cameras.get(camera).and_then(|camera| lock(&camera.seen).clone())
    }

    /// The newest `count` tracks.
    #[must_use]
    pub fn tracks(&self, count: usize) -> Vec<RecentTrack> {
        lock(&self.tracks).newest(count)
    }

    /// How a track looked when it was last told of.
    #[must_use]
    pub fn thumbnail(&self, camera: &str, id: u64) -> Option<Thumbnail> {
        lock(&self.tracks).thumbnail(camera, id)
    }

    /// The taxa of the day.
    #[must_use]
    pub fn day(&self) -> Day {
        lock(&self.day).clone()
    }
}
