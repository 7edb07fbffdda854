//! The search for numbers and float layers, step by step, each kept only where a measurement says so.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fieldmark_models::onnx::{Graph, Model};
use fieldmark_models::package::{PROBABILITIES, Package};
use fieldmark_models::specificity::Threshold;

use super::engine::{Engine, Sample};
use super::equalise::equalise;
use super::explicit::{Numbers, explicit};
use super::fidelity::{Fidelity, judged};
use super::histogram::Method;
use super::placement::{Placement, layers, place};
use super::record::{Record, TensorRange, Variant};
use super::sensitive::Panel;
use super::simulate::simulate;
use super::tune::Tuner;
use super::{
    FOLDING, QuantiseError, Quantised, Ranges, Settings, encoded, fold, half, probe, ranges, sensitive,
    transport,
};

/// So many times the divergence of the nearest candidate another may have that is taken because it reaches the target.
const FARTHEST: f64 = 3.0;

/// Of the layers that are worth most, those whose range is tried by every method before they are left in float.
const REMEASURED: usize = 6;

/// Of all layers, the share that may be float before the search gives up.
const MOST_FLOAT: f64 = 0.25;

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
    divergence: f64,
}

impl Candidate {
    /// Without numbers yet.
    fn of(graph: Graph, equalised_pairs: usize) -> Self {
        let (ranges, errors, shifts) = (Ranges::new(), BTreeMap::new(), BTreeMap::new());
        let (name, graph, divergence) = (String::new(), Rc::new(graph), f64::INFINITY);
        let found = Rc::default();
        Self { name, graph, equalised_pairs, found, ranges, errors, shifts, divergence }
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
    float: BTreeSet<String>,
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
        let full = place(&graph, &BTreeSet::new());
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
            float: BTreeSet::new(),
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

    /// The int8 graph of `candidate`, with `float` layers left out.
    fn int8(&self, candidate: &Candidate, float: &BTreeSet<String>) -> Graph {
        let placement = place(&candidate.graph, float);
        // Groups of a smaller placement are parts of the full one's.
        let range = |(value, group): (&String, &usize)| {
            let (_, range) = candidate.ranges.get(self.full.groups.get(value)?)?;
            Some((*group, *range))
        };
        let ranges = placement.groups.iter().filter_map(range).collect();
        let numbers = Numbers { ranges, bias: candidate.shifts.clone() };
        explicit(&candidate.graph, &placement, &numbers)
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
        candidate.divergence = self.divergence(&self.int8(&candidate, &BTreeSet::new()))?;
        let (name, divergence) = (candidate.name.clone(), candidate.divergence);
        (self.say)(&format!("{name}: divergence {divergence:.5}"));
        self.variants.push(Variant { name, divergence });
        self.candidates.push(candidate.clone());
        if divergence < self.best.divergence {
            self.best = candidate;
        }
        Ok(())
    }

    /// Ranges, then biases, of the graph as it is. `graph` is said of every variant that is tried.
    pub(super) fn choose_numbers(&mut self, graph: &str) -> Result<(), QuantiseError> {
        self.choose_ranges(graph)?;
        self.correct_biases(graph)
    }

    /// Ranges by the method that disturbs the layers behind least, tensor by tensor; one method for all where that is
    /// measured to be better.
    fn choose_ranges(&mut self, graph: &str) -> Result<(), QuantiseError> {
        let views = self.package.views();
        let found = ranges::candidates(&self.model, &self.best.graph, &self.full, self.calibration, views)?;
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

    /// Makes channels between layers even and chooses all numbers anew. What is nearer with everything done stays: ranges
    /// alone can promise what biases take back.
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
        let plain = std::mem::replace(&mut self.best, Candidate::of(graph, pairs));
        self.choose_numbers("equalised, ")?;
        if plain.divergence <= self.best.divergence {
            self.best = plain;
        }
        Ok(())
    }

    /// Gives channels back what rounding takes from them on average, where that helps.
    fn correct_biases(&mut self, graph: &str) -> Result<(), QuantiseError> {
        let views = self.package.views();
        let shifts = probe::bias_shifts(
            &self.model,
            &self.best.graph,
            &self.full,
            &self.best.ranges,
            self.calibration,
            views,
        )?;
        self.measure(Candidate { name: format!("{graph}bias correction"), shifts, ..self.best.clone() })
    }

    /// Where the nearest candidate misses the target, the next nearest that reaches it: other numbers cost nothing on the
    /// device, layers in float do.
    pub(super) fn prefer_what_reaches(&mut self) -> Result<(), QuantiseError> {
        let mut others = std::mem::take(&mut self.candidates);
        if self.judge(&self.float)?.0.reaches(&self.settings.target) {
            return Ok(());
        }
        let nearest = self.best.clone();
        others
            .retain(|other| other.name != nearest.name && other.divergence <= FARTHEST * nearest.divergence);
        others.sort_by(|a, b| a.divergence.total_cmp(&b.divergence));
        for other in others {
            self.best = other;
            if self.judge(&self.float)?.0.reaches(&self.settings.target) {
                (self.say)(&format!("{} misses the target, {} reaches it", nearest.name, self.best.name));
                return Ok(());
            }
        }
        self.best = nearest;
        Ok(())
    }

    /// Fine-tunes where that was asked for and the target is missed; the epoch that answers most like the float model stays.
    pub(super) fn fine_tune(&mut self) -> Result<(), QuantiseError> {
        let Some(settings) = self.settings.fine_tuning else { return Ok(()) };
        let (untuned, _) = self.judge(&self.float)?;
        if untuned.reaches(&self.settings.target) {
            (self.say)("the target is reached without fine-tuning");
            return Ok(());
        }
        let answers = self.answers(&self.best.graph, self.calibration)?;
        let side = self.package.views().input_size() as usize;
        let start = (&*self.best.graph, &self.full, &self.best.ranges);
        let mut tuner = Tuner::new(start, (self.calibration, answers), side, settings.rate);
        let mut nearest = (untuned.divergence, self.best.graph.clone(), self.best.shifts.clone());
        // Biases are trained with everything else.
        self.best.shifts.clear();
        for epoch in 1..=settings.epochs {
            let learned = tuner.epoch()?;
            self.best.graph = Rc::new(tuner.graph());
            let divergence = self.judge(&self.float)?.0.divergence;
            (self.say)(&format!(
                "fine-tuning, epoch {epoch} of {}: divergence {learned:.5} before its steps, {divergence:.5} judged",
                settings.epochs
            ));
            self.fine_tuning.push(Variant { name: format!("epoch {epoch}"), divergence });
            if divergence < nearest.0 {
                nearest = (divergence, self.best.graph.clone(), BTreeMap::new());
            }
        }
        (_, self.best.graph, self.best.shifts) = nearest;
        Ok(())
    }

    fn judge(&self, float: &BTreeSet<String>) -> Result<(Fidelity, Vec<Vec<f32>>), QuantiseError> {
        let answers = self.answers(&simulate(&self.int8(&self.best, float)), self.judging)?;
        let taxonomy = self.package.taxonomy();
        let calibration = self.package.calibration();
        let point = calibration.point_for(self.settings.accuracy).ok();
        let threshold = point.map_or_else(Threshold::default, |point| point.threshold);
        let (before, after) =
            (judged(taxonomy, self.judging, &self.judging_answers), judged(taxonomy, self.judging, &answers));
        let own = transport(calibration, &before, &after).ok();
        let own = own.and_then(|own| own.point_for(self.settings.accuracy).ok().map(|point| point.threshold));
        let (float, other) =
            ((&self.judging_answers[..], threshold), (&answers[..], own.unwrap_or(threshold)));
        Ok((Fidelity::of(taxonomy, self.judging, float, other), answers))
    }

    /// Leaves layers in float, the one worth most first, until the target is reached.
    pub(super) fn keep_sensitive_in_float(&mut self) -> Result<(), QuantiseError> {
        let (fidelity, answers) = self.judge(&self.float)?;
        if fidelity.reaches(&self.settings.target) {
            return Ok(());
        }
        (self.say)(&format!(
            "target missed: agreement {:.4}, top-1 {:.4} (float {:.4}), mean depth {:.3} (float {:.3})",
            fidelity.agreement, fidelity.top1, fidelity.top1_float, fidelity.depth, fidelity.depth_float
        ));
        let units = sensitive::units(&self.best.graph, &self.full.layers);
        let most = (MOST_FLOAT * self.full.layers.len() as f64) as usize;
        (self.say)(&format!("measuring {} layers, each alone in float", units.len()));
        let panel =
            Panel::of((self.judging, &self.judging_answers), &answers, (self.probing, &self.probing_answers));
        let ranked = sensitive::by_worth(units, |float| {
            let graph = self.int8(&self.best, float);
            self.likeness(&graph, &panel.samples, &panel.answers)
        })?;
        let name = |unit: &[String]| unit.join(" ");
        self.sensitivity =
            ranked.iter().map(|(unit, left)| Variant { name: name(unit), divergence: *left }).collect();
        for (rank, (unit, _)) in ranked.into_iter().enumerate() {
            if self.float.len() + unit.len() > most || (rank < REMEASURED && self.other_range(&unit)?) {
                break;
            }
            (self.say)(&format!("in float: {}", name(&unit)));
            self.float.extend(unit);
            if self.judge(&self.float)?.0.reaches(&self.settings.target) {
                break;
            }
        }
        Ok(())
    }

    /// Gives what `unit` reads its range by another method; whether the target is reached with it. It stays only then.
    fn other_range(&mut self, unit: &[String]) -> Result<bool, QuantiseError> {
        let groups = sensitive::groups_read(&self.best.graph, &self.full.groups, unit);
        let ranges = self.best.ranges.clone();
        for method in Method::ALL {
            let other = ranges::uniform(&self.best.found, method);
            let other = groups.iter().filter_map(|group| Some((*group, *other.get(group)?)));
            self.best.ranges = ranges.clone();
            self.best.ranges.extend(other);
            if self.best.ranges != ranges && self.judge(&self.float)?.0.reaches(&self.settings.target) {
                (self.say)(&format!("range by {} instead: {}", method.name(), unit.join(" ")));
                return Ok(true);
            }
        }
        self.best.ranges = ranges;
        Ok(false)
    }

    /// Writes the graphs and the record.
    pub(super) fn finish(self, float32_bytes: usize) -> Result<Quantised, QuantiseError> {
        let (fidelity, answers) = self.judge(&self.float)?;
        let int8 = self.int8(&self.best, &self.float);
        let placement = place(&self.best.graph, &self.float);
        let tensor = placement.groups.keys().filter_map(|value| {
            let group = self.full.groups.get(value)?;
            let (method, range) = *self.best.ranges.get(group)?;
            let error = self.best.errors.get(group).copied().unwrap_or_default();
            Some(TensorRange { value: value.clone(), method, range, error })
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
            float_layers: self.float.iter().cloned().collect(),
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
        Ok(Quantised { int8, fp16, simulated, float_answers: self.judging_answers, answers, record })
    }
}
