//! Which answers are published.
//!
//! Until tracks follow organisms, a track is a run of frames of one camera with the same taxon. Its first frame
//! is published as `new`; a later one as `update` once the camera's `repeat_s` has passed since its last event.

use std::time::{Duration, Instant};

use fieldmark_models::taxonomy::TaxonIndex;

use super::messages::{EventType, Track};

/// Decides for one camera what is worth a message.
#[derive(Debug)]
pub struct Events {
    repeat: Duration,
    current: Option<Run>,
    next_track: u64,
}

#[derive(Debug)]
struct Run {
    taxon: TaxonIndex,
    track: Track,
    published: Instant,
}

impl Events {
    /// With no track yet; zero `repeat` publishes every answer.
    #[must_use]
    pub fn new(repeat: Duration) -> Self {
        Self { repeat, current: None, next_track: 0 }
    }

    /// What to publish of an answer `taxon` at the moment `now`, if anything.
    pub fn hear(&mut self, taxon: TaxonIndex, now: Instant) -> Option<(EventType, Track)> {
        match &mut self.current {
            Some(run) if run.taxon == taxon => {
                run.track.hits += 1;
                let due = now.saturating_duration_since(run.published) >= self.repeat;
                if due {
                    run.published = now;
                }
                due.then_some((EventType::Update, run.track))
            }
            _ => {
                let track = Track { id: self.next_track, hits: 1 };
                self.next_track += 1;
                self.current = Some(Run { taxon, track, published: now });
                Some((EventType::New, track))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fieldmark_models::taxonomy::{Lineage, Rank, TaxonomyBuilder};

    use super::*;

    #[test]
    fn an_unchanged_answer_is_told_once_and_again_after_a_while() {
        let mut builder = TaxonomyBuilder::new();
        builder.insert(&Lineage::new([(Rank::Kingdom, "Plantae")]).expect("a lineage"), None);
        let plant = builder.build().expect("a tree").leaf(0).expect("a leaf");
        let mut events = Events::new(Duration::from_secs(10));
        let begin = Instant::now();
        let mut hear = |taxon, second| {
            let event = events.hear(taxon, begin + Duration::from_secs(second));
            event.map(|(kind, track)| (kind, track.id, track.hits))
        };
        assert_eq!(hear(plant, 0), Some((EventType::New, 0, 1)));
        assert_eq!(hear(plant, 9), None);
        assert_eq!(hear(plant, 10), Some((EventType::Update, 0, 3)));
        assert_eq!(hear(TaxonIndex::ROOT, 11), Some((EventType::New, 1, 1)));
        assert_eq!(hear(plant, 12), Some((EventType::New, 2, 1)));
    }
}
