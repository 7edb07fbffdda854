//! What a flight covered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ground::Ground;
use crate::position::{Geodetic, Overflown};

/// Points of the way are this far apart, metres.
const STRIDE_M: f64 = 2.0;
/// Points of the way that are kept.
const MOST_POINTS: usize = 100_000;
/// Gaps that are listed.
const MOST_GAPS: usize = 1000;

/// When a flight begins and ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlightRules {
    /// Without a placed frame for so long, the flight is over.
    pub over: Duration,
    /// Frames without a place for longer than this are listed as a gap.
    pub gap: Duration,
    /// Side of a cell of ground, metres.
    pub cell_m: f64,
}

impl Default for FlightRules {
    fn default() -> Self {
        Self { over: Duration::from_secs(300), gap: Duration::from_secs(1), cell_m: 1.0 }
    }
}

/// One flight so far.
#[derive(Debug, Clone)]
pub struct FlightLog {
    rules: FlightRules,
    begun: Option<(Instant, jiff::Timestamp)>,
    last: Option<(Instant, jiff::Timestamp)>,
    way: Vec<(Geodetic, f64)>,
    length_m: f64,
    ground: Ground,
    frames: u64,
    unplaced: u64,
    gaps: Vec<(jiff::Timestamp, f64)>,
    heights: (f64, f64),
    tracks: u64,
}

impl FlightLog {
    /// Nothing yet.
    #[must_use]
    pub fn new(rules: FlightRules) -> Self {
        Self {
            rules,
            begun: None,
            last: None,
            way: Vec::new(),
            length_m: 0.0,
            ground: Ground::new(rules.cell_m),
            frames: 0,
            unplaced: 0,
            gaps: Vec::new(),
            heights: (f64::INFINITY, f64::NEG_INFINITY),
            tracks: 0,
        }
    }

    /// Whether a frame at `now` belongs to another flight.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.last.is_some_and(|(last, _)| now.saturating_duration_since(last) > self.rules.over)
    }

    /// Whether anything was shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begun.is_none()
    }

    /// Takes in a frame of the moment `now` and the time `time`, without a place where nobody knows it.
    pub fn see(&mut self, now: Instant, time: jiff::Timestamp, shown: Option<Overflown>) {
        let Some(shown) = shown else {
            // Before take-off nothing is missed.
            self.unplaced += u64::from(self.begun.is_some());
            return;
        };
        self.frames += 1;
        self.begun.get_or_insert((now, time));
        if let Some((last, since)) = self.last {
            let gap = now.saturating_duration_since(last);
            if gap > self.rules.gap && self.gaps.len() < MOST_GAPS {
                self.gaps.push((since, gap.as_secs_f64()));
            }
        }
        self.last = Some((now, time));
        self.heights = (self.heights.0.min(shown.height_m), self.heights.1.max(shown.height_m));
        let step = self.way.last().map(|(before, _)| before.metres_to(shown.camera));
        if step.is_none_or(|step| step >= STRIDE_M) && self.way.len() < MOST_POINTS {
            self.length_m += step.unwrap_or(0.0);
            self.way.push((shown.camera, shown.height_m));
        }
        self.ground.cover(shown.corners);
    }

    /// A track came to its end.
    pub fn count_track(&mut self) {
        self.tracks += 1;
    }

    /// Square metres shown at least `times`.
    #[must_use]
    pub fn covered_m2(&self, times: u32) -> f64 {
        self.ground.covered_m2(times)
    }

    /// The flight as GeoJSON: its way with the figures, and the ground it showed.
    #[must_use]
    pub fn text(&self, node: &str, boot: &str) -> String {
        let time = |moment: Option<(Instant, jiff::Timestamp)>| moment.map(|(_, time)| format!("{time:.3}"));
        let gaps: Vec<Value> = self
            .gaps
            .iter()
            .map(|(from, seconds)| json!({ "from": format!("{from:.3}"), "seconds": seconds }))
            .collect();
        let way: Vec<Value> = self.way.iter().map(|(at, height)| json!([at.lon, at.lat, height])).collect();
        let heights = [self.heights.0, self.heights.1].map(|height| (height * 10.0).round() / 10.0);
        let properties = json!({
            "what": "flight",
            "node": node,
            "boot": boot,
            "begin": time(self.begun),
            "end": time(self.last),
            "length_m": self.length_m.round(),
            "height_m": heights,
            "frames": self.frames,
            "frames_without_position": self.unplaced,
            "gaps": gaps,
            "covered_m2": self.covered_m2(1).round(),
            "covered_twice_m2": self.covered_m2(2).round(),
            "cell_m": self.rules.cell_m,
            "truncated": self.ground.is_full() || self.way.len() >= MOST_POINTS || self.gaps.len() >= MOST_GAPS,
            "tracks": self.tracks,
        });
        let line =
            if way.len() > 1 { json!({ "type": "LineString", "coordinates": way }) } else { Value::Null };
        let document = json!({
            "type": "FeatureCollection",
            "features": [
                { "type": "Feature", "geometry": line, "properties": properties },
                { "type": "Feature", "geometry": self.ground.geometry(), "properties": { "what": "coverage" } },
            ],
        });
        document.to_string() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Geodetic = Geodetic { lat: 47.0, lon: 8.0 };

    /// A frame that shows 20 x 10 m around a point `north` of here.
    fn frame(north: f64) -> Overflown {
        let at = |east: f64, up: f64| HERE.moved(east, north + up);
        Overflown {
            camera: at(0.0, 0.0),
            height_m: 20.0,
            corners: [at(-10.0, -5.0), at(10.0, -5.0), at(10.0, 5.0), at(-10.0, 5.0)],
        }
    }

    #[test]
    fn a_strip_covers_what_its_frames_show_and_gaps_are_listed() {
        let (begin, time) = (Instant::now(), jiff::Timestamp::UNIX_EPOCH);
        let mut log = FlightLog::new(FlightRules::default());
        // 5 m a frame and second; five frames without a place.
        for second in 0..21u32 {
            let shown = (!(8..13).contains(&second)).then(|| frame(5.0 * f64::from(second)));
            log.see(begin + Duration::from_secs(second.into()), time, shown);
        }
        // 100 m by 20 m and half a frame at both ends, less the 20 m of the gap that its neighbours do not show.
        let wanted = 20.0 * (110.0 - 20.0);
        assert!((log.covered_m2(1) - wanted).abs() < 0.03 * wanted, "{}", log.covered_m2(1));
        assert!(log.covered_m2(2) < log.covered_m2(1));
        let text: Value = serde_json::from_str(&log.text("uav", "B")).expect("JSON");
        let flight = &text["features"][0]["properties"];
        assert_eq!(flight["gaps"].as_array().map(Vec::len), Some(1));
        assert!(flight["gaps"][0]["seconds"].as_f64().is_some_and(|seconds| (seconds - 6.0).abs() < 0.01));
        assert_eq!((&flight["frames"], &flight["frames_without_position"]), (&json!(16), &json!(5)));
        assert!(flight["length_m"].as_f64().is_some_and(|metres| (metres - 100.0).abs() < 1.0), "{flight}");
        assert!(
            !log.is_over(begin + Duration::from_secs(200)) && log.is_over(begin + Duration::from_secs(400))
        );
    }
}
