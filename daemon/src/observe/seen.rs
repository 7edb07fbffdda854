//! What was decided of one frame: every region's answer, and the way that led to it.

use std::cmp::Reverse;

use serde::Serialize;

use crate::decide::{Answer, Decider, Rung, TaxonAnswer};
use crate::publish::messages::wire_time;
use crate::region::Region;

/// Regions whose way is shown, the surest; of others only the answer.
const WAYS: usize = 24;

/// What was decided of one frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seen {
    /// Number of the decided frame at its camera, so that a new one is told from the same one.
    pub number: u64,
    /// The frame's own number, as the camera counts: its live picture carries the same.
    pub frame: u64,
    /// When the frame was taken: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Its regions, the most specific answers first and of equals the surest.
    pub regions: Vec<SeenRegion>,
}

/// What was decided of one region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeenRegion {
    /// What messages call it.
    pub name: String,
    /// `[left, top, right, bottom]` in fractions of the frame.
    #[serde(rename = "box")]
    pub edges: [f64; 4],
    /// The answer.
    pub taxon: TaxonAnswer,
    /// Its probability.
    pub probability: f64,
    /// Why it is not more specific.
    pub stop: fieldmark_models::specificity::Stop,
    /// Milliseconds from pixels to decision.
    pub latency_ms: f64,
    /// The way to it; absent where other regions have more to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
}

/// How an answer was come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Way {
    /// From the kingdom down to the answer, and on by the most probable taxa below it.
    pub descent: Vec<Rung>,
    /// The most probable of the taxa one level below the answer.
    pub rivals: Vec<Rung>,
}

/// A frame that is being decided on.
#[derive(Debug)]
pub struct Sketch(Seen);

impl Sketch {
    pub(super) fn new(number: u64, frame: u64) -> Self {
        Self(Seen { number, frame, time: String::new(), regions: Vec::new() })
    }

    /// Adds what `decider` answered a moment ago.
    pub fn add(&mut self, decider: &Decider, region: &Region, answer: &Answer) {
        let (descent, rivals) = decider.descent(answer.index);
        self.0.regions.push(SeenRegion {
            name: (&*region.name).into(),
            edges: region.part.edges(),
            taxon: answer.taxon.clone(),
            probability: answer.probability,
            stop: answer.stop,
            latency_ms: answer.latency_ms,
            way: Some(Way { descent, rivals }),
        });
    }

    pub(super) fn seen(self, time: jiff::Timestamp) -> Seen {
        let Self(mut seen) = self;
        seen.time = wire_time(time);
        seen.regions.sort_by(|one, other| {
            let depth = |region: &SeenRegion| Reverse(region.taxon.depth);
            depth(one).cmp(&depth(other)).then(other.probability.total_cmp(&one.probability))
        });
        seen.regions.iter_mut().skip(WAYS).for_each(|region| region.way = None);
        seen
    }
}

#[cfg(test)]
mod tests {
    use fieldmark_models::specificity::Stop;

    use super::*;

    #[test]
    fn the_most_specific_regions_come_first_and_only_so_many_show_their_way() {
        let mut sketch = Sketch::new(3, 7);
        for number in 0..40u16 {
            let taxon = TaxonAnswer {
                id: String::new(),
                name: String::new(),
                rank: String::new(),
                depth: number % 3,
                common_name: None,
                lineage: Vec::new(),
            };
            sketch.0.regions.push(SeenRegion {
                name: format!("r{number}"),
                edges: [0.0, 0.0, 1.0, 1.0],
                taxon,
                probability: f64::from(number) / 40.0,
                stop: Stop::Leaf,
                latency_ms: 1.0,
                way: Some(Way { descent: Vec::new(), rivals: Vec::new() }),
            });
        }
        let seen = sketch.seen(jiff::Timestamp::UNIX_EPOCH);
        assert_eq!((seen.regions[0].name.as_str(), seen.regions[0].taxon.depth), ("r38", 2));
        let order: Vec<_> = seen
            .regions
            .iter()
            .map(|region| (Reverse(region.taxon.depth), 40 - (region.probability * 40.0) as i64))
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(seen.regions.iter().filter(|region| region.way.is_some()).count(), WAYS);
    }
}
