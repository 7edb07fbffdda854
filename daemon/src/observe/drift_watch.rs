//! Looks at the days of all cameras when they are due, and publishes how they stand.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use fieldmark_models::calibration::{Calibration, Point};

use super::Observer;
use super::drift::{Answers, Departure, Gathered, Looks, Mix, Summary, Usual, departure, number};
use crate::command::VocabularyCell;
use crate::publish::messages::{Drift, DriftFigures, DriftState, VERSION, wire_time};
use crate::publish::outbox::{Class, Message, Outbox};

/// How far a measured cut-off may be from the one in force and still speak for it.
const NEAR: f64 = 0.05;

/// A camera whose days are looked at.
pub struct Watched {
    /// Its name.
    pub name: String,
    /// Where its drift is published.
    pub topic: String,
    /// Whether answers are those of tracks, of which none is "an organism".
    pub tracked: bool,
}

/// Who looks.
pub struct DriftWatch {
    /// What is gathered.
    pub observer: Arc<Observer>,
    /// The figures of the model that answers.
    pub vocabulary: VocabularyCell,
    /// Where it is published.
    pub outbox: Arc<Outbox>,
    /// Name of the node.
    pub node: String,
    /// The cameras, in the observer's order.
    pub cameras: Vec<Watched>,
    /// Where what is usual is kept over a restart.
    pub file: Option<PathBuf>,
}

impl DriftWatch {
    /// Until the node stops.
    pub async fn run(self) {
        self.recall();
        loop {
            self.observer.drift_is_due().await;
            for (number, watched) in self.cameras.iter().enumerate() {
                let camera = &watched.name;
                let Some(gathered) = self.observer.gathered(number) else { continue };
                if gathered.learned {
                    self.keep();
                }
                let Some(day) = &gathered.due else { continue };
                let drift = self.judge(watched, &gathered, day);
                if drift.state == DriftState::Departed {
                    tracing::warn!(
                        camera,
                        reasons = drift.reasons.join(", "),
                        "answers are not what they are meant to look like"
                    );
                }
                let payload = serde_json::to_vec(&drift).unwrap_or_default().into();
                self.outbox.put(Message { topic: watched.topic.clone(), payload, class: Class::State });
                self.observer.drift(number, drift);
            }
        }
    }

    fn judge(&self, watched: &Watched, gathered: &Gathered, today: &Summary) -> Drift {
        let vocabulary = self.vocabulary.load();
        let point = point_of(&vocabulary.calibration, gathered.usual.terms.threshold);
        let package = point.map(|point| mix_of(point, vocabulary.calibration.n(), watched.tracked));
        let usual = &gathered.usual;
        let Departure { reasons } = departure(today, package.as_ref(), usual);
        let mix = Mix::of(&today.answers, 1.0);
        let of_package = |(mix, point): (&Mix, &Point)| DriftFigures {
            answers: vocabulary.calibration.n(),
            mean_depth: Some(rounded(point.mean_depth)),
            ranks: rounded_shares(&mix.shares),
            mean_best_leaf: None,
            sharpness: None,
            brightness: None,
        };
        Drift {
            v: VERSION,
            node: self.node.clone(),
            camera: watched.name.clone(),
            time: wire_time(jiff::Timestamp::now()),
            day: gathered.day.map(|day| day.to_string()).unwrap_or_default(),
            state: if reasons.is_empty() { DriftState::Usual } else { DriftState::Departed },
            reasons: reasons.into_iter().map(Into::into).collect(),
            today: figures(&today.answers, Some(&today.looks)),
            package: package.as_ref().zip(point).map(of_package),
            usual: usual.answers().map(|answers| figures(answers, usual.looks())),
            distance_package: package.as_ref().map(|package| rounded(mix.distance(package))),
            distance_usual: usual.answers().map(|usual| rounded(mix.distance(&Mix::of(usual, 1.0)))),
        }
    }

    /// What was usual before a restart is so after it.
    fn recall(&self) {
        let Some(file) = &self.file else { return };
        let Ok(text) = std::fs::read(file) else { return };
        match serde_json::from_slice::<BTreeMap<String, Usual>>(&text) {
            Ok(mut kept) => {
                for (number, watched) in self.cameras.iter().enumerate() {
                    if let Some(usual) = kept.remove(&watched.name) {
                        self.observer.recall_usual(number, usual);
                    }
                }
            }
            Err(error) => tracing::warn!(file = %file.display(), "what is usual is learned anew: {error}"),
        }
    }

    fn keep(&self) {
        let Some(file) = &self.file else { return };
        let known =
            |(number, watched): (usize, &Watched)| Some((watched.name.clone(), self.observer.usual(number)?));
        let known: BTreeMap<_, _> = self.cameras.iter().enumerate().filter_map(known).collect();
        let text = serde_json::to_vec(&known).unwrap_or_default();
        let written = atomic_write_file::AtomicWriteFile::open(file).and_then(|mut open| {
            open.write_all(&text)?;
            open.commit()
        });
        if let Err(error) = written {
            tracing::warn!(file = %file.display(), "what is usual is not kept over a restart: {error}");
        }
    }
}

/// What the calibration measured at a cut-off near `threshold`.
fn point_of(calibration: &Calibration, threshold: f64) -> Option<&Point> {
    let off = |point: &&Point| (point.threshold.value() - threshold).abs();
    let nearest = calibration.curve().iter().min_by(|one, other| off(one).total_cmp(&off(other)));
    nearest.filter(|point| off(point) <= NEAR)
}

/// What `pictures` were answered at `point`; of `tracked` cameras less those that were answered "an organism".
fn mix_of(point: &Point, pictures: u64, tracked: bool) -> Mix {
    let mut mix = Mix { weight: number(pictures), shares: point.ranks.clone() };
    let root = if tracked { mix.shares.remove("root").unwrap_or_default() } else { 0.0 };
    let rest = 1.0 - root;
    if rest > 0.0 {
        mix.weight *= rest;
        mix.shares.values_mut().for_each(|share| *share /= rest);
    }
    mix
}

fn figures(answers: &Answers, looks: Option<&Looks>) -> DriftFigures {
    let sharpness = looks.and_then(Looks::sharpness).map(|(mean, _)| rounded(mean.exp()));
    DriftFigures {
        answers: answers.count,
        mean_depth: answers.mean_depth().map(rounded),
        ranks: rounded_shares(&answers.shares()),
        mean_best_leaf: answers.best_leaf().map(|(mean, _)| rounded(mean)),
        sharpness,
        brightness: looks.and_then(Looks::mean_brightness).map(rounded),
    }
}

fn rounded_shares(shares: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    shares.iter().map(|(rank, share)| (rank.clone(), rounded(*share))).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use fieldmark_models::specificity::Threshold;

    use super::*;

    #[test]
    fn a_track_is_never_an_organism_and_so_none_of_the_mix_it_is_held_against_is() {
        let threshold = Threshold::new(0.6).expect("a threshold");
        let point = Point {
            target: 0.9,
            threshold,
            exact: threshold,
            average: threshold,
            confident: threshold,
            accuracy: 0.9,
            accuracy_low: 0.8,
            accuracy_high: 0.95,
            mean_depth: 4.0,
            ranks: [("root", 0.2), ("genus", 0.2), ("species", 0.6)]
                .map(|(rank, share)| (rank.into(), share))
                .into(),
        };
        let all = mix_of(&point, 100, false);
        assert_eq!((all.weight, &all.shares), (100.0, &point.ranks));
        let named = mix_of(&point, 100, true);
        let near = |rank: &str, share: f64| (named.shares[rank] - share).abs() < 1e-12;
        assert!(
            named.weight == 80.0 && near("genus", 0.25) && near("species", 0.75) && named.shares.len() == 2
        );
    }
}
