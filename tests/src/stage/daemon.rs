//! The daemon as systemd runs it.

use std::fmt::Write as _;
use std::time::Instant;

use super::page::LISTEN;
use super::{Failure, Listener, shell, write};

/// What stands in a camera's table of the configuration.
pub struct CameraTable<'a> {
    /// Name of the camera.
    pub name: &'a str,
    /// Its lines.
    pub lines: &'a str,
}

/// What the daemon holds.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Open descriptors.
    pub descriptors: usize,
    /// Resident memory, KiB.
    pub resident_kib: u64,
}

/// The running unit and what it publishes.
pub struct Daemon {
    /// Its messages.
    pub listener: Listener,
    /// When it was started.
    pub started: Instant,
}

impl Daemon {
    /// Starts the unit anew with `package` and these cameras.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(package: &str, cameras: &[CameraTable<'_>]) -> Result<Self, Failure> {
        // Nothing that an earlier start published may answer for this one.
        let mut text = format!(
            "node = \"guest\"\n[model]\npackage = {package:?}\n[broker]\nembedded = true\npersistence = false\n[mqtt]\nmetrics_s = 1\n[page]\nlisten = {LISTEN:?}\n"
        );
        for CameraTable { name, lines } in cameras {
            writeln!(text, "[camera.{name}]\nsource = \"v4l\"\n{lines}")?;
        }
        write("/etc/fieldmark/fieldmark.toml", &text)?;
        shell("systemctl stop fieldmarkd; systemctl reset-failed fieldmarkd 2>/dev/null; true")?;
        let started = Instant::now();
        // It is ready when its cameras stream, and many a test begins without.
        shell("systemctl start --no-block fieldmarkd")?;
        Ok(Self { listener: Listener::start()?, started })
    }

    /// Descriptors and memory of the process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn usage(&self) -> Result<Usage, Failure> {
        let id = shell("systemctl show -p MainPID --value fieldmarkd")?;
        let process = format!("/proc/{}", id.trim());
        let descriptors = std::fs::read_dir(format!("{process}/fd"))?.count();
        let status = std::fs::read_to_string(format!("{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident_kib = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Ok(Usage { descriptors, resident_kib: resident_kib.ok_or("no VmRSS")? })
    }

    /// That no frame was lost count of in any message, and that systemd never had to start the unit again.
    ///
    /// # Errors
    /// With the first message that does not add up.
    pub fn check_accounts(&self) -> Result<(), Failure> {
        let all = self.listener.all();
        for heard in all.iter().filter(|heard| heard.topic == "metrics") {
            for counts in heard.message["cameras"].as_object().ok_or("no cameras in metrics")?.values() {
                let count = |name: &str| counts[name].as_u64().unwrap_or(u64::MAX / 8);
                let settled = count("inferred") + count("dropped") + count("skipped") + count("waiting");
                if count("captured") != settled {
                    return Err(format!("frames do not add up: {counts}").into());
                }
            }
        }
        let restarts = shell("systemctl show -p NRestarts --value fieldmarkd")?;
        if restarts.trim() == "0" { Ok(()) } else { Err("the daemon died and was started again".into()) }
    }
}
