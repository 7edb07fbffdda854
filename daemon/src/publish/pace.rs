//! How fast, and in which bursts, a link is used.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes that TCP/IP and TLS add to a packet, about.
const CARRIED: f64 = 70.0;

/// A link's budget.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<f64>,
    batch: Duration,
    free_at: Option<Instant>,
    next_batch: Option<Instant>,
}

impl Pace {
    /// At most `bytes_per_second`; what can wait goes every `batch`, where that is not zero.
    pub(super) fn new(bytes_per_second: Option<f64>, batch: Duration) -> Self {
        Self { bytes_per_second, batch, free_at: None, next_batch: None }
    }

    /// Until when nothing may be sent.
    pub(super) fn must_wait(&self, now: Instant) -> Option<Instant> {
        self.free_at.filter(|&free_at| free_at > now)
    }

    /// A packet of `bytes` was handed over.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) {
        if let Some(rate) = self.bytes_per_second {
            #[expect(clippy::cast_precision_loss, reason = "packets are far smaller than 2^52 bytes")]
            let seconds = (bytes as f64 + CARRIED) / rate;
            let from = self.free_at.map_or(now, |free_at| free_at.max(now));
            self.free_at = Some(from + Duration::from_secs_f64(seconds));
        }
    }

    /// A new connection: what waits may go at once.
    pub(super) fn connected(&mut self, now: Instant) {
        (self.free_at, self.next_batch) = (None, Some(now));
    }

    pub(super) fn batch_is_due(&self, now: Instant) -> bool {
        self.batch.is_zero() || self.next_batch.is_none_or(|next| next <= now)
    }

    /// Nothing is left of the batch.
    pub(super) fn batch_is_sent(&mut self, now: Instant) {
        self.next_batch = Some(now + self.batch);
    }

    /// When the next batch goes; `None` where nothing is gathered.
    pub(super) fn next_batch(&self) -> Option<Instant> {
        self.next_batch.filter(|_| !self.batch.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_over_any_number_of_packets() {
        let begin = Instant::now();
        let mut pace = Pace::new(Some(1000.0), Duration::ZERO);
        let (mut now, mut sent) = (begin, 0usize);
        while now < begin + Duration::from_secs(60) {
            now = pace.must_wait(now).unwrap_or(now);
            pace.spend(430, now);
            sent += 500;
        }
        assert!((59_000..=61_000).contains(&sent), "{sent}");
    }

    #[test]
    fn what_can_wait_goes_in_batches() {
        let begin = Instant::now();
        let mut pace = Pace::new(None, Duration::from_secs(15));
        pace.connected(begin);
        assert!(pace.batch_is_due(begin));
        pace.batch_is_sent(begin);
        assert!(!pace.batch_is_due(begin + Duration::from_secs(14)));
        assert!(pace.batch_is_due(begin + Duration::from_secs(15)));
        assert_eq!(pace.must_wait(begin), None);
    }
}
