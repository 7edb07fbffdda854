//! TensorRT: NVIDIA's compiler and runtime for its GPUs, found at run time.
//!
//! `tensorrt-rs` fits TensorRT 5 and 7 only. This is a table of C functions over the headers' own inline C++
//! (`shim.cpp`), compiled once for each major version the program is built for; libraries are opened when a model is
//! loaded, and nothing is linked.
#![allow(unsafe_code, reason = "the boundary to C++ libraries; every block says why it is sound")]

mod cuda;
mod library;
mod plan_cache;
mod probe;
mod runner;
mod shim;
mod version;
mod worker;

use fieldmark_models::package::{MODEL, MODEL_FP16, MODEL_INT8, Package};
use serde::{Deserialize, Serialize};

pub use cuda::Device;
pub use probe::Machine;
pub use version::{Flavour, Version};
pub use worker::{BuildJob, Job, serve};

use self::plan_cache::{Plan, PlanCache, PlanKey};
use self::runner::{Runner, Wanted};
use super::{Engine, EngineError, EngineKind, Phase, Precision, Shape, TensorRtSettings};

const ENGINE: EngineKind = EngineKind::TensorRt;

/// Why TensorRT does not run a model here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorRtError {
    /// No driver, or no device.
    #[error(
        "no CUDA device: {reason}{}; run on a Jetson or a machine with an NVIDIA GPU and its driver",
        .installed.map(|version| format!(" (TensorRT {version} is installed)")).unwrap_or_default()
    )]
    NoDevice {
        /// What the driver or the loader said.
        reason: String,
        /// Version of TensorRT, where that is there.
        installed: Option<Version>,
    },
    /// No library that this program can use.
    #[error(
        "no TensorRT that can be used ({tried}); install JetPack's TensorRT packages, or name their folder in \
         tensorrt.libraries"
    )]
    NoLibrary {
        /// What was looked for, and why each was passed over.
        tried: String,
    },
    /// The library gives no runtime.
    #[error("TensorRT gives no runtime: {reason}")]
    NoRuntime {
        /// What it said.
        reason: String,
    },
    /// Parser or builder refuse the model.
    #[error("TensorRT cannot build the model: {reason}")]
    Build {
        /// NVIDIA's words.
        reason: String,
    },
    /// A plan does not load or run.
    #[error("TensorRT cannot run the plan: {reason}")]
    Plan {
        /// NVIDIA's words.
        reason: String,
    },
    /// The child process that looks and builds did not do so.
    #[error("the process that asks TensorRT failed: {reason}")]
    Worker {
        /// How.
        reason: String,
    },
}

/// A plan on its own thread.
pub struct TensorRtEngine {
    runner: Runner,
    name: String,
    file: &'static str,
    precision: Precision,
    shape: Shape,
    batch: usize,
}

impl TensorRtEngine {
    /// Looks for a device and a library, takes the plan that was kept for exactly these, or builds one; `tell` hears how
    /// far that is.
    ///
    /// # Errors
    /// With what is missing, or in NVIDIA's words why the model is refused.
    pub fn new(
        package: &Package,
        settings: &TensorRtSettings,
        shape: Shape,
        tell: &mut dyn FnMut(Phase),
    ) -> Result<Self, EngineError> {
        let libraries = settings.libraries.as_deref();
        let machine = worker::probe_in_child(libraries)?;
        let (precision, file, onnx) = model(package, settings, machine.flavour)?;
        let key = PlanKey::new(onnx, machine, precision, settings.batch, settings.workspace_mib);
        let cache = PlanCache::open(&settings.cache).inspect_err(|reason| {
            tracing::warn!("the model is compiled at every start: {reason}");
        });
        let batch = settings.batch as usize;
        let views: Vec<String> = package.views().views().iter().map(|view| view.name.clone()).collect();
        let start =
            |plan: Plan| Runner::start(libraries, plan, Wanted { views: views.clone(), shape, batch });
        let kept = cache.as_ref().ok().and_then(|cache| cache.load(&key)).map(&start);
        let runner = match kept {
            Some(Ok(runner)) => runner,
            other => {
                if let (Some(Err(error)), Ok(cache)) = (&other, &cache) {
                    tracing::warn!(folder = %cache.folder().display(), "a kept plan is built anew: {error}");
                    cache.forget(&key);
                }
                let job = BuildJob {
                    libraries: settings.libraries.clone(),
                    onnx_bytes: 0,
                    out: std::path::PathBuf::new(),
                    precision,
                    batch: settings.batch,
                    workspace_mib: settings.workspace_mib,
                    capability: None,
                };
                let plan = worker::build_in_child(job, onnx, tell)?;
                if let Ok(cache) = &cache
                    && let Err(reason) = cache.store(&key, &plan)
                {
                    tracing::warn!("the plan is not kept: {reason}");
                }
                start(plan)?
            }
        };
        Ok(Self { runner, name: format!("{ENGINE}-{precision}"), file, precision, shape, batch })
    }

    /// Whether a call is one launch of a CUDA graph.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.runner.recorded
    }
}

/// The model of `package` that `settings` ask for. Below version 11 the builder narrows floats by itself; from 11 on
/// types come from the model, so 16-bit floats need a file of their own.
fn model<'a>(
    package: &'a Package,
    settings: &TensorRtSettings,
    flavour: Flavour,
) -> Result<(Precision, &'static str, &'a [u8]), EngineError> {
    let has = |file: &str| package.file(file).is_some();
    let narrows = !flavour.rtx && flavour.major < 11;
    let precision = settings.precision.unwrap_or(match () {
        () if has(MODEL_INT8) => Precision::Int8,
        () if narrows || has(MODEL_FP16) => Precision::Fp16,
        () => Precision::F32,
    });
    let file = match precision {
        Precision::Int8 => MODEL_INT8,
        Precision::Fp16 if !narrows => MODEL_FP16,
        Precision::Fp16 | Precision::F32 => MODEL,
    };
    let onnx = package.file(file).ok_or(EngineError::NoFile { engine: ENGINE, file, precision })?;
    Ok((precision, file, onnx))
}

impl Engine for TensorRtEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn layers(&self) -> &[String] {
        &self.runner.layers
    }

    fn infer(
        &mut self,
        views: &[Vec<u8>],
        regions: usize,
        probabilities: &mut [f32],
    ) -> Result<(), EngineError> {
        self.shape.check(views, regions, probabilities)?;
        let rows = self.batch * self.shape.leaves;
        for (call, out) in probabilities.chunks_mut(rows).enumerate() {
            self.runner.run(views, call * self.batch, out).map_err(|reason| EngineError::Graph {
                engine: ENGINE,
                attempt: "run",
                file: self.file,
                reason,
            })?;
        }
        Ok(())
    }
}
