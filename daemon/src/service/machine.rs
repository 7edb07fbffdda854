//! What the kernel says of the machine and of this process.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// `ntp` where systemd-timesyncd has set the clock since boot, `unsynchronised` where nobody is known to have.
pub(super) fn time_source() -> &'static str {
    let synchronised = fs::exists("/run/systemd/timesync/synchronized").unwrap_or(false);
    if synchronised { "ntp" } else { "unsynchronised" }
}

/// Memory this process uses, in bytes.
pub(super) fn rss_bytes() -> Option<u64> {
    field("VmRSS:")
}

fn field(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// The most memory this process has used, in bytes.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    field("VmHWM:")
}

/// Processor time of all threads of this process, in seconds; in steps of a hundredth.
pub(super) fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may have spaces; after it come the state and ten numbers before the times.
    let mut numbers = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || numbers.next()?.parse::<u32>().ok();
    Some(f64::from(ticks()? + ticks()?) / 100.0)
}

/// Degrees Celsius by thermal zone, such as `CPU-therm` of a Jetson.
pub(super) fn temperatures() -> BTreeMap<String, f64> {
    temperatures_in(Path::new("/sys/class/thermal"))
}

fn temperatures_in(folder: &Path) -> BTreeMap<String, f64> {
    let Ok(zones) = fs::read_dir(folder) else { return BTreeMap::new() };
    let zones = zones.filter_map(Result::ok).filter_map(|zone| {
        let name = fs::read_to_string(zone.path().join("type")).ok()?;
        // A zone whose sensor is switched off has a file that cannot be read.
        let thousandths: i32 = fs::read_to_string(zone.path().join("temp")).ok()?.trim().parse().ok()?;
        Some((name.trim().to_owned(), f64::from(thousandths) / 1000.0))
    });
    zones.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_that_can_be_read_are_told_by_their_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for (zone, kind, temperature) in [
            ("thermal_zone0", "CPU-therm\n", "48500\n"),
            ("thermal_zone1", "GPU-therm\n", "-1500\n"),
            ("thermal_zone2", "off\n", ""),
            ("cooling_device0", "fan\n", "none"),
        ] {
            fs::create_dir(folder.path().join(zone)).expect("a folder");
            fs::write(folder.path().join(zone).join("type"), kind).expect("write");
            fs::write(folder.path().join(zone).join("temp"), temperature).expect("write");
        }
        let wanted = [("CPU-therm".to_owned(), 48.5), ("GPU-therm".to_owned(), -1.5)];
        assert_eq!(temperatures_in(folder.path()), BTreeMap::from(wanted));
        assert!(temperatures_in(Path::new("/nowhere")).is_empty());
    }
}
