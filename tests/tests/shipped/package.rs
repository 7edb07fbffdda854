//! What is shipped under `models/packages`.

use std::path::PathBuf;

use fieldmark_models::package::{MODEL, Package};

/// A radio link carries the package to the node.
const MAX_BYTES: u64 = 45_000_000;

fn shipped() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/packages");
    let entries = std::fs::read_dir(folder).expect("models/packages");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "fieldmark")).collect()
}

#[test]
fn every_shipped_package_opens_and_is_small_enough_for_a_radio_link() {
    let packages = shipped();
    assert!(!packages.is_empty(), "no package is shipped");
    for path in packages {
        let package = Package::open(&path).expect("a shipped package opens");
        assert!(path.metadata().expect("a size").len() <= MAX_BYTES, "{}", path.display());
        assert!(package.file(MODEL).is_some() && !package.golden().picture.is_empty());
        let named = format!("{}-{}.fieldmark", package.manifest().name, package.manifest().version);
        assert_eq!(path.file_name().expect("a name").to_string_lossy(), named);
    }
}

#[test]
fn golden_pictures_are_free_for_anyone_to_pass_on() {
    for path in shipped() {
        for picture in &Package::open(&path).expect("a shipped package opens").golden().picture {
            assert_eq!(picture.licence, "CC0-1.0", "{}", picture.file);
        }
    }
}

#[test]
fn the_default_target_was_calibrated() {
    for path in shipped() {
        let package = Package::open(&path).expect("a shipped package opens");
        assert!(package.calibration().point_for(0.9).is_ok());
    }
}
