//! Tells the service manager how the pipeline is: when it is ready, that it goes on, and a line for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::node::{CameraNews, Node};
use super::notify::ServiceManager;
use super::progress::{Progress, Seen, SeenCamera, Standstill};
use crate::capture::{CameraCounts, CameraState, LatestFrames};
use crate::config::{CameraConfig, CameraSource};

/// Between two looks where nobody asked for a watchdog, and at most.
const LOOK: Duration = Duration::from_secs(2);
/// Between two status lines that differ in numbers only.
const STATUS: Duration = Duration::from_secs(10);
/// What starting asks for while it goes on and cameras are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// An engine that fails for so long does not recover by itself: a GPU's errors stay with the process.
const ENGINE_PATIENCE: Duration = Duration::from_secs(20);

/// What others may know of the pulse, and add to its line.
#[derive(Debug, Default)]
pub(super) struct Standing {
    ready: AtomicBool,
    note: Mutex<String>,
}

impl Standing {
    /// Whether the service manager was told that the daemon is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Says `note` in every status line from now on; nothing, where it is empty.
    pub(super) fn note(&self, note: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }
}

/// Looks at the pipeline until it is dropped.
pub(super) struct Pulse {
    manager: ServiceManager,
    node: Arc<Node>,
    frames: Arc<LatestFrames>,
    cameras: Vec<Camera>,
    progress: Progress,
    standing: Arc<Standing>,
    went_on: Instant,
    told_standstill: bool,
    rate: Rate,
    told: Option<(Instant, String)>,
}

/// What the configuration says of a camera.
struct Camera {
    name: String,
    optional: bool,
    /// Files come when their time has come, which may be hours.
    live: bool,
}

/// Decisions a second.
struct Rate {
    since: Instant,
    inferred: u64,
    per_second: f64,
}

impl Pulse {
    /// Of the cameras configured, which hand over into `frames`.
    pub(super) fn new(
        manager: ServiceManager,
        cameras: &[CameraConfig],
        node: Arc<Node>,
        frames: Arc<LatestFrames>,
    ) -> Self {
        let camera = |camera: &CameraConfig| Camera {
            name: camera.name.as_str().into(),
            optional: camera.optional,
            live: !matches!(camera.source, CameraSource::Files(_)),
        };
        Self {
            manager,
            node,
            frames,
            cameras: cameras.iter().map(camera).collect(),
            progress: Progress::new(cameras.iter().map(|camera| camera.stall_timeout)),
            standing: Arc::default(),
            went_on: Instant::now(),
            told_standstill: false,
            rate: Rate { since: Instant::now(), inferred: 0, per_second: 0.0 },
            told: None,
        }
    }

    /// Shared with those who look at the pulse.
    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }

    /// Looks whenever a camera changes, and often enough for the watchdog.
    pub(super) async fn run(mut self) {
        let often = self.manager.watchdog().map_or(LOOK, |watchdog| (watchdog / 4).min(LOOK));
        loop {
            self.look(Instant::now());
            let _ = tokio::time::timeout(often, self.node.camera_news()).await;
        }
    }

    fn look(&mut self, now: Instant) {
        let (news, counts) = (self.node.cameras_now(), self.frames.counts(self.node.camera_names()));
        let goes_on = self.goes_on(&news, &counts, now);
        let awaited = self.awaited(&news);
        let status = self.line(&news, &counts, &awaited, now);
        if goes_on {
            self.manager.alive();
        }
        let ready = self.standing.is_ready();
        if !ready && awaited.is_empty() {
            self.standing.ready.store(true, Ordering::Relaxed);
            tracing::info!("ready: {status}");
            self.manager.ready(&status);
        } else if !ready && goes_on {
            self.manager.starting(&status, PATIENCE);
        } else if self.is_news(&status, now) {
            self.manager.status(&status);
        }
    }

    fn goes_on(
        &mut self,
        news: &[CameraNews],
        counts: &BTreeMap<String, CameraCounts>,
        now: Instant,
    ) -> bool {
        let seen = |(camera, news): (&Camera, &CameraNews)| SeenCamera {
            streams: camera.live && news.state == CameraState::Streaming,
            captured: counts.get(&camera.name).map_or(0, |counts| counts.captured),
        };
        let seen: Vec<_> = self.cameras.iter().zip(news).map(seen).collect();
        let turns = self.frames.turns();
        let failing = self.frames.undecided_for().is_some_and(|time| time >= ENGINE_PATIENCE);
        let checked = self.progress.check(Seen { turns, failing, cameras: &seen }, now);
        match checked {
            Ok(()) => (self.went_on, self.told_standstill) = (now, false),
            Err(standstill) => self.tell_standstill(standstill, now),
        }
        checked.is_ok()
    }

    /// Once, and early enough to be in the log before the watchdog bites.
    fn tell_standstill(&mut self, standstill: Standstill, now: Instant) {
        let stood = now.saturating_duration_since(self.went_on);
        if self.told_standstill || stood < self.manager.watchdog().unwrap_or(PATIENCE) / 2 {
            return;
        }
        self.told_standstill = true;
        let name = |number: usize| self.cameras.get(number).map_or("?", |camera| camera.name.as_str());
        let what = match standstill {
            Standstill::Deciding => "the thread that looks at frames has not come back from one".to_owned(),
            Standstill::Engine => "the engine fails on every frame".to_owned(),
            Standstill::Camera(number) => {
                format!("camera {} says that it streams and gives no frame", name(number))
            }
        };
        let watched = if self.manager.watchdog().is_some() { "systemd restarts" } else { "nobody restarts" };
        tracing::error!("nothing goes on since {stood:.0?}: {what}; {watched} the daemon if that lasts");
    }

    /// Names of the cameras that the node is not ready without and that never streamed.
    fn awaited(&self, news: &[CameraNews]) -> Vec<String> {
        let cameras = self.cameras.iter().zip(news);
        cameras
            .filter(|(camera, news)| !camera.optional && !news.streamed)
            .map(|(camera, _)| camera.name.clone())
            .collect()
    }

    fn line(
        &mut self,
        news: &[CameraNews],
        counts: &BTreeMap<String, CameraCounts>,
        awaited: &[String],
        now: Instant,
    ) -> String {
        let mut line = self.standing.note.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !line.is_empty() {
            line.push_str("; ");
        }
        if !awaited.is_empty() {
            let _ = write!(line, "waiting for camera {}; ", awaited.join(", "));
        }
        for (camera, news) in self.cameras.iter().zip(news) {
            let state = format!("{:?}", news.state).to_lowercase();
            let _ = match &news.reason {
                Some(reason) => write!(line, "{} {state} ({reason}); ", camera.name),
                None => write!(line, "{} {state}; ", camera.name),
            };
        }
        let rate = self.rate.of(counts, now);
        let waiting = self.node.events_waiting();
        let _ = write!(line, "{rate:.1} decisions/s, {waiting} events waiting for the broker");
        line
    }

    /// States are told at once, numbers now and then.
    fn is_news(&mut self, status: &str, now: Instant) -> bool {
        let words =
            |text: &str| text.rsplit_once("; ").map_or_else(String::new, |(words, _)| words.to_owned());
        let is_news = self.told.as_ref().is_none_or(|(at, told)| {
            words(told) != words(status) || now.saturating_duration_since(*at) >= STATUS && told != status
        });
        if is_news {
            self.told = Some((now, status.to_owned()));
        }
        is_news
    }
}

impl Rate {
    fn of(&mut self, counts: &BTreeMap<String, CameraCounts>, now: Instant) -> f64 {
        let inferred = counts.values().map(|counts| counts.inferred).sum();
        let passed = now.saturating_duration_since(self.since);
        if passed >= STATUS || self.inferred == 0 {
            let more = u64::saturating_sub(inferred, self.inferred);
            self.per_second = more as f64 / passed.as_secs_f64().max(1.0);
            (self.since, self.inferred) = (now, inferred);
        }
        self.per_second
    }
}
