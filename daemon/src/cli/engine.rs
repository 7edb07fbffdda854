//! Which engine, for commands that take no configuration.

use std::path::PathBuf;

use clap::Args;

use crate::engine::{EngineKind, EngineSettings, Precision, Provider};

/// As the keys of the configuration that have the same names.
#[derive(Debug, Args)]
pub(super) struct EngineArguments {
    /// Engine: auto, tensorrt, onnxruntime or tract.
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = engine)]
    engine: Only,
    /// Threads of tract or ONNX Runtime.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,
    /// f32, fp16 or int8: which of the package's models ONNX Runtime or TensorRT runs.
    #[arg(long, value_name = "P", value_parser = precision)]
    precision: Option<Precision>,
    /// Execution providers of ONNX Runtime: openvino, xnnpack, cuda.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = provider)]
    providers: Vec<Provider>,
    /// Library of ONNX Runtime.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Folder of TensorRT's libraries.
    #[arg(long, value_name = "FOLDER")]
    libraries: Option<PathBuf>,
    /// Folder of TensorRT's built plans.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct Only(Option<EngineKind>);

fn engine(text: &str) -> Result<Only, String> {
    match EngineKind::named(text) {
        Some(kind) => Ok(Only(Some(kind))),
        None if text == "auto" => Ok(Only(None)),
        None => Err("give auto, tensorrt, onnxruntime or tract".into()),
    }
}

fn precision(text: &str) -> Result<Precision, String> {
    let known = [Precision::F32, Precision::Fp16, Precision::Int8];
    known.into_iter().find(|known| known.as_str() == text).ok_or("give f32, fp16 or int8".into())
}

fn provider(text: &str) -> Result<Provider, String> {
    let known = Provider::ALL.into_iter().find(|known| known.as_str() == text);
    known.ok_or("give openvino, xnnpack or cuda".into())
}

impl EngineArguments {
    pub(super) fn settings(&self) -> EngineSettings {
        let mut settings = EngineSettings { only: self.engine.0, ..EngineSettings::default() };
        settings.tract.threads = self.threads.map(usize::from);
        settings.onnxruntime.threads = self.threads.map(usize::from);
        settings.onnxruntime.library.clone_from(&self.library);
        settings.onnxruntime.providers.clone_from(&self.providers);
        settings.tensorrt.libraries.clone_from(&self.libraries);
        settings.tensorrt.precision = self.precision;
        if let Some(precision) = self.precision {
            settings.onnxruntime.precision = precision;
        }
        if let Some(cache) = &self.cache {
            settings.tensorrt.cache.clone_from(cache);
        }
        settings
    }
}
