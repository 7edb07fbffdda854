//! How fast frames come and are decided.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::capture::CameraCounts;
use crate::publish::messages::Rates;

/// What one camera's frames took since somebody last looked, in microseconds.
#[derive(Debug, Default)]
struct Latencies {
    frames: AtomicU64,
    total: AtomicU64,
    longest: AtomicU64,
}

/// Measures between two looks. The frame path adds three numbers a frame and waits for nobody.
#[derive(Debug)]
pub(super) struct Meter {
    latencies: Vec<Latencies>,
    last: Mutex<(Instant, BTreeMap<String, CameraCounts>)>,
}

impl Meter {
    /// Of `cameras` cameras, from `now` on.
    pub(super) fn new(cameras: usize, now: Instant) -> Self {
        let latencies = (0..cameras).map(|_| Latencies::default()).collect();
        Self { latencies, last: Mutex::new((now, BTreeMap::new())) }
    }

    /// A frame of `camera` was decided in so many milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a latency is small and positive"
    )]
    pub(super) fn decided(&self, camera: usize, latency_ms: f64) {
        let Some(latencies) = self.latencies.get(camera) else { return };
        let microseconds = (latency_ms * 1000.0) as u64;
        latencies.frames.fetch_add(1, Ordering::Relaxed);
        latencies.total.fetch_add(microseconds, Ordering::Relaxed);
        latencies.longest.fetch_max(microseconds, Ordering::Relaxed);
    }

    /// What happened since the last look; `counts` are those of `names` now.
    pub(super) fn look(
        &self,
        names: &[String],
        counts: &BTreeMap<String, CameraCounts>,
        now: Instant,
    ) -> BTreeMap<String, Rates> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now.saturating_duration_since(last.0).as_secs_f64();
        let before = std::mem::replace(&mut *last, (now, counts.clone())).1;
        let rates = |(name, latencies): (&String, &Latencies)| {
            let (present, before) = (counts.get(name)?, before.get(name).copied().unwrap_or_default());
            let rate = |present: u64, before: u64| rounded(number(present.saturating_sub(before)) / seconds);
            let (mean, longest) = latencies.take().unzip();
            let rates = Rates {
                captured_hz: rate(present.captured, before.captured),
                inferred_hz: rate(present.inferred, before.inferred),
                latency_mean_ms: mean,
                latency_max_ms: longest,
            };
            (seconds > 0.0).then(|| (name.clone(), rates))
        };
        names.iter().zip(&self.latencies).filter_map(rates).collect()
    }
}

impl Latencies {
    /// Mean and longest in milliseconds, where there was a frame.
    fn take(&self) -> Option<(f64, f64)> {
        let frames = self.frames.swap(0, Ordering::Relaxed);
        let (total, longest) =
            (self.total.swap(0, Ordering::Relaxed), self.longest.swap(0, Ordering::Relaxed));
        let milliseconds = |microseconds: f64| rounded(microseconds / 1000.0);
        (frames > 0).then(|| (milliseconds(number(total) / number(frames)), milliseconds(number(longest))))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts between two looks are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_and_latencies_are_those_since_the_last_look() {
        let begin = Instant::now();
        let meter = Meter::new(1, begin);
        let names = ["pond".to_owned()];
        let look = |captured, inferred, second| {
            let counts = CameraCounts { captured, inferred, ..CameraCounts::default() };
            let counts = BTreeMap::from([("pond".to_owned(), counts)]);
            meter.look(&names, &counts, begin + Duration::from_secs(second))["pond"]
        };
        meter.decided(0, 10.0);
        meter.decided(0, 31.5);
        meter.decided(7, 99.0);
        let rates = look(20, 2, 4);
        assert_eq!((rates.captured_hz, rates.inferred_hz), (5.0, 0.5));
        assert_eq!((rates.latency_mean_ms, rates.latency_max_ms), (Some(20.75), Some(31.5)));
        let rates = look(30, 2, 6);
        assert_eq!((rates.captured_hz, rates.inferred_hz, rates.latency_mean_ms), (5.0, 0.0, None));
    }
}
