//! One model, one dial, one expectation: pictures in, answers out.

use std::time::Instant;

use fieldmark_models::calibration::Calibration;
use fieldmark_models::picture::Picture;
use fieldmark_models::specificity::{ProbabilityError, SpecificityControl};
use fieldmark_models::taxonomy::{NameError, TaxonIndex, Taxonomy};
use fieldmark_models::views::{FractionBox, ViewSet};

use super::answer::rounded;
use super::descent::descent;
use super::{Answer, CutOff, CutOffs, Dial, DialError, Expectation, Expected, Rung};
use crate::engine::{Engine, Eye, EyeError, LoadedModel, LookTime, ModelIdentity, PassedOver};
use crate::region::Region;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The model cannot be asked for that.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A prior names nothing.
    #[error("prior {0}")]
    Prior(#[from] NameError),
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
    verdict: Verdict,
}

/// From probabilities to an answer.
struct Verdict {
    control: SpecificityControl,
    cut_offs: CutOffs,
    expectation: Expectation,
}

impl Verdict {
    /// The answer for leaf probabilities `[leaves]`; `latency_ms` is asked when it is found.
    fn answer(
        &mut self,
        taxonomy: &Taxonomy,
        probabilities: &[f32],
        latency_ms: impl FnOnce() -> f64,
    ) -> Result<Answer, ProbabilityError> {
        let priors = self.expectation.follow(taxonomy, this_month());
        let decision = self.control.decide(taxonomy, probabilities, self.cut_offs.thresholds(), priors)?;
        let cut_off = self.cut_offs.of(taxonomy, decision.taxon);
        let mut answer = Answer::new(taxonomy, &decision, cut_off, latency_ms());
        let lineage = self.control.lineage(taxonomy, decision.taxon);
        answer.lineage_probabilities = lineage.map(|(_, probability)| rounded(probability, 6)).collect();
        answer.checklist = self.expectation.in_force();
        Ok(answer)
    }
}

impl Decider {
    /// Decides with `model` as sure as `dial` says, expecting what is `expected`.
    ///
    /// # Errors
    /// If the model was not measured for a target, or a taxon is none of its.
    pub fn new(model: LoadedModel, dial: &Dial, expected: &Expected) -> Result<Self, DecideError> {
        let cut_offs = dial.cut_offs(&model.taxonomy, &model.calibration)?;
        let expectation = Expectation::new(expected, &model.taxonomy, this_month())?;
        let eye = Eye::new(&model.views, model.taxonomy.leaf_count());
        let verdict = Verdict { control: SpecificityControl::new(), cut_offs, expectation };
        Ok(Self { eye, verdict, model })
    }

    /// Decides as sure as `dial` says from now on.
    ///
    /// # Errors
    /// If the model was not measured for a target, or a subtree is none of its; the dial then stays as it was.
    pub fn turn(&mut self, dial: &Dial) -> Result<(), DialError> {
        self.verdict.cut_offs = dial.cut_offs(&self.model.taxonomy, &self.model.calibration)?;
        Ok(())
    }

    /// Expects what is `expected` from now on.
    ///
    /// # Errors
    /// If a taxon is none of this model; what was expected before then stays.
    pub fn expect(&mut self, expected: &Expected) -> Result<(), NameError> {
        self.verdict.expectation = Expectation::new(expected, &self.model.taxonomy, this_month())?;
        Ok(())
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
        let latency_ms = || begun.elapsed().as_secs_f64() * 1000.0;
        Ok(self.verdict.answer(&model.taxonomy, probabilities, latency_ms)?)
    }

    /// Looks at all `regions` of `picture`; [`Self::answer`] then gives what was seen of each.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn look(&mut self, picture: &Picture, regions: &[Region]) -> Result<(), DecideError> {
        let model = &mut self.model;
        let shown = regions.iter().map(|region| (region.part, region.focus));
        self.eye.look_at_all(&model.views, model.engine.as_mut(), picture, shown)?;
        Ok(())
    }

    /// The answer for region number `region` of those last looked at, which began at `begun`.
    ///
    /// # Errors
    /// If the engine gave no probabilities.
    pub fn answer(&mut self, region: usize, begun: Instant) -> Result<Answer, DecideError> {
        let leaves = self.model.taxonomy.leaf_count();
        let seen = self.eye.probabilities().get(region * leaves..(region + 1) * leaves).unwrap_or_default();
        let latency_ms = || begun.elapsed().as_secs_f64() * 1000.0;
        Ok(self.verdict.answer(&self.model.taxonomy, seen, latency_ms)?)
    }

    /// How long views and engine took for the last picture.
    #[must_use]
    pub fn time(&self) -> LookTime {
        self.eye.time()
    }

    /// The way down the tree to `answer` and on to a leaf, and the most probable taxa one level below it: of the
    /// distribution last decided on.
    #[must_use]
    pub fn descent(&self, answer: TaxonIndex) -> (Vec<Rung>, Vec<Rung>) {
        let Verdict { control, cut_offs, .. } = &self.verdict;
        descent(control, &self.model.taxonomy, cut_offs.thresholds(), answer)
    }

    /// The leaf probabilities `[regions, leaves]` of the regions last looked at.
    #[must_use]
    pub fn probabilities(&self) -> &[f32] {
        self.eye.probabilities()
    }

    /// The answer for leaf probabilities `[leaves]` that were fused from several frames.
    ///
    /// # Errors
    /// If they are not a distribution over the leaves.
    pub fn conclude(&mut self, probabilities: &[f32], latency_ms: f64) -> Result<Answer, DecideError> {
        Ok(self.verdict.answer(&self.model.taxonomy, probabilities, || latency_ms)?)
    }

    /// Targets and thresholds of the model.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.model.calibration
    }

    /// The cut-off in force where no subtree has its own.
    #[must_use]
    pub fn cut_off(&self) -> CutOff {
        self.verdict.cut_offs.everywhere()
    }

    /// Which model answers.
    #[must_use]
    pub fn identity(&self) -> &ModelIdentity {
        &self.model.identity
    }

    /// Name of the engine.
    #[must_use]
    pub fn engine_name(&self) -> &str {
        self.model.engine.name()
    }

    /// The engine, to be used by itself.
    pub fn engine_mut(&mut self) -> &mut dyn Engine {
        self.model.engine.as_mut()
    }

    /// Engines that were tried before it, and why they were not taken.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.model.passed_over
    }

    /// The views it looks through.
    #[must_use]
    pub fn views(&self) -> &ViewSet {
        &self.model.views
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

/// 1 to 12, UTC: seasons are no matter of hours.
fn this_month() -> u8 {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    now.month().unsigned_abs()
}
