//! What a source said lately, and the pose at any moment in between.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::release::{Releases, apart};
use super::{Attitude, Geodetic, NoPosition};

/// Reports of each kind that are kept: forty seconds at 50 a second. A network may need ten for a frame.
const KEPT: usize = 2048;
/// Metres a second squared that a vehicle changes its way with: what a straight line between two fixes may miss.
const SWERVE: f64 = 3.0;
/// What a receiver that says nothing of it is taken to be worth: 95 % radius, metres.
const ACCURACY_M: f64 = 5.0;
/// A receiver's clock is believed for so long after it spoke.
const CLOCK_HOLDS: Duration = Duration::from_secs(10);
/// What is told of two releases so near to each other is told of one, as it was asked for and as it happened.
const ONE_RELEASE: Duration = Duration::from_millis(30);

/// Where the receiver is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    /// The place.
    pub at: Geodetic,
    /// Metres above mean sea level.
    pub altitude_m: Option<f64>,
    /// Metres above where it took off.
    pub above_home_m: Option<f64>,
    /// Metres a second east and north.
    pub velocity: Option<(f64, f64)>,
    /// Radius in metres within which it is with 95 %; `None` where that comes apart, or not at all.
    pub accuracy_m: Option<f64>,
}

/// Which way a gimbal points the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gimbal {
    /// Roll and pitch against the horizon, and yaw.
    pub attitude: Attitude,
    /// Yaw counts from the vehicle's nose and not from north.
    pub yaw_from_nose: bool,
}

/// What a source says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Report {
    /// Where it is; `None` when the receiver says that it does not know.
    Fix(Option<Fix>),
    /// What fixes are worth: 95 % radius, metres.
    Accuracy(f64),
    /// How the vehicle is held.
    Attitude(Attitude),
    /// How the camera is held.
    Gimbal(Gimbal),
    /// The receiver's time.
    Clock(jiff::Timestamp),
    /// A camera was released.
    Trigger,
}

/// Where and how the camera was at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The receiver's fix at that moment.
    pub fix: Fix,
    /// The vehicle's attitude, where it is known.
    pub attitude: Option<Attitude>,
    /// The camera's own, where a gimbal says so: against north and horizon.
    pub gimbal: Option<Attitude>,
    /// Time to the nearest fix.
    pub age: Duration,
    /// What the time between fixes may have hidden: metres, standard deviation along an axis.
    pub drift_m: f64,
    /// 95 % radius of the fix, metres.
    pub accuracy_m: f64,
}

/// Reports, by moment.
#[derive(Debug)]
pub struct PoseBuffer {
    max_age: Duration,
    fixes: VecDeque<(Instant, Option<Fix>)>,
    attitudes: VecDeque<(Instant, Attitude)>,
    gimbals: VecDeque<(Instant, Gimbal)>,
    triggers: VecDeque<Instant>,
    /// The receiver's time, as it spoke of it.
    clock: VecDeque<(Instant, jiff::Timestamp)>,
    accuracy_m: Option<f64>,
}

impl PoseBuffer {
    /// Empty; a fix is used for frames up to `max_age` from it.
    #[must_use]
    pub fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            fixes: VecDeque::with_capacity(KEPT),
            attitudes: VecDeque::with_capacity(KEPT),
            gimbals: VecDeque::with_capacity(KEPT),
            triggers: VecDeque::with_capacity(KEPT),
            clock: VecDeque::with_capacity(KEPT),
            accuracy_m: None,
        }
    }

    /// Takes in what was true at `moment`; late reports find their place.
    pub fn put(&mut self, moment: Instant, report: Report) {
        match report {
            Report::Fix(fix) => insert(&mut self.fixes, moment, fix),
            Report::Attitude(attitude) => insert(&mut self.attitudes, moment, attitude),
            Report::Gimbal(gimbal) => insert(&mut self.gimbals, moment, gimbal),
            Report::Accuracy(metres) => self.accuracy_m = Some(metres),
            Report::Clock(time) => insert(&mut self.clock, moment, time),
            Report::Trigger => self.release(moment),
        }
    }

    fn release(&mut self, moment: Instant) {
        let after = self.triggers.partition_point(|&at| at <= moment);
        let beside = [after.checked_sub(1), Some(after)].into_iter().flatten();
        let known = |at: usize| self.triggers.get(at).is_some_and(|&at| apart(at, moment) < ONE_RELEASE);
        if !beside.into_iter().any(known) {
            if self.triggers.len() >= KEPT {
                self.triggers.pop_front();
            }
            let after = self.triggers.partition_point(|&at| at <= moment);
            self.triggers.insert(after, moment);
        }
    }

    /// The pose at `moment`: between two fixes by a straight line, after the last along its velocity.
    ///
    /// # Errors
    /// If there is no fix near enough, or the receiver had none.
    pub fn at(&self, moment: Instant) -> Result<Pose, NoPosition> {
        let after = self.fixes.partition_point(|&(at, _)| at <= moment);
        let before = after.checked_sub(1).and_then(|before| self.fixes.get(before)).copied();
        let after = self.fixes.get(after).copied();
        let away = |at: Instant| apart(at, moment);
        let (fix, age, drift_m) = match (before, after) {
            (Some((_, None)), None) | (None, Some((_, None)) | None) => return Err(NoPosition::NoFix),
            (Some((_, None)), Some((_, None))) => return Err(NoPosition::NoFix),
            (Some((low, Some(from))), Some((high, Some(to)))) if apart(low, high) <= self.max_age * 2 => {
                let span = apart(low, high).as_secs_f64();
                let share = if span > 0.0 { away(low).as_secs_f64() / span } else { 0.0 };
                let (near, far) = (away(low).as_secs_f64(), away(high).as_secs_f64());
                (between(&from, &to, share), away(low).min(away(high)), SWERVE * near * far / 2.0)
            }
            (Some((low, Some(fix))), after) => {
                // A receiver that lost its fix meanwhile is not carried on.
                if matches!(after, Some((_, None))) && away(low) > self.max_age / 2 {
                    return Err(NoPosition::NoFix);
                }
                let nearer = after.and_then(|(high, fix)| Some((high, fix?)));
                match nearer {
                    Some((high, later)) if away(high) < away(low) => self.carried(later, high, moment)?,
                    _ => self.carried(fix, low, moment)?,
                }
            }
            (_, Some((high, Some(fix)))) => self.carried(fix, high, moment)?,
        };
        let attitude = self.attitude_at(moment);
        let accuracy_m = fix.accuracy_m.or(self.accuracy_m).unwrap_or(ACCURACY_M);
        Ok(Pose { fix, attitude, gimbal: self.gimbal_at(moment, attitude), age, drift_m, accuracy_m })
    }

    /// The fix of the moment `at`, carried along its velocity to `moment`.
    fn carried(&self, fix: Fix, at: Instant, moment: Instant) -> Result<(Fix, Duration, f64), NoPosition> {
        let age = apart(at, moment);
        if age > self.max_age {
            return Err(NoPosition::Stale);
        }
        let seconds = if moment >= at { age.as_secs_f64() } else { -age.as_secs_f64() };
        // Without a velocity nobody knows how far it went: a walking pace, at least.
        let (velocity, unknown) = fix.velocity.map_or(((0.0, 0.0), 1.5), |velocity| (velocity, 0.3));
        let moved = fix.at.moved(velocity.0 * seconds, velocity.1 * seconds);
        let drift = unknown * age.as_secs_f64() + SWERVE * seconds * seconds / 2.0;
        Ok((Fix { at: moved, ..fix }, age, drift))
    }

    fn attitude_at(&self, moment: Instant) -> Option<Attitude> {
        let (before, after) = around(&self.attitudes, moment, self.max_age);
        match (before, after) {
            (Some((low, from)), Some((high, to))) => Some(from.towards(to, share(low, high, moment))),
            (Some((_, attitude)), None) | (None, Some((_, attitude))) => Some(attitude),
            (None, None) => None,
        }
    }

    fn gimbal_at(&self, moment: Instant, vehicle: Option<Attitude>) -> Option<Attitude> {
        let (before, after) = around(&self.gimbals, moment, self.max_age);
        let absolute = |gimbal: Gimbal| {
            let nose = if gimbal.yaw_from_nose { vehicle?.yaw } else { 0.0 };
            Some(Attitude { yaw: gimbal.attitude.yaw + nose, ..gimbal.attitude })
        };
        match (before, after) {
            (Some((low, from)), Some((high, to))) => {
                Some(absolute(from)?.towards(absolute(to)?, share(low, high, moment)))
            }
            (Some((_, gimbal)), None) | (None, Some((_, gimbal))) => absolute(gimbal),
            (None, None) => None,
        }
    }

    /// When the camera was released for the frame that came at `arrived`, after those of `before`.
    #[must_use]
    pub fn released(&self, before: &Releases, arrived: Instant) -> Instant {
        before.taken(&self.triggers, arrived)
    }

    /// A frame came at `arrived`, after those of `before`.
    pub fn came(&self, before: &mut Releases, arrived: Instant) {
        before.learn(&self.triggers, arrived);
    }

    /// The receiver's time at `moment`, where it spoke of time about then. Of what it said the least delayed counts.
    #[must_use]
    pub fn time_at(&self, moment: Instant) -> Option<jiff::Timestamp> {
        // Not the last ones: a frame may be decided on long after it was taken.
        let near = self.clock.iter().filter(|&&(at, _)| apart(at, moment) <= CLOCK_HOLDS);
        let at_moment = |&(at, time): &(Instant, jiff::Timestamp)| {
            let away = jiff::SignedDuration::try_from(apart(at, moment)).ok()?;
            if moment >= at { time.checked_add(away).ok() } else { time.checked_sub(away).ok() }
        };
        near.filter_map(at_moment).max()
    }
}

fn insert<T>(reports: &mut VecDeque<(Instant, T)>, moment: Instant, report: T) {
    if reports.len() >= KEPT {
        reports.pop_front();
    }
    let place = reports.partition_point(|(at, _)| *at <= moment);
    reports.insert(place, (moment, report));
}

type Said<T> = Option<(Instant, T)>;

/// The reports before and after `moment` that are near enough.
fn around<T: Copy>(
    reports: &VecDeque<(Instant, T)>,
    moment: Instant,
    max_age: Duration,
) -> (Said<T>, Said<T>) {
    let after = reports.partition_point(|&(at, _)| at <= moment);
    let near =
        |report: Option<&(Instant, T)>| report.copied().filter(|&(at, _)| apart(at, moment) <= max_age);
    (near(after.checked_sub(1).and_then(|before| reports.get(before))), near(reports.get(after)))
}

fn share(low: Instant, high: Instant, moment: Instant) -> f64 {
    let span = apart(low, high).as_secs_f64();
    if span > 0.0 { (apart(low, moment).as_secs_f64() / span).clamp(0.0, 1.0) } else { 0.0 }
}

fn between(from: &Fix, to: &Fix, share: f64) -> Fix {
    let (east, north) = from.at.to(to.at);
    let mean = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a + (b - a) * share),
        (a, b) => a.or(b),
    };
    let velocity = match (from.velocity, to.velocity) {
        (Some(a), Some(b)) => Some((a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share)),
        (a, b) => a.or(b),
    };
    Fix {
        at: from.at.moved(east * share, north * share),
        altitude_m: mean(from.altitude_m, to.altitude_m),
        above_home_m: mean(from.above_home_m, to.above_home_m),
        velocity,
        accuracy_m: match (from.accuracy_m, to.accuracy_m) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Geodetic = Geodetic { lat: 47.0, lon: 8.0 };

    /// On its way north at 10 m/s.
    fn fix(second: f64) -> Fix {
        Fix {
            at: HERE.moved(0.0, 10.0 * second),
            altitude_m: Some(500.0),
            above_home_m: Some(40.0),
            velocity: Some((0.0, 10.0)),
            accuracy_m: None,
        }
    }

    struct Flight {
        begin: Instant,
        buffer: PoseBuffer,
    }

    impl Flight {
        fn new() -> Self {
            Self { begin: Instant::now(), buffer: PoseBuffer::new(Duration::from_secs(1)) }
        }

        fn at(&self, second: f64) -> Instant {
            self.begin + Duration::from_secs_f64(second)
        }

        fn fix(&mut self, second: f64) {
            self.buffer.put(self.at(second), Report::Fix(Some(fix(second))));
        }

        /// Metres off and milliseconds old.
        fn off(&self, second: f64) -> Result<(f64, u128), NoPosition> {
            let pose = self.buffer.at(self.at(second))?;
            Ok((pose.fix.at.metres_to(HERE.moved(0.0, 10.0 * second)), pose.age.as_millis()))
        }
    }

    #[test]
    fn a_frame_between_two_fixes_gets_a_place_between_them() {
        let mut flight = Flight::new();
        // The later one comes first.
        [0.2, 0.0, 0.4].into_iter().for_each(|second| flight.fix(second));
        let (metres, age) = flight.off(0.13).expect("a pose");
        assert!(metres < 0.01 && age == 70, "{metres} {age}");
    }

    #[test]
    fn after_the_last_fix_it_is_carried_on_for_a_while_and_then_stale() {
        let mut flight = Flight::new();
        flight.fix(0.0);
        let (metres, age) = flight.off(0.9).expect("a pose");
        assert!(metres < 0.01 && age == 900, "{metres} {age}");
        let drift = |second: f64| flight.buffer.at(flight.at(second)).expect("a pose").drift_m;
        assert!(drift(0.9) > 10.0 * drift(0.1));
        assert_eq!(flight.off(1.1), Err(NoPosition::Stale));
    }

    #[test]
    fn a_gap_is_stale_in_its_middle_and_a_lost_fix_is_said() {
        let mut flight = Flight::new();
        assert_eq!(flight.off(0.0), Err(NoPosition::NoFix));
        [0.0, 5.0].into_iter().for_each(|second| flight.fix(second));
        assert_eq!(flight.off(2.5), Err(NoPosition::Stale));
        assert!(flight.off(4.5).is_ok_and(|(_, age)| age == 500));
        flight.buffer.put(flight.at(6.0), Report::Fix(None));
        assert_eq!(flight.off(6.2), Err(NoPosition::NoFix));
    }

    #[test]
    fn attitudes_turn_the_short_way_and_a_gimbals_yaw_follows_the_nose() {
        let mut flight = Flight::new();
        [0.0, 1.0].into_iter().for_each(|second| flight.fix(second));
        let attitude = |yaw: f64| Attitude { roll: 0.0, pitch: 0.0, yaw: yaw.to_radians() };
        flight.buffer.put(flight.at(0.0), Report::Attitude(attitude(350.0)));
        flight.buffer.put(flight.at(1.0), Report::Attitude(attitude(10.0)));
        let gimbal = Gimbal { attitude: attitude(90.0), yaw_from_nose: true };
        flight.buffer.put(flight.at(0.5), Report::Gimbal(gimbal));
        let pose = flight.buffer.at(flight.at(0.5)).expect("a pose");
        let yaw = pose.attitude.expect("an attitude").yaw.to_degrees().rem_euclid(360.0);
        assert!(yaw.min(360.0 - yaw) < 0.01, "{yaw}");
        let yaw = pose.gimbal.expect("a gimbal").yaw.to_degrees().rem_euclid(360.0);
        assert!((yaw - 90.0).abs() < 0.01, "{yaw}");
    }

    #[test]
    fn the_receivers_time_is_the_least_delayed_and_ends_when_it_falls_silent() {
        let mut flight = Flight::new();
        let time = |ms: i64| jiff::Timestamp::from_millisecond(1_800_000_000_000 + ms).expect("a time");
        assert_eq!(flight.buffer.time_at(flight.at(0.0)), None);
        for (sent, delay) in [(0, 300), (1000, 20), (2000, 250)] {
            flight.buffer.put(flight.at((sent + delay) as f64 / 1e3), Report::Clock(time(sent)));
        }
        let told = flight.buffer.time_at(flight.at(2.5)).expect("a time");
        let off = told.as_millisecond() - time(2500).as_millisecond();
        assert!((-21..=0).contains(&off), "{off}");
        assert_eq!(flight.buffer.time_at(flight.at(30.0)), None);
        // A frame that was long in the network is told in its own time, whatever was heard since.
        flight.buffer.put(flight.at(40.0), Report::Clock(time(40_000)));
        assert_eq!(flight.buffer.time_at(flight.at(2.5)), Some(told));
    }

    #[test]
    fn what_is_told_twice_of_a_release_is_one_and_late_ones_find_their_place() {
        let mut flight = Flight::new();
        [2.0, 1.0, 2.01].into_iter().for_each(|second| flight.buffer.put(flight.at(second), Report::Trigger));
        assert_eq!(flight.buffer.triggers, [flight.at(1.0), flight.at(2.0)]);
        let released = |second| flight.buffer.released(&Releases::default(), flight.at(second));
        assert_eq!(
            (released(1.4), released(2.3), released(3.1)),
            (flight.at(1.0), flight.at(2.0), flight.at(3.1))
        );
    }
}
