//! Places of a frame's regions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::ground::from;
use super::{
    Attitude, Budget, Geodetic, Ground, Method, NoPosition, Optics, Pose, PoseBuffer, RADIUS_95, Releases,
    Sighted, Whereabouts,
};
use crate::region::Region;

/// How far from a box's middle the organism's middle is, of half its sides: boxes are drawn badly.
const BADLY_DRAWN: f64 = 0.35;

/// A camera that does not move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Station {
    /// Where it is.
    pub at: Geodetic,
    /// Radius in metres within which that is with 95 %.
    pub accuracy_m: f64,
}

/// What a camera's places rest on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optical {
    /// Its lens; without one, places are the receiver's own.
    pub optics: Option<Optics>,
    /// How far it sees, metres: without a lens an organism is within that of the receiver.
    pub range_m: f64,
    /// Frames are released by the autopilot.
    pub released: bool,
}

/// Knows where the node is.
#[derive(Debug, Clone)]
pub struct Locator {
    poses: Option<Arc<Mutex<PoseBuffer>>>,
    station: Option<Station>,
    ground: Ground,
    budget: Budget,
}

/// What one frame showed of the ground.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overflown {
    /// Where the camera was.
    pub camera: Geodetic,
    /// Metres above the ground.
    pub height_m: f64,
    /// Corners of what it showed.
    pub corners: [Geodetic; 4],
}

/// A frame's pose, as far as it is known.
#[derive(Debug, Clone)]
pub struct Framed<'a> {
    locator: &'a Locator,
    optical: Optical,
    size: (u32, u32),
    pose: Option<Result<Pose, NoPosition>>,
}

impl Locator {
    /// One that knows nothing and is asked nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { poses: None, station: None, ground: Ground::Flat(None), budget: Budget::default() }
    }

    /// At a fixed place.
    #[must_use]
    pub fn station(station: Station) -> Self {
        Self { station: Some(station), ..Self::none() }
    }

    /// On the move, over `ground`, with what `budget` says of errors.
    #[must_use]
    pub fn moving(poses: Arc<Mutex<PoseBuffer>>, ground: Ground, budget: Budget) -> Self {
        Self { poses: Some(poses), station: None, ground, budget }
    }

    /// Whether the ground below can be told from other ground: the node moves, and its camera has a lens.
    #[must_use]
    pub fn tells_ground(&self, optical: &Optical) -> bool {
        self.poses.is_some() && optical.optics.is_some()
    }

    /// When the frame that arrived at `arrived` was taken: at its release, where the autopilot releases frames. Those
    /// that came before it say how long one is on its way.
    #[must_use]
    pub fn taken(&self, optical: &Optical, before: &Releases, arrived: Instant) -> Instant {
        let released = || self.with(|poses| poses.released(before, arrived));
        if optical.released { released().unwrap_or(arrived) } else { arrived }
    }

    /// A frame arrived at `arrived`, after those of `before`.
    pub fn came(&self, optical: &Optical, before: &mut Releases, arrived: Instant) {
        if optical.released {
            self.with(|poses| poses.came(before, arrived));
        }
    }

    /// The receiver's time at `moment`, where it has one.
    #[must_use]
    pub fn time(&self, moment: Instant) -> Option<jiff::Timestamp> {
        self.with(|poses| poses.time_at(moment)).flatten()
    }

    /// What is known at `moment` of a frame `size` pixels large.
    #[must_use]
    pub fn frame(&self, optical: Optical, moment: Instant, size: (u32, u32)) -> Framed<'_> {
        Framed { locator: self, optical, size, pose: self.with(|poses| poses.at(moment)) }
    }

    fn with<T>(&self, ask: impl FnOnce(&PoseBuffer) -> T) -> Option<T> {
        let poses = self.poses.as_ref()?;
        Some(ask(&poses.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Framed<'_> {
    /// Metres on the ground that a pixel in the frame's middle covers, where height and lens are known.
    #[must_use]
    pub fn metres_per_pixel(&self) -> Option<f64> {
        let (optics, pose) = (self.optical.optics?, self.pose.as_ref()?.as_ref().ok()?);
        let height = self.locator.ground.height(pose).ok()?;
        let [north, east, down] = self.ray(&optics, pose, [0.5, 0.5]);
        let slant = (north * north + east * east + down * down).sqrt() / down.max(1e-6);
        Some(optics.metres_per_pixel(height * slant.clamp(1.0, 6.0), self.size.0))
    }

    /// What the frame shows of the ground, for the flight's log.
    #[must_use]
    pub fn overflown(&self) -> Option<Overflown> {
        let (optics, pose) = (self.optical.optics?, self.pose.as_ref()?.as_ref().ok()?);
        let ground = &self.locator.ground;
        let mut corners = [pose.fix.at; 4];
        for (corner, point) in corners.iter_mut().zip([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]) {
            let [east, north, _] = ground.meet(pose, self.ray(&optics, pose, point)).ok()?;
            *corner = from(pose, east, north);
        }
        Some(Overflown { camera: pose.fix.at, height_m: ground.height(pose).ok()?, corners })
    }

    /// Where on the ground `region` is.
    #[must_use]
    pub fn locate(&self, region: &Region) -> Whereabouts {
        if let Some(station) = self.locator.station {
            let reach = self.optical.range_m;
            return Whereabouts::Known(Sighted {
                at: station.at,
                alt_agl_m: None,
                age_ms: 0.0,
                method: Method::Station,
                reach: [reach, reach],
                shared_m: station.accuracy_m / RADIUS_95,
                drawn_m: 0.0,
            });
        }
        match &self.pose {
            None => Whereabouts::Unasked,
            Some(Err(reason)) => Whereabouts::Unknown(*reason),
            Some(Ok(pose)) => match self.place(pose, region) {
                Ok(sighted) => Whereabouts::Known(sighted),
                Err(reason) => Whereabouts::Unknown(reason),
            },
        }
    }

    fn ray(&self, optics: &Optics, pose: &Pose, point: [f64; 2]) -> [f64; 3] {
        optics.ray(point, self.size, vehicle(pose), pose.gimbal)
    }

    fn place(&self, pose: &Pose, region: &Region) -> Result<Sighted, NoPosition> {
        let ground = &self.locator.ground;
        let (age_ms, height) = (pose.age.as_secs_f64() * 1e3, ground.height(pose).ok());
        let Some(optics) = self.optical.optics else {
            let reach = self.optical.range_m;
            return Ok(Sighted {
                at: pose.fix.at,
                alt_agl_m: height,
                age_ms,
                method: Method::Station,
                reach: [reach, reach],
                shared_m: pose.accuracy_m / RADIUS_95,
                drawn_m: pose.drift_m,
            });
        };
        let is_held = pose.attitude.is_some() || pose.gimbal.is_some();
        let shown = region.focus.unwrap_or(region.part);
        let [left, top, right, bottom] = shown.edges();
        let middle = [(left + right) / 2.0, (top + bottom) / 2.0];
        let [east, north, depth] = ground.meet(pose, self.ray(&optics, pose, middle))?;
        let mut reach = [0.0f64; 2];
        for corner in [[left, top], [right, top], [right, bottom], [left, bottom]] {
            let [corner_east, corner_north, _] = ground.meet(pose, self.ray(&optics, pose, corner))?;
            reach[0] = reach[0].max((corner_east - east).abs());
            reach[1] = reach[1].max((corner_north - north).abs());
        }
        if region.around {
            reach = reach.map(|metres| metres * BADLY_DRAWN);
        }
        let steepening = ground.steepening(pose, [east, north, depth]);
        let away = (east.hypot(north), depth);
        let (shared_m, drawn_m) = self.locator.budget.spread(pose, is_held, away, steepening);
        Ok(Sighted {
            at: from(pose, east, north),
            alt_agl_m: height,
            age_ms,
            method: if is_held { Method::Pose } else { Method::Nadir },
            reach,
            shared_m,
            drawn_m,
        })
    }
}

/// The vehicle as it is held, or level and on its course where nobody says.
fn vehicle(pose: &Pose) -> Attitude {
    pose.attitude.unwrap_or_else(|| {
        let course = pose.fix.velocity.filter(|(east, north)| east.hypot(*north) > 1.0);
        Attitude { roll: 0.0, pitch: 0.0, yaw: course.map_or(0.0, |(east, north)| east.atan2(north)) }
    })
}
