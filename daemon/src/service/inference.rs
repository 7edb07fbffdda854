//! The inference thread: the latest frames in, events out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldmark_models::views::FractionBox;

use super::node::{Event, Node};
use crate::capture::{Frame, FrameDecoder, LatestFrames, Outcome, Taken};
use crate::config::CameraConfig;
use crate::decide::Decider;
use crate::publish::events::Events;
use crate::publish::messages::Region;

const PATIENCE: Duration = Duration::from_secs(1);

/// Looks at frames until there will be no more.
pub(super) struct Inference {
    decider: Decider,
    frames: Arc<LatestFrames>,
    node: Arc<Node>,
    watched: Vec<Watched>,
    seq: u64,
}

struct Watched {
    decoder: FrameDecoder,
    part: FractionBox,
    region: Region,
    events: Events,
}

impl Inference {
    pub(super) fn new(
        decider: Decider,
        frames: Arc<LatestFrames>,
        node: Arc<Node>,
        cameras: &[CameraConfig],
    ) -> Self {
        let watch = |camera: &CameraConfig| {
            let part = camera.region.unwrap_or(FractionBox::FRAME);
            let name = if camera.region.is_some() { "region" } else { "frame" };
            let region = Region { edges: part.edges(), name: name.into() };
            Watched { decoder: FrameDecoder::new(), part, region, events: Events::new(camera.repeat) }
        };
        Self { decider, frames, node, watched: cameras.iter().map(watch).collect(), seq: 0 }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.frames.take(PATIENCE) {
                Taken::Frame(camera, frame) => {
                    let outcome = self.look(camera, &frame);
                    self.frames.settle(camera, frame, outcome);
                }
                Taken::Nothing => {}
                Taken::Closed => return,
            }
        }
    }

    fn look(&mut self, camera: usize, frame: &Frame) -> Outcome {
        let Some(watched) = self.watched.get_mut(camera) else { return Outcome::Undecided };
        let (width, height) = frame.size();
        let reduction = self.decider.views().reduction(watched.part, width, height);
        let picture = match watched.decoder.decode(frame, reduction) {
            Ok(picture) => picture,
            Err(error) => {
                tracing::debug!(camera, "a frame was skipped: {error}");
                return Outcome::Undecodable;
            }
        };
        let answer = match self.decider.decide(picture, watched.part, None) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(camera, "a frame got no decision: {error}");
                return Outcome::Undecided;
            }
        };
        if let Some((kind, track)) = watched.events.hear(answer.index, Instant::now()) {
            let (seq, time) = (self.seq, frame.time);
            self.seq += 1;
            self.node.detected(Event { camera, seq, kind, track, time, region: &watched.region, answer });
        }
        Outcome::Decided
    }
}
