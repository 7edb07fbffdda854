//! What is done where the nearest int8 graph misses the target: other numbers first, which cost nothing on the device, then
//! fine-tuning where it was asked for, then layers in float. Every step is handed the judgement on the graph as it is, and
//! hands on the one on the graph as it leaves it.

use std::collections::BTreeMap;
use std::rc::Rc;

use fieldmark_models::specificity::Threshold;

use super::{Candidate, Search};
use crate::quantise::explicit::corrected;
use crate::quantise::fidelity::{Fidelity, judged};
use crate::quantise::histogram::Method;
use crate::quantise::placement::{Exceptions, place};
use crate::quantise::record::Variant;
use crate::quantise::sensitive::{self, Panel};
use crate::quantise::simulate::simulate;
use crate::quantise::tune::Tuner;
use crate::quantise::weights::replaced;
use crate::quantise::{QuantiseError, ranges, transport};

/// So many times the divergence of the nearest candidate another may have that is taken because it reaches the target.
const FARTHEST: f64 = 3.0;

/// Of the layers that are worth most, those whose range is tried by every method before they are left in float.
const REMEASURED: usize = 6;

/// Of all layers, the share that may be float before the search gives up.
const MOST_FLOAT: f64 = 0.25;

/// How the int8 graph answers the judging pictures.
pub(in crate::quantise) struct Judgement {
    pub(super) fidelity: Fidelity,
    /// Probabilities.
    pub(super) answers: Vec<Vec<f32>>,
}

/// What a search can go back to.
struct State {
    exceptions: Exceptions,
    best: Candidate,
}

impl Search<'_> {
    /// Judges the int8 graph as it is.
    pub(in crate::quantise) fn judge(&self) -> Result<Judgement, QuantiseError> {
        let answers = self.answers(&simulate(&self.int8(&self.best, &self.exceptions)), self.judging)?;
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
        let fidelity = Fidelity::of(taxonomy, self.judging, float, other);
        Ok(Judgement { fidelity, answers })
    }

    fn reaches(&self, judgement: &Judgement) -> bool {
        judgement.fidelity.reaches(&self.settings.target)
    }

    /// Where the nearest candidate misses the target, the next nearest that reaches it: other numbers cost nothing on the
    /// device, layers in float do.
    pub(in crate::quantise) fn prefer_what_reaches(
        &mut self,
        now: Judgement,
    ) -> Result<Judgement, QuantiseError> {
        let mut others = std::mem::take(&mut self.candidates);
        if self.reaches(&now) {
            return Ok(now);
        }
        let nearest = self.best.clone();
        others
            .retain(|other| other.name != nearest.name && other.divergence <= FARTHEST * nearest.divergence);
        others.sort_by(|a, b| a.divergence.total_cmp(&b.divergence));
        for other in others {
            self.best = other;
            let judgement = self.judge()?;
            if self.reaches(&judgement) {
                (self.say)(&format!("{} misses the target, {} reaches it", nearest.name, self.best.name));
                return Ok(judgement);
            }
        }
        self.best = nearest;
        Ok(now)
    }

    /// Fine-tunes where that was asked for and the target is missed. Of epochs that reach it the one that answers most like the
    /// float model stays, of others too if none does.
    pub(in crate::quantise) fn fine_tune(&mut self, now: Judgement) -> Result<Judgement, QuantiseError> {
        let Some(settings) = self.settings.fine_tuning else { return Ok(now) };
        if self.reaches(&now) {
            (self.say)("the target is reached without fine-tuning");
            return Ok(now);
        }
        let answers = self.answers(&self.best.graph, self.calibration)?;
        let side = self.package.views().input_size() as usize;
        (self.say)(&format!("fine-tuning from a divergence of {:.5} judged", now.fidelity.divergence));
        let mut nearest = (now, self.best.clone());
        // Weights and biases are trained from where they were rounded and corrected to.
        let Candidate { graph, rounded, shifts, .. } = &self.best;
        let graph = corrected(&replaced(graph, rounded, &self.full.layers), shifts);
        (self.best.shifts, self.best.rounded) = (BTreeMap::new(), Rc::default());
        let start = (&graph, &self.full, &self.best.ranges);
        let mut tuner = Tuner::new(start, (self.calibration, answers), side, settings);
        for epoch in 1..=settings.epochs {
            let learned = tuner.epoch()?;
            self.best.graph = Rc::new(tuner.graph());
            let tuned = self.judge()?;
            let divergence = tuned.fidelity.divergence;
            (self.say)(&format!(
                "fine-tuning, epoch {epoch} of {}: divergence {learned:.5} before its steps, {divergence:.5} judged",
                settings.epochs
            ));
            self.fine_tuning.push(Variant { name: format!("epoch {epoch}"), divergence });
            let away = |judged: &Judgement| (!self.reaches(judged), judged.fidelity.divergence);
            if away(&tuned) < away(&nearest.0) {
                nearest = (tuned, self.best.clone());
            }
        }
        let (judgement, best) = nearest;
        self.best = best;
        Ok(judgement)
    }

    /// Makes exceptions of layers, the one worth most first, until the target is reached. Where it never is, those stay after
    /// which most names agreed, and no more of them than it took.
    pub(in crate::quantise) fn keep_sensitive_in_float(
        &mut self,
        now: Judgement,
    ) -> Result<Judgement, QuantiseError> {
        if self.reaches(&now) {
            return Ok(now);
        }
        let fidelity = &now.fidelity;
        (self.say)(&format!(
            "target missed: agreement {:.4}, top-1 {:.4} (float {:.4}), mean depth {:.3} (float {:.3})",
            fidelity.agreement, fidelity.top1, fidelity.top1_float, fidelity.depth, fidelity.depth_float
        ));
        let units = sensitive::units(&self.best.graph, &self.full.layers);
        let most = (MOST_FLOAT * self.full.layers.len() as f64) as usize;
        (self.say)(&format!("measuring {} layers, each alone in float", units.len()));
        let probing = (self.probing, &self.probing_answers[..]);
        let panel = Panel::of((self.judging, &self.judging_answers), &now.answers, probing);
        let ranked = sensitive::by_worth(units, |float| {
            let float = Exceptions { float: float.clone(), ..Exceptions::default() };
            let graph = self.int8(&self.best, &float);
            self.likeness(&graph, &panel.samples, &panel.answers)
        })?;
        let name = |unit: &[String]| unit.join(" ");
        self.sensitivity =
            ranked.iter().map(|(unit, left)| Variant { name: name(unit), divergence: *left }).collect();
        let mut fewest = self.state();
        let mut most_alike = now;
        for (rank, (unit, _)) in ranked.into_iter().enumerate() {
            if self.exceptions.float.len() + unit.len() > most {
                break;
            }
            if rank < REMEASURED
                && let Some(judgement) = self.other_range(&unit)?
            {
                return Ok(judgement);
            }
            let now = self.except(&unit, rank < REMEASURED)?;
            if self.reaches(&now) {
                return Ok(now);
            }
            if now.fidelity.agreement > most_alike.fidelity.agreement {
                (fewest, most_alike) = (self.state(), now);
            }
        }
        if self.exceptions != fewest.exceptions {
            let (all, left) = (self.exceptions.float.len(), fewest.exceptions.float.len());
            (self.say)(&format!("the target is missed with {all} layers in float: back to {left}"));
            self.restore(fewest);
        }
        Ok(most_alike)
    }

    /// Leaves `unit` in float; or, where `padding` may be tried and brings as many names back, in int8 with its padding apart.
    fn except(&mut self, unit: &[String], padding: bool) -> Result<Judgement, QuantiseError> {
        let before = self.state();
        let padded = if padding { self.pad_apart(unit)? } else { None };
        let with_padding = self.state();
        self.restore(before);
        self.exceptions.float.extend(unit.iter().cloned());
        let in_float = self.judge()?;
        if let Some(padded) = padded
            && (self.reaches(&padded) || !self.reaches(&in_float))
            && padded.fidelity.agreement >= in_float.fidelity.agreement
        {
            (self.say)(&format!("padded apart: {}", unit.join(" ")));
            self.restore(with_padding);
            return Ok(padded);
        }
        (self.say)(&format!("in float: {}", unit.join(" ")));
        Ok(in_float)
    }

    /// Takes the padding off the layers of `unit`, so that what they read is centred; the judgement, where that is possible.
    fn pad_apart(&mut self, unit: &[String]) -> Result<Option<Judgement>, QuantiseError> {
        let known = self.full.padded.len();
        self.exceptions.padded.extend(unit.iter().cloned());
        self.place_fully();
        if self.full.padded.len() == known {
            return Ok(None);
        }
        if !self.best.shifts.is_empty() {
            self.best.shifts = self.shifts(&self.best.rounded)?;
        }
        self.judge().map(Some)
    }

    fn state(&self) -> State {
        State { exceptions: self.exceptions.clone(), best: self.best.clone() }
    }

    fn restore(&mut self, state: State) {
        (self.exceptions, self.best) = (state.exceptions, state.best);
        self.place_fully();
    }

    /// Scale groups keep their numbers: what is quantised does not hang on who pads.
    fn place_fully(&mut self) {
        let padded = self.exceptions.padded.clone();
        self.full = place(&self.best.graph, &Exceptions { padded, ..Exceptions::default() });
    }

    /// Gives what `unit` reads its range by another method; the judgement where the target is reached with it. It stays only
    /// then.
    fn other_range(&mut self, unit: &[String]) -> Result<Option<Judgement>, QuantiseError> {
        let groups = sensitive::groups_read(&self.best.graph, &self.full.groups, unit);
        let ranges = self.best.ranges.clone();
        for method in Method::ALL {
            let other = ranges::uniform(&self.best.found, method);
            let other = groups.iter().filter_map(|group| Some((*group, *other.get(group)?)));
            self.best.ranges = ranges.clone();
            self.best.ranges.extend(other);
            if self.best.ranges == ranges {
                continue;
            }
            let judgement = self.judge()?;
            if self.reaches(&judgement) {
                (self.say)(&format!("range by {} instead: {}", method.name(), unit.join(" ")));
                return Ok(Some(judgement));
            }
        }
        self.best.ranges = ranges;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::quantise::fidelity::Target;
    use crate::quantise::tests::{branched, package, padded, padded_apart, samples, settings, toy};
    use crate::quantise::{Model, Settings};

    /// A search that has its numbers, and what it said since.
    fn searched(then: impl FnOnce(&mut Search<'_>, &RefCell<Vec<String>>)) {
        // Numbers that were chosen well reach it, a range that cuts nearly everything off does not.
        searched_for(toy(), &settings(), then);
    }

    fn searched_for(
        model: Model,
        settings: &Settings,
        then: impl FnOnce(&mut Search<'_>, &RefCell<Vec<String>>),
    ) {
        let package = package();
        let (calibration, judging) = (samples(&package, 1), samples(&package, 2));
        let said = RefCell::new(Vec::new());
        let say = |line: &str| said.borrow_mut().push(line.to_owned());
        let mut search =
            Search::new(model, &package, &calibration, &judging, settings, &say).expect("a search");
        search.choose_numbers("").expect("numbers");
        said.borrow_mut().clear();
        then(&mut search, &said);
    }

    /// Cuts off nearly everything of what the last convolution reads.
    fn cut(search: &mut Search<'_>) {
        let group = search.full.groups["merge.concat"];
        search.best.ranges.insert(group, (Method::MinMax, 1e-4));
    }

    #[test]
    fn of_two_candidates_the_one_that_reaches_the_target_is_taken_though_the_other_is_nearer() {
        searched(|search, said| {
            let reaching = search.best.clone();
            search.best.name = "nearest".into();
            search.best.divergence = reaching.divergence / 2.0;
            cut(search);
            search.candidates = vec![search.best.clone(), reaching.clone()];
            let now = search.judge().expect("a judgement");
            assert!(!search.reaches(&now), "{:?}", now.fidelity);
            let after = search.prefer_what_reaches(now).expect("a judgement");
            assert!(search.reaches(&after), "{:?}", after.fidelity);
            assert_eq!(search.best.ranges, reaching.ranges);
            assert_eq!(after.answers, search.judge().expect("the same").answers);
            let told = format!("nearest misses the target, {} reaches it", reaching.name);
            assert_eq!(*said.borrow(), [told]);
        });
    }

    #[test]
    fn a_candidate_too_far_from_the_nearest_is_not_taken() {
        searched(|search, said| {
            let reaching = search.best.clone();
            search.best.name = "nearest".into();
            search.best.divergence = reaching.divergence / (2.0 * FARTHEST);
            cut(search);
            search.candidates = vec![search.best.clone(), reaching];
            let now = search.judge().expect("a judgement");
            let after = search.prefer_what_reaches(now).expect("a judgement");
            assert!(!search.reaches(&after) && search.best.name == "nearest");
            assert!(said.borrow().is_empty());
        });
    }

    #[test]
    fn a_range_that_another_method_mends_leaves_no_layer_in_float() {
        searched(|search, said| {
            cut(search);
            let now = search.judge().expect("a judgement");
            assert!(!search.reaches(&now), "{:?}", now.fidelity);
            let after = search.keep_sensitive_in_float(now).expect("a judgement");
            assert!(search.reaches(&after), "{:?}", after.fidelity);
            assert_eq!(search.exceptions, Exceptions::default());
            assert_eq!(after.answers, search.judge().expect("the same").answers);
            assert!(said.borrow().last().is_some_and(|line| line.starts_with("range by ")), "{said:?}");
        });
    }

    #[test]
    fn a_layer_that_answers_as_well_with_its_padding_apart_stays_in_int8() {
        searched_for(padded(), &settings(), |search, said| {
            // Steps so wide that twice as many of them show.
            let group = search.full.groups["merge.relu"];
            let (method, range) = search.best.ranges[&group];
            search.best.ranges.insert(group, (method, 8.0 * range));
            let plain = search.judge().expect("a judgement").fidelity.divergence;
            let unit = ["wide".to_owned()];
            let after = search.except(&unit, true).expect("a judgement");
            assert_eq!(search.exceptions, padded_apart());
            assert!(after.fidelity.divergence < plain, "{} {plain}", after.fidelity.divergence);
            assert_eq!(after.answers, search.judge().expect("the same").answers);
            assert_eq!(*said.borrow(), ["padded apart: wide"]);
        });
    }

    #[test]
    fn a_layer_that_pads_nothing_is_left_in_float() {
        searched_for(branched(), &settings(), |search, said| {
            search.except(&["up".to_owned()], true).expect("a judgement");
            assert_eq!(search.exceptions.padded, Default::default());
            assert_eq!(*said.borrow(), ["in float: up"]);
        });
    }

    #[test]
    fn where_the_target_is_out_of_reach_no_layer_stays_float_that_brought_no_name_back() {
        let target = Target { agreement: 2.0, ..settings().target };
        searched_for(branched(), &Settings { target, ..settings() }, |search, said| {
            let now = search.judge().expect("a judgement");
            let before = now.fidelity.agreement;
            let after = search.keep_sensitive_in_float(now).expect("a judgement");
            assert!(said.borrow().iter().any(|line| line.starts_with("in float: ")), "{said:?}");
            assert_eq!(
                search.exceptions == Exceptions::default(),
                after.fidelity.agreement <= before,
                "{said:?}"
            );
            assert_eq!(after.answers, search.judge().expect("the same").answers);
        });
    }
}
