//! What is seen of training while it goes on: at the foot of a terminal some lines that are drawn over each other, elsewhere
//! a line now and then. Nothing of the terminal is changed but these lines, so that nothing has to be put back, however the
//! program ends.

mod history;
mod memory;
mod seen;

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use seen::StagePlan;

use super::steps::Progress;
use seen::Seen;

/// Between two lines where there is no terminal.
const APART: Duration = Duration::from_secs(30);

/// A run that is watched.
pub struct Dashboard {
    seen: Seen,
    begun: Instant,
    shown: Shown,
}

enum Shown {
    Terminal { bar: ProgressBar, panel: Vec<ProgressBar>, _all: MultiProgress },
    Lines { last: Option<Instant> },
}

impl Dashboard {
    /// Of a run of `stages` with so many `pictures` a step, on standard error.
    #[must_use]
    pub fn new(stages: Vec<StagePlan>, pictures: usize) -> Self {
        let seen = Seen::new(stages, pictures);
        let target = ProgressDrawTarget::stderr();
        let shown = if target.is_hidden() { Shown::Lines { last: None } } else { on_terminal(target, &seen) };
        Self { seen, begun: Instant::now(), shown }
    }

    /// A step was done.
    pub fn step(&mut self, progress: &Progress) {
        self.seen.step(progress, self.begun.elapsed());
        match &mut self.shown {
            Shown::Terminal { bar, panel, .. } => {
                for (line, text) in panel.iter().zip(self.seen.panel(memory::resident())) {
                    line.set_message(text);
                }
                bar.set_prefix(self.seen.stage());
                bar.set_message(self.seen.left());
                bar.set_position(self.seen.done() as u64);
            }
            Shown::Lines { last } => {
                let due = last.is_none_or(|last| last.elapsed() >= APART);
                if due || progress.validated.is_some() || progress.step == progress.steps {
                    *last = Some(Instant::now());
                    eprintln!("{}", self.seen.line(memory::resident()));
                }
            }
        }
    }

    /// The run is over; what was shown last stays.
    pub fn end(self) {
        if let Shown::Terminal { bar, panel, .. } = self.shown {
            bar.abandon();
            panel.iter().for_each(ProgressBar::abandon);
        }
    }
}

fn on_terminal(target: ProgressDrawTarget, seen: &Seen) -> Shown {
    let all = MultiProgress::with_draw_target(target);
    let line = |template: &str| {
        let line = all.add(ProgressBar::new(seen.total() as u64));
        ProgressStyle::with_template(template).map_or(line.clone(), |style| line.with_style(style))
    };
    let bar = line("{prefix} {wide_bar} {pos}/{len} in {elapsed}, {msg}");
    let panel = seen.panel(None).iter().map(|_| line("{wide_msg}")).collect();
    Shown::Terminal { bar, panel, _all: all }
}
