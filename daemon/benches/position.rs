//! CPU time of positions and merging, for a frame of 48 and of 300 tiles over a survey with 500 tracks open:
//! `cargo bench --bench position`.
#![expect(
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark that cannot go on says why; macros write functions"
)]

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use fieldmark_daemon::decide::{Answer, CutOff};
use fieldmark_daemon::position::{
    Attitude, Budget, Fix, Geodetic, Ground, Locator, Optical, Optics, PoseBuffer, Report, Sighted,
    TimeSource, Whereabouts,
};
use fieldmark_daemon::region::{Region, RegionPlanner, RegionRules};
use fieldmark_daemon::track::{Judge, Sighting, TrackRules, Tracker};
use fieldmark_models::specificity::{Priors, SpecificityControl, Threshold, Thresholds};
use fieldmark_models::taxonomy::{Lineage, Rank, TaxonIndex, Taxonomy, TaxonomyBuilder};

const SIZE: (u32, u32) = (1920, 1080);
const HOME: Geodetic = Geodetic { lat: 47.3, lon: 8.5 };

/// As many leaves as the shipped model has.
struct Tree(Taxonomy, SpecificityControl);

impl Tree {
    fn new() -> Self {
        let mut builder = TaxonomyBuilder::new();
        for leaf in 0..140 {
            let (genus, species) = (format!("Genus{}", leaf / 3), format!("Genus{} species{leaf}", leaf / 3));
            let levels = [
                (Rank::Kingdom, "Plantae"),
                (Rank::Genus, genus.as_str()),
                (Rank::Species, species.as_str()),
            ];
            builder.insert(&Lineage::new(levels).expect("a lineage"), None);
        }
        Self(builder.build().expect("a tree"), SpecificityControl::new())
    }
}

impl Judge for Tree {
    fn judge(&mut self, fused: &[f32], latency_ms: f64) -> Option<Answer> {
        let threshold = Threshold::new(0.8).expect("a threshold");
        let decision =
            self.1.decide(&self.0, fused, &Thresholds::everywhere(threshold), &Priors::none()).ok()?;
        Some(Answer::new(&self.0, &decision, CutOff { threshold, target: None }, latency_ms))
    }

    fn contains(&self, ancestor: TaxonIndex, taxon: TaxonIndex) -> bool {
        self.0.contains(ancestor, taxon)
    }
}

fn poses(begin: Instant) -> Arc<Mutex<PoseBuffer>> {
    let mut buffer = PoseBuffer::new(Duration::from_secs(1));
    for tick in 0..500u32 {
        let moment = begin + Duration::from_millis(u64::from(tick) * 20);
        if tick % 5 == 0 {
            let at = HOME.moved(0.0, f64::from(tick) * 0.16);
            let (velocity, accuracy_m) = (Some((0.0, 8.0)), Some(3.0));
            let fix = Fix { at, altitude_m: Some(530.0), above_home_m: Some(30.0), velocity, accuracy_m };
            buffer.put(moment, Report::Fix(Some(fix)));
        }
        buffer.put(moment, Report::Attitude(Attitude::degrees(1.0, -2.0, 3.0)));
    }
    Arc::new(Mutex::new(buffer))
}

fn regions(side: f64) -> Vec<Region> {
    let asked = toml::from_str(&format!("kind = \"tiles\"\ntile_px = {side}\nmost = 1000")).expect("a table");
    let mut planner = RegionPlanner::new(RegionRules::new(&asked).expect("rules"), None, None);
    planner.plan(SIZE, None, std::iter::empty()).to_vec()
}

fn position_and_merge(criterion: &mut Criterion) {
    let begin = Instant::now();
    let locator = Locator::moving(poses(begin), Ground::Flat(None), Budget::default());
    let optics = Optics::new(70.0, Attitude::degrees(0.0, -90.0, 0.0)).expect("a lens");
    let optical = Optical { optics: Some(optics), range_m: 10.0, released: false };
    let moment = begin + Duration::from_millis(7_013);
    for side in [380.0, 160.0] {
        let regions = regions(side);
        let name = format!("{} tiles: positions", regions.len());
        criterion.bench_function(&name, |bench| {
            bench.iter(|| {
                let framed = locator.frame(optical, moment, SIZE);
                regions
                    .iter()
                    .map(|region| framed.locate(region))
                    .filter(|place| *place != Whereabouts::Unasked)
                    .count()
            });
        });
        let mut tree = Tree::new();
        let mut probabilities = vec![0.1 / 139.0; 140];
        probabilities[17] = 0.9;
        let answer = tree.judge(&probabilities, 1.0).expect("an answer");
        let name = format!("{} tiles, 500 tracks open: positions and merging", regions.len());
        let rules =
            TrackRules { gap: Duration::from_secs(600), longest: Duration::from_secs(86_400), most: 2048 };
        let mut see = |tracker: &mut Tracker, place: &Whereabouts, region: &Region, now: Instant| {
            let (time, clock) = (jiff::Timestamp::UNIX_EPOCH, TimeSource::Gps);
            let (answer, probabilities) = (&answer, &probabilities[..]);
            let sighting =
                Sighting { answer, probabilities, time, clock, now, region, place, by_ground: true };
            tracker.see(sighting, &mut tree, &mut |told| {
                black_box(told);
            });
        };
        let framed = locator.frame(optical, moment, SIZE);
        let Whereabouts::Known(here) = framed.locate(&regions[0]) else { return };
        let mut tracker = Tracker::new(Some(rules));
        for number in 0..500 {
            let at = HOME.moved(f64::from(number % 25) * 20.0 + 300.0, f64::from(number / 25) * 20.0);
            see(&mut tracker, &Whereabouts::Known(Sighted { at, ..here.clone() }), &regions[0], moment);
        }
        criterion.bench_function(&name, |bench| {
            bench.iter(|| {
                let framed = locator.frame(optical, moment, SIZE);
                for region in &regions {
                    see(&mut tracker, &framed.locate(region), region, moment + Duration::from_millis(100));
                }
            });
        });
    }
}

criterion_group!(benches, position_and_merge);
criterion_main!(benches);
