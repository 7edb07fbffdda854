//! No engine answers for a camera before it has given the golden answers of its package.

use std::borrow::Cow;

use fieldmark_models::package::{Golden, GoldenError, Package};
use fieldmark_models::picture::{Picture, PictureError};
use fieldmark_models::views::FractionBox;

use super::{Engine, EngineError, Eye, EyeError, Precision};

/// What the self-test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfTestReport {
    /// Golden pictures shown.
    pub pictures: usize,
    /// Largest difference of any probability.
    pub largest_difference: f32,
    /// Difference that is allowed.
    pub tolerance: f32,
}

/// Why an engine must not be used with a package.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// A golden picture cannot be decoded.
    #[error("golden picture {file}: {source}; the package was made wrongly: make it again")]
    Picture {
        /// Path in the archive.
        file: String,
        /// What is wrong with it.
        source: PictureError,
    },
    /// Its views cannot be made or run.
    #[error(transparent)]
    Eye(#[from] EyeError),
    /// The engine gives other answers than the network that was trained.
    #[error(
        "the engine {engine} does not give the golden answers: {source}; do not use this package on this machine"
    )]
    Differs {
        /// Name of the engine.
        engine: String,
        /// The first difference.
        source: GoldenError,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What 16-bit floats may differ by: they keep eleven bits of every product.
const FP16_TOLERANCE: f32 = 0.02;

/// Shows the golden pictures of `package` to `engine`. An int8 engine has golden answers and a tolerance of its own; one
/// that computes in 16-bit floats has the float model's answers with 0.02 of tolerance.
///
/// # Errors
/// If one cannot be shown, or an answer differs by more than the package's tolerance.
pub fn self_test(package: &Package, engine: &mut dyn Engine) -> Result<SelfTestReport, SelfTestError> {
    let golden = golden(package, engine.precision());
    let mut eye = Eye::new(package.views(), package.taxonomy().leaf_count());
    let mut largest_difference = 0.0_f32;
    for expected in &golden.picture {
        // That the file is there was checked when the package was opened.
        let bytes = package.file(&expected.file).unwrap_or_default();
        let picture = Picture::decode(bytes)
            .map_err(|source| SelfTestError::Picture { file: expected.file.clone(), source })?;
        let found = eye.look(package.views(), engine, &picture, FractionBox::FRAME, None)?;
        let difference = golden
            .compare(expected, found)
            .map_err(|source| SelfTestError::Differs { engine: engine.name().into(), source })?;
        largest_difference = largest_difference.max(difference);
    }
    let (pictures, tolerance) = (golden.picture.len(), golden.tolerance);
    Ok(SelfTestReport { pictures, largest_difference, tolerance })
}

fn golden(package: &Package, precision: Precision) -> Cow<'_, Golden> {
    match precision {
        Precision::F32 => Cow::Borrowed(package.golden()),
        Precision::Int8 => Cow::Borrowed(package.golden_int8().unwrap_or(package.golden())),
        Precision::Fp16 => {
            let tolerance = package.golden().tolerance.max(FP16_TOLERANCE);
            Cow::Owned(Golden { tolerance, ..package.golden().clone() })
        }
    }
}
