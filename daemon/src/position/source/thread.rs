//! One thread that listens to a position source, and opens it again when it falls silent or fails.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mavlink::MavlinkReader;
use mavlink::dialects::ardupilotmega::MavMessage;
use mavlink::error::MessageReadError;

use super::link::is_pause;
use super::{Address, GpsdReader, MavlinkMeaning, NmeaReader, Protocol, Put};
use crate::position::{PoseBuffer, Report};

/// Pause between two attempts to open.
const AGAIN: Duration = Duration::from_secs(1);
/// A connection that says nothing for so long is made anew; datagrams need none.
const SILENCE: Duration = Duration::from_secs(10);

/// The running thread.
pub struct PositionThread {
    stop: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

struct Listening {
    protocol: Protocol,
    address: Address,
    /// What every message is on its way at least.
    delay: Duration,
    poses: Arc<Mutex<PoseBuffer>>,
    stop: Arc<AtomicBool>,
    told: Told,
}

/// What was logged last, so that each thing is said once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Lost,
    Heard { fix: bool },
}

impl PositionThread {
    /// Starts listening to `protocol` at `address`; reports go into `poses`. Every message is on its way for `delay` at
    /// least: that much cannot be told from the messages.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        protocol: Protocol,
        address: Address,
        delay: Duration,
        poses: Arc<Mutex<PoseBuffer>>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut listening =
            Listening { protocol, address, delay, poses, stop: Arc::clone(&stop), told: Told::Nothing };
        let handle = std::thread::Builder::new().name("position".into()).spawn(move || listening.run())?;
        Ok(Self { stop, handle })
    }

    /// Asks the thread to end and waits for it: a fifth of a second at most, but for a connection being made.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handle.thread().unpark();
        if self.handle.join().is_err() {
            tracing::error!("the position thread had panicked; the lines above say where");
        }
    }
}

impl Listening {
    fn run(&mut self) {
        while !self.is_over() {
            let error = self.address.open(self.greeting()).and_then(|link| self.listen(link));
            if self.is_over() {
                return;
            }
            let error = error.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
            if self.told != Told::Lost {
                self.told = Told::Lost;
                tracing::error!(address = %self.address, "no positions: {error} (trying again)");
            }
            std::thread::park_timeout(AGAIN);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn greeting(&self) -> &'static str {
        if self.protocol == Protocol::Gpsd { GpsdReader::GREETING } else { "" }
    }

    /// Until the link fails, or is to end.
    fn listen(&mut self, link: Box<dyn Read + Send>) -> io::Result<()> {
        match self.protocol {
            Protocol::Mavlink(system) => self.hear_mavlink(link, MavlinkMeaning::new(system)),
            Protocol::Nmea => {
                let mut reader = NmeaReader::default();
                self.hear_text(link, move |bytes, now, put| reader.hear(bytes, now, put))
            }
            Protocol::Gpsd => {
                let mut reader = GpsdReader::default();
                self.hear_text(link, move |bytes, now, put| reader.hear(bytes, now, put))
            }
        }
    }

    fn hear_mavlink(&mut self, link: Box<dyn Read + Send>, mut meaning: MavlinkMeaning) -> io::Result<()> {
        let (mut reader, mut heard) = (MavlinkReader::new(link), Instant::now());
        while !self.is_over() {
            match reader.read_any_message::<MavMessage>() {
                Ok((header, message)) => {
                    heard = Instant::now();
                    let sent = self.sent(heard);
                    self.put(|put| {
                        meaning.hear((header.system_id, header.component_id), &message, sent, put);
                    });
                }
                Err(MessageReadError::Io(error)) if is_pause(&error) => self.check_silence(heard)?,
                Err(MessageReadError::Io(error)) => return Err(error),
                // Damaged or of another dialect.
                Err(MessageReadError::Parse(_)) => {}
            }
        }
        Ok(())
    }

    fn hear_text(
        &mut self,
        mut link: Box<dyn Read + Send>,
        mut hear: impl FnMut(&[u8], Instant, Put<'_>),
    ) -> io::Result<()> {
        let (mut bytes, mut heard) = ([0; 4096], Instant::now());
        while !self.is_over() {
            match link.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    heard = Instant::now();
                    let bytes = bytes.get(..count).unwrap_or_default();
                    let sent = self.sent(heard);
                    self.put(|put| hear(bytes, sent, put));
                }
                Err(error) if is_pause(&error) => self.check_silence(heard)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sent(&self, heard: Instant) -> Instant {
        heard.checked_sub(self.delay).unwrap_or(heard)
    }

    fn check_silence(&self, heard: Instant) -> io::Result<()> {
        let is_silent = heard.elapsed() > SILENCE && !matches!(self.address, Address::Udp(_));
        if is_silent { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    fn put(&mut self, hear: impl FnOnce(Put<'_>)) {
        let poses = Arc::clone(&self.poses);
        let mut poses = poses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fix = None;
        hear(&mut |moment, report| {
            if let Report::Fix(place) = report {
                fix = Some(place.is_some());
            }
            poses.put(moment, report);
        });
        drop(poses);
        let told = match (fix, self.told) {
            (Some(fix), _) => Told::Heard { fix },
            (None, Told::Nothing | Told::Lost) => Told::Heard { fix: false },
            (None, told) => told,
        };
        if told != self.told {
            self.told = told;
            let fix = told == Told::Heard { fix: true };
            tracing::info!(address = %self.address, fix, "position source");
        }
    }
}
