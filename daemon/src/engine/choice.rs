//! Which engine runs a package: the one that is named, or the first that works and gives the golden answers.

use fieldmark_models::package::{MODEL, Package};

use super::{
    Engine, EngineError, EngineKind, EngineSettings, PassedOver, Phase, SelfTestError, SelfTestReport, Shape,
    TractEngine, self_test,
};

/// An engine that passed the self-test.
pub struct Chosen {
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// How the self-test went.
    pub tested: SelfTestReport,
    /// Those that were tried before it.
    pub passed_over: Vec<PassedOver>,
}

/// Why an engine is not used with a package.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// It cannot be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It gives wrong answers.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
}

type Tell<'a> = &'a mut dyn FnMut(Phase);

/// The engine for `package`, which gives up its model.
///
/// # Errors
/// If the engine that is named does not work, or none does.
pub(super) fn choose(
    package: &mut Package,
    settings: &EngineSettings,
    tell: Tell<'_>,
) -> Result<Chosen, AttemptError> {
    if let Some(only) = settings.only {
        tell(Phase::Trying(only));
        let (engine, tested) = attempt(only, package, settings, tell)?;
        tell(Phase::Taken(engine.name().into()));
        return Ok(Chosen { engine, tested, passed_over: Vec::new() });
    }
    let mut passed_over = Vec::new();
    for kind in [EngineKind::TensorRt, EngineKind::OnnxRuntime] {
        tell(Phase::Trying(kind));
        match attempt(kind, package, settings, tell) {
            Ok((engine, tested)) => {
                tell(Phase::Taken(engine.name().into()));
                return Ok(Chosen { engine, tested, passed_over });
            }
            Err(error) => {
                let passed = PassedOver { engine: kind, reason: error.to_string() };
                tell(Phase::PassedOver(passed.clone()));
                passed_over.push(passed);
            }
        }
    }
    tell(Phase::Trying(EngineKind::Tract));
    let (engine, tested) = attempt(EngineKind::Tract, package, settings, tell)?;
    tell(Phase::Taken(engine.name().into()));
    Ok(Chosen { engine, tested, passed_over })
}

fn attempt(
    kind: EngineKind,
    package: &mut Package,
    settings: &EngineSettings,
    tell: Tell<'_>,
) -> Result<(Box<dyn Engine>, SelfTestReport), AttemptError> {
    let shape = Shape::new(package.views(), package.taxonomy().leaf_count());
    let mut engine: Box<dyn Engine> = match kind {
        EngineKind::TensorRt => tensorrt(package, settings, shape, tell)?,
        EngineKind::OnnxRuntime => onnxruntime(package, settings, shape)?,
        EngineKind::Tract => {
            // The model leaves the package, so that its bytes are not kept beside the engine's own weights.
            let onnx = package.take_file(MODEL).unwrap_or_default();
            Box::new(TractEngine::new(onnx, shape, &settings.tract)?)
        }
    };
    let tested = self_test(package, engine.as_mut())?;
    Ok((engine, tested))
}

#[cfg(feature = "tensorrt")]
fn tensorrt(
    package: &Package,
    settings: &EngineSettings,
    shape: Shape,
    tell: Tell<'_>,
) -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(super::tensorrt::TensorRtEngine::new(package, &settings.tensorrt, shape, tell)?))
}

#[cfg(not(feature = "tensorrt"))]
fn tensorrt(
    _package: &Package,
    _settings: &EngineSettings,
    _shape: Shape,
    _tell: Tell<'_>,
) -> Result<Box<dyn Engine>, EngineError> {
    Err(EngineError::NotBuilt { engine: EngineKind::TensorRt })
}

#[cfg(feature = "onnxruntime")]
fn onnxruntime(
    package: &Package,
    settings: &EngineSettings,
    shape: Shape,
) -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(super::OnnxRuntimeEngine::new(package, &settings.onnxruntime, shape)?))
}

#[cfg(not(feature = "onnxruntime"))]
fn onnxruntime(
    _package: &Package,
    _settings: &EngineSettings,
    _shape: Shape,
) -> Result<Box<dyn Engine>, EngineError> {
    Err(EngineError::NotBuilt { engine: EngineKind::OnnxRuntime })
}
