//! `[position]` and `[camera.NAME.optics]`: where the node learns where it is, and how its cameras look at the ground.

use std::path::PathBuf;
use std::time::Duration;

use super::raw::{RawOptics, RawPlace, RawPosition};
use super::refusal::{ConfigError, number, refuse, whole};
use crate::position::source::{Address, Protocol};
use crate::position::{Attitude, Budget, Geodetic, Optical, Optics, OpticsError, Station};

/// Where positions come from.
#[derive(Debug, Clone, PartialEq)]
pub enum PositionSource {
    /// Nowhere: events carry none.
    None,
    /// The configuration.
    Station(Station),
    /// A receiver or an autopilot.
    Link(Protocol, Address),
}

/// What the ground is taken to be.
#[derive(Debug, Clone, PartialEq)]
pub enum GroundConfig {
    /// As high as the place of take-off.
    Home,
    /// So many metres above mean sea level.
    Level(f64),
    /// A terrain model's file.
    Terrain(PathBuf),
}

/// Where the node learns where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionConfig {
    /// Where positions come from.
    pub source: PositionSource,
    /// A fix is used for frames up to this far from it.
    pub max_age: Duration,
    /// What every message is on its way at least.
    pub delay: Duration,
    /// What the ground is taken to be.
    pub ground: GroundConfig,
    /// What is known badly.
    pub budget: Budget,
    /// Folder of flight logs; none are written without.
    pub flight_log: Option<PathBuf>,
}

impl PositionConfig {
    /// Whether the node moves.
    #[must_use]
    pub fn moves(&self) -> bool {
        matches!(self.source, PositionSource::Link(..))
    }
}

pub(super) fn position(raw: &RawPosition, place: &RawPlace) -> Result<PositionConfig, ConfigError> {
    let source = source(raw, place)?;
    let moves = matches!(source, PositionSource::Link(..));
    let foreign = [
        ("address", raw.address.is_some()),
        ("max_age_ms", raw.max_age_ms.is_some()),
        ("delay_ms", raw.delay_ms.is_some()),
        ("ground_m", raw.ground_m.is_some()),
        ("terrain", raw.terrain.is_some()),
        ("flight_log", raw.flight_log.is_some()),
    ];
    if let Some((name, _)) = foreign.iter().find(|(_, present)| *present && !moves) {
        let rule = "remove it, or give a source that moves: \"mavlink\", \"nmea\" or \"gpsd\"";
        return refuse(format!("position.{name}"), "…", rule);
    }
    let key = |name: &str| format!("position.{name}");
    let ground = match (&raw.terrain, raw.ground_m) {
        (Some(_), Some(_)) => {
            return refuse(key("ground_m"), "…", "give a terrain model or a level, not both");
        }
        (Some(file), None) => GroundConfig::Terrain(file.clone()),
        (None, Some(metres)) => GroundConfig::Level(number(key("ground_m"), Some(metres))?),
        (None, None) => GroundConfig::Home,
    };
    let age = number(key("max_age_ms"), Some(raw.max_age_ms.unwrap_or_else(|| max_age_ms(&source))))?;
    let delay = number(key("delay_ms"), raw.delay_ms)?;
    Ok(PositionConfig {
        source,
        max_age: Duration::from_secs_f64(age / 1e3),
        delay: Duration::from_secs_f64(delay / 1e3),
        ground,
        budget: Budget {
            attitude: number(key("attitude_error_deg"), raw.attitude_error_deg)?.to_radians(),
            yaw: number(key("yaw_error_deg"), raw.yaw_error_deg)?.to_radians(),
            height_m: number(key("height_error_m"), raw.height_error_m)?,
            time_s: number(key("time_error_ms"), raw.time_error_ms)? / 1e3,
            ..Budget::default()
        },
        flight_log: raw.flight_log.clone(),
    })
}

/// Receivers tell their place once a second and never on the dot, autopilots ten times.
fn max_age_ms(source: &PositionSource) -> f64 {
    match source {
        PositionSource::Link(Protocol::Nmea | Protocol::Gpsd, _) => 2500.0,
        _ => 1000.0,
    }
}

fn source(raw: &RawPosition, place: &RawPlace) -> Result<PositionSource, ConfigError> {
    let address = |by_default: &str| {
        let text = raw.address.as_deref().unwrap_or(by_default);
        text.parse::<Address>().map_err(|error| ConfigError {
            key: "position.address".into(),
            value: format!("{text:?}"),
            allowed: error.to_string(),
        })
    };
    if raw.system.is_some() && raw.source.as_deref() != Some("mavlink") {
        return refuse("position.system", "…", "remove it: only MAVLink has systems");
    }
    if raw.accuracy_m.is_some() && raw.source.as_deref() != Some("station") {
        return refuse("position.accuracy_m", "…", "remove it: receivers say what their fixes are worth");
    }
    Ok(match raw.source.as_deref() {
        None | Some("none") => PositionSource::None,
        Some("station") => {
            let (Some(lat), Some(lon)) = (place.latitude, place.longitude) else {
                return refuse("place", "(absent)", "give latitude and longitude of the station");
            };
            let accuracy_m = number("position.accuracy_m", raw.accuracy_m)?;
            PositionSource::Station(Station { at: Geodetic { lat, lon }, accuracy_m })
        }
        Some("mavlink") => {
            let system = raw.system.map(|system| whole("position.system", Some(system)));
            let system = system.transpose()?.and_then(|system| u8::try_from(system).ok());
            PositionSource::Link(Protocol::Mavlink(system), address("udp://0.0.0.0:14550")?)
        }
        Some("nmea") => PositionSource::Link(Protocol::Nmea, address("serial:/dev/ttyACM0:9600")?),
        Some("gpsd") => PositionSource::Link(Protocol::Gpsd, address("tcp://127.0.0.1:2947")?),
        Some(other) => {
            let rule = "give \"mavlink\", \"nmea\", \"gpsd\", \"station\" or \"none\"";
            return refuse("position.source", format!("{other:?}"), rule);
        }
    })
}

pub(super) fn optical(
    key: &impl Fn(&str) -> String,
    raw: Option<&RawOptics>,
) -> Result<Optical, ConfigError> {
    let range = |raw: Option<f64>| number(key("optics.range_m"), raw);
    let Some(raw) = raw else { return Ok(Optical { optics: None, range_m: range(None)?, released: false }) };
    let refused = |error: OpticsError| ConfigError {
        key: key(&format!("optics.{}", error.key)),
        value: error.value.to_string(),
        allowed: error.allowed.into(),
    };
    let mount = Attitude::degrees(
        number(key("optics.roll_deg"), raw.roll_deg)?,
        number(key("optics.pitch_deg"), raw.pitch_deg)?,
        number(key("optics.yaw_deg"), raw.yaw_deg)?,
    );
    let optics = match raw.fov_deg {
        Some(fov) => {
            let optics = Optics::new(fov, mount).map_err(refused)?;
            let (centre, radial) = (raw.centre.unwrap_or([0.5, 0.5]), raw.radial.unwrap_or([0.0, 0.0]));
            Some(optics.calibrated(centre, radial).map_err(refused)?)
        }
        None if raw.centre.is_some() || raw.radial.is_some() => {
            return refuse(key("optics.fov_deg"), "(absent)", "give the degrees that the camera sees across");
        }
        None => None,
    };
    Ok(Optical { optics, range_m: range(raw.range_m)?, released: raw.released.unwrap_or(false) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, load_text};

    fn configured(tables: &str, lines: &str) -> Result<Config, String> {
        let text = format!(
            "node = \"n\"\n[broker]\nembedded = true\n{tables}\n[camera.c]\nsource = \"files\"\nfolder = \"x\"\n{lines}"
        );
        load_text(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_source_has_an_address_and_a_station_a_place() {
        let source = |lines: &str| configured(lines, "").map(|config| config.position.source);
        assert_eq!(source(""), Ok(PositionSource::None));
        let udp = Address::Udp("0.0.0.0:14550".parse().expect("an address"));
        let link = PositionSource::Link(Protocol::Mavlink(Some(3)), udp);
        assert_eq!(source("[position]\nsource = \"mavlink\"\nsystem = 3"), Ok(link));
        let gpsd = Address::Tcp("127.0.0.1:2947".into());
        assert_eq!(source("[position]\nsource = \"gpsd\""), Ok(PositionSource::Link(Protocol::Gpsd, gpsd)));
        let age = |lines: &str| configured(lines, "").map(|config| config.position.max_age.as_millis());
        assert_eq!(age("[position]\nsource = \"mavlink\""), Ok(1000));
        assert_eq!(age("[position]\nsource = \"nmea\""), Ok(2500));
        assert_eq!(age("[position]\nsource = \"nmea\"\nmax_age_ms = 300"), Ok(300));
        assert!(
            source("[position]\nsource = \"station\"").is_err_and(|error| error.contains("place = (absent)"))
        );
        let station = source("[place]\nlatitude = 47.0\nlongitude = 8.0\n[position]\nsource = \"station\"");
        assert!(matches!(station, Ok(PositionSource::Station(_))));
        for (lines, part) in [
            ("source = \"gps\"", "give \"mavlink\", \"nmea\", \"gpsd\""),
            ("source = \"nmea\"\naddress = \"/dev/ttyS0\"", "serial:/dev/ttyACM0:57600"),
            ("source = \"gpsd\"\nsystem = 1", "only MAVLink has systems"),
            ("ground_m = 400.0", "give a source that moves"),
            ("source = \"gpsd\"\nground_m = 400.0\nterrain = \"x.tif\"", "not both"),
        ] {
            let error = source(&format!("[position]\n{lines}")).expect_err("a refusal");
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }

    #[test]
    fn a_lens_and_its_mount_keep_to_their_ranges() {
        let optical = |lines: &str| {
            configured("", &format!("[camera.c.optics]\n{lines}")).map(|config| config.cameras[0].optical)
        };
        assert!(optical("fov_deg = 70.0").is_ok_and(|optical| optical.optics.is_some()));
        assert!(optical("range_m = 30.0").is_ok_and(|optical| optical.optics.is_none()));
        assert!(
            optical("fov_deg = 180.0").is_err_and(|error| error.contains("camera.c.optics.fov_deg = 180"))
        );
        assert!(optical("radial = [0.1, 0.0]").is_err_and(|error| error.contains("fov_deg = (absent)")));
        assert!(optical("fov_deg = 70.0\npitch_deg = 200.0").is_err());
    }

    #[test]
    fn tracks_over_moving_ground_are_kept_open_for_the_next_pass() {
        let moving = configured(
            "[position]\nsource = \"mavlink\"",
            "[camera.c.regions]\nkind = \"tiles\"\ntile_m = 4.0\n[camera.c.optics]\nfov_deg = 70.0",
        )
        .expect("good");
        let rules = moving.cameras[0].tracks.expect("tracks");
        assert!(rules.gap > Duration::from_secs(300) && rules.most > 500, "{rules:?}");
        let error =
            configured("", "[camera.c.regions]\nkind = \"tiles\"\ntile_m = 4.0").expect_err("no height");
        assert!(error.contains("camera.c.regions.tile_m"), "{error}");
    }
}
