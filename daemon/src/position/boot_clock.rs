//! From a sender's clock, which counts from its start, to ours.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages whose delay is compared.
const WINDOW: usize = 128;
/// Messages come a little out of order; a sender that counts back further has started anew.
const BACK: f64 = 1.0;

/// Maps a sender's seconds to moments here. The message that was least on its way says how the clocks stand, so one
/// that comes late still gets the moment it speaks of.
#[derive(Debug, Default)]
pub struct BootClock {
    begun: Option<Instant>,
    /// Our seconds less the sender's, for the last messages.
    offsets: VecDeque<f64>,
    latest: f64,
}

impl BootClock {
    /// The moment of `boot_s`, the sender's seconds in a message that arrived at `arrived`.
    pub fn moment(&mut self, boot_s: f64, arrived: Instant) -> Instant {
        let begun = *self.begun.get_or_insert(arrived);
        let ours = arrived.saturating_duration_since(begun).as_secs_f64();
        if boot_s < self.latest - BACK {
            self.offsets.clear();
            self.latest = boot_s;
        }
        self.latest = self.latest.max(boot_s);
        if self.offsets.len() >= WINDOW {
            self.offsets.pop_front();
        }
        self.offsets.push_back(ours - boot_s);
        let offset = self.offsets.iter().copied().fold(f64::INFINITY, f64::min);
        let age = (ours - (boot_s + offset)).max(0.0);
        arrived.checked_sub(Duration::try_from_secs_f64(age).unwrap_or_default()).unwrap_or(arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_message_keeps_its_moment_and_a_restart_is_noticed() {
        let (begin, mut clock) = (Instant::now(), BootClock::default());
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let off = |moment: Instant, ms: u64| {
            let (moment, wanted) = (moment.duration_since(begin).as_secs_f64(), ms as f64 / 1e3);
            (moment - wanted).abs()
        };
        // The sender started 100 s before us; messages take 10 to 40 ms, one of them 3 s.
        for (sent, delay) in [(0, 40), (100, 10), (200, 30), (300, 3000), (400, 12)] {
            let moment = clock.moment(100.0 + sent as f64 / 1e3, at(sent + delay));
            assert!(off(moment, sent) < 0.045, "{sent}: {}", off(moment, sent));
        }
        let restarted = clock.moment(0.5, at(10_000));
        assert!(off(restarted, 10_000) < 0.001);
    }
}
