//! Degrees and metres, near one place.

/// A place on the ellipsoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geodetic {
    /// Degrees north, WGS 84.
    pub lat: f64,
    /// Degrees east, WGS 84.
    pub lon: f64,
}

const SEMI_MAJOR: f64 = 6_378_137.0;
const ECCENTRICITY_2: f64 = 6.694_379_990_14e-3;

/// Metres in a degree north and a degree east at `lat`, from the ellipsoid's radii of curvature.
fn metres_in_a_degree(lat: f64) -> (f64, f64) {
    let (sin, cos) = lat.to_radians().sin_cos();
    let w = 1.0 - ECCENTRICITY_2 * sin * sin;
    let meridian = SEMI_MAJOR * (1.0 - ECCENTRICITY_2) / (w * w.sqrt());
    let prime_vertical = SEMI_MAJOR / w.sqrt();
    // At a pole a degree east has no length; a grain keeps quotients finite.
    (meridian.to_radians(), (prime_vertical * cos.max(1e-9)).to_radians())
}

impl Geodetic {
    /// The place `east` and `north` metres from here; to a millimetre within a kilometre.
    #[must_use]
    pub fn moved(self, east: f64, north: f64) -> Self {
        let (per_lat, _) = metres_in_a_degree(self.lat);
        let lat = (self.lat + north / per_lat).clamp(-90.0, 90.0);
        let (_, per_lon) = metres_in_a_degree((self.lat + lat) / 2.0);
        let lon = self.lon + east / per_lon;
        Self { lat, lon: (lon + 180.0).rem_euclid(360.0) - 180.0 }
    }

    /// Metres east and north from here to `other`, near by.
    #[must_use]
    pub fn to(self, other: Self) -> (f64, f64) {
        let (per_lat, per_lon) = metres_in_a_degree((self.lat + other.lat) / 2.0);
        let degrees_east = (other.lon - self.lon + 180.0).rem_euclid(360.0) - 180.0;
        (degrees_east * per_lon, (other.lat - self.lat) * per_lat)
    }

    /// Metres from here to `other`, near by.
    #[must_use]
    pub fn metres_to(self, other: Self) -> f64 {
        let (east, north) = self.to(other);
        east.hypot(north)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_degree_has_its_length_at_equator_and_at_45() {
        let (north, east) = metres_in_a_degree(0.0);
        assert!((north - 110_574.3).abs() < 0.5 && (east - 111_319.5).abs() < 0.5, "{north} {east}");
        let (north, east) = metres_in_a_degree(45.0);
        assert!((north - 111_131.8).abs() < 0.5 && (east - 78_846.8).abs() < 0.5, "{north} {east}");
    }

    proptest! {
        #[test]
        fn there_and_back_is_a_millimetre(lat in -80.0f64..80.0, lon in -180.0f64..180.0, e in -900.0f64..900.0, n in -900.0f64..900.0) {
            let here = Geodetic { lat, lon };
            let (east, north) = here.to(here.moved(e, n));
            prop_assert!((east - e).abs() < 2e-3 && (north - n).abs() < 5e-2, "{} {}", east - e, north - n);
        }
    }
}
