//! Lines that say the same again and again are written a few times, then counted, and told of once a minute. What
//! differs in numbers only is the same.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// How long lines are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines of a kind in that time.
const BURST: u32 = 5;
/// Kinds remembered at a time: a flood of different lines is not held back.
const KINDS: usize = 512;

static LIMITS: AtomicBool = AtomicBool::new(false);
static REPEATS: Mutex<Option<Repeats>> = Mutex::new(None);

/// Whether repeats are left out: in a daemon that runs for months, not in a command that says everything once.
pub(super) fn limit() {
    LIMITS.store(true, Ordering::Relaxed);
}

/// Tells how many lines were left out of those whose minute is over, or of all at the end.
pub(super) fn tell_left_out(all: bool) {
    let over = {
        let mut repeats = REPEATS.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.get_or_insert_default().take_over(Instant::now(), all)
    };
    for (text, left_out) in over {
        tracing::warn!(left_out, "left out of the log {left_out} times: {text}");
    }
}

/// Lets lines through while they are new.
pub(super) struct RepeatFilter;

impl<S: Subscriber> Layer<S> for RepeatFilter {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        if !LIMITS.load(Ordering::Relaxed) || *event.metadata().level() > Level::INFO {
            return true;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let mut hasher = DefaultHasher::new();
        event.metadata().callsite().hash(&mut hasher);
        line.camera.hash(&mut hasher);
        line.text.bytes().filter(|byte| !byte.is_ascii_digit()).for_each(|byte| hasher.write_u8(byte));
        let mut repeats = REPEATS.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.get_or_insert_default().admits(hasher.finish(), &line, Instant::now())
    }
}

/// What tells one line from another.
#[derive(Debug, Default)]
struct Line {
    text: String,
    camera: String,
}

impl Line {
    fn note(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let into = match field.name() {
            "message" => &mut self.text,
            "camera" => &mut self.camera,
            _ => return,
        };
        let _ = into.write_fmt(value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, format_args!("{value}"));
    }
}

#[derive(Debug, Default)]
struct Repeats(HashMap<u64, Kind>);

#[derive(Debug)]
struct Kind {
    since: Instant,
    told: u32,
    left_out: u64,
    text: String,
}

impl Repeats {
    fn admits(&mut self, kind: u64, line: &Line, now: Instant) -> bool {
        if self.0.len() >= KINDS && !self.0.contains_key(&kind) {
            return true;
        }
        let fresh = || Kind { since: now, told: 0, left_out: 0, text: String::new() };
        let kind = self.0.entry(kind).or_insert_with(fresh);
        if kind.left_out == 0 && now.saturating_duration_since(kind.since) >= WINDOW {
            *kind = fresh();
        }
        if kind.told < BURST {
            kind.told += 1;
            return true;
        }
        if kind.left_out == 0 {
            let camera =
                if line.camera.is_empty() { String::new() } else { format!("camera {}: ", line.camera) };
            kind.text = format!("{camera}{}", line.text);
        }
        kind.left_out += 1;
        false
    }

    fn take_over(&mut self, now: Instant, all: bool) -> Vec<(String, u64)> {
        let mut over = Vec::new();
        self.0.retain(|_, kind| {
            let ends = all || now.saturating_duration_since(kind.since) >= WINDOW;
            if ends && kind.left_out > 0 {
                over.push((std::mem::take(&mut kind.text), kind.left_out));
            }
            !ends
        });
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_again_and_again_is_counted_and_none_is_lost_count_of() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let line = Line { text: "no frame".into(), camera: "pond".into() };
        let at = |second| begin + Duration::from_secs(second);
        let (mut told, mut left_out) = (0, 0);
        for second in 0..600 {
            told += u64::from(repeats.admits(1, &line, at(second)));
            if second % 10 == 0 {
                for (text, count) in repeats.take_over(at(second), false) {
                    assert_eq!(text, "camera pond: no frame");
                    left_out += count;
                }
            }
        }
        left_out += repeats.take_over(at(600), true).iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(told + left_out, 600);
        assert!((45..=55).contains(&told), "{told}");
    }

    #[test]
    fn rare_lines_and_other_lines_are_all_told() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        for number in 0..100 {
            let now = begin + Duration::from_secs(number * 13);
            assert!(repeats.admits(1, &Line::default(), now), "one in thirteen seconds");
            assert!(repeats.admits(number + 2, &Line::default(), now), "another line");
        }
    }
}
