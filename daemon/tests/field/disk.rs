//! A disk that fills up.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `size` as mount has it, such as `1m`; `None` where `FIELDMARK_NO_MOUNT=1` says that this user may not mount.
    pub fn mount(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("a folder");
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        let may_not = std::env::var_os("FIELDMARK_NO_MOUNT").is_some_and(|value| value == "1");
        assert!(
            mounted || may_not,
            "cannot mount a tmpfs: run as root, or set FIELDMARK_NO_MOUNT=1 to go without full disks"
        );
        mounted.then_some(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
