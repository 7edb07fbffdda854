//! What an autopilot's messages mean.

use std::collections::BTreeMap;
use std::time::Instant;

use mavlink::dialects::ardupilotmega::{GimbalDeviceFlags, GpsFixType, MavBool, MavMessage};

use super::Put;
use crate::position::{Attitude, BootClock, Fix, Geodetic, Gimbal, Report};

/// Times in microseconds that are larger count from 1970 and not from the autopilot's start.
const UNIX_FROM: u64 = 1_000_000_000_000_000;

/// Reads the messages of one system.
#[derive(Debug, Default)]
pub struct MavlinkMeaning {
    wanted: Option<u32>,
    system: Option<u32>,
    /// Of every component: a gimbal's counts from its own start.
    clocks: BTreeMap<u8, BootClock>,
    /// What the receiver said of its fix; nothing yet.
    has_fix: Option<bool>,
    /// Seconds from 1970 to the autopilot's start.
    started: Option<f64>,
    /// What was last said of its speed; a camera's places come without.
    velocity: Option<(f64, f64)>,
}

fn degrees(e7: i32) -> f64 {
    f64::from(e7) / 1e7
}

fn attitude(roll: f32, pitch: f32, yaw: f32) -> Attitude {
    Attitude { roll: f64::from(roll), pitch: f64::from(pitch), yaw: f64::from(yaw) }
}

impl MavlinkMeaning {
    /// Listens to the system `wanted`, or to the first that tells a position.
    #[must_use]
    pub fn new(wanted: Option<u8>) -> Self {
        Self { wanted: wanted.map(u32::from), ..Self::default() }
    }

    /// Takes in a message of a `component` of `system` that arrived at `arrived`.
    pub fn hear(
        &mut self,
        (system, component): (u32, u8),
        message: &MavMessage,
        arrived: Instant,
        put: Put<'_>,
    ) {
        if self.wanted.is_none() && matches!(message, MavMessage::GLOBAL_POSITION_INT(_)) {
            self.system.get_or_insert(system);
        }
        if self.wanted.or(self.system).is_some_and(|one| one != system) {
            return;
        }
        let mut clock = self.clocks.remove(&component).unwrap_or_default();
        self.mean(message, arrived, &mut clock, put);
        self.clocks.insert(component, clock);
    }

    #[expect(deprecated, reason = "older gimbals say MOUNT_ORIENTATION and nothing else")]
    fn mean(&mut self, message: &MavMessage, arrived: Instant, clock: &mut BootClock, put: Put<'_>) {
        let boot = |clock: &mut BootClock, ms: u32| clock.moment(f64::from(ms) / 1e3, arrived);
        match message {
            MavMessage::GLOBAL_POSITION_INT(m) => {
                let moment = boot(clock, m.time_boot_ms);
                // Before its first fix an autopilot tells of the Gulf of Guinea.
                let known = self.has_fix.unwrap_or(true) && (m.lat, m.lon) != (0, 0);
                self.velocity = Some((f64::from(m.vy) / 100.0, f64::from(m.vx) / 100.0));
                let fix = known.then(|| Fix {
                    at: Geodetic { lat: degrees(m.lat), lon: degrees(m.lon) },
                    altitude_m: Some(f64::from(m.alt) / 1e3),
                    above_home_m: Some(f64::from(m.relative_alt) / 1e3),
                    velocity: self.velocity,
                    accuracy_m: None,
                });
                put(moment, Report::Fix(fix.filter(|fix| is_place(fix.at))));
            }
            MavMessage::GPS_RAW_INT(m) => {
                use GpsFixType::{
                    GPS_FIX_TYPE_NO_FIX, GPS_FIX_TYPE_NO_GPS, GPS_FIX_TYPE_RTK_FIXED, GPS_FIX_TYPE_RTK_FLOAT,
                };
                let has_fix = !matches!(m.fix_type, GPS_FIX_TYPE_NO_GPS | GPS_FIX_TYPE_NO_FIX);
                if self.has_fix != Some(has_fix) && !has_fix {
                    put(arrived, Report::Fix(None));
                }
                self.has_fix = Some(has_fix);
                match m.fix_type {
                    GPS_FIX_TYPE_RTK_FIXED => put(arrived, Report::Accuracy(0.1)),
                    GPS_FIX_TYPE_RTK_FLOAT => put(arrived, Report::Accuracy(0.8)),
                    // Horizontal dilution, times 100; five metres with a dilution of one.
                    _ if (1..u16::MAX).contains(&m.eph) => {
                        put(arrived, Report::Accuracy((f64::from(m.eph) / 100.0 * 5.0).clamp(2.0, 500.0)));
                    }
                    _ => {}
                }
            }
            MavMessage::ATTITUDE(m) => {
                put(boot(clock, m.time_boot_ms), Report::Attitude(attitude(m.roll, m.pitch, m.yaw)));
            }
            MavMessage::MOUNT_ORIENTATION(m) => {
                let attitude = Attitude::degrees(m.roll.into(), m.pitch.into(), m.yaw.into());
                let gimbal = Gimbal { attitude, yaw_from_nose: true };
                put(boot(clock, m.time_boot_ms), Report::Gimbal(gimbal));
            }
            MavMessage::MOUNT_STATUS(m) => {
                let hundredths = |angle: i32| f64::from(angle) / 100.0;
                let [pitch, roll, yaw] = [m.pointing_a, m.pointing_b, m.pointing_c].map(hundredths);
                let gimbal = Gimbal { attitude: Attitude::degrees(roll, pitch, yaw), yaw_from_nose: true };
                put(arrived, Report::Gimbal(gimbal));
            }
            MavMessage::GIMBAL_DEVICE_ATTITUDE_STATUS(m) => {
                // Gimbals of the first version say it by the lock alone.
                let earth = GimbalDeviceFlags::GIMBAL_DEVICE_FLAGS_YAW_IN_EARTH_FRAME;
                let vehicle = GimbalDeviceFlags::GIMBAL_DEVICE_FLAGS_YAW_IN_VEHICLE_FRAME;
                let lock = GimbalDeviceFlags::GIMBAL_DEVICE_FLAGS_YAW_LOCK;
                let to_north =
                    m.flags.contains(earth) || (!m.flags.contains(vehicle) && m.flags.contains(lock));
                if let Some(attitude) = from_quaternion(m.q) {
                    let gimbal = Gimbal { attitude, yaw_from_nose: !to_north };
                    put(boot(clock, m.time_boot_ms), Report::Gimbal(gimbal));
                }
            }
            MavMessage::SYSTEM_TIME(m) => {
                let moment = boot(clock, m.time_boot_ms);
                if m.time_unix_usec >= UNIX_FROM {
                    self.started = Some(m.time_unix_usec as f64 / 1e6 - f64::from(m.time_boot_ms) / 1e3);
                    let time = i64::try_from(m.time_unix_usec).ok();
                    if let Some(time) = time.and_then(|time| jiff::Timestamp::from_microsecond(time).ok()) {
                        put(moment, Report::Clock(time));
                    }
                }
            }
            MavMessage::CAMERA_TRIGGER(m) => put(self.released(m.time_usec, arrived, clock), Report::Trigger),
            MavMessage::CAMERA_FEEDBACK(m) => {
                let moment = self.released(m.time_usec, arrived, clock);
                put(moment, Report::Trigger);
                let heights = [m.alt_msl, m.alt_rel].map(f64::from);
                if let Some(fix) = self.pictured((m.lat, m.lng), heights) {
                    put(moment, Report::Fix(Some(fix)));
                    let attitude = Attitude::degrees(m.roll.into(), m.pitch.into(), m.yaw.into());
                    put(moment, Report::Attitude(attitude));
                }
            }
            // A camera that says it failed has no frame. Whether its orientation is the camera's, as it should be, or
            // the vehicle's, depends on who fills it in: ATTITUDE and gimbals say which.
            MavMessage::CAMERA_IMAGE_CAPTURED(m) if m.capture_result == MavBool::MAV_BOOL_TRUE => {
                let moment = boot(clock, m.time_boot_ms);
                put(moment, Report::Trigger);
                let heights = [m.alt, m.relative_alt].map(|millimetres| f64::from(millimetres) / 1e3);
                if let Some(fix) = self.pictured((m.lat, m.lon), heights) {
                    put(moment, Report::Fix(Some(fix)));
                }
            }
            _ => {}
        }
    }

    /// Where a picture was taken, as its own message says: degrees times 10 000 000, metres above sea and home.
    fn pictured(&self, (lat, lon): (i32, i32), [altitude, above_home]: [f64; 2]) -> Option<Fix> {
        let at = Geodetic { lat: degrees(lat), lon: degrees(lon) };
        let known = (lat, lon) != (0, 0) && is_place(at) && self.has_fix.unwrap_or(true);
        let (altitude_m, above_home_m, velocity) = (Some(altitude), Some(above_home), self.velocity);
        known.then_some(Fix { at, altitude_m, above_home_m, velocity, accuracy_m: None })
    }

    /// The moment of a release told in microseconds since the autopilot's start or since 1970.
    fn released(&self, microseconds: u64, arrived: Instant, clock: &mut BootClock) -> Instant {
        let seconds = microseconds as f64 / 1e6;
        match (microseconds >= UNIX_FROM, self.started) {
            (false, _) => clock.moment(seconds, arrived),
            (true, Some(started)) if seconds > started => clock.moment(seconds - started, arrived),
            (true, _) => arrived,
        }
    }
}

fn is_place(at: Geodetic) -> bool {
    (-90.0..=90.0).contains(&at.lat) && (-180.0..=180.0).contains(&at.lon)
}

fn from_quaternion([w, x, y, z]: [f32; 4]) -> Option<Attitude> {
    let [w, x, y, z] = [w, x, y, z].map(f64::from);
    let length = w * w + x * x + y * y + z * z;
    // NaN and zero stand for "not known".
    (0.5..1.5).contains(&length).then(|| Attitude {
        roll: (2.0 * (w * x + y * z)).atan2(1.0 - 2.0 * (x * x + y * y)),
        pitch: (2.0 * (w * y - z * x)).clamp(-1.0, 1.0).asin(),
        yaw: (2.0 * (w * z + x * y)).atan2(1.0 - 2.0 * (y * y + z * z)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mavlink::dialects::ardupilotmega::{
        ATTITUDE_DATA, CAMERA_FEEDBACK_DATA, CAMERA_IMAGE_CAPTURED_DATA, CAMERA_TRIGGER_DATA,
        GIMBAL_DEVICE_ATTITUDE_STATUS_DATA, GLOBAL_POSITION_INT_DATA, GPS_RAW_INT_DATA, SYSTEM_TIME_DATA,
    };

    use super::*;
    use crate::position::{NoPosition, PoseBuffer, Releases};

    struct Autopilot {
        begin: Instant,
        meaning: MavlinkMeaning,
        buffer: PoseBuffer,
    }

    impl Autopilot {
        fn new() -> Self {
            let buffer = PoseBuffer::new(Duration::from_secs(1));
            Self { begin: Instant::now(), meaning: MavlinkMeaning::new(None), buffer }
        }

        fn at(&self, ms: u32) -> Instant {
            self.begin + Duration::from_millis(ms.into())
        }

        fn hear(&mut self, system: u32, message: &MavMessage, ms: u32) {
            let (arrived, buffer) = (self.at(ms), &mut self.buffer);
            self.meaning
                .hear((system, 1), message, arrived, &mut |moment, report| buffer.put(moment, report));
        }
    }

    fn position(ms: u32, lat: i32) -> MavMessage {
        MavMessage::GLOBAL_POSITION_INT(GLOBAL_POSITION_INT_DATA {
            time_boot_ms: ms,
            lat,
            lon: if lat == 0 { 0 } else { 80_000_000 },
            alt: 540_000,
            relative_alt: 40_000,
            ..Default::default()
        })
    }

    #[test]
    fn one_system_is_listened_to() {
        let mut autopilot = Autopilot::new();
        autopilot.hear(1, &position(0, 470_000_000), 10);
        autopilot.hear(2, &position(100, 100_000_000), 110);
        let pose = autopilot.buffer.at(autopilot.at(110)).expect("a pose");
        assert!((pose.fix.at.lat - 47.0).abs() < 1e-9);
        assert_eq!(pose.fix.above_home_m, Some(40.0));
    }

    #[test]
    fn a_gimbal_that_started_earlier_does_not_move_what_the_autopilot_tells() {
        let mut autopilot = Autopilot::new();
        for ms in (1000..2000).step_by(100) {
            autopilot.hear(1, &position(ms, 470_000_000 + ms.cast_signed()), ms + 10);
            let orientation = MavMessage::GIMBAL_DEVICE_ATTITUDE_STATUS(GIMBAL_DEVICE_ATTITUDE_STATUS_DATA {
                time_boot_ms: ms + 800,
                q: [1.0, 0.0, 0.0, 0.0],
                ..Default::default()
            });
            let (arrived, buffer) = (autopilot.at(ms + 10), &mut autopilot.buffer);
            let mut put = |moment, report| buffer.put(moment, report);
            autopilot.meaning.hear((1, 154), &orientation, arrived, &mut put);
        }
        let pose = autopilot.buffer.at(autopilot.at(1910)).expect("a pose");
        assert!((pose.fix.at.lat - degrees(470_001_900)).abs() < 1e-7, "{pose:?}");
    }

    #[test]
    fn no_fix_is_no_position_whatever_else_is_told() {
        let mut autopilot = Autopilot::new();
        autopilot.hear(1, &position(0, 0), 10);
        assert_eq!(autopilot.buffer.at(autopilot.at(20)), Err(NoPosition::NoFix));
        let status =
            |fix_type| MavMessage::GPS_RAW_INT(GPS_RAW_INT_DATA { fix_type, eph: 120, ..Default::default() });
        autopilot.hear(1, &status(GpsFixType::GPS_FIX_TYPE_3D_FIX), 30);
        autopilot.hear(1, &position(40, 470_000_000), 50);
        assert!(autopilot.buffer.at(autopilot.at(50)).is_ok_and(|pose| (pose.accuracy_m - 6.0).abs() < 1e-9));
        autopilot.hear(1, &status(GpsFixType::GPS_FIX_TYPE_NO_FIX), 100);
        autopilot.hear(1, &position(140, 470_000_000), 150);
        assert_eq!(autopilot.buffer.at(autopilot.at(200)), Err(NoPosition::NoFix));
    }

    #[test]
    fn attitude_and_time_are_told() {
        let mut autopilot = Autopilot::new();
        autopilot.hear(1, &position(0, 470_000_000), 10);
        let attitude =
            ATTITUDE_DATA { time_boot_ms: 5, roll: 0.1, pitch: -0.2, yaw: 3.0, ..Default::default() };
        autopilot.hear(1, &MavMessage::ATTITUDE(attitude), 15);
        let time = SYSTEM_TIME_DATA { time_unix_usec: 1_800_000_000_000_000, time_boot_ms: 0 };
        autopilot.hear(1, &MavMessage::SYSTEM_TIME(time), 10);
        let pose = autopilot.buffer.at(autopilot.at(12)).expect("a pose");
        assert!(pose.attitude.is_some_and(|attitude| (attitude.pitch + 0.2).abs() < 1e-6));
        let told = autopilot.buffer.time_at(autopilot.at(1010)).expect("a time");
        assert_eq!(told.as_millisecond(), 1_800_000_001_000);
    }

    #[test]
    fn each_way_of_telling_of_a_picture_tells_when_and_where_it_was_taken() {
        let (boot, unix) = (
            |ms: u32| u64::from(ms) * 1000,
            |ms: u32| UNIX_FROM + 800_000_000_000_000 + u64::from(ms) * 1000,
        );
        let (lat, lon) = (473_000_000, 85_000_000);
        let trigger =
            |time_usec| MavMessage::CAMERA_TRIGGER(CAMERA_TRIGGER_DATA { time_usec, ..Default::default() });
        let feedback = |time_usec| {
            let data = CAMERA_FEEDBACK_DATA { time_usec, lat, lng: lon, alt_rel: 25.0, ..Default::default() };
            MavMessage::CAMERA_FEEDBACK(data)
        };
        let captured = |capture_result| {
            let data = CAMERA_IMAGE_CAPTURED_DATA {
                time_boot_ms: 600,
                lat,
                lon,
                relative_alt: 25_000,
                capture_result,
                ..Default::default()
            };
            MavMessage::CAMERA_IMAGE_CAPTURED(data)
        };
        for (message, placed) in [
            (trigger(boot(600)), false),
            (trigger(unix(600)), false),
            (feedback(boot(600)), true),
            (feedback(unix(600)), true),
            (captured(MavBool::MAV_BOOL_TRUE), true),
        ] {
            let mut autopilot = Autopilot::new();
            autopilot.hear(1, &position(0, 470_000_000), 10);
            let time = SYSTEM_TIME_DATA { time_unix_usec: unix(0), time_boot_ms: 0 };
            autopilot.hear(1, &MavMessage::SYSTEM_TIME(time), 10);
            autopilot.hear(1, &message, 700);
            let released = autopilot.buffer.released(&Releases::default(), autopilot.at(690));
            let off = released.duration_since(autopilot.at(610)).as_secs_f64();
            assert!(off < 1e-3, "{off} {message:?}");
            let fix = autopilot.buffer.at(released).expect("a pose").fix;
            let lat = if placed { 47.3 } else { 47.0 };
            assert!((fix.at.lat - lat).abs() < 1e-6, "{fix:?} {message:?}");
            assert_eq!(fix.above_home_m, Some(if placed { 25.0 } else { 40.0 }));
        }
        let mut autopilot = Autopilot::new();
        autopilot.hear(1, &captured(MavBool::MAV_BOOL_FALSE), 700);
        let failed = autopilot.buffer.released(&Releases::default(), autopilot.at(690));
        assert_eq!(failed, autopilot.at(690), "a picture that failed is none");
    }

    #[test]
    fn a_quaternion_is_its_angles() {
        let half = std::f32::consts::FRAC_PI_4;
        let down = from_quaternion([half.cos(), 0.0, -half.sin(), 0.0]).expect("angles");
        assert!((down.pitch.to_degrees() + 90.0).abs() < 0.1, "{down:?}");
        assert_eq!(from_quaternion([f32::NAN; 4]), None);
        assert_eq!(from_quaternion([0.0; 4]), None);
    }
}
