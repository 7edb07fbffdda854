//! Where an organism is, from any number of sightings: on the ground in metres, or in the frame in fractions.

use crate::position::{Geodetic, Method, NoPosition, Position, RADIUS_95, Sighted, Whereabouts};
use crate::region::Region;

/// A box drawn around what moves may jump by its own size between two frames.
const JUMP: f64 = 2.0;
/// However often an organism is seen, tiles of a frame do not tell its place better than to this share of their side.
const LEAST_SPREAD: f64 = 0.25;
/// Places of tiles on the ground that are told apart: with so many, a place is known to [`LEAST_SPREAD`].
const PLACES: usize = 16;
/// Sightings whose middles are nearer than this share of their reach are of one place: where in it the organism is, the second of them
/// does not tell.
const SAME: f64 = 0.5;

/// The place of one sighting, or of all sightings of a track.
#[derive(Debug, Clone, PartialEq)]
pub struct Whereat {
    plane: Plane,
    /// Sightings in it.
    count: f64,
    /// What is told where the plane is the frame.
    told: Whereabouts,
}

#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a place of its own would be an allocation for every region of a frame"
)]
enum Plane {
    /// The middle, half its sides, and whether the box was drawn around the organism.
    Frame {
        middle: [f64; 2],
        half: [f64; 2],
        around: bool,
    },
    Ground(Mean),
}

/// Where regions lay that an organism is somewhere in.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    /// The mean of their middles.
    at: Geodetic,
    /// One over the variance of that along an axis, as far as it differs from frame to frame, square metres.
    drawn: f64,
    /// The variance of where in the region the organism is, which stays the same however often it is seen from here.
    spread: f64,
}

impl Place {
    fn new(sighted: &Sighted) -> Self {
        // Anywhere within reach: a uniform error.
        let spread = (sighted.reach[0].powi(2) + sighted.reach[1].powi(2)) / 6.0;
        Self { at: sighted.at, drawn: 1.0 / sighted.drawn_m.powi(2).max(1e-4), spread }
    }

    fn variance(&self) -> f64 {
        self.spread + 1.0 / self.drawn
    }

    fn add(&mut self, other: &Self) {
        let drawn = self.drawn + other.drawn;
        let share = other.drawn / drawn;
        let (east, north) = self.at.to(other.at);
        self.at = self.at.moved(east * share, north * share);
        self.spread += (other.spread - self.spread) * share;
        self.drawn = drawn;
    }
}

/// A mean of places, each weighed by how well it is known.
#[derive(Debug, Clone, PartialEq)]
struct Mean {
    at: Geodetic,
    /// One over the variance of the mean along an axis, square metres.
    weight: f64,
    /// The first `known` of them.
    places: [Place; PLACES],
    known: usize,
    /// The last sighting's reach east and north, metres.
    reach: [f64; 2],
    shared_m: f64,
    drawn_m: f64,
    alt_agl_m: Option<f64>,
    age_ms: f64,
    method: Method,
}

impl Mean {
    fn new(sighted: &Sighted) -> Self {
        let place = Place::new(sighted);
        Self {
            at: sighted.at,
            weight: 1.0 / place.variance(),
            places: [place; PLACES],
            known: 1,
            reach: sighted.reach,
            shared_m: sighted.shared_m,
            drawn_m: sighted.drawn_m,
            alt_agl_m: sighted.alt_agl_m,
            age_ms: sighted.age_ms,
            method: sighted.method,
        }
    }

    fn add(&mut self, other: &Self) {
        let seen = other.places[0];
        let apart = |place: &Place| {
            let (east, north) = place.at.to(seen.at);
            (east.abs() / other.reach[0].max(1e-9)).max(north.abs() / other.reach[1].max(1e-9))
        };
        let known = &mut self.places[..self.known];
        let nearest = known.iter_mut().min_by(|one, two| apart(one).total_cmp(&apart(two)));
        match nearest {
            Some(place) if apart(place) < SAME || self.known == PLACES => place.add(&seen),
            _ => {
                self.places[self.known] = seen;
                self.known += 1;
            }
        }
        let share = other.weight / (self.weight + other.weight);
        self.shared_m += (other.shared_m - self.shared_m) * share;
        self.settle();
        (self.reach, self.drawn_m) = (other.reach, other.drawn_m);
        (self.alt_agl_m, self.age_ms, self.method) = (other.alt_agl_m, other.age_ms, other.method);
    }

    /// The mean of the places.
    fn settle(&mut self) {
        let (mut weight, mut off) = (0.0, (0.0, 0.0));
        for place in &self.places[..self.known] {
            let own = 1.0 / place.variance();
            let (east, north) = self.at.to(place.at);
            weight += own;
            off = (off.0 + east * own, off.1 + north * own);
        }
        self.at = self.at.moved(off.0 / weight, off.1 / weight);
        self.weight = weight;
    }

    fn position(&self) -> Position {
        let spread = (self.shared_m.powi(2) + 1.0 / self.weight).sqrt();
        Position {
            lat: rounded(self.at.lat, 7),
            lon: rounded(self.at.lon, 7),
            alt_agl_m: self.alt_agl_m.map(|metres| rounded(metres, 1)),
            accuracy_m: rounded(spread * RADIUS_95, 2),
            age_ms: rounded(self.age_ms, 1),
            method: self.method,
        }
    }
}

impl Whereat {
    /// Where one sighting is: on the ground if things are told apart `by_ground` and its place is known.
    #[must_use]
    pub fn new(region: &Region, place: &Whereabouts, by_ground: bool) -> Self {
        let [left, top, right, bottom] = region.focus.unwrap_or(region.part).edges();
        let plane = match place {
            Whereabouts::Known(sighted) if by_ground => Plane::Ground(Mean::new(sighted)),
            _ => Plane::Frame {
                middle: [(left + right) / 2.0, (top + bottom) / 2.0],
                half: [(right - left) / 2.0, (bottom - top) / 2.0],
                around: region.around,
            },
        };
        Self { plane, count: 1.0, told: place.clone() }
    }

    /// Whether the ground is known.
    #[must_use]
    pub fn is_on_ground(&self) -> bool {
        matches!(self.plane, Plane::Ground(_))
    }

    /// How far the sighting `here` is from this track: from 0 to 1 of what one organism can be, `None` beyond.
    #[must_use]
    pub fn away(&self, here: &Self) -> Option<f64> {
        // After n sightings the mean is known better than one of them.
        let known = self.count.sqrt().recip().max(LEAST_SPREAD);
        let away = match (&self.plane, &here.plane) {
            (Plane::Ground(mean), Plane::Ground(seen)) => {
                let (east, north) = mean.at.to(seen.at);
                let slack = 2.0 * mean.drawn_m.hypot(seen.drawn_m);
                // An organism as large as a tile shows in tiles whose middle is a side away from its own, however well
                // that is known.
                let gate = |axis: usize| seen.reach[axis] + seen.reach[axis].max(mean.reach[axis]) + slack;
                (east.abs() / gate(0)).max(north.abs() / gate(1))
            }
            (
                Plane::Frame { middle, half, .. },
                Plane::Frame { middle: seen_middle, half: seen_half, around },
            ) => {
                let axis = |axis: usize| {
                    let apart = (middle[axis] - seen_middle[axis]).abs();
                    let gate = if *around {
                        JUMP * (half[axis] + seen_half[axis])
                    } else {
                        seen_half[axis] + half[axis] * known
                    };
                    apart / gate.max(1e-9)
                };
                axis(0).max(axis(1))
            }
            _ => return None,
        };
        // Neighbours that only touch are two, whatever rounding says.
        (away < 1.0 - 1e-9).then_some(away)
    }

    /// Takes in one more sighting.
    pub fn add(&mut self, here: &Self) {
        self.count += 1.0;
        self.told.clone_from(&here.told);
        match (&mut self.plane, &here.plane) {
            (Plane::Ground(mean), Plane::Ground(seen)) => mean.add(seen),
            (
                Plane::Frame { middle, half, around },
                Plane::Frame { middle: seen_middle, half: seen_half, around: seen_around },
            ) => {
                // What moves is where it was seen last; what is somewhere in a tile is where the tiles lie.
                let share = if *seen_around { 1.0 } else { self.count.recip() };
                for (middle, seen) in middle.iter_mut().zip(seen_middle) {
                    *middle += (seen - *middle) * share;
                }
                (*half, *around) = (*seen_half, *seen_around);
            }
            _ => {}
        }
    }

    /// What an event says of it.
    #[must_use]
    pub fn position(&self) -> Option<Result<Position, NoPosition>> {
        match (&self.plane, &self.told) {
            (Plane::Ground(mean), _) => Some(Ok(mean.position())),
            (_, Whereabouts::Unasked) => None,
            (_, Whereabouts::Unknown(reason)) => Some(Err(*reason)),
            (_, Whereabouts::Known(sighted)) => Some(Ok(Mean::new(sighted).position())),
        }
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use fieldmark_models::views::FractionBox;

    use super::*;

    const HERE: Geodetic = Geodetic { lat: 47.0, lon: 8.0 };

    fn ground(east: f64, north: f64, reach: f64) -> Whereat {
        let sighted = Sighted {
            at: HERE.moved(east, north),
            alt_agl_m: Some(40.0),
            age_ms: 20.0,
            method: Method::Pose,
            reach: [reach, reach],
            shared_m: 0.5,
            drawn_m: 0.1,
        };
        Whereat::new(&Region::frame(), &Whereabouts::Known(sighted), true)
    }

    fn frame(edges: [f64; 4], around: bool) -> Whereat {
        let part = FractionBox::try_from(edges).expect("a box");
        let region = Region { part, around, ..Region::frame() };
        Whereat::new(&region, &Whereabouts::Unasked, false)
    }

    #[test]
    fn tiles_around_a_tree_are_one_place_near_it_and_a_neighbour_is_another() {
        let mut tree = ground(-1.5, 1.0, 2.0);
        for (east, north) in [(0.5, 1.0), (-1.5, -1.0), (0.5, -1.0), (1.2, 0.3), (-0.7, 0.2)] {
            let tile = ground(east, north, 2.0);
            assert!(tree.away(&tile).is_some(), "{east} {north}");
            tree.add(&tile);
        }
        let Some(Ok(position)) = tree.position() else { panic!("a position") };
        let off = HERE.metres_to(Geodetic { lat: position.lat, lon: position.lon });
        assert!(off < 0.6 && position.accuracy_m < 2.2 && position.accuracy_m > off, "{off} {position:?}");
        assert_eq!(tree.away(&ground(6.0, 0.0, 2.0)), None);
    }

    #[test]
    fn a_camera_that_hovers_knows_a_place_no_better_for_looking_long() {
        let mut tree = ground(0.0, 0.0, 2.0);
        let accuracy = |whereat: &Whereat| match whereat.position() {
            Some(Ok(position)) => position.accuracy_m,
            other => panic!("{other:?}"),
        };
        let once = accuracy(&tree);
        for number in 0..300 {
            // It drifts by a few centimetres, and the fix is drawn anew.
            tree.add(&ground(0.02 * f64::from(number % 5), -0.03 * f64::from(number % 3), 2.0));
        }
        assert!((accuracy(&tree) / once - 1.0).abs() < 0.02, "{} {once}", accuracy(&tree));
        // Two tiles in turns are two places, however often.
        let mut tiles = ground(-1.0, 0.0, 2.0);
        (0..300).for_each(|number| tiles.add(&ground(if number % 2 == 0 { 1.0 } else { -1.0 }, 0.0, 2.0)));
        assert!(
            accuracy(&tiles) > 0.7 * once && accuracy(&tiles) < 0.8 * once,
            "{} {once}",
            accuracy(&tiles)
        );
    }

    #[test]
    fn a_place_that_is_not_known_is_none_of_a_known_one() {
        let unknown = Whereat::new(&Region::frame(), &Whereabouts::Unknown(NoPosition::Stale), true);
        assert_eq!(ground(0.0, 0.0, 2.0).away(&unknown), None);
        assert_eq!(unknown.position(), Some(Err(NoPosition::Stale)));
    }

    #[test]
    fn boxes_side_by_side_are_two_places_and_what_moves_is_followed() {
        let (left, right) = (frame([0.0, 0.0, 0.5, 1.0], false), frame([0.5, 0.0, 1.0, 1.0], false));
        assert_eq!((left.away(&left), left.away(&right)), (Some(0.0), None));
        let mut bee = frame([0.10, 0.1, 0.14, 0.14], true);
        for step in 1..15 {
            let x = 0.10 + 0.05 * f64::from(step);
            let next = frame([x, 0.1, x + 0.04, 0.14], true);
            assert!(bee.away(&next).is_some());
            bee.add(&next);
        }
    }
}
