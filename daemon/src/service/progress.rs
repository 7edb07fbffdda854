//! Whether the pipeline goes on, judged by what came out of it. No clock, no thread: moments are given.
//!
//! A timer that feeds a watchdog only shows that there is a timer. Here a sign of life is a frame that was settled,
//! or a turn of the deciding thread where no camera has one, and from each camera that says it streams, frames.

use std::time::{Duration, Instant};

/// What is seen of the pipeline at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// How often the deciding thread asked for a frame.
    pub(super) turns: u64,
    /// Whether the engine fails, and has for long.
    pub(super) failing: bool,
    /// In the order of the cameras.
    pub(super) cameras: &'a [SeenCamera],
}

/// What is seen of one camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenCamera {
    /// It says that frames arrive, at a rate of its own.
    pub(super) streams: bool,
    /// Frames that came, usable or not.
    pub(super) captured: u64,
}

/// What does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standstill {
    /// The thread that looks at frames.
    Deciding,
    /// The engine, which answers nothing.
    Engine,
    /// The thread of the camera with this number, which says that it streams and gives nothing.
    Camera(usize),
}

/// Remembers what was seen.
#[derive(Debug)]
pub(super) struct Progress {
    turns: u64,
    cameras: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    /// A camera's own supervision says within this time that it is lost; later than that it is stuck.
    patience: Duration,
    captured: u64,
    since: Option<Instant>,
}

impl Progress {
    /// Of cameras that are lost after these times without a frame.
    pub(super) fn new(stall_timeouts: impl Iterator<Item = Duration>) -> Self {
        let watched = |stall: Duration| Watched {
            patience: stall * 2 + Duration::from_secs(5),
            captured: 0,
            since: None,
        };
        Self { turns: 0, cameras: stall_timeouts.map(watched).collect() }
    }

    /// Compares what is `seen` at `now` with what was seen the last time it went on.
    ///
    /// # Errors
    /// With the first thing that does not go on.
    pub(super) fn check(&mut self, seen: Seen<'_>, now: Instant) -> Result<(), Standstill> {
        let mut stuck = None;
        for (number, (watched, camera)) in self.cameras.iter_mut().zip(seen.cameras).enumerate() {
            if !camera.streams || camera.captured != watched.captured {
                (watched.captured, watched.since) = (camera.captured, Some(now));
            }
            let since = *watched.since.get_or_insert(now);
            if now.saturating_duration_since(since) > watched.patience {
                stuck.get_or_insert(Standstill::Camera(number));
            }
        }
        if seen.turns == self.turns {
            return Err(Standstill::Deciding);
        }
        if seen.failing {
            return Err(Standstill::Engine);
        }
        if let Some(stuck) = stuck {
            return Err(stuck);
        }
        self.turns = seen.turns;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(5);

    fn camera(streams: bool, captured: u64) -> SeenCamera {
        SeenCamera { streams, captured }
    }

    fn at(begin: Instant, second: u64) -> Instant {
        begin + Duration::from_secs(second)
    }

    #[test]
    fn a_deciding_thread_that_hangs_in_the_engine_is_noticed_although_frames_come() {
        let (mut progress, begin) = (Progress::new([STALL].into_iter()), Instant::now());
        let check = |progress: &mut Progress, second, turns, captured| {
            progress
                .check(Seen { turns, failing: false, cameras: &[camera(true, captured)] }, at(begin, second))
        };
        assert_eq!(check(&mut progress, 0, 1, 1), Ok(()));
        assert_eq!(check(&mut progress, 1, 2, 9), Ok(()));
        assert_eq!(check(&mut progress, 2, 2, 19), Err(Standstill::Deciding));
        assert_eq!(check(&mut progress, 3, 2, 29), Err(Standstill::Deciding));
        assert_eq!(check(&mut progress, 4, 3, 39), Ok(()), "it was only slow");
    }

    #[test]
    fn a_lost_camera_is_no_standstill_and_a_stuck_one_is() {
        let (mut progress, begin) = (Progress::new([STALL, STALL].into_iter()), Instant::now());
        let mut check = |second, streams| {
            let cameras = [camera(streams, 7), camera(true, second)];
            progress.check(Seen { turns: second + 1, failing: false, cameras: &cameras }, at(begin, second))
        };
        for second in 0..=100 {
            assert_eq!(check(second, false), Ok(()), "second {second}");
        }
        for second in 101..=115 {
            assert_eq!(check(second, true), Ok(()), "second {second}");
        }
        assert_eq!(check(116, true), Err(Standstill::Camera(0)));
        assert_eq!(check(117, false), Ok(()), "it noticed itself");
    }

    #[test]
    fn no_camera_at_all_goes_on_by_idle_turns_and_stops_without() {
        let (mut progress, now) = (Progress::new(std::iter::empty()), Instant::now());
        let mut check = |turns, failing| progress.check(Seen { turns, failing, cameras: &[] }, now);
        assert_eq!(check(1, false), Ok(()));
        assert_eq!(check(1, false), Err(Standstill::Deciding));
        assert_eq!(check(2, false), Ok(()));
        assert_eq!(check(3, true), Err(Standstill::Engine), "turning is not enough");
        assert_eq!(check(4, false), Ok(()));
    }
}
