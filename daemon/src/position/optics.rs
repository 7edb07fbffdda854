//! From a pixel to the direction it was seen in.

/// Roll, pitch and yaw in radians: yaw from north to the right, pitch up from the horizon, roll to the right.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Attitude {
    /// Right side down.
    pub roll: f64,
    /// Nose up.
    pub pitch: f64,
    /// Nose to the right of north.
    pub yaw: f64,
}

impl Attitude {
    /// From degrees.
    #[must_use]
    pub fn degrees(roll: f64, pitch: f64, yaw: f64) -> Self {
        Self { roll: roll.to_radians(), pitch: pitch.to_radians(), yaw: yaw.to_radians() }
    }

    /// A direction of the body (forward, right, down) as one of the world (north, east, down).
    #[must_use]
    pub fn turn(self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let ((sr, cr), (sp, cp), (sy, cy)) = (self.roll.sin_cos(), self.pitch.sin_cos(), self.yaw.sin_cos());
        [
            cy * cp * x + (cy * sp * sr - sy * cr) * y + (cy * sp * cr + sy * sr) * z,
            sy * cp * x + (sy * sp * sr + cy * cr) * y + (sy * sp * cr - cy * sr) * z,
            -sp * x + cp * sr * y + cp * cr * z,
        ]
    }

    /// `share` of the way to `other`, each angle the short way round.
    #[must_use]
    pub fn towards(self, other: Self, share: f64) -> Self {
        let turn = |from: f64, to: f64| {
            let way =
                (to - from + std::f64::consts::PI).rem_euclid(std::f64::consts::TAU) - std::f64::consts::PI;
            from + way * share
        };
        Self {
            roll: turn(self.roll, other.roll),
            pitch: turn(self.pitch, other.pitch),
            yaw: turn(self.yaw, other.yaw),
        }
    }
}

/// A lens that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} = {value}: {allowed}")]
pub struct OpticsError {
    /// Which number.
    pub key: &'static str,
    /// The number.
    pub value: f64,
    /// What to give instead.
    pub allowed: &'static str,
}

/// A camera's lens and how it is mounted. Pixels are square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optics {
    /// Focal length over the frame's width.
    focal: f64,
    /// Where the axis meets the frame, in fractions.
    centre: [f64; 2],
    /// Radial distortion, of the square and the fourth power of the radius.
    radial: [f64; 2],
    /// Against the vehicle: pitch -90° looks straight down with the frame's top towards the nose.
    mount: Attitude,
}

impl Optics {
    /// A lens that sees `fov_deg` degrees across the frame, mounted as `mount` says.
    ///
    /// # Errors
    /// If no lens sees so.
    pub fn new(fov_deg: f64, mount: Attitude) -> Result<Self, OpticsError> {
        if !(1.0..=170.0).contains(&fov_deg) {
            return Err(OpticsError {
                key: "fov_deg",
                value: fov_deg,
                allowed: "give degrees from 1 to 170",
            });
        }
        let focal = 0.5 / (fov_deg.to_radians() / 2.0).tan();
        Ok(Self { focal, centre: [0.5, 0.5], radial: [0.0, 0.0], mount })
    }

    /// With the axis at `centre` (fractions of the frame) and radial distortion, as calibration programs give them.
    ///
    /// # Errors
    /// If a number is out of its range.
    pub fn calibrated(self, centre: [f64; 2], radial: [f64; 2]) -> Result<Self, OpticsError> {
        if let Some(&value) = centre.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(OpticsError {
                key: "centre",
                value,
                allowed: "give fractions of the frame from 0 to 1",
            });
        }
        if let Some(&value) = radial.iter().find(|value| !(-2.0..=2.0).contains(*value)) {
            return Err(OpticsError { key: "radial", value, allowed: "give numbers from -2 to 2" });
        }
        Ok(Self { centre, radial, ..self })
    }

    /// The direction in which the point at these fractions of a frame `width` by `height` pixels is seen: north, east
    /// and down, not of unit length. The camera is held by the gimbal, or by the vehicle through its mount.
    #[must_use]
    pub fn ray(
        &self,
        [x, y]: [f64; 2],
        (width, height): (u32, u32),
        vehicle: Attitude,
        gimbal: Option<Attitude>,
    ) -> [f64; 3] {
        let aspect = f64::from(height) / f64::from(width.max(1));
        let (seen_x, seen_y) =
            ((x - self.centre[0]) / self.focal, (y - self.centre[1]) * aspect / self.focal);
        let (right, down) = self.straightened(seen_x, seen_y);
        let camera = [1.0, right, down];
        match gimbal {
            Some(gimbal) => gimbal.turn(camera),
            None => vehicle.turn(self.mount.turn(camera)),
        }
    }

    /// The radial distortion undone, by fixed point.
    fn straightened(&self, x: f64, y: f64) -> (f64, f64) {
        let [k1, k2] = self.radial;
        let (mut right, mut down) = (x, y);
        if k1 != 0.0 || k2 != 0.0 {
            for _ in 0..10 {
                let square = right * right + down * down;
                let factor = (1.0 + k1 * square + k2 * square * square).max(0.1);
                (right, down) = (x / factor, y / factor);
            }
        }
        (right, down)
    }

    /// Metres that a pixel of a frame `width` pixels wide covers at `distance` metres.
    #[must_use]
    pub fn metres_per_pixel(&self, distance: f64, width: u32) -> f64 {
        distance / (self.focal * f64::from(width.max(1)))
    }

    /// How it is mounted.
    #[must_use]
    pub fn mount(&self) -> Attitude {
        self.mount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: [f64; 3], wanted: [f64; 3]) -> bool {
        found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-9)
    }

    fn down() -> Optics {
        Optics::new(90.0, Attitude::degrees(0.0, -90.0, 0.0)).expect("a lens")
    }

    #[test]
    fn a_nadir_camera_sees_ahead_at_its_top_and_the_right_wing_at_its_right() {
        let size = (1000, 1000);
        let level = Attitude::degrees(0.0, 0.0, 0.0);
        assert!(near(down().ray([0.5, 0.5], size, level, None), [0.0, 0.0, 1.0]));
        assert!(near(down().ray([0.5, 0.0], size, level, None), [1.0, 0.0, 1.0]), "north is ahead");
        assert!(near(down().ray([1.0, 0.5], size, level, None), [0.0, 1.0, 1.0]));
        let east = Attitude::degrees(0.0, 0.0, 90.0);
        assert!(near(down().ray([0.5, 0.0], size, east, None), [0.0, 1.0, 1.0]), "ahead is east");
    }

    #[test]
    fn pitching_up_looks_ahead_and_rolling_right_looks_left() {
        let size = (1000, 1000);
        let up = down().ray([0.5, 0.5], size, Attitude::degrees(0.0, 10.0, 0.0), None);
        assert!(up[0] > 0.17 && up[1].abs() < 1e-9, "{up:?}");
        let right = down().ray([0.5, 0.5], size, Attitude::degrees(10.0, 0.0, 0.0), None);
        assert!(right[1] < -0.17 && right[0].abs() < 1e-9, "{right:?}");
    }

    #[test]
    fn a_gimbal_overrules_the_vehicle() {
        let tilted = Attitude::degrees(20.0, 15.0, 45.0);
        let ray = down().ray([0.5, 0.5], (640, 480), tilted, Some(Attitude::degrees(0.0, -90.0, 0.0)));
        assert!(near(ray, [0.0, 0.0, 1.0]), "{ray:?}");
    }

    #[test]
    fn distortion_is_undone() {
        let lens = down().calibrated([0.5, 0.5], [-0.2, 0.03]).expect("a lens");
        let size = (1000, 1000);
        let ray = lens.ray([0.9, 0.5], size, Attitude::default(), None);
        let straight = ray[1] / ray[2];
        let bent = straight * (1.0 - 0.2 * straight.powi(2) + 0.03 * straight.powi(4));
        assert!((bent - 0.8).abs() < 1e-3, "{bent}");
    }
}
