//! The file of a flight, gathered and written off the frame path.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{FlightLog, FlightRules};
use crate::position::Overflown;

/// The file is at most so old while a flight goes on.
const EVERY: Duration = Duration::from_secs(30);
/// Frames that wait while the disk is slow: a minute of 30 a second.
const WAITING: usize = 2048;

/// One frame, or the end of a track.
enum Seen {
    Frame(Instant, jiff::Timestamp, Option<Overflown>),
    Track,
}

/// Has a thread of its own gather flights and write their files. Handing over neither waits nor asks for memory.
pub struct LogWriter {
    sender: Option<SyncSender<Seen>>,
    passed_over: u64,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Files go to `folder` and name `node` and `boot`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(folder: &Path, node: &str, boot: &str) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let logbook = Logbook::new(folder, node, boot);
        let thread =
            std::thread::Builder::new().name("flight-log".into()).spawn(move || logbook.keep(&receiver))?;
        Ok(Self { sender: Some(sender), passed_over: 0, thread: Some(thread) })
    }

    /// Takes in a frame; another flight begins where the last one is over.
    pub fn see(&mut self, now: Instant, time: jiff::Timestamp, shown: Option<Overflown>) {
        self.hand_over(Seen::Frame(now, time, shown));
    }

    /// A track came to its end.
    pub fn count_track(&mut self) {
        self.hand_over(Seen::Track);
    }

    fn hand_over(&mut self, seen: Seen) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_)) = sender.try_send(seen) {
            if self.passed_over == 0 {
                tracing::warn!("the disk is too slow for the flight log: it will miss frames");
            }
            self.passed_over += 1;
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.sender = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the flight log's thread had panicked; the lines above say where");
        }
        if self.passed_over > 0 {
            let frames = self.passed_over;
            tracing::warn!(frames, "the flight log missed what came while the disk was too slow");
        }
    }
}

/// What the thread has: the present flight and where it is written.
struct Logbook {
    folder: PathBuf,
    node: String,
    boot: String,
    log: FlightLog,
    name: String,
    /// What was taken in since it was written.
    is_newer: bool,
    failing: bool,
}

impl Logbook {
    fn new(folder: &Path, node: &str, boot: &str) -> Self {
        Self {
            folder: folder.into(),
            node: node.into(),
            boot: boot.into(),
            log: FlightLog::new(FlightRules::default()),
            name: String::new(),
            is_newer: false,
            failing: false,
        }
    }

    fn keep(mut self, receiver: &Receiver<Seen>) {
        let mut due = Instant::now() + EVERY;
        loop {
            match receiver.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Seen::Frame(now, time, shown)) => self.see(now, time, shown),
                Ok(Seen::Track) => {
                    self.log.count_track();
                    self.is_newer = true;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
            if Instant::now() >= due {
                self.write();
                due = Instant::now() + EVERY;
            }
        }
    }

    fn see(&mut self, now: Instant, time: jiff::Timestamp, shown: Option<Overflown>) {
        if self.log.is_over(now) {
            self.write();
            self.log = FlightLog::new(FlightRules::default());
        }
        if self.log.is_empty() && shown.is_some() {
            let (node, boot) = (&self.node, &self.boot);
            self.name = format!("flight-{node}-{}-{boot}.geojson", time.strftime("%Y%m%dT%H%M%SZ"));
        }
        self.log.see(now, time, shown);
        self.is_newer = true;
    }

    fn write(&mut self) {
        if self.log.is_empty() || !self.is_newer {
            return;
        }
        let path = self.folder.join(&self.name);
        let written = write(&path, &self.log.text(&self.node, &self.boot));
        match &written {
            Err(error) if !self.failing => {
                tracing::error!("cannot write flight log {}: {error} (trying again)", path.display());
            }
            _ => {}
        }
        self.failing = written.is_err();
        self.is_newer = self.failing;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Geodetic;

    #[test]
    fn flights_are_files_of_their_own_and_the_last_is_written_at_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = LogWriter::start(&folder.path().join("logs"), "uav", "BOOT").expect("a thread");
        let camera = Geodetic { lat: 47.0, lon: 8.0 };
        let (begin, hour) = (Instant::now(), 3600);
        for (flight, tracks) in [(0, 1), (1, 2)] {
            for second in 0..5 {
                let seconds = flight * hour + second;
                let at = camera.moved(0.0, 5.0 * second as f64);
                let corners =
                    [(-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0)].map(|(x, y)| at.moved(x, y));
                let shown = Overflown { camera: at, height_m: 20.0, corners };
                let time = jiff::Timestamp::from_second(seconds).expect("a time");
                writer.see(begin + Duration::from_secs(seconds as u64), time, Some(shown));
            }
            (0..tracks).for_each(|_| writer.count_track());
        }
        drop(writer);
        let mut files: Vec<_> = std::fs::read_dir(folder.path().join("logs"))
            .expect("a folder")
            .map(|entry| entry.expect("a file").path())
            .collect();
        files.sort();
        let tracks: Vec<_> = files
            .iter()
            .map(|file| std::fs::read_to_string(file).expect("text"))
            .map(|text| serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))
            .map(|log| log["features"][0]["properties"]["tracks"].as_u64())
            .collect();
        assert_eq!(tracks, [Some(1), Some(2)], "{files:?}");
    }
}
