//! The USB/IP line to the kernel: requests in, answers out.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::descriptors::{self, PROBE_BYTES};
use super::picture::Mood;
use super::stream;

const ATTACH: &str = "/sys/devices/platform/vhci_hcd.0/attach";
/// Bus 1, device 2; the kernel only wants it to be unique.
const DEVICE_ID: u32 = 0x0001_0002;
const HIGH_SPEED: u32 = 3;

const HEADER_BYTES: usize = 48;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
const EPIPE: i32 = -32;
const ECONNRESET: i32 = -104;

/// A buffer of the kernel's that waits for a payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    pub(super) sequence: u32,
    pub(super) length: usize,
}

/// What was committed, and what waits.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) buffers: VecDeque<Buffer>,
    pub(super) format: u8,
    pub(super) interval: u32,
    pub(super) mood: Mood,
}

/// Shared by the camera, its line and its stream.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Counts lines; a stream ends when its line is not the latest.
    pub(super) line: AtomicU64,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An emulated camera that can be plugged in.
pub struct Camera {
    shared: Arc<Shared>,
    jpegs: Arc<Vec<Vec<u8>>>,
    small: Arc<Vec<u8>>,
    plugged: Option<UnixStream>,
}

impl Camera {
    /// A camera that shows `jpegs` in turn; `small` is a JPEG of another size.
    #[must_use]
    pub fn new(jpegs: Vec<Vec<u8>>, small: Vec<u8>) -> Self {
        let shared = Arc::new(Shared::default());
        shared.state().interval = descriptors::INTERVALS[0];
        Self { shared, jpegs: Arc::new(jpegs), small: Arc::new(small), plugged: None }
    }

    /// How it behaves from now on.
    pub fn behave(&self, mood: Mood) {
        self.shared.state().mood = mood;
    }

    /// Pulls the plug.
    pub fn unplug(&mut self) {
        self.shared.line.fetch_add(1, Ordering::SeqCst);
        if let Some(line) = self.plugged.take() {
            let _ = line.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Plugs it into port 0.
    ///
    /// # Errors
    /// If the kernel has no `vhci-hcd`, or the port is taken.
    pub fn plug(&mut self) -> io::Result<()> {
        let (theirs, ours) = UnixStream::pair()?;
        let attach = format!("0 {} {DEVICE_ID} {HIGH_SPEED}\n", theirs.as_raw_fd());
        std::fs::write(ATTACH, attach)?;
        let number = self.shared.line.fetch_add(1, Ordering::SeqCst) + 1;
        self.shared.state().buffers.clear();
        let answers = Arc::new(Mutex::new(ours.try_clone()?));
        self.plugged = Some(ours.try_clone()?);
        let line = Line { shared: Arc::clone(&self.shared), requests: ours, answers: Arc::clone(&answers) };
        std::thread::spawn(move || line.serve());
        let (shared, jpegs, small) =
            (Arc::clone(&self.shared), Arc::clone(&self.jpegs), Arc::clone(&self.small));
        std::thread::spawn(move || stream::run(&shared, &answers, number, &jpegs, &small));
        Ok(())
    }
}

/// Answers a request for `sequence` with `data`, or with how much was taken.
pub(super) fn submit(
    answers: &Mutex<UnixStream>,
    sequence: u32,
    status: i32,
    data: &[u8],
    length: usize,
) -> io::Result<()> {
    answer(answers, [RET_SUBMIT, sequence, 0, 0, 0, status.cast_unsigned(), length as u32], data)
}

fn answer(answers: &Mutex<UnixStream>, words: [u32; 7], data: &[u8]) -> io::Result<()> {
    let mut packet = Vec::with_capacity(HEADER_BYTES + data.len());
    packet.extend(words.into_iter().chain([0; 5]).flat_map(u32::to_be_bytes));
    packet.extend(data);
    answers.lock().unwrap_or_else(PoisonError::into_inner).write_all(&packet)
}

struct Line {
    shared: Arc<Shared>,
    requests: UnixStream,
    answers: Arc<Mutex<UnixStream>>,
}

impl Line {
    /// Until the plug is pulled.
    fn serve(mut self) {
        let mut probe = descriptors::negotiate(&[]);
        while self.request(&mut probe).is_ok() {}
    }

    fn request(&mut self, probe: &mut [u8; PROBE_BYTES]) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES];
        self.requests.read_exact(&mut header)?;
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (command, sequence, into_host, endpoint) = (word(0), word(4), word(12) == 1, word(16));
        if command == CMD_UNLINK {
            return self.unlink(sequence, word(20));
        }
        let length = word(24) as usize;
        let mut sent = Vec::new();
        if !into_host {
            sent.resize(length, 0);
            self.requests.read_exact(&mut sent)?;
        }
        if endpoint == 1 && into_host {
            self.shared.state().buffers.push_back(Buffer { sequence, length });
            return Ok(());
        }
        let Some(mut data) = self.control(&header[40..48], &sent, probe) else {
            return submit(&self.answers, sequence, EPIPE, &[], 0);
        };
        if into_host {
            data.truncate(usize::from(u16::from_le_bytes([header[46], header[47]])));
            let length = data.len();
            submit(&self.answers, sequence, 0, &data, length)
        } else {
            submit(&self.answers, sequence, 0, &[], length)
        }
    }

    fn unlink(&self, sequence: u32, target: u32) -> io::Result<()> {
        let mut state = self.shared.state();
        let waiting = state.buffers.len();
        state.buffers.retain(|buffer| buffer.sequence != target);
        let status = if state.buffers.len() < waiting { ECONNRESET } else { 0 };
        drop(state);
        answer(&self.answers, [RET_UNLINK, sequence, 0, 0, 0, status.cast_unsigned(), 0], &[])
    }

    /// Answers a control transfer; `None` stalls it.
    fn control(&self, setup: &[u8], sent: &[u8], probe: &mut [u8; PROBE_BYTES]) -> Option<Vec<u8>> {
        let &[kind, request, value_low, value_high, interface, ..] = setup else { return None };
        let streaming = interface == 1;
        match (kind, request) {
            (0x80, 6) => match value_high {
                1 => Some(descriptors::DEVICE.to_vec()),
                2 => Some(descriptors::configuration()),
                3 => Some(descriptors::string(value_low)),
                _ => None,
            },
            (0x80..=0x82, 0) => Some(vec![0, 0]),
            (0x80, 8) => Some(vec![1]),
            (0x81, 10) => Some(vec![0]),
            (0x00..=0x02, _) => Some(Vec::new()),
            (0xa1, _) if streaming => settings(request, probe),
            (0x21, 1) if streaming => {
                *probe = descriptors::negotiate(sent);
                if value_high == 2 {
                    let mut state = self.shared.state();
                    (state.format, state.interval) = (probe[2], descriptors::interval(probe));
                }
                Some(Vec::new())
            }
            (0xa1, _) => brightness(request),
            (0x21, 1) => Some(Vec::new()),
            _ => None,
        }
    }
}

/// GET_CUR, GET_MIN, GET_MAX, GET_LEN, GET_INFO and GET_DEF of the streaming settings.
fn settings(request: u8, probe: &[u8; PROBE_BYTES]) -> Option<Vec<u8>> {
    match request {
        0x81 => Some(probe.to_vec()),
        0x82 | 0x83 | 0x87 => {
            let slowest = if request == 0x83 { descriptors::INTERVALS[2] } else { descriptors::INTERVALS[0] };
            let mut limit = descriptors::negotiate(probe);
            limit[4..8].copy_from_slice(&slowest.to_le_bytes());
            Some(limit.to_vec())
        }
        0x85 => Some(vec![PROBE_BYTES as u8, 0]),
        0x86 => Some(vec![3]),
        _ => None,
    }
}

/// The same of the one control there is.
fn brightness(request: u8) -> Option<Vec<u8>> {
    match request {
        0x81 | 0x82 | 0x87 => Some(vec![0, 0]),
        0x83 => Some(vec![255, 0]),
        0x84 => Some(vec![1, 0]),
        0x85 => Some(vec![2, 0]),
        0x86 => Some(vec![3]),
        _ => None,
    }
}
