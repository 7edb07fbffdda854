//! One place a camera for its latest frame. A newer frame pushes an older one out, so that a slow engine works
//! on the present; pixels' memory goes round.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Frame;

/// Buffers kept for a camera: one being filled, one waiting, one being looked at.
const SPARE_BUFFERS: usize = 3;

/// What became of a camera's frames. At any moment
/// `captured == inferred + dropped + skipped + waiting`; `still` is a part of `skipped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraCounts {
    /// Frames the source gave or should have given.
    pub captured: u64,
    /// Frames that got a decision.
    pub inferred: u64,
    /// Frames pushed out by newer ones.
    pub dropped: u64,
    /// Frames that could not be decoded, were not to be decided on, or showed nothing new.
    pub skipped: u64,
    /// Of those, frames in which the gate saw no change.
    #[serde(default)]
    pub still: u64,
    /// Frames in the slot or in the engine.
    pub waiting: u64,
}

/// What became of a frame that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It got a decision.
    Decided,
    /// It could not be decoded.
    Undecodable,
    /// The engine gave no answer.
    Undecided,
    /// Nobody wanted a decision: its camera is paused.
    Paused,
    /// The gate saw no change in it.
    Still,
}

#[derive(Default)]
struct Slot {
    frame: Option<Frame>,
    spare: Vec<Vec<u8>>,
    counts: CameraCounts,
    undecodable_since: Option<Instant>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    turn: usize,
    turns: u64,
    undecided_since: Option<Instant>,
    closed: bool,
}

/// The latest frame of every camera.
pub struct LatestFrames {
    inner: Mutex<Slots>,
    ready: Condvar,
}

/// What the inference thread finds.
#[derive(Debug)]
pub enum Taken {
    /// A frame of the camera with this number.
    Frame(usize, Frame),
    /// None came in time.
    Nothing,
    /// No more will come.
    Closed,
}

impl LatestFrames {
    /// Places for `cameras` cameras, numbered from 0.
    #[must_use]
    pub fn new(cameras: usize) -> Self {
        let slots = (0..cameras).map(|_| Slot::default()).collect();
        Self { inner: Mutex::new(Slots { slots, ..Slots::default() }), ready: Condvar::new() }
    }

    // A thread that panicked between two counters does no harm worth stopping for.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the camera's newest frame in place; never waits for the engine.
    pub fn put(&self, camera: usize, frame: Frame) {
        let mut inner = self.lock();
        if let Some(slot) = inner.slots.get_mut(camera) {
            slot.counts.captured += 1;
            if let Some(older) = slot.frame.replace(frame) {
                slot.counts.dropped += 1;
                keep(&mut slot.spare, older.into_buffer());
            } else {
                slot.counts.waiting += 1;
            }
        }
        drop(inner);
        self.ready.notify_one();
    }

    /// Counts something that should have been a frame, and takes the memory meant for it back.
    pub fn skip(&self, camera: usize, buffer: Vec<u8>) {
        if let Some(slot) = self.lock().slots.get_mut(camera) {
            slot.counts.captured += 1;
            slot.counts.skipped += 1;
            keep(&mut slot.spare, buffer);
        }
    }

    /// How long every frame that was taken could not be decoded; nothing when the last one could.
    #[must_use]
    pub fn undecodable_for(&self, camera: usize) -> Option<Duration> {
        self.lock().slots.get(camera)?.undecodable_since.map(|since| since.elapsed())
    }

    /// How often somebody asked for a frame: the deciding thread's turns, idle ones as well.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.lock().turns
    }

    /// How long the engine gave no answer to any frame; nothing when it answered the last one it was shown.
    #[must_use]
    pub fn undecided_for(&self) -> Option<Duration> {
        self.lock().undecided_since.map(|since| since.elapsed())
    }

    /// Begins anew with [`Self::undecodable_for`].
    pub fn forget_undecodable(&self, camera: usize) {
        if let Some(slot) = self.lock().slots.get_mut(camera) {
            slot.undecodable_since = None;
        }
    }

    /// A buffer for the camera's next frame: used before, where there is one.
    #[must_use]
    pub fn buffer(&self, camera: usize) -> Vec<u8> {
        self.lock().slots.get_mut(camera).and_then(|slot| slot.spare.pop()).unwrap_or_default()
    }

    /// The next frame, cameras taking turns. Waits at most `patience`.
    #[must_use]
    pub fn take(&self, patience: Duration) -> Taken {
        let mut inner = self.lock();
        inner.turns += 1;
        loop {
            if inner.closed {
                return Taken::Closed;
            }
            let cameras = inner.slots.len();
            for step in 0..cameras {
                let camera = (inner.turn + step) % cameras;
                if let Some(frame) = inner.slots.get_mut(camera).and_then(|slot| slot.frame.take()) {
                    inner.turn = camera + 1;
                    return Taken::Frame(camera, frame);
                }
            }
            let (guard, timeout) =
                self.ready.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner);
            inner = guard;
            if timeout.timed_out() {
                return if inner.closed { Taken::Closed } else { Taken::Nothing };
            }
        }
    }

    /// Settles what became of a taken frame and takes its memory back.
    pub fn settle(&self, camera: usize, frame: Frame, outcome: Outcome) {
        let mut inner = self.lock();
        match outcome {
            Outcome::Undecided => _ = inner.undecided_since.get_or_insert_with(Instant::now),
            Outcome::Decided => inner.undecided_since = None,
            Outcome::Undecodable | Outcome::Paused | Outcome::Still => {}
        }
        if let Some(slot) = inner.slots.get_mut(camera) {
            slot.counts.waiting = slot.counts.waiting.saturating_sub(1);
            match outcome {
                Outcome::Decided => slot.counts.inferred += 1,
                Outcome::Undecodable | Outcome::Undecided | Outcome::Paused => slot.counts.skipped += 1,
                Outcome::Still => {
                    slot.counts.skipped += 1;
                    slot.counts.still += 1;
                }
            }
            if outcome == Outcome::Undecodable {
                slot.undecodable_since.get_or_insert_with(Instant::now);
            } else {
                slot.undecodable_since = None;
            }
            keep(&mut slot.spare, frame.into_buffer());
        }
    }

    /// Ends [`Self::take`]. Frames still in place count as dropped.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        for slot in &mut inner.slots {
            if slot.frame.take().is_some() {
                slot.counts.waiting = slot.counts.waiting.saturating_sub(1);
                slot.counts.dropped += 1;
            }
        }
        drop(inner);
        self.ready.notify_all();
    }

    /// The counts of every camera, all of one moment, under the `names` of the cameras.
    #[must_use]
    pub fn counts(&self, names: &[String]) -> BTreeMap<String, CameraCounts> {
        names.iter().cloned().zip(self.lock().slots.iter().map(|slot| slot.counts)).collect()
    }
}

/// A buffer without memory is no help.
fn keep(spare: &mut Vec<Vec<u8>>, buffer: Vec<u8>) {
    if spare.len() < SPARE_BUFFERS && buffer.capacity() > 0 {
        spare.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use fieldmark_models::picture::Picture;
    use proptest::prelude::*;

    use super::*;
    use crate::capture::FrameImage;

    fn frame(sequence: u64) -> Frame {
        let picture = Picture::from_rgb(1, 1, vec![0; 3]).expect("a pixel");
        Frame {
            image: FrameImage::Picture(picture),
            time: jiff::Timestamp::UNIX_EPOCH,
            moment: Instant::now(),
            sequence,
        }
    }

    #[test]
    fn a_newer_frame_pushes_the_older_one_out() {
        let frames = LatestFrames::new(1);
        frames.put(0, frame(0));
        frames.put(0, frame(1));
        assert!(matches!(frames.take(Duration::ZERO), Taken::Frame(0, frame) if frame.sequence == 1));
        assert_eq!(frames.buffer(0).len(), 3, "the older frame's memory is used again");
    }

    #[test]
    fn frames_that_cannot_be_decoded_are_noticed_until_one_can() {
        let frames = LatestFrames::new(1);
        let settle = |outcome| {
            frames.put(0, frame(0));
            if let Taken::Frame(camera, frame) = frames.take(Duration::ZERO) {
                frames.settle(camera, frame, outcome);
            }
            frames.undecodable_for(0).is_some()
        };
        assert!(!settle(Outcome::Undecided), "the engine's fault");
        assert!(settle(Outcome::Undecodable));
        assert!(!settle(Outcome::Decided));
    }

    #[test]
    fn an_engine_that_fails_is_noticed_until_it_answers_and_a_pause_is_no_failure() {
        let frames = LatestFrames::new(1);
        let settle = |outcome| {
            frames.put(0, frame(0));
            if let Taken::Frame(camera, frame) = frames.take(Duration::ZERO) {
                frames.settle(camera, frame, outcome);
            }
            frames.undecided_for().is_some()
        };
        assert!(!settle(Outcome::Paused) && !settle(Outcome::Undecodable) && !settle(Outcome::Still));
        assert!(settle(Outcome::Undecided) && settle(Outcome::Still));
        assert!(!settle(Outcome::Decided));
        assert_eq!(frames.turns(), 6);
    }

    #[test]
    fn cameras_take_turns() {
        let frames = LatestFrames::new(2);
        let mut seen = Vec::new();
        for round in 0..4 {
            frames.put(0, frame(round));
            frames.put(1, frame(round));
            if let Taken::Frame(camera, _) = frames.take(Duration::ZERO) {
                seen.push(camera);
            }
        }
        assert_eq!(seen, [0, 1, 0, 1]);
    }

    proptest! {
        #[test]
        fn every_frame_is_accounted_for(steps in proptest::collection::vec(0..5u8, 0..200)) {
            let frames = LatestFrames::new(2);
            let mut taken = Vec::new();
            for (sequence, step) in (0..).zip(steps) {
                match step {
                    0 | 1 => frames.put(usize::from(step), frame(sequence)),
                    2 => frames.skip(0, Vec::new()),
                    3 => if let Taken::Frame(camera, frame) = frames.take(Duration::ZERO) {
                        taken.push((camera, frame));
                    },
                    _ => if let Some((camera, frame)) = taken.pop() {
                        let outcomes = [
                            Outcome::Decided,
                            Outcome::Undecodable,
                            Outcome::Undecided,
                            Outcome::Paused,
                            Outcome::Still,
                        ];
                        frames.settle(camera, frame, outcomes[sequence as usize % 5]);
                    },
                }
                for counts in frames.counts(&["a".into(), "b".into()]).values() {
                    let CameraCounts { captured, inferred, dropped, skipped, still, waiting } = *counts;
                    prop_assert_eq!(captured, inferred + dropped + skipped + waiting);
                    prop_assert!(still <= skipped);
                }
            }
        }
    }
}
