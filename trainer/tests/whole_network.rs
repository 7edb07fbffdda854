//! Training the whole network with the program itself: killed, gone on, packaged.

#![allow(clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fieldmark_models::package::Package;

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");

/// Six species of two genera that differ in the middle's colour, and a recipe for a minute.
struct Field(tempfile::TempDir);

impl Field {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let field = Self(folder);
        let pictures = field.text("work/synthetic");
        let size = ["--species", "6", "--most", "30", "--fewest", "24"];
        field.run(&[&["prepare", "--synthetic", &pictures][..], &size].concat());
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/training/synthetic-3.toml");
        let recipe = std::fs::read_to_string(shipped)
            .expect("a recipe")
            .replace("../../work", "work")
            .replace("[{ epochs = 6, rate = 0.003 }]", "[{ epochs = 2, rate = 0.003 }]")
            .replace("checkpoint_every = 100", "checkpoint_every = 5");
        let (head, _) = recipe.split_once("schedule = [{ epochs = 8").expect("its last stage");
        let rest = "schedule = [{ epochs = 2, rate = 0.003 }]\n[evaluate]\ntraining_sample = 50\n";
        std::fs::write(field.path("recipe.toml"), format!("{head}{rest}")).expect("write");
        field
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(TRAINER).args(arguments).output().expect("the trainer");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Arguments that follow the recipe, the run kept in `runs`.
    fn training(&self, runs: &str) -> Vec<String> {
        let packages = self.text(&format!("{runs}-packages"));
        let (recipe, runs) = (self.text("recipe.toml"), self.text(runs));
        ["train", &recipe, "--out", &packages, "--runs", &runs].map(str::to_owned).to_vec()
    }

    fn steps(&self, runs: &str) -> usize {
        let log = self.path(runs).join("synthetic-3-1/steps.jsonl");
        std::fs::read_to_string(log).map_or(0, |text| text.lines().count())
    }

    fn evaluation(&self, runs: &str) -> String {
        let path = self.path(runs).join("synthetic-3-1/evaluation.json");
        std::fs::read_to_string(path).expect("figures")
    }

    fn package(&self, runs: &str) -> Package {
        let path = self.path(&format!("{runs}-packages")).join("synthetic-3-0.1.0.fieldmark");
        Package::open(&path).expect("a package")
    }
}

#[test]
fn a_run_killed_in_mid_epoch_ends_as_if_it_had_not_been() {
    let field = Field::new();
    let whole = field.training("whole");
    field.run(&whole.iter().map(String::as_str).collect::<Vec<_>>());
    let all = field.steps("whole");
    assert!(all > 20, "{all}");

    let killed = field.training("killed");
    let mut child = Command::new(TRAINER)
        .args(&killed)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the trainer");
    let start = Instant::now();
    while field.steps("killed") < 7 {
        assert!(start.elapsed() < Duration::from_secs(300), "it makes no steps");
        assert!(child.try_wait().expect("its state").is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    let done = field.steps("killed");
    assert!(done < all, "it was killed on the way");
    field.run(&killed.iter().map(String::as_str).collect::<Vec<_>>());
    let again = field.steps("killed") - done;
    assert!(again < all, "it did not begin anew: {again} of {all} steps");

    assert_eq!(field.evaluation("killed"), field.evaluation("whole"));
    let (one, other) = (field.package("killed"), field.package("whole"));
    assert_eq!(one.file("model.onnx"), other.file("model.onnx"), "the same network to the last bit");
    assert_eq!(one.manifest().preset, "inception-resnet-v2-small");
    assert_eq!(one.views().views().len(), 2);

    let table =
        field.run(&["compare", &field.text("killed/synthetic-3-1"), &field.text("whole/synthetic-3-1")]);
    assert!(table.contains("synthetic-3                      2"), "{table}");
}

#[test]
fn a_recipe_that_cannot_be_followed_ends_with_64_and_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = folder.path().join("recipe.toml");
    std::fs::write(&recipe, "stage = 1\n").expect("write");
    let output = Command::new(TRAINER).arg("train").arg(&recipe).output().expect("the trainer");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("recipe.toml"), "{output:?}");
}
