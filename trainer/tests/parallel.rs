//! Training in several processes under a real `mpirun`, with the program itself: `tests/parallel/run`.

#![cfg(feature = "mpi")]
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fieldmark_models::package::{MODEL, Package};
use image::{Rgb, RgbImage};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use safetensors::SafeTensors;

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");
/// Far more than anything here takes: what is still running then hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// Photographs of three species in two genera, a recipe of four pictures a pass and two passes a step, and runs of it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut table = String::from("file,kingdom,phylum,class,order,family,genus,species\n");
        let mut random = StdRng::seed_from_u64(3);
        let species = [("A", "A a", [200, 40, 40]), ("B", "B a", [40, 200, 40]), ("B", "B b", [40, 60, 200])];
        for number in 0..45 {
            let (genus, name, colour) = &species[number % species.len()];
            let picture = RgbImage::from_fn(48, 48, |_, _| {
                Rgb(colour.map(|channel: u8| channel.saturating_add(random.random_range(0..40))))
            });
            picture.save(folder.path().join(format!("{number}.png"))).expect("a picture");
            table.push_str(&format!("{number}.png,K,P,C,O,F,{genus},{name}\n"));
        }
        fs::write(folder.path().join("table.csv"), table).expect("a table");
        Self { folder }
    }

    /// The recipe with `from` in it replaced, under a name of its own.
    fn recipe(&self, name: &str, (from, to): (&str, &str)) -> PathBuf {
        let folder = self.folder.path().display();
        let text = format!(
            r#"
name = "together"
version = "0.1.0"
licence = "CC0-1.0"
provenance = ["pictures: made by the test"]
seed = 7

[data]
table = "{folder}/table.csv"
photos = "{folder}"
validation = 0.3

[network]
preset = "inception-resnet-v2-small"
norm_decay = 0.9

[[view]]
name = "whole"
magnification = 1.0

[[view]]
name = "crop"
magnification = 2.0

[train]
batch_size = 4
passes = 2
epsilon = 1e-8
ema_decay = 0.9
patience = 9
checkpoint_every = 2

[[stage]]
depth = 6
schedule = [{{ epochs = 1, rate = 0.003 }}]

[[stage]]
schedule = [{{ epochs = 2, rate = 0.003 }}]

[evaluate]
targets = [0.5, 0.9]
halvings = 2
"#
        );
        assert!(text.contains(from), "{from}");
        let path = self.folder.path().join(format!("{name}.toml"));
        fs::write(&path, text.replace(from, to)).expect("a recipe");
        path
    }

    /// What `train` is called with; `name` is the folder of runs and packages.
    fn train(&self, recipe: &Path, name: &str) -> Vec<String> {
        let folder = self.folder.path().join(name).display().to_string();
        let recipe = recipe.display().to_string();
        ["train", &recipe, "--runs", &folder, "--out", &folder].map(str::to_owned).to_vec()
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("together-7")
    }

    /// All that a run leaves: losses by stage and step, the numbers of the last checkpoint, figures, the model.
    fn left(&self, name: &str) -> Left {
        let run = self.run(name);
        let mut steps = BTreeMap::new();
        for line in fs::read_to_string(run.join("steps.jsonl")).expect("a log").lines() {
            let step: serde_json::Value = serde_json::from_str(line).expect("JSON");
            // What was done again after a kill stands there twice, the same.
            let place = (step["stage"].as_u64(), step["step"].as_u64());
            let before = steps.insert(place, line.to_owned());
            assert!(before.is_none_or(|before| before == line), "{line}");
        }
        let checkpoint = fs::read(run.join("checkpoint.safetensors")).expect("a checkpoint");
        let tensors = SafeTensors::deserialize(&checkpoint).expect("tensors");
        let tensors =
            tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect();
        let package = self.folder.path().join(name).join("together-0.1.0.fieldmark");
        let package = Package::open(&package).expect("a package");
        Left {
            steps,
            tensors,
            evaluation: fs::read_to_string(run.join("evaluation.json")).expect("figures"),
            model: package.file(MODEL).expect("a model").to_vec(),
        }
    }
}

#[derive(PartialEq)]
struct Left {
    steps: BTreeMap<(Option<u64>, Option<u64>), String>,
    tensors: BTreeMap<String, Vec<u8>>,
    evaluation: String,
    model: Vec<u8>,
}

impl Left {
    fn assert_is(&self, other: &Self) {
        assert_eq!(self.steps, other.steps);
        assert_eq!(self.evaluation, other.evaluation);
        assert!(self.tensors == other.tensors, "other numbers in the checkpoint");
        assert!(self.model == other.model, "another model");
    }
}

/// `mpirun` with a program for each of `commands`; each waits for nobody on a machine of few cores.
fn mpirun(commands: &[(usize, Vec<String>)]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none"]);
    for (number, (count, arguments)) in commands.iter().enumerate() {
        command.args((number > 0).then_some(":")).args(["-n", &count.to_string(), TRAINER]).args(arguments);
    }
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // No network is needed to talk to oneself, and a container may have none.
    command.env("OMPI_MCA_btl", "self,vader").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end, which comes.
fn ended(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.wait_with_output().expect("its output")
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it was not to end well");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The processes that `mpirun` started.
fn children(mpirun: &Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", mpirun.id());
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn is_trainer(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(TRAINER))
}

#[test]
fn two_processes_train_what_one_does_killed_and_resumed_too() {
    let bench = Bench::new();
    let recipe = bench.recipe("recipe", ("", ""));
    let alone = Command::new(TRAINER).args(bench.train(&recipe, "alone")).output().expect("the trainer");
    succeeded(&alone);
    let alone = bench.left("alone");
    assert!(alone.steps.len() >= 9, "{:?}", alone.steps);

    let together = mpirun(&[(2, bench.train(&recipe, "together"))]).spawn().expect("mpirun");
    let together = ended(together);
    succeeded(&together);
    bench.left("together").assert_is(&alone);
    let said = String::from_utf8_lossy(&together.stdout).into_owned();
    assert_eq!(said.matches("top-1 species").count(), 1, "the first process speaks for all: {said}");

    let start = || mpirun(&[(2, bench.train(&recipe, "killed"))]).spawn().expect("mpirun");
    let killed = start();
    let log = bench.run("killed").join("steps.jsonl");
    let begun = Instant::now();
    // In the second stage, behind a checkpoint.
    while fs::read_to_string(&log).unwrap_or_default().lines().count() < 6 {
        assert!(begun.elapsed() < PATIENCE, "no six steps");
        std::thread::sleep(Duration::from_millis(5));
    }
    let processes: Vec<u32> = children(&killed).into_iter().filter(|&pid| is_trainer(pid)).collect();
    assert_eq!(processes.len(), 2, "{processes:?}");
    let last = processes[1].to_string();
    assert!(Command::new("kill").args(["-9", &last]).status().expect("kill").success());
    let complaint = complaint(&ended(killed));
    assert!(complaint.contains("signal 9"), "{complaint}");
    assert!(!processes.iter().any(|&pid| is_trainer(pid)), "the other one did not end");
    assert!(!bench.run("killed").join("evaluation.json").exists(), "killed when all was done");
    succeeded(&ended(start()));
    bench.left("killed").assert_is(&alone);
}

#[test]
fn what_stops_one_process_stops_all_and_says_where() {
    let bench = Bench::new();
    let recipe = bench.recipe("recipe", ("", ""));
    let start = |recipe: &Path, name| mpirun(&[(2, bench.train(recipe, name))]).spawn().expect("mpirun");

    let diverging = bench.recipe("diverging", ("rate = 0.003 }]\n\n[[", "rate = 1e30 }]\n\n[["));
    let text = complaint(&ended(start(&diverging, "diverging")));
    assert!(text.contains(" of 2: the loss of step ") && text.contains(".png"), "{text}");

    let many = bench.recipe("many", ("passes = 2", "passes = 1"));
    let text = complaint(&ended(start(&many, "many")));
    assert!(text.contains("2 processes share the 1 passes of a step"), "{text}");

    let other = bench.recipe("other", ("rate = 0.003", "rate = 0.002"));
    let both = [(1, bench.train(&recipe, "differ")), (1, bench.train(&other, "differ"))];
    let text = complaint(&ended(mpirun(&both).spawn().expect("mpirun")));
    assert!(text.contains("process 1 of 2: process 1 has another recipe"), "{text}");

    // One that a single process comes to read.
    fs::write(bench.folder.path().join("7.png"), b"no picture").expect("a file");
    let text = complaint(&ended(start(&recipe, "damaged")));
    assert!(text.contains("7.png"), "{text}");
}
