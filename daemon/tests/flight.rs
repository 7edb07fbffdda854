//! A survey flight over trees whose places are known, on level ground and on hills: rendered through a known camera, with
//! poses that come through MAVLink's messages, late, lossy and with errors of a known size.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::iter;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use field::{Flaw, write_package};
use fieldmark_daemon::decide::{Answer, Decider, Dial, Expected, Sureness};
use fieldmark_daemon::engine::{EngineKind, EngineSettings, LoadedModel, ModelIdentity};
use fieldmark_daemon::export::{self, Dataset, Format, Licence, Occurrence};
use fieldmark_daemon::flight::{FlightLog, FlightRules};
use fieldmark_daemon::position::source::MavlinkMeaning;
use fieldmark_daemon::position::{
    Attitude, Budget, Geodetic, Ground, Locator, NoPosition, Optical, Optics, PoseBuffer, Terrain,
    TimeSource, Whereabouts,
};
use fieldmark_daemon::publish::messages::{self, Detection, wire_time};
use fieldmark_daemon::region::{Region, RegionPlanner, RegionRules};
use fieldmark_daemon::track::{EventType, Judge, Sighting, Told, TrackRules, Tracker};
use fieldmark_models::package::Sha256Digest;
use fieldmark_models::picture::Picture;
use fieldmark_models::specificity::Threshold;
use fieldmark_models::taxonomy::TaxonIndex;
use mavlink::dialects::ardupilotmega::{
    ATTITUDE_DATA, GLOBAL_POSITION_INT_DATA, GPS_RAW_INT_DATA, GpsFixType, MavMessage, SYSTEM_TIME_DATA,
};

const HOME: Geodetic = Geodetic { lat: 47.3, lon: 8.5 };
const SIZE: (u32, u32) = (640, 480);
const FOV_DEG: f64 = 70.0;
/// Above the place of take-off, all the way.
const HEIGHT_M: f64 = 30.0;
/// The place of take-off, above sea level.
const HOME_M: f64 = 500.0;
const SPEED: f64 = 8.0;
/// Passes are this far apart: half of what a frame shows across.
const SPACING_M: f64 = 21.0;
const LENGTH_M: f64 = 100.0;
const PASSES: u32 = 5;
/// A tree in each cell of this side.
const CELL_M: f64 = 12.0;
/// The autopilot had run so long when the flight began, seconds.
const BOOT_S: f64 = 300.0;
/// 95 % radius that the receiver claims, metres: a dilution of 0.6.
const EPH: u16 = 60;

/// Repeatable chance.
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[derive(Debug, Clone, Copy)]
struct Tree {
    east: f64,
    north: f64,
    radius: f64,
    red: bool,
}

/// Trees in the middle of jittered cells, at least 8.4 m apart.
fn forest() -> Vec<Tree> {
    let mut chance = Chance(7);
    let (across, along) = ((SPACING_M * f64::from(PASSES - 1) / CELL_M) as i32, (LENGTH_M / CELL_M) as i32);
    let mut trees = Vec::new();
    for column in 0..=across {
        for row in 0..along {
            let mut middle = |cell: i32| (f64::from(cell) + 0.3) * CELL_M + (chance.unit() - 0.5) * 3.6;
            let (east, north) = (middle(column), middle(row));
            let radius = 1.6 + chance.unit() * 0.5;
            trees.push(Tree { east, north, radius, red: chance.unit() < 0.4 });
        }
    }
    trees
}

/// Where the vehicle truly is and how it is held, `t` seconds into the flight; `None` after it.
fn truth(t: f64) -> Option<(f64, f64, Attitude)> {
    let pass_s = LENGTH_M / SPEED;
    let turn_s = 4.0;
    let pass = (t / (pass_s + turn_s)).floor();
    if pass >= f64::from(PASSES) {
        return None;
    }
    let within = (t - pass * (pass_s + turn_s)).min(pass_s + turn_s);
    let northward = pass as i64 % 2 == 0;
    let along = (within.min(pass_s)) * SPEED;
    let north = if northward { along } else { LENGTH_M - along };
    let east = SPACING_M * (pass + ((within - pass_s) / turn_s).clamp(0.0, 1.0));
    let sway = |period: f64, degrees: f64| degrees * (t * std::f64::consts::TAU / period).sin();
    let yaw = if northward { 0.0 } else { 180.0 };
    Some((east, north, Attitude::degrees(sway(3.1, 2.5), sway(4.3, 2.0) - 4.0, yaw + sway(7.0, 3.0))))
}

/// What is flown over.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Land {
    Level,
    /// Rising to the north and falling to the east, with hills of ten metres a hundred metres apart.
    Hills,
}

impl Land {
    /// Metres above the place of take-off.
    fn height(self, east: f64, north: f64) -> f64 {
        match self {
            Self::Level => 0.0,
            Self::Hills => {
                0.12 * north - 0.08 * east + 5.0 * (east / 17.0).sin() + 5.0 * ((north / 21.0).cos() - 1.0)
            }
        }
    }

    /// As a tile of SRTM's has it: whole metres, a sample a second of arc.
    fn srtm(self, folder: &Path) -> Terrain {
        const SIDE: usize = 3601;
        let path = folder.join("N47E008.hgt");
        let mut samples = vec![(HOME_M as i16).to_be_bytes(); SIDE * SIDE];
        let (home_row, home_column) = (2520, 1800);
        for row in home_row - 30..home_row + 30 {
            for column in home_column - 30..home_column + 30 {
                let (lat, lon) = (48.0 - row as f64 / 3600.0, 8.0 + column as f64 / 3600.0);
                let (east, north) = HOME.to(Geodetic { lat, lon });
                let height = (HOME_M + self.height(east, north)).round() as i16;
                samples[row * SIDE + column] = height.to_be_bytes();
            }
        }
        std::fs::write(&path, samples.concat()).expect("write");
        Terrain::read(&path).expect("terrain")
    }
}

/// A level camera that looks ahead and up by as much as the vehicle dips.
fn optics() -> Optics {
    Optics::new(FOV_DEG, Attitude::degrees(0.0, -86.0, 0.0)).expect("a lens")
}

/// What the camera sees of bare soil and round crowns.
fn render(trees: &[Tree], land: Land, (east, north, attitude): (f64, f64, Attitude)) -> Picture {
    let (width, height) = SIZE;
    let near: Vec<_> =
        trees.iter().filter(|tree| (tree.east - east).hypot(tree.north - north) < 60.0).collect();
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    // Down to the ground along the ray of the pixel before, from where the next one's is found in a few steps.
    let mut depth = HEIGHT_M - land.height(east, north);
    for y in 0..height {
        for x in 0..width {
            let point = [(f64::from(x) + 0.5) / f64::from(width), (f64::from(y) + 0.5) / f64::from(height)];
            let [to_north, to_east, down] = optics().ray(point, SIZE, attitude, None);
            let at = |depth: f64| (east + to_east / down * depth, north + to_north / down * depth);
            let steps = if land == Land::Level {
                0
            } else if x == 0 {
                12
            } else {
                3
            };
            for _ in 0..steps {
                let (at_east, at_north) = at(depth);
                depth = HEIGHT_M - land.height(at_east, at_north);
            }
            let (at_east, at_north) = at(depth);
            let crown =
                near.iter().find(|tree| (tree.east - at_east).hypot(tree.north - at_north) < tree.radius);
            rgb.extend(match crown {
                Some(tree) if tree.red => [255, 0, 0],
                Some(_) => [0, 255, 0],
                // The one colour that says nothing to the toy network.
                None => [128, 64, 64],
            });
        }
    }
    Picture::from_rgb(width, height, rgb).expect("a picture")
}

/// What was seen of one frame: regions with their answers.
struct Seen {
    t: f64,
    found: Vec<(Region, Answer, Vec<f32>)>,
}

struct Surveyor(Decider);

impl Judge for Surveyor {
    fn judge(&mut self, fused: &[f32], latency_ms: f64) -> Option<Answer> {
        self.0.conclude(fused, latency_ms).ok()
    }

    fn contains(&self, ancestor: TaxonIndex, taxon: TaxonIndex) -> bool {
        self.0.taxonomy().contains(ancestor, taxon)
    }
}

fn surveyor() -> Surveyor {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("toy.fieldmark");
    write_package(&path, Flaw::None);
    let model =
        LoadedModel::open(&path, &EngineSettings::only(EngineKind::Tract), &mut |_| ()).expect("a model");
    let dial = Dial::everywhere(Sureness::Threshold(Threshold::new(0.99).expect("a threshold")));
    Surveyor(Decider::new(model, &dial, &Expected::default()).expect("a decider"))
}

/// All frames of the flight, looked at once: tiles of 4 m with half overlap at the true height.
fn look(trees: &[Tree], land: Land, surveyor: &mut Surveyor) -> Vec<Seen> {
    let asked =
        toml::from_str("kind = \"tiles\"\ntile_m = 4.0\noverlap = 0.5\nmost = 1000").expect("a table");
    let mut planner = RegionPlanner::new(RegionRules::new(&asked).expect("rules"), None, None);
    let mut seen = Vec::new();
    for second in 0.. {
        let t = f64::from(second) + 0.37;
        let Some(pose) = truth(t) else { return seen };
        let above = HEIGHT_M - land.height(pose.0, pose.1);
        let metres = optics().metres_per_pixel(above, SIZE.0);
        let regions = planner.plan(SIZE, Some(metres), iter::empty());
        surveyor.0.look(&render(trees, land, pose), regions).expect("probabilities");
        let leaves = surveyor.0.taxonomy().leaf_count();
        let mut found = Vec::new();
        for (number, region) in regions.iter().enumerate() {
            let answer = surveyor.0.answer(number, Instant::now()).expect("an answer");
            if answer.index != TaxonIndex::ROOT {
                let probabilities =
                    surveyor.0.probabilities()[number * leaves..(number + 1) * leaves].to_vec();
                found.push((region.clone(), answer, probabilities));
            }
        }
        seen.push(Seen { t, found });
    }
    seen
}

/// How the link is.
#[derive(Debug, Clone, Copy)]
struct Link {
    name: &'static str,
    lost: f64,
    /// Share of messages that come up to 0.8 s late.
    late: f64,
    gap: Option<(f64, f64)>,
    /// The system's clock steps by this at half time, seconds.
    step_s: i64,
}

const GOOD: Link = Link { name: "good link", lost: 0.0, late: 0.0, gap: None, step_s: 0 };

/// Messages of the flight: when they arrive, and what they say. Errors are those the receiver and budget claim.
fn messages(link: Link) -> Vec<(f64, MavMessage)> {
    let mut chance = Chance(99);
    // Slow errors of the receiver, 0.6 m an axis of a claimed 95 % radius of 3 m, and a boresight off by half a degree.
    let mut bias = [0.6 * chance.normal(), 0.6 * chance.normal()];
    let (tilt, mut told) = ([0.5f64, -0.4].map(f64::to_radians), Vec::new());
    for tick in 0.. {
        let t = f64::from(tick) * 0.04 - 1.0;
        let Some((east, north, attitude)) = truth(t.max(0.0)) else { break };
        bias = bias.map(|metres| metres * 0.9995 + 0.6 * (1.0f64 - 0.9995 * 0.9995).sqrt() * chance.normal());
        let boot = ((t + BOOT_S) * 1000.0).round() as u32;
        let mut say = |message: MavMessage, chance: &mut Chance| {
            let late = if chance.unit() < link.late { 0.8 * chance.unit() } else { 0.0 };
            let arrival = t + 0.03 + 0.02 * chance.unit() + late;
            let in_gap = link.gap.is_some_and(|(from, to)| (from..to).contains(&t));
            if chance.unit() >= link.lost && !in_gap {
                told.push((arrival, message));
            }
        };
        let noisy =
            |angle: f64, tilt: f64, chance: &mut Chance| (angle + tilt + 0.003 * chance.normal()) as f32;
        let message = ATTITUDE_DATA {
            time_boot_ms: boot,
            roll: noisy(attitude.roll, tilt[0], &mut chance),
            pitch: noisy(attitude.pitch, tilt[1], &mut chance),
            yaw: noisy(attitude.yaw, 0.02, &mut chance),
            ..Default::default()
        };
        say(MavMessage::ATTITUDE(message), &mut chance);
        if tick % 5 == 0 {
            let at = HOME.moved(east + bias[0], north + bias[1]);
            let (later_east, later_north, _) = truth(t.max(0.0) + 0.1).unwrap_or((east, north, attitude));
            let speed = |from: f64, to: f64| if t < 0.0 { 0 } else { ((to - from) / 0.1 * 100.0) as i16 };
            let above_home = HEIGHT_M + 0.4 * chance.normal();
            let message = GLOBAL_POSITION_INT_DATA {
                time_boot_ms: boot,
                lat: (at.lat * 1e7).round() as i32,
                lon: (at.lon * 1e7).round() as i32,
                alt: ((HOME_M + above_home) * 1000.0) as i32,
                relative_alt: (above_home * 1000.0) as i32,
                vx: speed(north, later_north),
                vy: speed(east, later_east),
                ..Default::default()
            };
            say(MavMessage::GLOBAL_POSITION_INT(message), &mut chance);
        }
        if tick % 25 == 0 {
            let fix_type = GpsFixType::GPS_FIX_TYPE_3D_FIX;
            say(
                MavMessage::GPS_RAW_INT(GPS_RAW_INT_DATA { fix_type, eph: EPH, ..Default::default() }),
                &mut chance,
            );
            let time_unix_usec = UNIX_US + ((t + 1.0) * 1e6) as u64;
            say(
                MavMessage::SYSTEM_TIME(SYSTEM_TIME_DATA { time_unix_usec, time_boot_ms: boot }),
                &mut chance,
            );
        }
    }
    told.sort_by(|one, other| one.0.total_cmp(&other.0));
    told
}

const UNIX_US: u64 = 1_795_411_926_000_000;

/// What became of the flight.
#[derive(Debug, Default)]
struct Outcome {
    found: usize,
    merged: usize,
    unplaced: usize,
    stale_frames: usize,
    errors: Vec<f64>,
    within: usize,
    /// Tracks with a place within whose stated radius stands a tree of their kind, whichever.
    right: usize,
    accuracy_m: f64,
    oldest_ms: f64,
    gps_time: bool,
    covered_m2: f64,
    log: String,
}

/// The flight once more over `link`, with the ground taken to be `ground`: every frame is decided on 0.15 s after it was
/// taken.
fn fly(
    trees: &[Tree],
    seen: &[Seen],
    surveyor: &mut Surveyor,
    link: Link,
    ground: Ground,
) -> (Outcome, Vec<Told>) {
    let poses = Arc::new(Mutex::new(PoseBuffer::new(Duration::from_secs(1))));
    let locator = Locator::moving(Arc::clone(&poses), ground, Budget::default());
    let optical = Optical { optics: Some(optics()), range_m: 10.0, released: false };
    let rules =
        TrackRules { gap: Duration::from_secs(600), longest: Duration::from_secs(86_400), most: 2048 };
    let (mut tracker, mut meaning) = (Tracker::new(Some(rules)), MavlinkMeaning::new(None));
    let (begin, mut told) = (Instant::now() + Duration::from_secs(10), Vec::<Told>::new());
    let at = |t: f64| begin + Duration::from_secs_f64(t + 2.0);
    let mut coming = messages(link).into_iter().peekable();
    let mut outcome = Outcome { gps_time: true, ..Outcome::default() };
    let mut log = FlightLog::new(FlightRules::default());
    for frame in seen {
        while let Some((arrived, message)) = coming.next_if(|(arrived, _)| *arrived <= frame.t + 0.15) {
            let mut poses = poses.lock().expect("no panic");
            meaning.hear((1, 1), &message, at(arrived), &mut |moment, report| poses.put(moment, report));
        }
        let moment = at(frame.t);
        let framed = locator.frame(optical, moment, SIZE);
        let step = if frame.t > 40.0 { link.step_s } else { 0 };
        let system = jiff::Timestamp::from_microsecond(UNIX_US as i64).expect("a time")
            + jiff::SignedDuration::from_secs(step);
        let time = locator.time(moment).unwrap_or(system);
        let wanted = UNIX_US as f64 / 1e6 + frame.t + 1.0;
        outcome.gps_time &= (time.as_microsecond() as f64 / 1e6 - wanted).abs() < 0.1;
        let middle = framed.locate(&Region::frame());
        log.see(moment, time, framed.overflown());
        outcome.stale_frames += usize::from(middle == Whereabouts::Unknown(NoPosition::Stale));
        for (region, answer, probabilities) in &frame.found {
            let (place, clock) = (&framed.locate(region), TimeSource::Gps);
            if let Whereabouts::Known(sighted) = place {
                outcome.oldest_ms = outcome.oldest_ms.max(sighted.age_ms);
            }
            let now = moment;
            let sighting =
                Sighting { answer, probabilities, time, clock, now, region, place, by_ground: true };
            tracker.see(sighting, surveyor, &mut |event| told.push(event));
        }
    }
    tracker.end(&mut |event| told.push(event));
    judge(trees, &told, &mut outcome);
    outcome.covered_m2 = log.covered_m2(1);
    outcome.log = log.text("uav", "01M84CDSX99F1JFQ0HW55A6B7C");
    (outcome, told)
}

/// The flight's ends as `fieldmark export` writes them, for others to open.
fn export(told: &[Told], folder: &Path) {
    let ends = told.iter().filter(|event| event.kind == EventType::End);
    let occurrences: Vec<_> = ends.map(occurrence).collect();
    let dataset = Dataset {
        title: "A synthetic flight".into(),
        creator: "fieldmark".into(),
        licence: Licence::Zero,
        published: jiff::Timestamp::from_microsecond(UNIX_US as i64).expect("a time"),
    };
    for (format, name) in
        [(Format::Geojson, "geojson"), (Format::Gpkg, "gpkg"), (Format::Csv, "csv"), (Format::Dwca, "dwca")]
    {
        let path = folder.join(format!("survey.{name}"));
        export::write(format, &path, &occurrences, &dataset).expect("written");
        assert!(std::fs::metadata(&path).expect("a file").len() > 1000, "{name}");
    }
}

fn occurrence(end: &Told) -> Occurrence {
    let (answer, time) = (&end.answer, wire_time(end.time));
    let last = Detection {
        v: 1,
        id: format!("{:026}", end.track.id),
        boot: "01M84CDSX99F1JFQ0HW55A6B7C".into(),
        seq: end.track.id,
        kind: end.kind,
        node: "uav".into(),
        camera: "nadir".into(),
        time: time.clone(),
        time_source: "gps".into(),
        replay: false,
        taxon: answer.taxon.clone(),
        probability: answer.probability,
        threshold: answer.cut_off.threshold.value(),
        target: None,
        stop: answer.stop,
        best_leaf: answer.best_leaf.clone(),
        checklist: None,
        track: end.track,
        region: messages::Region { edges: end.region.part.edges(), name: (&*end.region.name).into() },
        no_position: None,
        position: end.position.clone().and_then(Result::ok),
        watch: Vec::new(),
        model: ModelIdentity {
            name: "toy".into(),
            version: "0.1.0".into(),
            sha256: Sha256Digest::of(b"toy"),
        },
        engine: "tract-f32".into(),
        latency_ms: answer.latency_ms,
    };
    Occurrence { first_seen: time, last }
}

/// Each end belongs to the nearest tree of its kind that has none yet.
fn judge(trees: &[Tree], told: &[Told], outcome: &mut Outcome) {
    let mut taken = vec![false; trees.len()];
    let ends: Vec<_> = told.iter().filter(|event| event.kind == EventType::End).collect();
    for end in &ends {
        let Some(Ok(position)) = &end.position else {
            outcome.unplaced += 1;
            continue;
        };
        outcome.merged += 1;
        let (east, north) = HOME.to(Geodetic { lat: position.lat, lon: position.lon });
        let red = end.answer.taxon.name.starts_with("Apis");
        let away = |tree: &Tree| (tree.east - east).hypot(tree.north - north);
        let right = |tree: &Tree| tree.red == red && away(tree) <= position.accuracy_m;
        outcome.right += usize::from(trees.iter().any(right));
        let nearest = (0..trees.len())
            .filter(|&number| !taken[number] && trees[number].red == red)
            .min_by(|&one, &other| away(&trees[one]).total_cmp(&away(&trees[other])));
        if let Some(number) = nearest.filter(|&number| away(&trees[number]) < 4.0) {
            taken[number] = true;
            outcome.found += 1;
            outcome.errors.push(away(&trees[number]));
            outcome.within += usize::from(away(&trees[number]) <= position.accuracy_m);
            outcome.accuracy_m += position.accuracy_m;
        }
    }
    outcome.errors.sort_by(f64::total_cmp);
    outcome.accuracy_m /= outcome.found.max(1) as f64;
}

impl Outcome {
    /// Metres within which that share of the trees' places lies.
    fn error(&self, share: f64) -> f64 {
        self.errors.get(((self.errors.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
    }

    fn tell_head() {
        println!(
            "| flight | trees | found | merged to | of these where they say | without a place | frames stale | error median, m | 95 %, m | stated, m | within stated | oldest fix, ms |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    }

    fn tell(&self, name: &str, trees: usize) {
        println!(
            "| {name} | {trees} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.1} % | {:.0} |",
            self.found,
            self.merged,
            self.right,
            self.unplaced,
            self.stale_frames,
            self.error(0.5),
            self.error(0.95),
            self.accuracy_m,
            100.0 * self.within as f64 / self.found.max(1) as f64,
            self.oldest_ms
        );
    }

    /// Every tree once, and with 95 % where its place says.
    fn check(&self, name: &str, trees: usize) {
        let near = |count: usize| (count as f64 / trees as f64 - 1.0).abs() <= 0.05;
        assert!(near(self.found) && near(self.merged), "{name}: {self:?}");
        assert!(self.within as f64 >= 0.95 * self.found as f64, "{name}: {self:?}");
        assert!(self.error(0.5) <= self.accuracy_m, "{name}: {self:?}");
    }
}

#[test]
fn trees_of_a_flight_are_found_once_and_where_they_stand_whatever_the_link_does() {
    let (trees, mut surveyor) = (forest(), surveyor());
    let (folder, out) = (tempfile::tempdir().expect("a folder"), std::env::var_os("FIELDMARK_FLIGHT_OUT"));
    let seen = look(&trees, Land::Level, &mut surveyor);
    println!(
        "{} frames, {} tiles answered",
        seen.len(),
        seen.iter().map(|frame| frame.found.len()).sum::<usize>()
    );
    Outcome::tell_head();
    for link in [
        GOOD,
        Link { name: "10 % of messages lost", lost: 0.1, ..GOOD },
        Link { name: "gap of 5 s", gap: Some((30.0, 35.0)), ..GOOD },
        Link { name: "70 % of messages up to 0.8 s late", late: 0.7, ..GOOD },
        Link { name: "system clock steps by an hour", step_s: 3600, ..GOOD },
    ] {
        let (outcome, told) = fly(&trees, &seen, &mut surveyor, link, Ground::Flat(None));
        if link.gap.is_none() && link.lost == 0.0 {
            let to = out.as_ref().map_or(folder.path(), |out| Path::new(out));
            std::fs::write(to.join("flight.geojson"), &outcome.log).expect("written");
            export(&told, out.as_ref().map_or(folder.path(), |out| Path::new(out)));
        }
        outcome.tell(link.name, trees.len());
        outcome.check(link.name, trees.len());
        // Five passes of 100 m with what a frame shows across and along, less its corners at the turns.
        let (across, along) = (f64::from(PASSES - 1) * SPACING_M + 42.0, LENGTH_M + 31.0);
        assert!((0.8..1.1).contains(&(outcome.covered_m2 / (across * along))), "{}", outcome.covered_m2);
        assert!(outcome.gps_time, "{}: the receiver's time, whatever the system's does", link.name);
        assert_eq!(outcome.stale_frames > 0, link.gap.is_some(), "{}: {outcome:?}", link.name);
    }
}

#[test]
fn over_hills_trees_are_found_where_they_stand_with_a_terrain_model_and_elsewhere_without() {
    let (trees, mut surveyor) = (forest(), surveyor());
    let folder = tempfile::tempdir().expect("a folder");
    let terrain = Arc::new(Land::Hills.srtm(folder.path()));
    let seen = look(&trees, Land::Hills, &mut surveyor);
    Outcome::tell_head();
    let (with, _) = fly(&trees, &seen, &mut surveyor, GOOD, Ground::Terrain(terrain));
    with.tell("hills, by a terrain model", trees.len());
    let (level, _) = fly(&trees, &seen, &mut surveyor, GOOD, Ground::Flat(None));
    level.tell("the same hills, taken for level", trees.len());
    with.check("hills", trees.len());
    assert!(with.right * 20 >= with.merged * 19, "{with:?}");
    // Taken for level a tree is seen somewhere else from each pass: it is many, and many of them are where none stands.
    assert!(level.merged > 2 * trees.len() && level.right * 20 < level.merged * 19, "{level:?}");
    assert!(level.error(0.95) > 1.5 * with.error(0.95), "{level:?}\n{with:?}");
}
