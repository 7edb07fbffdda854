//! The service's unit, judged by systemd's own tools as far as they go without running it; the guest runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").join(file)
}

/// A root with the unit, and with the drop-in where asked for.
fn root(drop_in: Option<&str>) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let place = |file: PathBuf, to: &str| {
        let to = root.path().join(to);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&file, &to).unwrap_or_else(|error| unreachable!("{}: {error}", file.display()));
    };
    place(shipped("fieldmarkd.service"), "usr/lib/systemd/system/fieldmarkd.service");
    for target in ["basic", "multi-user", "shutdown", "sysinit"] {
        let unit = format!("usr/lib/systemd/system/{target}.target");
        place(Path::new("/").join(&unit), &unit);
    }
    for program in ["usr/bin/fieldmarkd", "bin/sh"] {
        place("/bin/true".into(), program);
    }
    if let Some(name) = drop_in {
        place(shipped(name), &format!("etc/systemd/system/fieldmarkd.service.d/{name}"));
    }
    root
}

fn analyze(arguments: &[&str], root: &Path) -> (bool, String) {
    let root = format!("--root={}", root.display());
    let output = Command::new("systemd-analyze").args(arguments).arg(root).arg("fieldmarkd.service").output();
    let output = output.expect("systemd-analyze is needed: apt-get install systemd");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), text)
}

fn exposure(drop_in: Option<&str>) -> f64 {
    let (_, told) = analyze(&["security", "--no-pager", "--offline=yes"], root(drop_in).path());
    let line = told.lines().find(|line| line.contains("Overall exposure level")).expect("a level");
    let number = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
    number.parse().expect("a number")
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit() {
    for drop_in in [None, Some("cpu-only.conf")] {
        let (good, told) = analyze(&["verify", "--man=no"], root(drop_in).path());
        assert!(good && told.trim().is_empty(), "{told}");
    }
}

#[test]
fn the_service_is_hardened_with_cameras_and_gpu_and_more_so_without_gpu() {
    let (with_gpu, cpu_only) = (exposure(None), exposure(Some("cpu-only.conf")));
    assert!(with_gpu <= 1.8, "{with_gpu}");
    assert!(cpu_only <= 1.2, "{cpu_only}");
}

/// Its engine takes no plan from a folder that anybody else may write.
#[test]
fn plans_of_tensorrt_stay_in_a_folder_of_roots() {
    let text = |file| std::fs::read_to_string(shipped(file)).expect("a file");
    let handed_over = |line: &str| line.starts_with("CacheDirectory=");
    assert!(
        !text("fieldmarkd.service").lines().any(handed_over),
        "systemd would give it to the daemon's user"
    );
    assert!(text("tmpfiles.conf").lines().any(|line| line == "d /var/cache/fieldmark 0755 root root"));
}
