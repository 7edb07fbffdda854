//! `download`: the pictures of a prepared set.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fieldmark_trainer::download::{self, FAILED, Settings};
use fieldmark_trainer::prepare::layout;
use fieldmark_trainer::run;

use crate::Failure;

#[derive(Args)]
pub(crate) struct DownloadArgs {
    /// Folder of the prepared set.
    set: PathBuf,
    /// Pictures fetched at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Of these, from one host.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    per_host: u16,
    /// Times that a picture is asked for before it is given up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    attempts: u32,
    /// Seconds that one picture may take.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout_s: u64,
    /// Milliseconds to wait after a first failure; doubled after each, up to a minute.
    #[arg(long, default_value_t = 1000)]
    pause_ms: u64,
    /// Megabytes of the largest file that is taken.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    max_mb: u64,
    /// Ask again for what could not be had before.
    #[arg(long)]
    retry_failed: bool,
}

impl DownloadArgs {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let settings = Settings {
            connections: self.connections.into(),
            per_host: self.per_host.into(),
            attempts: self.attempts,
            timeout: Duration::from_secs(self.timeout_s),
            pause: Duration::from_millis(self.pause_ms),
            max_bytes: self.max_mb << 20,
            retry_failed: self.retry_failed,
        };
        if !self.set.join(layout::REPORT).is_file() {
            return Err(Failure::Usage(anyhow::anyhow!(
                "{} is no prepared set: it has no {}; make one with `fieldmark-trainer prepare`",
                self.set.display(),
                layout::REPORT
            )));
        }
        let bar = run::progress("pictures", download::count(&self.set)?);
        let outcome = download::download(&self.set, &settings, &|outcome| {
            bar.set_position(outcome.there + outcome.fetched + outcome.failed + outcome.skipped);
            bar.set_message(format!("{} failed", outcome.failed + outcome.skipped));
        })?;
        bar.finish_and_clear();
        println!(
            "{} pictures there before, {} fetched, {} cannot be had, {} known as such",
            outcome.there, outcome.fetched, outcome.failed, outcome.skipped
        );
        if outcome.failed + outcome.skipped > 0 {
            println!("why: {}", self.set.join(FAILED).display());
        }
        Ok(())
    }
}
