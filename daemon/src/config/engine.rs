//! `engine` and the tables of each: which engine runs the model, and how.

use super::raw::{RawOnnxRuntime, RawTensorRt, RawTract};
use super::refusal::{ConfigError, refuse, whole};
use crate::engine::{
    EngineKind, EngineSettings, OnnxRuntimeSettings, Precision, Provider, TensorRtSettings, TractSettings,
};

pub(super) fn engine(
    name: Option<&str>,
    tract: &RawTract,
    onnxruntime: RawOnnxRuntime,
    tensorrt: RawTensorRt,
) -> Result<EngineSettings, ConfigError> {
    let only = match name {
        None | Some("auto") => None,
        Some(name) => match EngineKind::named(name) {
            Some(kind) => Some(kind),
            None => {
                let rule = "give \"auto\", \"tensorrt\", \"onnxruntime\" or \"tract\"";
                return refuse("engine", format!("{name:?}"), rule);
            }
        },
    };
    let tract = TractSettings { threads: threads("tract.threads", tract.threads)? };
    Ok(EngineSettings {
        only,
        tract,
        onnxruntime: self::onnxruntime(onnxruntime)?,
        tensorrt: self::tensorrt(tensorrt)?,
    })
}

fn onnxruntime(raw: RawOnnxRuntime) -> Result<OnnxRuntimeSettings, ConfigError> {
    let provider = |name: &String| {
        let known = Provider::ALL.into_iter().find(|provider| provider.as_str() == name);
        let rule = "give a list of \"openvino\", \"xnnpack\", \"cuda\"";
        known.map_or_else(|| refuse("onnxruntime.providers", format!("{name:?}"), rule), Ok)
    };
    let precision = match raw.precision.as_deref() {
        None | Some("f32") => Precision::F32,
        Some("int8") => Precision::Int8,
        Some(other) => {
            return refuse("onnxruntime.precision", format!("{other:?}"), "give \"f32\" or \"int8\"");
        }
    };
    Ok(OnnxRuntimeSettings {
        library: raw.library,
        threads: threads("onnxruntime.threads", raw.threads)?,
        providers: raw.providers.iter().map(provider).collect::<Result<_, _>>()?,
        precision,
    })
}

fn tensorrt(raw: RawTensorRt) -> Result<TensorRtSettings, ConfigError> {
    let absent = TensorRtSettings::default();
    let precision = match raw.precision.as_deref() {
        None | Some("auto") => None,
        Some("f32") => Some(Precision::F32),
        Some("fp16") => Some(Precision::Fp16),
        Some("int8") => Some(Precision::Int8),
        Some(other) => {
            let rule = "give \"auto\", \"f32\", \"fp16\" or \"int8\"";
            return refuse("tensorrt.precision", format!("{other:?}"), rule);
        }
    };
    Ok(TensorRtSettings {
        libraries: raw.libraries,
        cache: raw.cache.unwrap_or(absent.cache),
        precision,
        workspace_mib: whole("tensorrt.workspace_mb", raw.workspace_mb)?,
        batch: whole("tensorrt.batch", raw.batch)?,
    })
}

fn threads(key: &str, raw: Option<i64>) -> Result<Option<usize>, ConfigError> {
    let threads = whole(key, raw)? as usize;
    Ok((threads > 0).then_some(threads))
}
