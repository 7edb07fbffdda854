//! What the kernel says of the machine and of this process.

use std::fs;

/// `ntp` where systemd-timesyncd has set the clock since boot, `unsynchronised` where nobody is known to have.
pub(super) fn time_source() -> &'static str {
    let synchronised = fs::exists("/run/systemd/timesync/synchronized").unwrap_or(false);
    if synchronised { "ntp" } else { "unsynchronised" }
}

/// Memory this process uses, in bytes.
pub(super) fn rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
