//! Which frames belong together, and what is told of them.

use std::time::{Duration, Instant};

use fieldmark_models::taxonomy::TaxonIndex;
use serde::{Deserialize, Serialize};

use super::{Evidence, Whereat};
use crate::decide::Answer;
use crate::position::{NoPosition, Position, TimeSource, Whereabouts};
use crate::region::Region;

/// On a camera whose tracks are told apart by ground, what has no place is followed for no longer than this.
const UNPLACED_GAP: Duration = Duration::from_secs(3);

/// What an event says of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// The first of its track.
    New,
    /// The answer grew more specific.
    Update,
    /// The last one, with the decision from all frames.
    End,
}

impl EventType {
    /// As messages name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Update => "update",
            Self::End => "end",
        }
    }
}

/// The track an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Number of the track at its camera since the daemon started, from 0.
    pub id: u64,
    /// Frames in it so far.
    pub hits: u64,
}

/// When frames belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackRules {
    /// A track ends when its organism was not seen for this long.
    pub gap: Duration,
    /// A track ends when it is this old; what is still there begins another.
    pub longest: Duration,
    /// Tracks open at the same time; the one longest unseen gives way.
    pub most: usize,
}

/// Decides for evidence, in the tree the answers come from.
pub trait Judge {
    /// Specificity control on fused leaf probabilities `[leaves]`; `None` where they allow no decision.
    fn judge(&mut self, fused: &[f32], latency_ms: f64) -> Option<Answer>;

    /// Whether `ancestor` is `taxon` or stands above it.
    fn contains(&self, ancestor: TaxonIndex, taxon: TaxonIndex) -> bool;
}

/// One frame's answer.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// The answer for this frame alone.
    pub answer: &'a Answer,
    /// The leaf probabilities it came from, `[leaves]`.
    pub probabilities: &'a [f32],
    /// When the frame was taken.
    pub time: jiff::Timestamp,
    /// What `time` rests on.
    pub clock: TimeSource,
    /// The same moment on a clock that never steps back.
    pub now: Instant,
    /// Which part of the frame it was.
    pub region: &'a Region,
    /// Where that is.
    pub place: &'a Whereabouts,
    /// Organisms are told apart by where on the ground they are, and not by where in the frame.
    pub by_ground: bool,
}

/// Something to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What it says of the track.
    pub kind: EventType,
    /// The track.
    pub track: Track,
    /// The decision from all its frames so far.
    pub answer: Answer,
    /// When the organism was last seen.
    pub time: jiff::Timestamp,
    /// What `time` rests on.
    pub clock: TimeSource,
    /// Which part of the frame it was seen in last.
    pub region: Region,
    /// Where it is, from all its sightings; why nobody knows; or nothing, where nobody asks.
    pub position: Option<Result<Position, NoPosition>>,
}

struct Open {
    track: Track,
    evidence: Evidence,
    /// The decision from all frames so far.
    answer: Answer,
    /// The most specific taxon told.
    told: TaxonIndex,
    time: jiff::Timestamp,
    clock: TimeSource,
    begun: Instant,
    seen: Instant,
    region: Region,
    whereat: Whereat,
    unplaced: bool,
}

/// The tracks of one camera.
///
/// A region belongs to the open track whose answer lies on one lineage with its own and whose organism is where the
/// region is, on the ground or in the frame; of several to the nearest. It begins a new one otherwise; a region that is
/// answered with the root ("an organism") says nothing and belongs to none.
#[derive(Default)]
pub struct Tracker {
    /// `None`: every frame is told by itself, as a track of one.
    rules: Option<TrackRules>,
    open: Vec<Open>,
    spare: Vec<Evidence>,
    fused: Vec<f32>,
    next: u64,
}

impl Tracker {
    /// With no track yet; without `rules` every frame is told by itself.
    #[must_use]
    pub fn new(rules: Option<TrackRules>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes in one frame and tells what is worth publishing.
    pub fn see(&mut self, sighting: Sighting<'_>, judge: &mut impl Judge, tell: &mut dyn FnMut(Told)) {
        let Some(rules) = self.rules else {
            let track = Track { id: self.next, hits: 1 };
            self.next += 1;
            let whereat = Whereat::new(sighting.region, sighting.place, sighting.by_ground);
            tell(Told {
                kind: EventType::New,
                track,
                answer: sighting.answer.clone(),
                time: sighting.time,
                clock: sighting.clock,
                region: sighting.region.clone(),
                position: whereat.position(),
            });
            return;
        };
        self.sweep(rules, sighting.now, tell);
        if sighting.answer.index == TaxonIndex::ROOT {
            return;
        }
        let seen = sighting.answer.index;
        let here = Whereat::new(sighting.region, sighting.place, sighting.by_ground);
        let mut nearest: Option<(f64, Instant, usize)> = None;
        for (number, open) in self.open.iter().enumerate() {
            // Two boxes of one frame were drawn around two organisms.
            if sighting.region.around && open.region.around && open.seen == sighting.now {
                continue;
            }
            let Some(away) = open.whereat.away(&here) else { continue };
            let better = nearest
                .is_none_or(|(nearest, last, _)| away < nearest || (away == nearest && open.seen >= last));
            if better && (judge.contains(open.answer.index, seen) || judge.contains(seen, open.answer.index))
            {
                nearest = Some((away, open.seen, number));
            }
        }
        match nearest.and_then(|(.., number)| self.open.get_mut(number)) {
            Some(open) => Self::follow(open, sighting, &here, &mut self.fused, judge, tell),
            None => self.begin(rules, sighting, here, tell),
        }
    }

    fn follow(
        open: &mut Open,
        sighting: Sighting<'_>,
        here: &Whereat,
        fused: &mut Vec<f32>,
        judge: &mut impl Judge,
        tell: &mut dyn FnMut(Told),
    ) {
        open.evidence.add(sighting.probabilities);
        open.track.hits += 1;
        (open.time, open.clock, open.seen) = (sighting.time, sighting.clock, sighting.now);
        open.region.clone_from(sighting.region);
        open.whereat.add(here);
        open.evidence.fuse(fused);
        let Some(answer) = judge.judge(fused, sighting.answer.latency_ms) else { return };
        open.answer = answer;
        if open.answer.index != open.told && judge.contains(open.told, open.answer.index) {
            open.told = open.answer.index;
            tell(open.event(EventType::Update));
        }
    }

    fn begin(
        &mut self,
        rules: TrackRules,
        sighting: Sighting<'_>,
        whereat: Whereat,
        tell: &mut dyn FnMut(Told),
    ) {
        if self.open.len() >= rules.most.max(1)
            && let Some(oldest) = (0..self.open.len()).min_by_key(|&position| self.open[position].seen)
        {
            self.close(oldest, tell);
        }
        let mut evidence = self.spare.pop().unwrap_or_default();
        evidence.add(sighting.probabilities);
        let open = Open {
            track: Track { id: self.next, hits: 1 },
            evidence,
            answer: sighting.answer.clone(),
            told: sighting.answer.index,
            time: sighting.time,
            clock: sighting.clock,
            begun: sighting.now,
            seen: sighting.now,
            region: sighting.region.clone(),
            unplaced: sighting.by_ground && !whereat.is_on_ground(),
            whereat,
        };
        self.next += 1;
        tell(open.event(EventType::New));
        self.open.push(open);
    }

    fn close(&mut self, position: usize, tell: &mut dyn FnMut(Told)) {
        let open = self.open.remove(position);
        tell(open.event(EventType::End));
        let mut evidence = open.evidence;
        evidence.clear();
        self.spare.push(evidence);
    }

    fn sweep(&mut self, rules: TrackRules, now: Instant, tell: &mut dyn FnMut(Told)) {
        let over = |open: &Open| {
            let gap = if open.unplaced { rules.gap.min(UNPLACED_GAP) } else { rules.gap };
            now.saturating_duration_since(open.seen) > gap
                || now.saturating_duration_since(open.begun) > rules.longest
        };
        while let Some(position) = self.open.iter().position(over) {
            self.close(position, tell);
        }
    }

    /// Ends the tracks whose organism was not seen for too long, where no frame comes to show it.
    pub fn pass_time(&mut self, now: Instant, tell: &mut dyn FnMut(Told)) {
        if let Some(rules) = self.rules {
            self.sweep(rules, now, tell);
        }
    }

    /// Ends all tracks.
    pub fn end(&mut self, tell: &mut dyn FnMut(Told)) {
        while !self.open.is_empty() {
            self.close(0, tell);
        }
    }
}

impl Open {
    fn event(&self, kind: EventType) -> Told {
        Told {
            kind,
            track: self.track,
            answer: self.answer.clone(),
            time: self.time,
            clock: self.clock,
            region: self.region.clone(),
            position: self.whereat.position(),
        }
    }
}

#[cfg(test)]
mod tests {
    use fieldmark_models::specificity::{Priors, SpecificityControl, Threshold, Thresholds};
    use fieldmark_models::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder};

    use super::*;
    use crate::decide::CutOff;

    /// Specificity control at 0.9 over two oaks and a bee.
    struct Toy(Taxonomy, SpecificityControl);

    impl Toy {
        fn new() -> Self {
            let mut builder = TaxonomyBuilder::new();
            for (kingdom, genus, species) in [
                ("Animalia", "Apis", "Apis mellifera"),
                ("Plantae", "Quercus", "Quercus petraea"),
                ("Plantae", "Quercus", "Quercus robur"),
            ] {
                let levels = [(Rank::Kingdom, kingdom), (Rank::Genus, genus), (Rank::Species, species)];
                builder.insert(&Lineage::new(levels).expect("a lineage"), None);
            }
            Self(builder.build().expect("a tree"), SpecificityControl::new())
        }
    }

    impl Judge for Toy {
        fn judge(&mut self, fused: &[f32], latency_ms: f64) -> Option<Answer> {
            let threshold = Threshold::new(0.9).expect("a threshold");
            let decision =
                self.1.decide(&self.0, fused, &Thresholds::everywhere(threshold), &Priors::none()).ok()?;
            Some(Answer::new(&self.0, &decision, CutOff { threshold, target: None }, latency_ms))
        }

        fn contains(&self, ancestor: TaxonIndex, taxon: TaxonIndex) -> bool {
            self.0.contains(ancestor, taxon)
        }
    }

    const BEE: [f32; 3] = [0.98, 0.01, 0.01];
    const OAK: [f32; 3] = [0.02, 0.33, 0.65];
    const NOTHING: [f32; 3] = [0.4, 0.3, 0.3];

    /// Frames at given tenths of seconds; what is told of them as (kind, track, hits, taxon).
    fn told(rules: Option<TrackRules>, frames: &[(u64, [f32; 3])]) -> Vec<(EventType, u64, u64, String)> {
        let (mut judge, mut tracker) = (Toy::new(), Tracker::new(rules));
        let (begin, mut events) = (Instant::now(), Vec::new());
        let mut tell = |told: Told| {
            events.push((told.kind, told.track.id, told.track.hits, told.answer.taxon.name));
        };
        for (tenths, probabilities) in frames {
            let answer = judge.judge(probabilities, 1.0).expect("an answer");
            let now = begin + Duration::from_millis(tenths * 100);
            let time = jiff::Timestamp::UNIX_EPOCH;
            let (region, place) = (&Region::frame(), &Whereabouts::Unasked);
            let clock = TimeSource::System;
            let sighting = Sighting {
                answer: &answer,
                probabilities,
                time,
                clock,
                now,
                region,
                place,
                by_ground: false,
            };
            tracker.see(sighting, &mut judge, &mut tell);
        }
        tracker.end(&mut tell);
        events
    }

    const RULES: Option<TrackRules> =
        Some(TrackRules { gap: Duration::from_secs(2), longest: Duration::from_secs(60), most: 8 });

    #[test]
    fn one_organism_is_told_as_new_update_and_end_not_once_a_frame() {
        use EventType::{End, New, Update};
        let frames: Vec<_> = (0..12).map(|tenth| (tenth, OAK)).collect();
        let (genus, species) = ("Quercus".to_owned(), "Quercus robur".to_owned());
        // One frame is sure of the genus only; four together are sure of the species.
        let wanted = [(New, 0, 1, genus), (Update, 0, 4, species.clone()), (End, 0, 12, species)];
        assert_eq!(told(RULES, &frames), wanted);
    }

    #[test]
    fn the_end_is_decided_once_from_all_frames() {
        let mut judge = Toy::new();
        let (mut evidence, mut fused) = (Evidence::default(), Vec::new());
        (0..3).for_each(|_| evidence.add(&OAK));
        evidence.fuse(&mut fused);
        let by_hand = judge.judge(&fused, 1.0).expect("an answer");
        let end = told(RULES, &[(0, OAK), (1, OAK), (2, OAK)]).pop().expect("an end");
        assert_eq!((end.0, end.3), (EventType::End, by_hand.taxon.name));
    }

    #[test]
    fn two_organisms_in_turn_are_two_tracks() {
        let frames = [(0, BEE), (1, OAK), (2, BEE), (3, OAK), (4, NOTHING), (5, BEE)];
        let told = told(RULES, &frames);
        let kinds: Vec<_> = told.iter().map(|(kind, track, ..)| (*kind, *track)).collect();
        use EventType::{End, New};
        assert_eq!(kinds, [(New, 0), (New, 1), (End, 0), (End, 1)]);
        assert_eq!(told[2].2, 3, "the bee was seen three times");
    }

    #[test]
    fn a_gap_ends_a_track_and_so_does_its_greatest_age() {
        let gap = told(RULES, &[(0, BEE), (30, BEE)]);
        let age: Vec<_> = told(RULES, &(0..62).map(|second| (second * 10, BEE)).collect::<Vec<_>>());
        use EventType::{End, New};
        for events in [gap, age] {
            let kinds: Vec<_> = events.iter().map(|(kind, track, ..)| (*kind, *track)).collect();
            assert_eq!(kinds, [(New, 0), (End, 0), (New, 1), (End, 1)]);
        }
    }

    #[test]
    fn a_frame_without_an_answer_begins_no_track() {
        assert!(told(RULES, &[(0, NOTHING), (1, NOTHING)]).is_empty());
    }

    #[test]
    fn without_rules_every_frame_is_told() {
        let told = told(None, &[(0, BEE), (1, BEE), (2, NOTHING)]);
        assert!(told.iter().all(|(kind, _, hits, _)| (*kind, *hits) == (EventType::New, 1)));
        assert_eq!(told.len(), 3);
    }
}
