//! From a sender's clock, which counts from its start, to ours.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages whose delay is compared.
const WINDOW: usize = 128;
/// No message comes so late, in seconds: a sender that counts back further has started anew.
const BACK: f64 = 30.0;
/// Messages come a little out of order, in seconds.
const OUT_OF_ORDER: f64 = 1.0;
/// One that is later comes between others that are not; so many in a row that count back further are a sender that has started anew.
const IN_A_ROW: u32 = 5;

/// Maps a sender's seconds to moments here. The message that was least on its way says how the clocks stand, so one
/// that comes late still gets the moment it speaks of.
#[derive(Debug, Default)]
pub struct BootClock {
    begun: Option<Instant>,
    /// Our seconds less the sender's, for the last messages.
    offsets: VecDeque<f64>,
    latest: f64,
    /// Messages in a row that count back.
    behind: u32,
}

impl BootClock {
    /// The moment of `boot_s`, the sender's seconds in a message that arrived at `arrived`.
    pub fn moment(&mut self, boot_s: f64, arrived: Instant) -> Instant {
        let begun = *self.begun.get_or_insert(arrived);
        let ours = arrived.saturating_duration_since(begun).as_secs_f64();
        self.behind = if boot_s < self.latest - OUT_OF_ORDER { self.behind + 1 } else { 0 };
        if self.behind >= IN_A_ROW || boot_s < self.latest - BACK {
            self.offsets.clear();
            (self.latest, self.behind) = (boot_s, 0);
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
        // The sender started 100 s before us; messages take 10 to 40 ms, two of them 1.2 and 3 s. In the order in which they arrive.
        let sent = (0..50).map(|number| (number * 100, 10 + number * 7 % 30));
        let mut messages: Vec<(u64, u64)> = sent.chain([(250, 1200), (350, 3000)]).collect();
        messages.sort_by_key(|(sent, delay)| sent + delay);
        for (sent, delay) in messages {
            let moment = clock.moment(100.0 + sent as f64 / 1e3, at(sent + delay));
            assert!(off(moment, sent) < 0.045, "{sent}: {}", off(moment, sent));
        }
        let restarted = clock.moment(0.5, at(10_000));
        assert!(off(restarted, 10_000) < 0.001);
        // Once more, before it had run for long.
        clock.moment(5.0, at(14_500));
        for number in 0..10 {
            let moment = clock.moment(0.1 * number as f64, at(20_000 + 100 * number));
            assert!(number < 5 || off(moment, 20_000 + 100 * number) < 0.001, "{number}");
        }
    }
}
