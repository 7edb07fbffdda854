//! Where a ray meets the ground, and how far off that may be.

use std::sync::Arc;

use super::{Geodetic, NoPosition, Pose, Terrain};

/// Rays flatter than this see no ground worth naming: a degree of attitude would move it by a seventh of its distance.
const FLATTEST: f64 = 0.17;

/// Metres to each side of a place over which a slope is measured.
const SLOPE_OVER_M: f64 = 5.0;
/// Rays that graze a slope are not taken to be worse than this many times.
const WORST: f64 = 10.0;

/// What the ground is taken to be.
#[derive(Debug, Clone)]
pub enum Ground {
    /// Level: with the height above sea given, or as high as the place of take-off.
    Flat(Option<f64>),
    /// A terrain model.
    Terrain(Arc<Terrain>),
}

/// What is known badly: standard deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Radians of roll and pitch, boresight included, where the attitude is known.
    pub attitude: f64,
    /// Radians of roll and pitch where it is not.
    pub unknown_attitude: f64,
    /// Radians of yaw.
    pub yaw: f64,
    /// Metres of height above the ground.
    pub height_m: f64,
    /// Seconds between frame and pose that nobody sees.
    pub time_s: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            attitude: 1f64.to_radians(),
            unknown_attitude: 5f64.to_radians(),
            yaw: 3f64.to_radians(),
            height_m: 1.5,
            time_s: 0.02,
        }
    }
}

impl Ground {
    /// Metres from the camera straight down to the ground.
    ///
    /// # Errors
    /// If that is not known, or not above it.
    pub fn height(&self, pose: &Pose) -> Result<f64, NoPosition> {
        let fix = &pose.fix;
        let height = match self {
            Self::Flat(None) => fix.above_home_m,
            Self::Flat(Some(ground)) => fix.altitude_m.map(|altitude| altitude - ground),
            Self::Terrain(terrain) => {
                fix.altitude_m.zip(terrain.elevation(fix.at)).map(|(altitude, ground)| altitude - ground)
            }
        };
        height.filter(|height| height.is_finite() && *height > 0.1).ok_or(NoPosition::NoHeight)
    }

    /// Metres east and north from the camera to where the ray (north, east, down) meets the ground, and down to there.
    ///
    /// # Errors
    /// If it does not, or the height is not known.
    pub fn meet(&self, pose: &Pose, [north, east, down]: [f64; 3]) -> Result<[f64; 3], NoPosition> {
        let length = (north * north + east * east + down * down).sqrt();
        if down.is_nan() || down <= FLATTEST * length {
            return Err(NoPosition::OffGround);
        }
        let height = self.height(pose)?;
        let at = |depth: f64| [east / down * depth, north / down * depth, depth];
        let (Self::Terrain(terrain), Some(altitude)) = (self, pose.fix.altitude_m) else {
            return Ok(at(height));
        };
        // Above the ground at `depth` below the camera, along the ray.
        let above = |depth: f64| {
            let [east, north, _] = at(depth);
            let ground = terrain.elevation(pose.fix.at.moved(east, north))?;
            Some(altitude - depth - ground)
        };
        let (mut low, step) = (0.0, height / 16.0);
        // Twice the height below the camera's own foot is a slope nobody flies over.
        for number in 1..=48 {
            let high = step * f64::from(number);
            if above(high).ok_or(NoPosition::OffGround)? > 0.0 {
                low = high;
                continue;
            }
            let mut high = high;
            for _ in 0..24 {
                let middle = (low + high) / 2.0;
                if above(middle).ok_or(NoPosition::OffGround)? > 0.0 { low = middle } else { high = middle }
            }
            return Ok(at((low + high) / 2.0));
        }
        Err(NoPosition::OffGround)
    }
}

impl Ground {
    /// How many times further an error shifts the place `east` and `north` metres from the pose and `depth` below it
    /// than it would on level ground: more where the ground falls away from the camera.
    #[must_use]
    pub fn steepening(&self, pose: &Pose, [east, north, depth]: [f64; 3]) -> f64 {
        let (Self::Terrain(terrain), offset) = (self, east.hypot(north)) else { return 1.0 };
        if offset < 0.1 || depth < 0.1 {
            return 1.0;
        }
        let (to_east, to_north) = (east / offset * SLOPE_OVER_M, north / offset * SLOPE_OVER_M);
        let height =
            |side: f64| terrain.elevation(from(pose, east + side * to_east, north + side * to_north));
        let Some((near, far)) = height(-1.0).zip(height(1.0)) else { return 1.0 };
        let slope = (far - near) / (2.0 * SLOPE_OVER_M);
        let facing = 1.0 + slope * offset / depth;
        if facing > 1.0 / WORST { 1.0 / facing } else { WORST }
    }
}

impl Budget {
    /// Standard deviations along an axis, in metres, of a place `offset` metres from the camera's foot and `depth`
    /// below it: what all sightings of a pass share, and what is drawn anew each time. Errors along the ray's way count
    /// `steepening` times, those of the fix that much at least.
    #[must_use]
    pub fn spread(
        &self,
        pose: &Pose,
        is_held: bool,
        (offset, depth): (f64, f64),
        steepening: f64,
    ) -> (f64, f64) {
        let square = |metres: f64| metres * metres;
        let depth = depth.max(0.1);
        let slope = offset / depth;
        let tilt = if is_held { self.attitude } else { self.unknown_attitude };
        let moved = steepening.max(1.0);
        let fix = moved * pose.accuracy_m / super::RADIUS_95;
        // A tilted ray moves most along its own way; both axes are given the mean of the two.
        let along = steepening * depth * (1.0 + slope * slope) * tilt;
        let across = depth * (1.0 + slope * slope).sqrt() * tilt;
        let tilted = ((square(along) + square(across)) / 2.0).sqrt();
        let turned = offset * self.yaw / std::f64::consts::SQRT_2;
        let raised = steepening * slope * self.height_m / std::f64::consts::SQRT_2;
        let shared = (square(fix) + square(tilted) + square(turned) + square(raised)).sqrt();
        let speed = pose.fix.velocity.map_or(0.0, |(east, north)| east.hypot(north));
        (shared, moved * (square(speed * self.time_s) + square(pose.drift_m)).sqrt())
    }
}

/// The place `east` and `north` metres from the pose.
pub(super) fn from(pose: &Pose, east: f64, north: f64) -> Geodetic {
    pose.fix.at.moved(east, north)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::position::Fix;

    fn pose(altitude_m: f64, above_home_m: Option<f64>) -> Pose {
        let at = Geodetic { lat: 47.5, lon: 8.5 };
        Pose {
            fix: Fix {
                at,
                altitude_m: Some(altitude_m),
                above_home_m,
                velocity: Some((0.0, 10.0)),
                accuracy_m: None,
            },
            attitude: None,
            gimbal: None,
            age: Duration::ZERO,
            drift_m: 0.0,
            accuracy_m: 3.0,
        }
    }

    /// An SRTM tile that rises by `slope` metres a metre to the north, 430 m above sea in its middle.
    fn hillside(slope: f64) -> (tempfile::TempDir, Ground) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("N47E008.hgt");
        let metres = 111_170.0 / 1200.0;
        let row = |row: i32| (430.0 + slope * f64::from(600 - row) * metres).round() as i16;
        let samples: Vec<u8> =
            (0..1201).flat_map(|at| std::iter::repeat_n(row(at).to_be_bytes(), 1201).flatten()).collect();
        std::fs::write(&path, samples).expect("write");
        (folder, Ground::Terrain(Arc::new(Terrain::read(&path).expect("terrain"))))
    }

    #[test]
    fn a_ray_meets_a_hillside_where_geometry_says_and_not_the_level() {
        let pose = pose(530.0, Some(60.0));
        for slope in [-0.3, 0.0, 0.2] {
            let (_folder, ground) = hillside(slope);
            assert!((ground.height(&pose).expect("a height") - 100.0).abs() < 1.0);
            for [north, east, down] in [[0.0, 0.0, 1.0], [0.6, 0.3, 1.0], [-0.9, 0.0, 1.0]] {
                let [met_east, met_north, depth] = ground.meet(&pose, [north, east, down]).expect("ground");
                // 100 m down to the foot, and a plane through it: depth = 100 - slope * north of it.
                let wanted = 100.0 / (1.0 + slope * north);
                // Samples of whole metres.
                assert!((depth - wanted).abs() < 1.0, "{slope} {north}: {depth} {wanted}");
                let off = (met_north - north * depth).hypot(met_east - east * depth);
                assert!(off < 1e-6, "on the ray");
            }
        }
        assert_eq!(Ground::Flat(None).meet(&pose, [0.6, 0.0, 1.0]), Ok([0.0, 36.0, 60.0]));
        assert_eq!(Ground::Flat(Some(430.0)).height(&pose), Ok(100.0));
    }

    #[test]
    fn an_error_shifts_a_place_as_far_as_the_budget_of_a_slope_says() {
        let pose = pose(530.0, Some(60.0));
        for slope in [-0.4, 0.0, 0.3] {
            let (_folder, ground) = hillside(slope);
            for ray in [[0.5, 0.0, 1.0], [0.9, 0.1, 1.0]] {
                let met = ground.meet(&pose, ray).expect("ground");
                let mut higher = pose;
                higher.fix.altitude_m = Some(533.0);
                let moved = ground.meet(&higher, ray).expect("ground");
                let on_the_level = 3.0 * f64::hypot(ray[0], ray[1]);
                let shift = (moved[0] - met[0]).hypot(moved[1] - met[1]) / on_the_level;
                let said = ground.steepening(&pose, met);
                assert!((shift - said).abs() < 0.05, "{slope} {ray:?}: {shift}, {said}");
            }
        }
        assert_eq!(Ground::Flat(None).steepening(&pose, [30.0, 0.0, 60.0]), 1.0);
    }

    #[test]
    fn sky_the_horizon_unknown_heights_and_the_end_of_the_terrain_are_no_ground() {
        let unknown = pose(530.0, None);
        assert_eq!(Ground::Flat(None).height(&unknown), Err(NoPosition::NoHeight));
        let (level, pose) = (Ground::Flat(None), pose(530.0, Some(60.0)));
        for ray in [[1.0, 0.0, -0.1], [1.0, 0.0, 0.0], [1.0, 0.0, 0.1], [0.0, 0.0, f64::NAN]] {
            assert_eq!(level.meet(&pose, ray), Err(NoPosition::OffGround), "{ray:?}");
        }
        let (_folder, hillside) = hillside(0.1);
        let mut away = pose;
        away.fix.at.lat = 49.0;
        assert_eq!(hillside.height(&away), Err(NoPosition::NoHeight));
        let mut below = pose;
        below.fix.altitude_m = Some(400.0);
        assert_eq!(hillside.height(&below), Err(NoPosition::NoHeight));
    }
}
