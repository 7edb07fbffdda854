//! How a camera is, judged by what its source says. No clock, no thread: moments are given.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use serde::{Deserialize, Serialize};

use super::Delivery;

/// First pause before a lost camera is tried again; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Opening a device costs little, and a camera that was plugged in again should not be waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
    /// How often it was lost since the daemon started.
    pub losses: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; nothing changed.
    Same,
    /// Go on, and tell.
    Changed,
    /// Close the source and wait this long before it is tried again; tell where the flag is set.
    Retry(Duration, bool),
}

/// Keeps book over one camera.
#[derive(Debug)]
pub struct Supervision {
    patience: Duration,
    state: CameraState,
    reason: Option<String>,
    losses: u64,
    /// Since when there is no usable frame although the source gives some.
    unusable_since: Option<Instant>,
    backoff: ExponentialBackoff,
}

fn backoff() -> ExponentialBackoff {
    let shape = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
    shape.without_max_times().build()
}

impl Supervision {
    /// A camera not heard of yet; `patience` is how long it may give unusable frames only.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        let (state, reason) = (CameraState::Starting, None);
        Self { patience, state, reason, losses: 0, unusable_since: None, backoff: backoff() }
    }

    /// How the camera is.
    #[must_use]
    pub fn state(&self) -> CameraState {
        self.state
    }

    /// Why, where that needs saying.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How often it was lost.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// A frame came that looks usable.
    pub fn frame(&mut self) -> Verdict {
        self.unusable_since = None;
        if self.state == CameraState::Streaming {
            return Verdict::Same;
        }
        self.backoff = backoff();
        (self.state, self.reason) = (CameraState::Streaming, None);
        Verdict::Changed
    }

    /// Something came at `now` that is no usable frame, because of `why`.
    pub fn unusable(&mut self, why: &str, now: Instant) -> Verdict {
        let since = *self.unusable_since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        if waited < self.patience {
            return Verdict::Same;
        }
        self.failed(format!("no usable frame for {} s: {why}", self.patience.as_secs_f64()))
    }

    /// The source failed.
    pub fn failed(&mut self, why: String) -> Verdict {
        self.unusable_since = None;
        let was_lost = self.state == CameraState::Lost;
        let told = was_lost && self.reason.as_deref() == Some(why.as_str());
        self.losses += u64::from(!was_lost);
        (self.state, self.reason) = (CameraState::Lost, Some(why));
        Verdict::Retry(self.backoff.next().unwrap_or(LONGEST_PAUSE), !told)
    }

    /// There will be no more frames.
    pub fn ended(&mut self) {
        (self.state, self.reason) = (CameraState::Ended, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn pause(verdict: &Verdict) -> Duration {
        match verdict {
            Verdict::Retry(pause, _) => *pause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lost_camera_is_tried_ever_more_rarely_and_at_once_after_it_came_back() {
        let mut camera = Supervision::new(PATIENCE);
        let pauses: Vec<_> = (0..6).map(|_| pause(&camera.failed("unplugged".into())).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 2000, 2000]);
        assert_eq!(camera.frame(), Verdict::Changed);
        assert_eq!(pause(&camera.failed("unplugged".into())).as_millis(), 250);
        assert_eq!(camera.losses(), 2);
    }

    #[test]
    fn every_change_is_told_once() {
        let mut camera = Supervision::new(PATIENCE);
        assert_eq!(camera.frame(), Verdict::Changed);
        assert_eq!(camera.frame(), Verdict::Same);
        assert!(matches!(camera.failed("unplugged".into()), Verdict::Retry(_, true)));
        assert!(matches!(camera.failed("unplugged".into()), Verdict::Retry(_, false)));
        assert!(matches!(camera.failed("busy".into()), Verdict::Retry(_, true)), "another reason");
        assert_eq!((camera.state(), camera.reason()), (CameraState::Lost, Some("busy")));
        assert_eq!(camera.frame(), Verdict::Changed);
        assert_eq!((camera.state(), camera.reason()), (CameraState::Streaming, None));
    }

    #[test]
    fn garbage_makes_a_camera_lost_after_a_while_and_one_good_frame_saves_it() {
        let (mut camera, begin) = (Supervision::new(PATIENCE), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        camera.frame();
        assert_eq!(camera.unusable("truncated", at(0)), Verdict::Same);
        assert_eq!(camera.unusable("truncated", at(4)), Verdict::Same);
        assert_eq!(camera.frame(), Verdict::Same);
        assert_eq!(camera.unusable("truncated", at(5)), Verdict::Same);
        assert_eq!(camera.unusable("truncated", at(9)), Verdict::Same);
        assert!(matches!(camera.unusable("truncated", at(10)), Verdict::Retry(_, true)));
        assert_eq!(camera.reason(), Some("no usable frame for 5 s: truncated"));
    }

    #[test]
    fn a_camera_that_only_ever_sent_garbage_never_streams() {
        let (mut camera, begin) = (Supervision::new(PATIENCE), Instant::now());
        for second in 0..60 {
            camera.unusable("truncated", begin + Duration::from_secs(second));
            assert_ne!(camera.state(), CameraState::Streaming);
        }
        assert_eq!((camera.state(), camera.losses()), (CameraState::Lost, 1));
    }
}
