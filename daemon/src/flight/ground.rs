//! The ground that frames showed, cell by cell.

use std::collections::BTreeMap;

use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay::IntOverlayOptions;
use i_overlay::core::simplify::Simplify as _;
use i_overlay::i_float::int::point::IntPoint;
use serde_json::{Value, json};

use crate::position::Geodetic;

/// Cells that are told apart; of a flight over more the first are kept, and [`Ground::is_full`] says so.
const MOST_CELLS: usize = 1_000_000;
/// Cells across, in either direction, that one frame is looked at.
const WIDEST: i32 = 4096;

/// How often each cell of the ground was shown.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    cell_m: f64,
    /// Where cells are counted from: the first corner that was seen.
    origin: Option<Geodetic>,
    /// By row (northward) and column (eastward).
    cells: BTreeMap<(i32, i32), u32>,
    full: bool,
}

impl Ground {
    /// Nothing yet, in cells of `cell_m` metres.
    pub(super) fn new(cell_m: f64) -> Self {
        Self { cell_m, origin: None, cells: BTreeMap::new(), full: false }
    }

    /// Counts the cells whose middle lies between the corners.
    pub(super) fn cover(&mut self, corners: [Geodetic; 4]) {
        let origin = *self.origin.get_or_insert(corners[0]);
        let side = self.cell_m;
        let corners =
            corners.map(|corner| origin.to(corner)).map(|(east, north)| [east / side, north / side]);
        let edge =
            |fold: fn(f64, f64) -> f64, begin| corners.iter().map(|corner| corner[1]).fold(begin, fold);
        let (low_y, high_y) = (edge(f64::min, f64::INFINITY), edge(f64::max, f64::NEG_INFINITY));
        // A frame that shows kilometres is not looked at cell by cell.
        if !(high_y - low_y).is_finite() || high_y - low_y > f64::from(WIDEST) {
            return;
        }
        for row in low_y.floor() as i32..=high_y.ceil() as i32 {
            let Some((low, high)) = crossed(&corners, f64::from(row) + 0.5) else { continue };
            let last = (high - 0.5).floor().min(low + f64::from(WIDEST)) as i32;
            for column in (low - 0.5).ceil() as i32..=last {
                self.count((row, column));
            }
        }
    }

    fn count(&mut self, cell: (i32, i32)) {
        if self.cells.len() < MOST_CELLS || self.cells.contains_key(&cell) {
            *self.cells.entry(cell).or_default() += 1;
        } else {
            self.full = true;
        }
    }

    /// Whether there was more than can be kept.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Square metres shown at least `times`.
    pub(super) fn covered_m2(&self, times: u32) -> f64 {
        let cells = self.cells.values().filter(|&&count| count >= times).count();
        cells as f64 * self.cell_m * self.cell_m
    }

    /// The covered ground as a `MultiPolygon` of GeoJSON: outlines counter-clockwise with their holes, valid by OGC's Simple
    /// Features, so that no two polygons share more than single points.
    pub(super) fn geometry(&self) -> Value {
        let rows: Vec<Vec<IntPoint<i32>>> = self.runs().map(rectangle).collect();
        let shapes = rows.simplify(FillRule::NonZero, IntOverlayOptions::ogc());
        let polygons =
            shapes.iter().map(|rings| rings.iter().map(|ring| self.ring(ring)).collect::<Vec<_>>());
        json!({ "type": "MultiPolygon", "coordinates": polygons.collect::<Vec<_>>() })
    }

    /// Cells side by side: row, first column, and the one behind the last.
    fn runs(&self) -> impl Iterator<Item = (i32, i32, i32)> {
        let mut cells = self.cells.keys().peekable();
        std::iter::from_fn(move || {
            let &(row, first) = cells.next()?;
            let mut end = first + 1;
            while cells.next_if(|&&cell| cell == (row, end)).is_some() {
                end += 1;
            }
            Some((row, first, end))
        })
    }

    /// A closed ring in degrees.
    fn ring(&self, points: &[IntPoint<i32>]) -> Vec<[f64; 2]> {
        let Some(origin) = self.origin else { return Vec::new() };
        let corner = |point: &IntPoint<i32>| {
            let at = origin.moved(f64::from(point.x) * self.cell_m, f64::from(point.y) * self.cell_m);
            [at.lon, at.lat]
        };
        points.iter().chain(points.first()).map(corner).collect()
    }
}

/// Corners of a run of a row, in cells.
fn rectangle((row, first, end): (i32, i32, i32)) -> Vec<IntPoint<i32>> {
    [(first, row), (end, row), (end, row + 1), (first, row + 1)].map(|(x, y)| IntPoint::new(x, y)).to_vec()
}

/// Where the line at height `y` enters and leaves the corners' outline.
fn crossed(corners: &[[f64; 2]; 4], y: f64) -> Option<(f64, f64)> {
    let mut span: Option<(f64, f64)> = None;
    for (from, to) in (0..4).map(|at| (corners[at], corners[(at + 1) % 4])) {
        if (from[1] <= y) != (to[1] <= y) {
            let x = from[0] + (to[0] - from[0]) * (y - from[1]) / (to[1] - from[1]);
            span = Some(span.map_or((x, x), |(low, high)| (low.min(x), high.max(x))));
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const HERE: Geodetic = Geodetic { lat: 47.0, lon: 8.0 };

    fn ground(cells: impl IntoIterator<Item = (i32, i32)>) -> Ground {
        let cells = cells.into_iter().map(|cell| (cell, 1)).collect();
        Ground { cell_m: 1.0, origin: Some(HERE), cells, full: false }
    }

    /// Rings in cells, each as its points without the last, which is the first again.
    fn rings(ground: &Ground) -> Vec<Vec<Vec<(i32, i32)>>> {
        let geometry = ground.geometry();
        let cell = |point: &Value| {
            let [lon, lat] = [0, 1].map(|axis| point[axis].as_f64().expect("degrees"));
            let (east, north) = HERE.to(Geodetic { lat, lon });
            (east.round() as i32, north.round() as i32)
        };
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let ring = |ring: &Value| {
            let points: Vec<_> = list(ring).iter().map(cell).collect();
            assert_eq!(points.first(), points.last());
            points[1..].to_vec()
        };
        list(&geometry["coordinates"])
            .iter()
            .map(|polygon| list(polygon).iter().map(ring).collect())
            .collect()
    }

    /// Twice the area, positive where it is counter-clockwise.
    fn area(ring: &[(i32, i32)]) -> i32 {
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum()
    }

    #[test]
    fn a_clearing_is_a_hole_and_cells_corner_to_corner_are_two_polygons() {
        let around =
            (0..3).flat_map(|row| (0..3).map(move |column| (row, column))).filter(|&cell| cell != (1, 1));
        let found = rings(&ground(around.chain([(3, 3)])));
        let mut areas: Vec<Vec<i32>> =
            found.iter().map(|polygon| polygon.iter().map(|ring| area(ring)).collect()).collect();
        areas.sort();
        assert_eq!(areas, [vec![2], vec![18, -2]]);
    }

    proptest! {
        /// Whatever was covered: every edge of an outline has covered ground on its left and none on its right, no ring meets
        /// itself, and the areas add up to the cells.
        #[test]
        fn the_outline_parts_what_was_shown_from_what_was_not(
            cells in prop::collection::btree_set((0..12i32, 0..12i32), 1..90)
        ) {
            let ground = ground(cells.iter().copied());
            let found = rings(&ground);
            let mut edges = BTreeSet::new();
            for ring in found.iter().flatten() {
                prop_assert_eq!(ring.iter().collect::<BTreeSet<_>>().len(), ring.len(), "{:?} meets itself", ring);
                for (&(x, y), &(to_x, to_y)) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                    let (step_x, step_y) = ((to_x - x).signum(), (to_y - y).signum());
                    for at in 0..(to_x - x).abs().max((to_y - y).abs()) {
                        let (x, y) = (x + at * step_x, y + at * step_y);
                        prop_assert!(edges.insert((x, y, step_x, step_y)), "an edge twice");
                        // The cell on the left of the unit step, and the one on its right.
                        let (left, right) = match (step_x, step_y) {
                            (1, 0) => ((y, x), (y - 1, x)),
                            (-1, 0) => ((y - 1, x - 1), (y, x - 1)),
                            (0, 1) => ((y, x - 1), (y, x)),
                            _ => ((y - 1, x), (y - 1, x - 1)),
                        };
                        prop_assert!(cells.contains(&left) && !cells.contains(&right));
                    }
                }
            }
            let twice: i32 = found.iter().flatten().map(|ring| area(ring)).sum();
            prop_assert_eq!(twice, 2 * cells.len() as i32);
            for polygon in &found {
                prop_assert!(area(&polygon[0]) > 0 && polygon[1..].iter().all(|hole| area(hole) < 0));
            }
        }
    }
}
