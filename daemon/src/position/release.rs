//! Which release by the autopilot a frame belongs to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A frame comes so soon after its release, at most.
const LONGEST: Duration = Duration::from_secs(1);
/// Frames that wait until what was said of releases before them has come.
const WAITING: usize = 64;
/// Frames from which it is learned how long one is on its way.
const LEARNED: usize = 31;
/// From so few it is known.
const ENOUGH: usize = 3;
/// Releases whose distance from each other is compared.
const COMPARED: usize = 16;

/// Frames of one camera, as they came after releases.
///
/// A message that tells of a release may come later than the frame, or never. The last release that was heard of is then
/// the one of the frame before, with the pose of where the camera was a second ago. So it is learned, from frames whose
/// releases must have been heard of by now, how long a frame is on its way, and a frame takes the release that lies
/// there; where none does, the moment itself.
#[derive(Debug, Clone)]
pub struct Releases {
    waiting: VecDeque<Instant>,
    ways: VecDeque<Duration>,
}

impl Default for Releases {
    fn default() -> Self {
        Self { waiting: VecDeque::with_capacity(WAITING), ways: VecDeque::with_capacity(LEARNED) }
    }
}

impl Releases {
    /// When the frame that came at `arrived` was released, by these moments of `releases`, the oldest first.
    pub(super) fn taken(&self, releases: &VecDeque<Instant>, arrived: Instant) -> Instant {
        let Some(moment) = self.way().and_then(|way| arrived.checked_sub(way)) else {
            return last(releases, arrived).unwrap_or(arrived);
        };
        let after = releases.partition_point(|&at| at <= moment);
        let beside = [after.checked_sub(1), Some(after)].into_iter().flatten();
        let nearest = beside.filter_map(|at| releases.get(at)).copied().min_by_key(|&at| apart(at, moment));
        nearest.filter(|&at| apart(at, moment) <= shortest(releases) / 2).unwrap_or(moment)
    }

    /// A frame came at `arrived`: learns from those before it, of whose releases everything must have come by now.
    pub(super) fn learn(&mut self, releases: &VecDeque<Instant>, arrived: Instant) {
        let settled = |&before: &Instant| arrived.saturating_duration_since(before) > LONGEST;
        while let Some(before) = self.waiting.pop_front_if(|before| settled(before)) {
            self.note(releases, before);
        }
        if self.waiting.len() >= WAITING
            && let Some(before) = self.waiting.pop_front()
        {
            self.note(releases, before);
        }
        self.waiting.push_back(arrived);
    }

    fn note(&mut self, releases: &VecDeque<Instant>, arrived: Instant) {
        let Some(released) = last(releases, arrived) else { return };
        if self.ways.len() >= LEARNED {
            self.ways.pop_front();
        }
        self.ways.push_back(arrived.saturating_duration_since(released));
    }

    /// How long a frame is on its way: the median, for some releases are never heard of.
    fn way(&self) -> Option<Duration> {
        let mut sorted = [Duration::ZERO; LEARNED];
        let sorted = sorted.get_mut(..self.ways.len())?;
        sorted.iter_mut().zip(&self.ways).for_each(|(to, &from)| *to = from);
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() >= ENOUGH)
    }
}

/// The last release before a frame that came at `arrived`.
fn last(releases: &VecDeque<Instant>, arrived: Instant) -> Option<Instant> {
    let after = releases.partition_point(|&at| at <= arrived);
    let before = after.checked_sub(1).and_then(|before| releases.get(before)).copied();
    before.filter(|&at| arrived.saturating_duration_since(at) <= LONGEST)
}

/// The shortest time between two of the last releases.
fn shortest(releases: &VecDeque<Instant>) -> Duration {
    let late = releases.iter().skip(releases.len().saturating_sub(COMPARED));
    let next = late.clone().skip(1);
    late.zip(next).map(|(&one, &other)| apart(one, other)).min().unwrap_or(LONGEST)
}

/// How far two moments are from each other.
pub(super) fn apart(one: Instant, other: Instant) -> Duration {
    one.saturating_duration_since(other).max(other.saturating_duration_since(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames 0.4 s apart, 90 ms after their releases: what each is taken to have been released at, seconds from its own.
    fn off(frames: u32, heard: impl Fn(u32, f64) -> bool) -> Vec<f64> {
        let begin = Instant::now();
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let mut releases = Releases::default();
        let off = |number: u32| {
            let (released, arrived) = (f64::from(number) * 0.4, f64::from(number) * 0.4 + 0.09);
            let told: VecDeque<_> = (0..=number)
                .filter(|&other| heard(other, arrived - f64::from(other) * 0.4))
                .map(|other| at(f64::from(other) * 0.4))
                .collect();
            let taken = releases.taken(&told, at(arrived));
            releases.learn(&told, at(arrived));
            taken.saturating_duration_since(begin).as_secs_f64() - released
        };
        (0..frames).map(off).collect()
    }

    #[test]
    fn a_frame_belongs_to_the_release_before_it() {
        assert!(off(40, |_, _| true).iter().all(|off| off.abs() < 1e-6));
    }

    #[test]
    fn a_release_that_is_told_of_after_the_frame_was_decided_on_is_not_taken_for_the_one_before() {
        // Told of 0.3 s late: the frame has long been there.
        let off = off(40, |_, since| since >= 0.3);
        assert!(off[..3].iter().any(|off| *off < -0.3), "nothing is learned yet: {off:?}");
        assert!(off[8..].iter().all(|off| off.abs() < 1e-6), "{off:?}");
    }

    #[test]
    fn a_release_that_is_never_told_of_moves_no_frame() {
        let off = off(40, |number, _| number % 3 != 0);
        assert!(off[..6].iter().any(|off| *off < -0.3), "nothing is learned yet: {off:?}");
        assert!(off[12..].iter().all(|off| off.abs() < 1e-6), "{off:?}");
    }

    #[test]
    fn a_camera_that_nobody_releases_has_its_frames_when_they_come() {
        let (releases, begin) = (Releases::default(), Instant::now());
        assert_eq!(releases.taken(&VecDeque::new(), begin), begin);
    }
}
