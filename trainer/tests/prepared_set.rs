//! From photographs to a package by way of a prepared set.

#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;

use fieldmark_models::package::Package;
use fieldmark_trainer::dataset::read_set;

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");

const STAMPS: &str = "/usr/share/tuxpaint/stamps";

fn run(arguments: &[&str]) -> String {
    let output = Command::new(TRAINER).args(arguments).output().expect("the trainer");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_labelled_cut_outs_become_a_set_that_a_network_is_trained_on() {
    if !Path::new(STAMPS).is_dir() {
        eprintln!("SKIPPED: the photographs are not installed (apt-get install tuxpaint-stamps-default)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = root.join("configs/training/garden-taxa.csv").display().to_string();
    let set = path("set");
    let rules =
        ["--picture-format", "png", "--min-images", "1", "--individuals", "gnu-baby,pig_golden,cep,apple_"];
    let arguments = ["prepare", &table, "--photos", STAMPS, "--out", &set, "--json"];
    let report: serde_json::Value =
        serde_json::from_str(&run(&[&arguments[..], &rules].concat())).expect("a report");
    let labels = report["taxonomy"]["labels"].as_object().expect("labels");
    assert!(
        labels.contains_key("species") && labels.contains_key("order"),
        "partial labels are kept: {labels:?}"
    );

    let prepared = read_set(folder.path().join("set").as_path()).expect("a set");
    assert_eq!(
        (prepared.missing, prepared.photos.len()),
        (0, prepared.training.len() + prepared.validation.len())
    );
    let gnus: Vec<usize> = (0..prepared.photos.len())
        .filter(|&photo| prepared.photos[photo].path.to_string_lossy().contains("gnu-baby"))
        .collect();
    assert!(gnus.len() > 1);
    assert!(gnus.iter().all(|&photo| prepared.photos[photo].individual == "gnu-baby"));
    let sides = gnus.iter().filter(|photo| prepared.validation.contains(photo)).count();
    assert!(sides == 0 || sides == gnus.len(), "one animal stands on one side");

    let recipe = fs::read_to_string(root.join("configs/training/garden-set.toml")).expect("a recipe");
    let recipe = recipe.replace("../../work/sets/garden", &set);
    fs::write(folder.path().join("recipe.toml"), recipe).expect("written");
    let (recipe, packages, runs) = (path("recipe.toml"), path("packages"), path("runs"));
    run(&["train", &recipe, "--out", &packages, "--runs", &runs]);
    let package =
        Package::open(&folder.path().join("packages/garden-set-0.1.0.fieldmark")).expect("a package");
    let evaluation =
        fs::read_to_string(folder.path().join("runs/garden-set-1/evaluation.json")).expect("figures");
    let evaluation: serde_json::Value = serde_json::from_str(&evaluation).expect("JSON");
    for side in ["training", "validation"] {
        assert_eq!(evaluation[side], report["samples"][side], "the set's own split was used");
    }
    assert!(package.taxonomy().leaf_count() > 50);
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
