//! What gpsd's objects mean.

use std::time::Instant;

use gpsd_proto::{ENABLE_WATCH_CMD, Mode, Tpv, UnifiedResponse};

use super::Put;
use crate::position::{BootClock, Fix, Geodetic, Report};

/// Longest object that is read: a sky full of satellites.
const LONGEST: usize = 64 << 10;

/// Reads lines of JSON.
#[derive(Debug, Default)]
pub struct GpsdReader {
    clock: BootClock,
    /// Seconds since 1970 of the first report: the clock counts from there.
    first: Option<f64>,
    line: Vec<u8>,
    accuracy_m: Option<f64>,
}

impl GpsdReader {
    /// What to say to gpsd, so that it tells.
    pub const GREETING: &'static str = ENABLE_WATCH_CMD;

    /// Takes in bytes that arrived at `arrived`.
    pub fn hear(&mut self, bytes: &[u8], arrived: Instant, put: Put<'_>) {
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() < LONGEST {
                    self.line.push(byte);
                }
                continue;
            }
            // Classes of objects that nobody here knows are passed over.
            let object = serde_json::from_slice::<UnifiedResponse>(&self.line).ok();
            self.line.clear();
            match object {
                Some(UnifiedResponse::Tpv(tpv)) => self.understand(&tpv, arrived, put),
                Some(UnifiedResponse::Sky(sky)) => {
                    self.accuracy_m = sky.hdop.map(|hdop| (f64::from(hdop) * 5.0).clamp(2.0, 500.0));
                }
                _ => {}
            }
        }
    }

    fn understand(&mut self, tpv: &Tpv, arrived: Instant, put: Put<'_>) {
        let time: Option<jiff::Timestamp> = tpv.time.as_ref().and_then(|time| time.parse().ok());
        let moment = time.map_or(arrived, |time| {
            let seconds = time.as_microsecond() as f64 / 1e6;
            let first = *self.first.get_or_insert(seconds);
            self.clock.moment(seconds - first, arrived)
        });
        let has_fix = matches!(tpv.mode, Mode::Fix2d | Mode::Fix3d);
        let place = tpv.lat.zip(tpv.lon).filter(|_| has_fix);
        let course = tpv.speed.zip(tpv.track).map(|(speed, track)| {
            let (speed, track) = (f64::from(speed), f64::from(track).to_radians());
            (speed * track.sin(), speed * track.cos())
        });
        let both = tpv.epx.zip(tpv.epy).map(|(x, y)| f64::from(x).hypot(f64::from(y)));
        put(
            moment,
            Report::Fix(place.map(|(lat, lon)| Fix {
                at: Geodetic { lat, lon },
                altitude_m: tpv.alt_msl.or(tpv.alt).map(f64::from),
                above_home_m: None,
                velocity: course,
                accuracy_m: tpv.eph.map(f64::from).or(both).or(self.accuracy_m),
            })),
        );
        if let Some(time) = time.filter(|_| has_fix) {
            put(moment, Report::Clock(time));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(text: &[u8]) -> Vec<Report> {
        let (mut reader, mut reports) = (GpsdReader::default(), Vec::new());
        reader.hear(text, Instant::now(), &mut |_, report| reports.push(report));
        reports
    }

    #[test]
    fn a_fix_is_told_with_its_worth_and_no_fix_as_none() {
        let text = concat!(
            r#"{"class":"VERSION","release":"3.22","rev":"3.22","proto_major":3,"proto_minor":14}"#,
            "\r\n",
            r#"{"class":"WEATHER","sun":true}"#,
            "\n",
            r#"{"class":"TPV","mode":3,"time":"2026-11-23T05:32:07.000Z","lat":47.0,"lon":8.0,"altMSL":500.0,"eph":4.5,"speed":2.0,"track":90.0}"#,
            "\n",
            r#"{"class":"TPV","mode":1}"#,
            "\n"
        );
        let reports = heard(text.as_bytes());
        let Some(Report::Fix(Some(fix))) = reports.first() else { panic!("{reports:?}") };
        assert_eq!((fix.at.lat, fix.altitude_m, fix.accuracy_m), (47.0, Some(500.0), Some(4.5)));
        assert!(fix.velocity.is_some_and(|(east, north)| (east - 2.0).abs() < 1e-6 && north.abs() < 1e-6));
        assert!(matches!(reports[1], Report::Clock(_)));
        assert_eq!(reports[2..], [Report::Fix(None)]);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes: Vec<u8>, text in "\\{\"class\":\"TPV\",[\\x20-\\x7e]{0,80}\\}\n") {
            heard(&bytes);
            heard(text.as_bytes());
        }
    }
}
