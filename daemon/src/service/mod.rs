//! The stages on their threads: a capture thread a camera, one inference thread, and the network's own.

mod bench;
mod inference;
pub mod logging;
mod machine;
mod meter;
mod node;
mod notify;
mod progress;
mod pulse;
mod reload;
mod repeats;
mod run;
mod updating;

pub(crate) use bench::quantile;
pub use bench::{BenchFrame, BenchReport, EngineAlone, Spread, bench, bench_config};
pub(crate) use machine::peak_rss_bytes;
pub use notify::ServiceManager;
pub use run::{RunError, run};
pub use updating::Updating;
