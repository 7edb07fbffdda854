//! A prepared set as the trainer reads it.

#![allow(clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use fieldmark_trainer::dataset::read_set;

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");

fn run(arguments: &[&str]) {
    let output = Command::new(TRAINER).args(arguments).output().expect("the trainer");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_set_without_its_pictures_says_how_to_get_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prepare/gbif").display().to_string();
    let set = folder.path().join("set");
    run(&["prepare", &fixture, "--out", &set.display().to_string()]);
    let error = read_set(&set).expect_err("a refusal").to_string();
    assert!(error.contains("fieldmark-trainer download"), "{error}");
    let error = read_set(folder.path()).expect_err("a refusal").to_string();
    assert!(error.contains("is no prepared set") && error.contains("fieldmark-trainer prepare"), "{error}");
}

#[test]
fn a_set_prepared_by_a_relative_path_is_read_from_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = folder.path().join("set");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prepare");
    let mut prepare = Command::new(TRAINER);
    prepare.current_dir(fixtures.join("folders-flat")).args(["prepare", ".", "--min-images", "1", "--out"]);
    assert!(prepare.arg(&set).status().expect("the trainer").success());
    let prepared = read_set(&set).expect("a set");
    assert_eq!((prepared.photos.len(), prepared.missing), (5, 0));
    assert!(prepared.photos.iter().all(|photo| photo.path.is_absolute()));
}
