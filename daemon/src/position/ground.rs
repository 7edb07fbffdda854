//! Where a ray meets the ground, and how far off that may be.

use std::sync::Arc;

use super::{Geodetic, NoPosition, Pose, Terrain};

/// Rays flatter than this see no ground worth naming: a degree of attitude would move it by a seventh of its distance.
const FLATTEST: f64 = 0.17;

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

impl Budget {
    /// Standard deviations along an axis, in metres, of a place `offset` metres from the camera's foot and `depth`
    /// below it: what all sightings of a pass share, and what is drawn anew each time.
    #[must_use]
    pub fn spread(&self, pose: &Pose, is_held: bool, offset: f64, depth: f64) -> (f64, f64) {
        let square = |metres: f64| metres * metres;
        let depth = depth.max(0.1);
        let slope = offset / depth;
        let tilt = if is_held { self.attitude } else { self.unknown_attitude };
        let fix = pose.accuracy_m / super::RADIUS_95;
        // A tilted ray moves most along its own way; both axes are given the mean of the two.
        let along = depth * (1.0 + slope * slope) * tilt;
        let across = depth * (1.0 + slope * slope).sqrt() * tilt;
        let tilted = ((square(along) + square(across)) / 2.0).sqrt();
        let turned = offset * self.yaw / std::f64::consts::SQRT_2;
        let raised = slope * self.height_m / std::f64::consts::SQRT_2;
        let shared = (square(fix) + square(tilted) + square(turned) + square(raised)).sqrt();
        let speed = pose.fix.velocity.map_or(0.0, |(east, north)| east.hypot(north));
        (shared, (square(speed * self.time_s) + square(pose.drift_m)).sqrt())
    }
}

/// The place `east` and `north` metres from the pose.
pub(super) fn from(pose: &Pose, east: f64, north: f64) -> Geodetic {
    pose.fix.at.moved(east, north)
}
