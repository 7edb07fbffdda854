//! Tiling and merging on photographs of forests from the air with every crown boxed by hand (PyPI `deepforest`, its
//! data files only).
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fieldmark_daemon::capture::read_picture;
use fieldmark_daemon::decide::{Answer, CutOff};
use fieldmark_daemon::position::{TimeSource, Whereabouts};
use fieldmark_daemon::region::{Gather, RegionPlanner, RegionRules};
use fieldmark_daemon::track::{EventType, Judge, Sighting, TrackRules, Tracker};
use fieldmark_models::specificity::{Priors, SpecificityControl, Threshold, Thresholds};
use fieldmark_models::taxonomy::{Lineage, Rank, TaxonIndex, Taxonomy, TaxonomyBuilder};
use fieldmark_models::views::FractionBox;

const SCENES: [&str; 4] = [
    "OSBS_029",
    "SOAP_061",
    "2019_YELL_2_541000_4977000_image_crop",
    "2019_YELL_2_528000_4978000_image_crop2",
];
/// Crowns are at most 108 pixels wide here.
const TILE_PX: f64 = 300.0;

fn scenes() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../work/deepforest/deepforest/data");
    assert!(folder.is_dir(), "{} is not there: tests/install", folder.display());
    folder
}

/// The numbers in `<tag>…</tag>`, one after the other.
fn numbers<'a>(xml: &'a str, tag: &str) -> impl Iterator<Item = f64> + 'a {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    xml.split(&open as &str)
        .skip(1)
        .map(move |rest| {
            let (number, _) = rest.split_once(&close as &str).expect("a closing tag");
            number.trim().parse().expect("a number")
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// Size and boxes of a scene.
fn scene(name: &str) -> ((u32, u32), Vec<FractionBox>) {
    let picture = read_picture(&scenes().join(format!("{name}.png"))).expect("a picture");
    let size = (picture.width(), picture.height());
    let xml = std::fs::read_to_string(scenes().join(format!("{name}.xml"))).expect("boxes");
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let edges = numbers(&xml, "xmin")
        .zip(numbers(&xml, "ymin"))
        .zip(numbers(&xml, "xmax").zip(numbers(&xml, "ymax")));
    let boxes = edges.filter_map(|((left, top), (right, bottom))| {
        let share = |edge: f64, side: f64| (edge / side).clamp(0.0, 1.0);
        FractionBox::new(share(left, width), share(top, height), share(right, width), share(bottom, height))
            .ok()
    });
    (size, boxes.collect())
}

fn holds(tile: FractionBox, found: FractionBox) -> bool {
    let ([l, t, r, b], [left, top, right, bottom]) = (tile.edges(), found.edges());
    l <= left + 1e-9 && t <= top + 1e-9 && r >= right - 1e-9 && b >= bottom - 1e-9
}

/// What of `found` lies in `tile`, if anything worth seeing does.
fn clipped(tile: FractionBox, found: FractionBox, (width, height): (u32, u32)) -> Option<FractionBox> {
    let ([l, t, r, b], [left, top, right, bottom]) = (tile.edges(), found.edges());
    let (left, top, right, bottom) = (l.max(left), t.max(top), r.min(right), b.min(bottom));
    let large = (right - left) * f64::from(width) >= 2.0 && (bottom - top) * f64::from(height) >= 2.0;
    large.then(|| FractionBox::new(left, top, right, bottom).ok()).flatten()
}

fn tiles(size: (u32, u32)) -> Vec<FractionBox> {
    let asked = toml::from_str(&format!("kind = \"tiles\"\ntile_px = {TILE_PX}\noverlap = 0.5\nmost = 1024"));
    let rules = RegionRules::new(&asked.expect("a table")).expect("rules");
    let mut planner = RegionPlanner::new(rules, None, None);
    planner.plan(size, None, iter::empty()).iter().map(|region| region.part).collect()
}

/// Everything is a tree.
struct Forest(Taxonomy, SpecificityControl);

impl Forest {
    fn new() -> Self {
        let mut builder = TaxonomyBuilder::new();
        builder.insert(&Lineage::new([(Rank::Kingdom, "Plantae")]).expect("a lineage"), None);
        Self(builder.build().expect("a tree"), SpecificityControl::new())
    }
}

impl Judge for Forest {
    fn judge(&mut self, fused: &[f32], latency_ms: f64) -> Option<Answer> {
        let threshold = Threshold::default();
        let decision =
            self.1.decide(&self.0, fused, &Thresholds::everywhere(threshold), &Priors::none()).ok()?;
        Some(Answer::new(&self.0, &decision, CutOff { threshold, target: None }, latency_ms))
    }

    fn contains(&self, ancestor: TaxonIndex, taxon: TaxonIndex) -> bool {
        self.0.contains(ancestor, taxon)
    }
}

#[test]
fn every_crown_lies_whole_in_a_tile_and_is_one_track_after_merging() {
    println!("| scene | size | crowns | tiles | seen in tiles | merged to | tracks after two frames |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for name in SCENES {
        let (size, crowns) = scene(name);
        let tiles = tiles(size);
        for crown in &crowns {
            assert!(tiles.iter().any(|&tile| holds(tile, *crown)), "{name}: {crown:?} lies in no tile");
        }
        let (mut gather, mut seen) = (Gather::default(), 0);
        for &tile in &tiles {
            for found in crowns.iter().filter_map(|&crown| clipped(tile, crown, size)) {
                gather.add(tile, found, 0.9);
                seen += 1;
            }
        }
        let merged = gather.boxes().to_vec();
        let asked = toml::from_str("kind = \"detector\"\ndetector = \"x\"\nmargin = 1.2\nmost = 1024")
            .expect("a table");
        let mut planner = RegionPlanner::new(RegionRules::new(&asked).expect("rules"), None, None);
        let regions = planner.plan(size, None, merged.iter().copied());
        let (mut forest, mut ends) = (Forest::new(), 0);
        let rules = TrackRules { gap: Duration::from_secs(60), longest: Duration::from_secs(60), most: 2048 };
        let mut tracker = Tracker::new(Some(rules));
        let begin = Instant::now();
        for second in 0..2 {
            for region in regions {
                let probabilities = &[1.0];
                let answer = &forest.judge(probabilities, 1.0).expect("an answer");
                let (time, clock) = (jiff::Timestamp::UNIX_EPOCH, TimeSource::System);
                let (now, place) = (begin + Duration::from_secs(second), &Whereabouts::Unasked);
                let sighting =
                    Sighting { answer, probabilities, time, clock, now, region, place, by_ground: false };
                tracker.see(sighting, &mut forest, &mut |_| {});
            }
        }
        tracker.end(&mut |told| ends += usize::from(told.kind == EventType::End));
        println!(
            "| {name} | {} x {} | {} | {} | {seen} | {} | {ends} |",
            size.0,
            size.1,
            crowns.len(),
            tiles.len(),
            merged.len()
        );
        for count in [merged.len(), ends] {
            let off = (count as f64 / crowns.len() as f64 - 1.0).abs();
            assert!(off <= 0.05, "{name}: {count} of {}", crowns.len());
        }
        assert!(seen > 2 * crowns.len(), "{name}: tiles overlap");
    }
}
