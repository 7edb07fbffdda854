//! The file of a flight, written anew while it grows.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{FlightLog, FlightRules};
use crate::position::Overflown;

/// The file is at most so old while a flight goes on.
const EVERY: Duration = Duration::from_secs(30);

/// Gathers a flight and has its file written by a thread of its own.
pub struct LogWriter {
    folder: PathBuf,
    node: String,
    boot: String,
    log: FlightLog,
    name: String,
    written: Instant,
    sender: Option<SyncSender<(PathBuf, FlightLog)>>,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Files go to `folder` and name `node` and `boot`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(folder: &Path, node: &str, boot: &str) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let (node, boot) = (node.to_owned(), boot.to_owned());
        let names = (node.clone(), boot.clone());
        let thread =
            std::thread::Builder::new().name("flight-log".into()).spawn(move || run(&receiver, &names))?;
        Ok(Self {
            folder: folder.into(),
            node,
            boot,
            log: FlightLog::new(FlightRules::default()),
            name: String::new(),
            written: Instant::now(),
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Takes in a frame; another flight begins where the last one is over.
    pub fn see(&mut self, now: Instant, time: jiff::Timestamp, shown: Option<Overflown>) {
        if self.log.is_over(now) {
            self.write(true);
            self.log = FlightLog::new(FlightRules::default());
        }
        if self.log.is_empty() && shown.is_some() {
            let time = time.strftime("%Y%m%dT%H%M%SZ");
            self.name = format!("flight-{}-{time}-{}.geojson", self.node, self.boot);
        }
        self.log.see(now, time, shown);
        if now.saturating_duration_since(self.written) >= EVERY {
            self.write(false);
            self.written = now;
        }
    }

    /// A track came to its end.
    pub fn count_track(&mut self) {
        self.log.count_track();
    }

    /// Hands the log over; a thread that is still writing gets the next one, unless this one must be `last`.
    fn write(&self, last: bool) {
        let Some(sender) = self.sender.as_ref().filter(|_| !self.log.is_empty()) else { return };
        let message = (self.folder.join(&self.name), self.log.clone());
        if let Err(TrySendError::Full(message)) = sender.try_send(message)
            && last
        {
            // Flights end seldom, and on the ground.
            let _ = sender.send(message);
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.write(true);
        self.sender = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the flight log's thread had panicked; the lines above say where");
        }
    }
}

fn run(receiver: &Receiver<(PathBuf, FlightLog)>, (node, boot): &(String, String)) {
    let mut failing = false;
    while let Ok((path, log)) = receiver.recv() {
        let written = write(&path, &log.text(node, boot));
        match &written {
            Err(error) if !failing => {
                tracing::error!("cannot write flight log {}: {error} (trying again)", path.display());
            }
            _ => {}
        }
        failing = written.is_err();
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = atomic_write_file::AtomicWriteFile::open(path)?;
    file.write_all(text.as_bytes())?;
    file.commit()
}
