//! What a receiver's sentences mean.

use std::time::{Duration, Instant};

use nmea::ParseResult;
use nmea::sentences::FixType;
use nmea::sentences::rmc::RmcStatusOfFix;

use super::Put;
use crate::position::{Attitude, BootClock, Fix, Geodetic, Report};

/// A receiver that gives its place in GGA does so at least so often; otherwise RMC has to do.
const GGA_GIVES: Duration = Duration::from_secs(3);
/// Longest sentence that is read; the standard allows 82.
const LONGEST: usize = 256;

/// Reads NMEA 0183.
#[derive(Debug, Default)]
pub struct NmeaReader {
    clock: BootClock,
    line: Vec<u8>,
    velocity: Option<(f64, f64)>,
    gga: Option<Instant>,
    accuracy_m: Option<f64>,
}

/// Seconds of the day. The crates name a type that is not ours: its text is.
fn seconds(time: &impl std::fmt::Display) -> Option<f64> {
    let text = time.to_string();
    let mut parts = text.split(':').map(|part| part.parse::<f64>().ok());
    let [hours, minutes, seconds] = [parts.next()??, parts.next()??, parts.next()??];
    Some(hours * 3600.0 + minutes * 60.0 + seconds)
}

impl NmeaReader {
    /// Takes in bytes that arrived at `arrived`; sentences may be cut anywhere.
    pub fn hear(&mut self, bytes: &[u8], arrived: Instant, put: Put<'_>) {
        for &byte in bytes {
            if byte == b'$' {
                self.line.clear();
            }
            if byte != b'\n' && byte != b'\r' {
                if self.line.len() < LONGEST {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            // Sentences of unknown kinds and damaged ones are passed over: their checksum tells.
            if let Some(parsed) = std::str::from_utf8(&line).ok().and_then(|line| nmea::parse_str(line).ok())
            {
                self.understand(parsed, arrived, put);
            }
            self.line = line;
            self.line.clear();
        }
    }

    fn understand(&mut self, parsed: ParseResult, arrived: Instant, put: Put<'_>) {
        match parsed {
            ParseResult::GGA(gga) => {
                self.gga = Some(arrived);
                let moment = self.moment(gga.fix_time.as_ref(), arrived);
                let place =
                    gga.latitude.zip(gga.longitude).filter(|_| gga.fix_type.is_some_and(FixType::is_valid));
                // Five metres with a dilution of one.
                let by_dilution = gga.hdop.map(|hdop| (f64::from(hdop) * 5.0).clamp(2.0, 500.0));
                put(
                    moment,
                    Report::Fix(place.map(|(lat, lon)| Fix {
                        at: Geodetic { lat, lon },
                        altitude_m: gga.altitude.map(f64::from),
                        above_home_m: None,
                        velocity: self.velocity,
                        accuracy_m: self.accuracy_m.or(by_dilution),
                    })),
                );
            }
            ParseResult::RMC(rmc) => {
                let moment = self.moment(rmc.fix_time.as_ref(), arrived);
                let valid = !matches!(rmc.status_of_fix, RmcStatusOfFix::Invalid);
                let course = rmc.speed_over_ground.zip(rmc.true_course).filter(|_| valid);
                self.velocity = course.map(|(knots, course)| {
                    let (speed, course) = (f64::from(knots) * 0.514_444, f64::from(course).to_radians());
                    (speed * course.sin(), speed * course.cos())
                });
                let place = rmc.lat.zip(rmc.lon).filter(|_| valid);
                if self.gga.is_none_or(|gga| arrived.saturating_duration_since(gga) > GGA_GIVES) {
                    put(
                        moment,
                        Report::Fix(place.map(|(lat, lon)| Fix {
                            at: Geodetic { lat, lon },
                            altitude_m: None,
                            above_home_m: None,
                            velocity: self.velocity,
                            accuracy_m: self.accuracy_m,
                        })),
                    );
                } else if !valid {
                    put(moment, Report::Fix(None));
                }
                let time = rmc.fix_date.zip(rmc.fix_time).filter(|_| valid);
                let time = time.and_then(|(date, time)| format!("{date}T{time}Z").parse().ok());
                if let Some(time) = time {
                    put(moment, Report::Clock(time));
                }
            }
            ParseResult::GST(gst) => {
                // Standard deviations become a radius for 95 %.
                let both = gst.lat_sd.zip(gst.long_sd).map(|(lat, lon)| f64::from(lat).hypot(f64::from(lon)));
                self.accuracy_m = both.filter(|metres| metres.is_finite()).map(|metres| metres * 1.7308);
            }
            ParseResult::HDT(hdt) => {
                if let Some(heading) = hdt.heading {
                    put(arrived, Report::Attitude(Attitude::degrees(0.0, 0.0, heading.into())));
                }
            }
            _ => {}
        }
    }

    fn moment(&mut self, time: Option<&impl std::fmt::Display>, arrived: Instant) -> Instant {
        time.and_then(|time| seconds(time)).map_or(arrived, |seconds| self.clock.moment(seconds, arrived))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(pieces: &[&[u8]]) -> Vec<Report> {
        let (mut reader, mut reports, begin) = (NmeaReader::default(), Vec::new(), Instant::now());
        pieces.iter().for_each(|piece| reader.hear(piece, begin, &mut |_, report| reports.push(report)));
        reports
    }

    const GGA: &str = "$GPGGA,092750.000,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,*76\r\n";
    const RMC: &str = "$GPRMC,092750.000,A,5321.6802,N,00630.3372,W,0.02,31.66,280511,,,A*43\r\n";

    #[test]
    fn a_place_and_a_time_come_out_of_sentences_cut_anywhere() {
        let text = format!("{RMC}{GGA}");
        let (one, two) = text.as_bytes().split_at(90);
        let reports = heard(&[one, two]);
        let fix = reports.iter().rev().find_map(|report| match report {
            Report::Fix(fix) => *fix,
            _ => None,
        });
        let fix = fix.expect("a fix");
        assert!((fix.at.lat - 53.361_336_7).abs() < 1e-6 && (fix.at.lon + 6.505_62).abs() < 1e-6, "{fix:?}");
        assert!(fix.accuracy_m.is_some_and(|metres| (metres - 5.15).abs() < 0.01));
        assert!(
            reports.iter().any(|report| {
                matches!(report, Report::Clock(time) if time.to_string() == "2011-05-28T09:27:50Z")
            }),
            "{reports:?}"
        );
    }

    #[test]
    fn a_flipped_digit_is_passed_over_and_a_void_fix_is_none() {
        assert!(heard(&[GGA.replace("5321", "5322").as_bytes()]).is_empty());
        let void = "$GPGGA,092751.000,,,,,0,0,,,M,,M,,*40\r\n";
        let reports = heard(&[void.as_bytes()]);
        assert_eq!(reports, [Report::Fix(None)]);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes: Vec<u8>, text in "\\$G[NPL](GGA|RMC|GST|HDT),[0-9A-Z,.*-]{0,90}\r\n") {
            heard(&[&bytes, text.as_bytes()]);
        }
    }
}
