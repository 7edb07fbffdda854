//! Learning rates by epoch, half epochs too (the tables of the paper's section 5).

use serde::Deserialize;

/// A rate that holds for some epochs.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// How long; halves are epochs too.
    pub epochs: f64,
    /// Learning rate meanwhile.
    pub rate: f64,
}

/// Rates one after the other.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Schedule(Vec<Span>);

impl Schedule {
    /// The rates of `spans`; none where a length or rate is not a positive number.
    #[must_use]
    pub fn new(spans: Vec<Span>) -> Option<Self> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let sound = spans.iter().all(|span| positive(span.epochs) && positive(span.rate));
        (sound && !spans.is_empty()).then_some(Self(spans))
    }

    /// Whether every length and rate is a positive number.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        Self::new(self.0.clone()).is_some()
    }

    /// Steps in all, where an epoch has `steps_per_epoch`.
    #[must_use]
    pub fn steps(&self, steps_per_epoch: usize) -> usize {
        let epochs: f64 = self.0.iter().map(|span| span.epochs).sum();
        (epochs * steps_per_epoch as f64).round() as usize
    }

    /// The rate of step `step`, counted from 0.
    #[must_use]
    pub fn rate(&self, step: usize, steps_per_epoch: usize) -> f64 {
        let mut end = 0.0;
        for span in &self.0 {
            end += span.epochs * steps_per_epoch as f64;
            if (step as f64) < end.round() {
                return span.rate;
            }
        }
        self.0.last().map_or(0.0, |span| span.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_second_experiment_has_its_rates() {
        let spans = [(2.0, 0.1), (1.5, 0.01), (0.5, 0.001), (0.5, 0.0001)];
        let schedule =
            Schedule::new(spans.map(|(epochs, rate)| Span { epochs, rate }).to_vec()).expect("a schedule");
        assert_eq!(schedule.steps(10), 45);
        let rates: Vec<f64> = [0, 19, 20, 34, 35, 39, 40, 44].map(|step| schedule.rate(step, 10)).to_vec();
        assert_eq!(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001]);
    }

    #[test]
    fn a_schedule_of_nothing_is_none() {
        assert!(Schedule::new(vec![]).is_none());
        assert!(Schedule::new(vec![Span { epochs: f64::NAN, rate: 0.1 }]).is_none());
        assert!(Schedule::new(vec![Span { epochs: 1.0, rate: -0.1 }]).is_none());
    }
}
