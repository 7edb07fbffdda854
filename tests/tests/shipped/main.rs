//! What is shipped keeps its promises: the package, and the daemon with it on real photographs and a real broker.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod answers;
mod broker;
mod day;
mod package;
mod programs;
mod units;
