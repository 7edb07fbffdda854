//! The search for numbers, step by step, each kept only where a measurement says so; then for what the target asks.

use std::collections::BTreeMap;
use std::rc::Rc;

use fieldmark_models::onnx::{Graph, Model, Tensor};
use fieldmark_models::package::{PROBABILITIES, Package};
use fieldmark_models::specificity::Threshold;

pub(super) use self::reach::Judgement;
use super::engine::{Engine, Sample};
use super::equalise::equalise;
use super::explicit::{Numbers, explicit};
use super::fidelity::Fidelity;
use super::histogram::Method;
use super::layer::layers;
use super::placement::{Exceptions, Placement, place};
use super::record::{Record, TensorRange, Variant};
use super::simulate::simulate;
use super::weights::replaced;
use super::{
    FOLDING, QuantiseError, Quantised, Ranges, Settings, encoded, fold, half, probe, ranges, rounding,
};

mod reach;

/// A graph with numbers, and how far it is from the float model as measured.
#[derive(Clone)]
struct Candidate {
    name: String,
    graph: Rc<Graph>,
    equalised_pairs: usize,
    /// The ranges of every method, of which `ranges` are.
    found: Rc<ranges::Candidates>,
    ranges: Ranges,
    errors: BTreeMap<usize, f64>,
    shifts: BTreeMap<String, Vec<f32>>,
    /// Weights that do not go to the nearest byte, by name.
    rounded: Rc<BTreeMap<String, Tensor>>,
    divergence: f64,
}

impl Candidate {
    /// Without numbers yet.
    fn of(graph: Graph, equalised_pairs: usize) -> Self {
        let (ranges, errors, shifts) = (Ranges::new(), BTreeMap::new(), BTreeMap::new());
        let (name, graph, divergence) = (String::new(), Rc::new(graph), f64::INFINITY);
        let (found, rounded) = (Rc::default(), Rc::default());
        Self { name, graph, equalised_pairs, found, ranges, errors, shifts, rounded, divergence }
    }
}

pub(super) struct Search<'a> {
    package: &'a Package,
    settings: &'a Settings,
    say: &'a dyn Fn(&str),
    model: Model,
    folded: Graph,
    best: Candidate,
    candidates: Vec<Candidate>,
    folding: f32,
    calibration: &'a [Sample],
    probing: &'a [Sample],
    judging: &'a [Sample],
    probing_answers: Vec<Vec<f32>>,
    judging_answers: Vec<Vec<f32>>,
    full: Placement,
    exceptions: Exceptions,
    variants: Vec<Variant>,
    fine_tuning: Vec<Variant>,
    sensitivity: Vec<Variant>,
}

impl<'a> Search<'a> {
    /// Folds the graph and asks the original about the pictures.
    pub(super) fn new(
        model: Model,
        package: &'a Package,
        calibration: &'a [Sample],
        judging: &'a [Sample],
        settings: &'a Settings,
        say: &'a dyn Fn(&str),
    ) -> Result<Self, QuantiseError> {
        let original = model.graph.clone().unwrap_or_default();
        let graph = fold(&original);
        let probing = &calibration[..calibration.len().min(settings.probes)];
        let full = place(&graph, &Exceptions::default());
        if full.layers.is_empty() {
            return Err(QuantiseError::NoLayers);
        }
        let mut search = Self {
            package,
            settings,
            say,
            model: Model { graph: None, ..model },
            best: Candidate::of(graph.clone(), 0),
            candidates: Vec::new(),
            folded: graph,
            folding: 0.0,
            calibration,
            probing,
            judging,
            probing_answers: Vec::new(),
            judging_answers: Vec::new(),
            full,
            exceptions: Exceptions::default(),
            variants: Vec::new(),
            fine_tuning: Vec::new(),
            sensitivity: Vec::new(),
        };
        say(&format!(
            "{} layers, {} tensors to quantise",
            search.full.layers.len(),
            search.full.groups.len()
        ));
        search.probing_answers = search.answers(&original, probing)?;
        search.judging_answers = search.answers(&original, judging)?;
        search.folding = search.difference(&search.best.graph)?;
        if search.folding > FOLDING || search.folding.is_nan() {
            return Err(QuantiseError::Folding(search.folding));
        }
        Ok(search)
    }

    /// Largest difference of a probability that `graph` makes, in float.
    fn difference(&self, graph: &Graph) -> Result<f32, QuantiseError> {
        let answers = self.answers(graph, self.probing)?;
        let pairs = self.probing_answers.iter().flatten().zip(answers.iter().flatten());
        Ok(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
    }

    fn answers(&self, graph: &Graph, samples: &[Sample]) -> Result<Vec<Vec<f32>>, QuantiseError> {
        Engine::new(&self.model, graph, &[PROBABILITIES.into()], self.package.views())?.rows(samples)
    }

    /// The int8 graph of `candidate` with `exceptions`.
    fn int8(&self, candidate: &Candidate, exceptions: &Exceptions) -> Graph {
        let placement = place(&candidate.graph, exceptions);
        // Groups of a smaller placement are parts of the full one's.
        let range = |(value, group): (&String, &usize)| {
            let (_, range) = candidate.ranges.get(self.full.groups.get(value)?)?;
            Some((*group, *range))
        };
        let ranges = placement.groups.iter().filter_map(range).collect();
        let numbers = Numbers { ranges, bias: candidate.shifts.clone() };
        let graph = replaced(&candidate.graph, &candidate.rounded, &placement.layers);
        explicit(&graph, &placement, &numbers)
    }

    /// On the pictures that candidates are measured on.
    fn divergence(&self, graph: &Graph) -> Result<f64, QuantiseError> {
        Ok(self.likeness(graph, self.probing, &self.probing_answers)?.divergence)
    }

    /// How far `graph` answers `samples` as the original has answered them.
    fn likeness(
        &self,
        graph: &Graph,
        samples: &[Sample],
        float: &[Vec<f32>],
    ) -> Result<Fidelity, QuantiseError> {
        let answers = self.answers(&simulate(graph), samples)?;
        let threshold = Threshold::default();
        Ok(Fidelity::of(self.package.taxonomy(), samples, (float, threshold), (&answers, threshold)))
    }

    /// Measures `candidate`; the nearest stays the best.
    fn measure(&mut self, mut candidate: Candidate) -> Result<(), QuantiseError> {
        candidate.divergence = self.divergence(&self.int8(&candidate, &self.exceptions))?;
        let (name, divergence) = (candidate.name.clone(), candidate.divergence);
        (self.say)(&format!("{name}: divergence {divergence:.5}"));
        self.variants.push(Variant { name, divergence });
        self.candidates.push(candidate.clone());
        if divergence < self.best.divergence {
            self.best = candidate;
        }
        Ok(())
    }

    /// Ranges, then biases, then weights, of the graph as it is. `graph` is said of every variant that is tried.
    pub(super) fn choose_numbers(&mut self, graph: &str) -> Result<(), QuantiseError> {
        self.choose_ranges(graph)?;
        self.correct_biases(graph)?;
        self.round_weights(graph)
    }

    /// Ranges by the method that disturbs the layers behind least, tensor by tensor; one method for all where that is
    /// measured to be better.
    fn choose_ranges(&mut self, graph: &str) -> Result<(), QuantiseError> {
        let views = self.package.views();
        (self.say)(&format!("{graph}ranges on {} pictures", self.calibration.len()));
        let found = ranges::candidates(&self.model, &self.best.graph, &self.full, self.calibration, views)?;
        let pictures = self.probing.len();
        (self.say)(&format!("{graph}what every range does to the layers behind it, on {pictures} pictures"));
        let (chosen, errors) =
            probe::choose(&self.model, &self.best.graph, &self.full, &found, self.probing, views)?;
        let found = Rc::new(found);
        let plain = Candidate { errors, found: Rc::clone(&found), ..self.best.clone() };
        let mut variants = vec![("chosen per tensor".to_owned(), chosen)];
        variants
            .extend(Method::ALL.map(|method| (method.name().to_owned(), ranges::uniform(&found, method))));
        for (name, ranges) in variants {
            self.measure(Candidate { name: format!("{graph}{name}"), ranges, ..plain.clone() })?;
        }
        Ok(())
    }

    /// Makes channels between layers even and chooses all numbers anew. What is nearer with everything done stays: ranges alone
    /// can promise what biases take back.
    pub(super) fn equalise(&mut self) -> Result<(), QuantiseError> {
        let views = self.package.views();
        let Some((graph, pairs)) = equalise(&self.model, &self.best.graph, self.calibration, views)? else {
            (self.say)("no two layers can be equalised");
            return Ok(());
        };
        let difference = self.difference(&graph)?;
        if difference > FOLDING || difference.is_nan() {
            (self.say)(&format!("equalising would change a probability by {difference:e}: left as it was"));
            return Ok(());
        }
        let before = std::mem::replace(&mut self.best, Candidate::of(graph, pairs));
        self.choose_numbers("equalised, ")?;
        if before.divergence <= self.best.divergence {
            self.best = before;
        }
        Ok(())
    }

    /// Gives channels back what rounding takes from them on average, where that helps.
    fn correct_biases(&mut self, graph: &str) -> Result<(), QuantiseError> {
        (self.say)(&format!("{graph}what rounding takes from every channel"));
        let shifts = self.shifts(&self.best.rounded)?;
        self.measure(Candidate { name: format!("{graph}bias correction"), shifts, ..self.best.clone() })
    }

    /// What rounding takes from every channel of the nearest candidate, with the weights `rounded`.
    fn shifts(
        &self,
        rounded: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Vec<f32>>, QuantiseError> {
        let Candidate { graph, ranges, .. } = &self.best;
        let (samples, views) = (self.calibration, self.package.views());
        probe::bias_shifts(&self.model, graph, &self.full, (ranges, rounded), samples, views)
    }

    /// Rounds weights by what their layers give, with biases corrected for that.
    fn round_weights(&mut self, graph: &str) -> Result<(), QuantiseError> {
        (self.say)(&format!("{graph}weights by what their layers give"));
        let Candidate { graph: of, ranges, .. } = &self.best;
        let (samples, views) = (self.calibration, self.package.views());
        let rounded = rounding::round(&self.model, of, &self.full, ranges, samples, views)?;
        let (name, shifts) = (format!("{graph}weights by output"), self.shifts(&rounded)?);
        self.measure(Candidate { name, shifts, rounded: Rc::new(rounded), ..self.best.clone() })
    }

    /// Writes the graphs and the record.
    pub(super) fn finish(self, judgement: Judgement, float32_bytes: usize) -> Quantised {
        let Judgement { fidelity, answers } = judgement;
        let int8 = self.int8(&self.best, &self.exceptions);
        let placement = place(&self.best.graph, &self.exceptions);
        let tensor = placement.groups.keys().filter_map(|value| {
            let group = self.full.groups.get(value)?;
            let (method, range) = *self.best.ranges.get(group)?;
            let error = self.best.errors.get(group).copied().unwrap_or_default();
            let centred = placement.centred.contains(placement.groups.get(value)?);
            Some(TensorRange { value: value.clone(), method, range, centred, error })
        });
        // Of the float model itself: what was trained to be rounded is another one.
        let fp16 = half(&self.folded).map(|graph| encoded(&self.model, graph));
        let simulated = encoded(&self.model, simulate(&int8));
        let mut record = Record {
            calibration_pictures: self.calibration.len(),
            probing_pictures: self.probing.len(),
            folding_difference: self.folding,
            equalised_pairs: self.best.equalised_pairs,
            bias_corrected: !self.best.shifts.is_empty(),
            layers: layers(&self.best.graph).len(),
            int8_layers: placement.layers.clone(),
            float_layers: self.exceptions.float.iter().cloned().collect(),
            padded_layers: placement.padded.iter().cloned().collect(),
            float32_bytes,
            int8_bytes: 0,
            float16_bytes: fp16.as_ref().map_or(0, Vec::len),
            reached: fidelity.reaches(&self.settings.target),
            target: self.settings.target,
            fidelity,
            variant: self.variants,
            fine_tuning: self.fine_tuning,
            sensitivity: self.sensitivity,
            tensor: tensor.collect(),
        };
        let int8 = encoded(&self.model, int8);
        record.int8_bytes = int8.len();
        Quantised { int8, fp16, simulated, float_answers: self.judging_answers, answers, record }
    }
}
