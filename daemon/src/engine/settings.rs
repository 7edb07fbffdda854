//! What the configuration says of engines.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// NVIDIA's TensorRT, on the GPU of a Jetson.
    TensorRt,
    /// ONNX Runtime, where its library is installed.
    OnnxRuntime,
    /// tract, inside the daemon.
    Tract,
}

impl EngineKind {
    /// The order in which they are tried where none is named.
    pub const ALL: [Self; 3] = [Self::TensorRt, Self::OnnxRuntime, Self::Tract];

    /// As the configuration and messages write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::OnnxRuntime => "onnxruntime",
            Self::Tract => "tract",
        }
    }

    /// The engine called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the network's weights and products are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats: `model.onnx`.
    F32,
    /// 16-bit floats: `model.fp16.onnx`, or `model.onnx` where the engine narrows it by itself.
    Fp16,
    /// 8-bit integers: `model.int8.onnx` with its own thresholds and golden answers.
    Int8,
}

impl Precision {
    /// As the configuration and messages write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which engine runs models, and how each is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// The one engine to use; `None` takes the first of [`EngineKind::ALL`] that works here.
    pub only: Option<EngineKind>,
    /// tract.
    pub tract: TractSettings,
    /// ONNX Runtime.
    pub onnxruntime: OnnxRuntimeSettings,
    /// TensorRT.
    pub tensorrt: TensorRtSettings,
}

impl EngineSettings {
    /// Only `kind`, set up as it is by itself.
    #[must_use]
    pub fn only(kind: EngineKind) -> Self {
        Self { only: Some(kind), ..Self::default() }
    }
}

/// How tract is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TractSettings {
    /// Threads; `None` takes one for each view, as far as there are cores.
    pub threads: Option<usize>,
}

/// How ONNX Runtime is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxRuntimeSettings {
    /// Its library; `None` looks where `ORT_DYLIB_PATH` and the system's loader say.
    pub library: Option<PathBuf>,
    /// Threads of one layer; `None` takes one for each core.
    pub threads: Option<usize>,
    /// Who computes, before its own processor kernels.
    pub providers: Vec<Provider>,
    /// [`Precision::F32`] or [`Precision::Int8`].
    pub precision: Precision,
}

impl Default for OnnxRuntimeSettings {
    fn default() -> Self {
        Self { library: None, threads: None, providers: Vec::new(), precision: Precision::F32 }
    }
}

/// An execution provider of ONNX Runtime; its library must have been built with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Intel's OpenVINO on the processor.
    OpenVino,
    /// XNNPACK, for ARM processors.
    Xnnpack,
    /// CUDA.
    Cuda,
}

impl Provider {
    /// All that can be asked for.
    pub const ALL: [Self; 3] = [Self::OpenVino, Self::Xnnpack, Self::Cuda];

    /// As the configuration and messages write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenVino => "openvino",
            Self::Xnnpack => "xnnpack",
            Self::Cuda => "cuda",
        }
    }
}

/// How TensorRT is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRtSettings {
    /// Folder of `libnvinfer` and `libnvonnxparser`; `None` asks the system's loader.
    pub libraries: Option<PathBuf>,
    /// Folder of built plans.
    pub cache: PathBuf,
    /// `None` takes int8 where the package has it, else 16-bit floats.
    pub precision: Option<Precision>,
    /// Most memory that building may use, in MiB.
    pub workspace_mib: u32,
    /// Most regions in one call.
    pub batch: u32,
}

impl Default for TensorRtSettings {
    fn default() -> Self {
        Self {
            libraries: None,
            cache: PathBuf::from("/var/cache/fieldmark"),
            precision: None,
            workspace_mib: 1024,
            batch: 1,
        }
    }
}
