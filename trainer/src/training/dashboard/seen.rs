//! What is known of a run that goes on, and how it reads.

use std::collections::VecDeque;
use std::time::Duration;

use fieldmark_models::taxonomy::Rank;
use indicatif::{HumanBytes, HumanDuration};

use super::super::steps::Progress;
use super::super::validation::Validated;
use super::history::History;

/// Rows of the curve.
const ROWS: usize = 3;
/// Steps that speed is taken from.
const RECENT: usize = 32;

/// A stage of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePlan {
    /// Where its labels stand, such as `depth 6` or `leaves`.
    pub name: String,
    /// Its steps.
    pub steps: usize,
}

/// A run's course.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    stages: Vec<StagePlan>,
    /// Pictures of a step.
    pictures: usize,
    losses: History,
    last: Option<Progress>,
    validated: Option<Validated>,
    /// When the last steps were done.
    times: VecDeque<Duration>,
}

impl Seen {
    pub(super) fn new(stages: Vec<StagePlan>, pictures: usize) -> Self {
        let (losses, times) = (History::default(), VecDeque::new());
        Self { stages, pictures, losses, last: None, validated: None, times }
    }

    /// A step was done `at` some time after the beginning.
    pub(super) fn step(&mut self, progress: &Progress, at: Duration) {
        if self.last.as_ref().is_some_and(|last| last.stage != progress.stage) {
            // Another question: its loss is no part of the same curve.
            (self.losses, self.validated) = (History::default(), None);
        }
        self.losses.add(progress.loss.into());
        self.validated = progress.validated.clone().or_else(|| self.validated.take());
        self.last = Some(progress.clone());
        self.times.push_back(at);
        if self.times.len() > RECENT {
            self.times.pop_front();
        }
    }

    /// Steps of all stages.
    pub(super) fn total(&self) -> usize {
        self.stages.iter().map(|stage| stage.steps).sum()
    }

    /// Those that are done.
    pub(super) fn done(&self) -> usize {
        let Some(last) = &self.last else { return 0 };
        self.stages.iter().take(last.stage).map(|stage| stage.steps).sum::<usize>() + last.step
    }

    /// Such as `stage 1 of 2, depth 6`.
    pub(super) fn stage(&self) -> String {
        let number = self.last.as_ref().map_or(0, |last| last.stage);
        let name = self.stages.get(number).map_or("", |stage| &stage.name);
        format!("stage {} of {}, {name}", number + 1, self.stages.len())
    }

    /// Steps a second, lately.
    fn speed(&self) -> Option<f64> {
        let seconds = self.times.back()?.saturating_sub(*self.times.front()?).as_secs_f64();
        (self.times.len() > 1 && seconds > 0.0).then(|| (self.times.len() - 1) as f64 / seconds)
    }

    /// Time that is left at that speed.
    pub(super) fn left(&self) -> String {
        let steps = self.total().saturating_sub(self.done()) as f64;
        match self.speed() {
            Some(speed) => format!("{} left", HumanDuration(Duration::from_secs_f64(steps / speed))),
            None => String::new(),
        }
    }

    /// The lines below the bar, always as many.
    pub(super) fn panel(&self, memory: Option<u64>) -> Vec<String> {
        let Some(last) = &self.last else { return vec![String::new(); ROWS + 2] };
        let (lowest, highest) = self.losses.range().unwrap_or_default();
        let mut rows = self.losses.rows(ROWS);
        for (number, row) in rows.iter_mut().enumerate() {
            let label = match number {
                0 => format!("loss {highest:9.4}"),
                number if number + 1 == ROWS => format!("     {lowest:9.4}"),
                _ => String::new(),
            };
            *row = format!("{label:14} │{row}");
        }
        if let Some(row) = rows.last_mut() {
            row.push_str(&format!("  now {:.4}, rate {}", last.loss, last.rate));
        }
        rows.push(self.validation());
        rows.push(self.pace(memory));
        rows
    }

    fn validation(&self) -> String {
        let Some(validated) = &self.validated else { return "validation: none so far".into() };
        let Validated { validation_loss, validation_top1 } = validated;
        // The deepest first: what does not fit into the terminal is known by then.
        let ranks = Rank::MAIN.iter().rev().filter_map(|rank| {
            validation_top1.get(rank.name()).map(|share| format!("{} {share:.3}", rank.name()))
        });
        let ranks = ranks.collect::<Vec<_>>().join(", ");
        format!("validation: loss {validation_loss:.4}, top-1 {ranks}")
    }

    fn pace(&self, memory: Option<u64>) -> String {
        let speed =
            self.speed().map(|speed| format!("{:.1} pictures a second", speed * self.pictures as f64));
        let memory = memory.map(|bytes| format!("{} of memory", HumanBytes(bytes)));
        [speed, memory].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// All in one line, for a file or a journal.
    pub(super) fn line(&self, memory: Option<u64>) -> String {
        let Some(last) = &self.last else { return String::new() };
        let step = format!("{}: step {} of {}", self.stage(), last.step, last.steps);
        let loss = format!("loss {:.4}, rate {}", last.loss, last.rate);
        let validation = last.validated.as_ref().map(|_| self.validation());
        let parts = [Some(step), Some(loss), validation, Some(self.pace(memory)), Some(self.left())];
        let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(until: usize) -> Seen {
        let plan = |name: &str, steps| StagePlan { name: name.into(), steps };
        let mut seen = Seen::new(vec![plan("depth 6", 40), plan("leaves", 60)], 16);
        for done in 0..until {
            let (stage, step, steps) = if done < 40 { (0, done + 1, 40) } else { (1, done - 39, 60) };
            let validated = (done % 20 == 19).then(|| Validated {
                validation_loss: 2.5 - done as f64 / 50.0,
                validation_top1: [("genus".into(), 0.5), ("kingdom".into(), 0.975)].into(),
            });
            let loss = 4.0 / (1.0 + step as f32 / 10.0);
            let progress = Progress { stage, step, steps, loss, rate: 0.003, validated };
            seen.step(&progress, Duration::from_millis(250 * done as u64));
        }
        seen
    }

    #[test]
    fn a_run_reads_like_this() {
        let (before, first, middle) = (seen(0), seen(30), seen(90));
        let shown = [before, first, middle].map(|seen| {
            let top = format!("{} | {}/{} | {}", seen.stage(), seen.done(), seen.total(), seen.left());
            format!("{top}\n{}\n{}\n", seen.panel(Some(812 << 20)).join("\n"), seen.line(None))
        });
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn the_panel_has_as_many_lines_whatever_is_known() {
        for until in [0, 1, 2, 20, 41, 100] {
            assert_eq!(seen(until).panel(None).len(), ROWS + 2);
        }
    }
}
