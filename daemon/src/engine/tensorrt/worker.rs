//! The child process that looks and builds: the same program with a hidden subcommand. It tells on standard output, a
//! line of JSON each; what NVIDIA's libraries print there is none of ours and passed over. When its parent is gone it
//! ends: its standard input ends then.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use fieldmark_models::package::Sha256Digest;
use serde::{Deserialize, Serialize};

use super::TensorRtError;
use super::library::TensorRt;
use super::plan_cache::Plan;
use super::probe::{Machine, probe};
use super::shim::{Build, BuildStep, PlanEngine, Runtime, TensorDescription};
use crate::engine::{EngineKind, Phase, Precision};

/// Lines of the child begin with it.
const MARK: &str = "fieldmark-worker ";

/// What the child is asked for, as its only argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// What is here.
    Probe {
        /// Folder of the libraries.
        libraries: Option<PathBuf>,
    },
    /// A plan; the model comes on standard input.
    Build(BuildJob),
}

/// A plan to build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildJob {
    /// Folder of the libraries.
    pub libraries: Option<PathBuf>,
    /// Length of the model.
    pub onnx_bytes: usize,
    /// Where the plan is written.
    pub out: PathBuf,
    /// What may be computed in.
    pub precision: Precision,
    /// Regions in every call.
    pub batch: u32,
    /// Most memory, MiB.
    pub workspace_mib: u32,
    /// Compute capability such as 86 of a GPU that need not be here: TensorRT-RTX only.
    pub capability: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Machine(Machine),
    Step { step: String, percent: Option<u8> },
    Built { sha256: Sha256Digest, tensors: Vec<TensorDescription> },
    Failed(TensorRtError),
}

/// Does `job` in this process, as the child of another.
pub fn serve(job: &Job) {
    let said = match job {
        Job::Probe { libraries } => probe(libraries.as_deref()).map(Said::Machine),
        Job::Build(job) => build(job),
    };
    say(&said.unwrap_or_else(Said::Failed));
}

fn say(said: &Said) {
    let text = serde_json::to_string(said).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // A parent that does not listen is gone.
    if writeln!(out, "\n{MARK}{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn build(job: &BuildJob) -> Result<Said, TensorRtError> {
    let failed = |reason: String| TensorRtError::Build { reason };
    let mut onnx = vec![0; job.onnx_bytes];
    let read = std::io::stdin().lock().read_exact(&mut onnx);
    read.map_err(|error| failed(format!("the model did not come: {error}")))?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read(&mut [0]);
        std::process::exit(1);
    });
    let library = TensorRt::open(job.libraries.as_deref())?;
    let [builder, parser] = library.builder_entries().map_err(failed)?;
    let request = Build {
        onnx: &onnx,
        workspace: u64::from(job.workspace_mib) << 20,
        batch: job.batch,
        fp16: job.precision != Precision::F32,
        int8: job.precision == Precision::Int8,
        capability: job.capability,
    };
    let mut progress = Progress::default();
    let mut tell = |step: BuildStep| progress.heard(&step);
    // SAFETY: the entries are of the libraries' own names, their major version was compared with the shim's.
    let plan = unsafe { request.run(library.shim, builder, parser, &mut tell) }.map_err(failed)?;
    std::fs::write(&job.out, &plan).map_err(|error| failed(format!("{}: {error}", job.out.display())))?;
    // A plan for a GPU that is not here cannot be loaded here either.
    let tensors = if job.capability.is_some() { Vec::new() } else { tensors(&library, &plan)? };
    Ok(Said::Built { sha256: Sha256Digest::of(&plan), tensors })
}

/// What a plan takes and gives; that it loads is shown here first, where a fault does no harm.
fn tensors(library: &TensorRt, plan: &[u8]) -> Result<Vec<TensorDescription>, TensorRtError> {
    let failed = |reason: String| TensorRtError::Plan { reason };
    let entry = library.runtime_entry().map_err(failed)?;
    // SAFETY: the entry is of the library's own name, its major version was compared with the shim's.
    let runtime = unsafe { Runtime::new(library.shim, entry) }.map_err(failed)?;
    Ok(PlanEngine::new(runtime, plan).map_err(failed)?.tensors())
}

/// Of phases within phases the outermost is told.
#[derive(Default)]
struct Progress {
    outermost: Option<(String, u32)>,
    told: Option<u8>,
}

impl Progress {
    fn heard(&mut self, heard: &BuildStep) {
        match (heard.step, heard.steps) {
            (None, Some(steps)) if heard.parent.is_none() => {
                self.outermost = Some((heard.phase.clone(), steps));
                self.told = None;
                say(&Said::Step { step: heard.phase.clone(), percent: Some(0) });
            }
            (Some(step), None) => {
                let Some((phase, steps)) = &self.outermost else { return };
                if *phase != heard.phase {
                    return;
                }
                let percent = 100 * (u64::from(step) + 1) / u64::from(*steps).max(1);
                let percent = u8::try_from(percent.min(100)).ok();
                if self.told != percent {
                    self.told = percent;
                    say(&Said::Step { step: phase.clone(), percent });
                }
            }
            _ => {}
        }
    }
}

/// What is here, as a child process finds it.
///
/// # Errors
/// With what is not here, or that the child died of looking.
pub(super) fn probe_in_child(libraries: Option<&Path>) -> Result<Machine, TensorRtError> {
    let mut worker = Worker::start(&Job::Probe { libraries: libraries.map(Into::into) })?;
    drop(worker.child.stdin.take());
    let mut machine = None;
    worker.listen(|said| {
        if let Said::Machine(found) = said {
            machine = Some(found);
        }
    })?;
    machine.ok_or(TensorRtError::Worker { reason: "it told nothing".into() })
}

/// The plan that `job` asks for, built from `onnx` by a child process; `tell` hears how far it is.
///
/// # Errors
/// With NVIDIA's words, or that the child died of it.
pub(super) fn build_in_child(
    mut job: BuildJob,
    onnx: &[u8],
    tell: &mut dyn FnMut(Phase),
) -> Result<Plan, TensorRtError> {
    let wrong = |error: std::io::Error| TensorRtError::Worker { reason: error.to_string() };
    let place = Place::new().map_err(wrong)?;
    job.out = place.path.join("plan");
    job.onnx_bytes = onnx.len();
    let out = job.out.clone();
    let mut worker = Worker::start(&Job::Build(job))?;
    // Kept open until the child is done: it ends with this process.
    let mut input = worker.child.stdin.take();
    if let Some(input) = &mut input {
        // A child that died of its start is told of below.
        let _ = input.write_all(onnx).and_then(|()| input.flush());
    }
    let mut built = None;
    worker.listen(|said| match said {
        Said::Step { step, percent } => {
            tell(Phase::Building { engine: EngineKind::TensorRt, step, percent });
        }
        Said::Built { sha256, tensors } => built = Some((sha256, tensors)),
        Said::Machine(_) | Said::Failed(_) => {}
    })?;
    let bytes = std::fs::read(&out).map_err(wrong)?;
    match built {
        Some((sha256, tensors)) if sha256 == Sha256Digest::of(&bytes) => Ok(Plan { bytes, tensors }),
        _ => Err(TensorRtError::Worker { reason: "the plan it wrote is not the one it told of".into() }),
    }
}

/// A folder that only this user can look into, until it is dropped.
struct Place {
    path: PathBuf,
}

impl Place {
    fn new() -> std::io::Result<Self> {
        let name = format!("fieldmark-plan-{}-{}", std::process::id(), ulid::Ulid::generate());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

struct Worker {
    child: Child,
}

impl Worker {
    fn start(job: &Job) -> Result<Self, TensorRtError> {
        let wrong = |error: std::io::Error| TensorRtError::Worker { reason: error.to_string() };
        let job = serde_json::to_string(job).unwrap_or_default();
        let program = std::env::current_exe().map_err(wrong)?;
        let child = Command::new(program)
            .args(["tensorrt-worker", &job])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(wrong)?;
        Ok(Self { child })
    }

    fn listen(&mut self, mut hear: impl FnMut(Said)) -> Result<(), TensorRtError> {
        let wrong = |error: std::io::Error| TensorRtError::Worker { reason: error.to_string() };
        let mut failed = None;
        if let Some(out) = self.child.stdout.take() {
            for line in BufReader::new(out).split(b'\n') {
                let line = line.map_err(wrong)?;
                let text = String::from_utf8_lossy(&line);
                let said = text.strip_prefix(MARK).and_then(|text| serde_json::from_str(text).ok());
                match said {
                    Some(Said::Failed(error)) => failed = Some(error),
                    Some(said) => hear(said),
                    None => {}
                }
            }
        }
        let status = self.child.wait().map_err(wrong)?;
        match failed {
            Some(error) => Err(error),
            None if status.success() => Ok(()),
            None => Err(TensorRtError::Worker { reason: how_it_ended(status) }),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("it was ended by signal {signal}: a fault in NVIDIA's libraries"),
        None => format!("it ended with {status}"),
    }
}
