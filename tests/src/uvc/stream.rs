//! Frames into the kernel's buffers, at the rate that was agreed.

use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::descriptors::YUYV;
use super::link::{Buffer, Shared, submit};
use super::picture::{Mood, mjpg, yuyv};

/// Payload header: its own length and a byte of flags (UVC 1.0, 2.4.3.3).
const PAYLOAD_HEADER: usize = 2;
const END_OF_HEADER: u8 = 0x80;
const END_OF_FRAME: u8 = 0x02;
/// A frame for which no buffers come is given up after this.
const PATIENCE: Duration = Duration::from_millis(500);

/// Streams for as long as line number `line` is the latest.
pub(super) fn run(shared: &Shared, answers: &Mutex<UnixStream>, line: u64, jpegs: &[Vec<u8>], small: &[u8]) {
    let (mut number, mut parity, mut due) = (0, 0, Instant::now());
    while shared.line.load(Ordering::SeqCst) == line {
        let (interval, mood, format) = {
            let state = shared.state();
            (state.interval, state.mood, state.format)
        };
        due += Duration::from_nanos(u64::from(interval) * 100);
        let now = Instant::now();
        // A machine that is too slow gets fewer frames, not a growing debt of them.
        due = due.max(now);
        std::thread::sleep(due - now);
        if mood == Mood::Stalled {
            continue;
        }
        let frame = if format == YUYV { yuyv(number, mood) } else { mjpg(jpegs, small, number, mood) };
        number += 1;
        match send(shared, answers, &frame, parity) {
            Ok(true) => parity ^= 1,
            Ok(false) => {}
            Err(_) => return,
        }
    }
}

/// Whether anything of the frame went out.
fn send(shared: &Shared, answers: &Mutex<UnixStream>, frame: &[u8], parity: u8) -> std::io::Result<bool> {
    let (mut rest, begun) = (frame, Instant::now());
    while let Some(Buffer { sequence, length }) = next_buffer(shared, rest.len() < frame.len(), begun) {
        let (part, after) = rest.split_at(rest.len().min(length.saturating_sub(PAYLOAD_HEADER)));
        let last = if after.is_empty() { END_OF_FRAME } else { 0 };
        let mut payload = vec![PAYLOAD_HEADER as u8, END_OF_HEADER | parity | last];
        payload.extend(part);
        submit(answers, sequence, 0, &payload, payload.len())?;
        rest = after;
        if rest.is_empty() {
            return Ok(true);
        }
    }
    Ok(rest.len() < frame.len())
}

/// The kernel's next buffer. One is waited for in the middle of a frame only: before, nobody may be listening.
fn next_buffer(shared: &Shared, within_frame: bool, begun: Instant) -> Option<Buffer> {
    loop {
        if let Some(buffer) = shared.state().buffers.pop_front() {
            return Some(buffer);
        }
        if !within_frame || begun.elapsed() > PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
