//! One model, one cut-off, one set of priors: pictures in, answers out.

use std::time::Instant;

use fieldmark_models::calibration::CalibrationError;
use fieldmark_models::picture::Picture;
use fieldmark_models::specificity::{Priors, ProbabilityError, SpecificityControl};
use fieldmark_models::taxonomy::Taxonomy;
use fieldmark_models::views::FractionBox;

use super::{Answer, CutOff, Eye, EyeError, PriorError, Sureness, find_priors};
use crate::engine::{LoadedModel, ModelIdentity};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// No model measured that target.
    #[error(transparent)]
    Target(#[from] CalibrationError),
    /// A prior names nothing.
    #[error(transparent)]
    Prior(#[from] PriorError),
    /// No probabilities.
    #[error(transparent)]
    Eye(#[from] EyeError),
    /// Probabilities that are none.
    #[error(transparent)]
    Probability(#[from] ProbabilityError),
}

/// Answers for pictures.
pub struct Decider {
    model: LoadedModel,
    eye: Eye,
    control: SpecificityControl,
    cut_off: CutOff,
    priors: Priors,
}

impl Decider {
    /// Decides with `model` at `sureness`, expecting only taxa at or below `priors` (all where there are none).
    ///
    /// # Errors
    /// If the model was not measured for the target, or a prior is no taxon of it.
    pub fn new(model: LoadedModel, sureness: Sureness, priors: &[String]) -> Result<Self, DecideError> {
        let cut_off = sureness.cut_off(&model.calibration)?;
        let priors = find_priors(&model.taxonomy, priors)?;
        let eye = Eye::new(&model.views, model.taxonomy.leaf_count());
        Ok(Self { eye, control: SpecificityControl::new(), cut_off, priors, model })
    }

    /// The answer for `region` of `picture`; `focus` is a box a user points at.
    ///
    /// # Errors
    /// If the engine fails or gives no probabilities.
    pub fn decide(
        &mut self,
        picture: &Picture,
        region: FractionBox,
        focus: Option<FractionBox>,
    ) -> Result<Answer, DecideError> {
        let begun = Instant::now();
        let model = &mut self.model;
        let probabilities = self.eye.look(&model.views, model.engine.as_mut(), picture, region, focus)?;
        let threshold = self.cut_off.threshold;
        let decision = self.control.decide(&model.taxonomy, probabilities, threshold, &self.priors)?;
        let latency_ms = begun.elapsed().as_secs_f64() * 1000.0;
        Ok(Answer::new(&model.taxonomy, &decision, self.cut_off, latency_ms))
    }

    /// The cut-off in force.
    #[must_use]
    pub fn cut_off(&self) -> CutOff {
        self.cut_off
    }

    /// Which model answers.
    #[must_use]
    pub fn identity(&self) -> &ModelIdentity {
        &self.model.identity
    }

    /// Name of the engine.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        self.model.engine.name()
    }

    /// The tree it answers from.
    #[must_use]
    pub fn taxonomy(&self) -> &Taxonomy {
        &self.model.taxonomy
    }

    /// How the model's self-test went.
    #[must_use]
    pub fn tested(&self) -> crate::engine::SelfTestReport {
        self.model.tested
    }
}
