//! Pictures of a prepared set, fetched by URL: queue -> fetch -> check -> file.
//!
//! A picture's file has a name of its own and comes to be at once or not at all, so that its being there is all that a
//! run after a kill has to know. What cannot be had for good is written down and not asked for again.

mod check;
mod failures;
mod fetch;
mod queue;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use atomic_write_file::AtomicWriteFile;

use crate::dataset::each_sample;
use crate::prepare::{image_file, layout};
use check::check;
use failures::Failures;
use fetch::{Fetched, Fetcher};
use queue::{Job, Queue};

/// Folder of what was fetched and is no picture, below the set's.
pub const QUARANTINE: &str = "quarantine";
/// One line of JSON for each picture that cannot be had.
pub const FAILED: &str = "failed.jsonl";
/// Whom to name for each picture that is there.
pub const ATTRIBUTION: &str = "attribution.tsv";

/// How pictures are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Pictures at once.
    pub connections: usize,
    /// Of these, from one host.
    pub per_host: usize,
    /// Times that a picture is asked for.
    pub attempts: u32,
    /// Time that one may take.
    pub timeout: Duration,
    /// Pause after the first failure; doubled after each, up to a minute.
    pub pause: Duration,
    /// Largest file.
    pub max_bytes: u64,
    /// Ask again for what could not be had before.
    pub retry_failed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 16,
            per_host: 4,
            attempts: 5,
            timeout: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            max_bytes: 64 << 20,
            retry_failed: false,
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// There before.
    pub there: u64,
    /// Fetched.
    pub fetched: u64,
    /// Cannot be had.
    pub failed: u64,
    /// Known from before that they cannot be had.
    pub skipped: u64,
}

/// Progress, after each picture.
pub type Progress<'a> = &'a (dyn Fn(Outcome) + Sync);

struct Run<'a> {
    folder: &'a Path,
    settings: &'a Settings,
    queue: Queue,
    fetcher: Fetcher,
    failures: Failures,
    stop: AtomicBool,
    stopped: Mutex<Option<anyhow::Error>>,
    counts: [AtomicU64; 4],
    progress: Progress<'a>,
}

/// Fetches the pictures of the set in `folder` that are not there, and writes down whom to name for those that are.
///
/// # Errors
/// If the set cannot be read, or the disk takes no more: what is there by then is whole, and a further run goes on.
pub fn download(folder: &Path, settings: &Settings, progress: Progress<'_>) -> anyhow::Result<Outcome> {
    let failures = Failures::open(&folder.join(FAILED), settings.retry_failed)?;
    let run = Run {
        folder,
        settings,
        queue: Queue::new(settings.per_host),
        fetcher: Fetcher::new(settings),
        failures,
        stop: AtomicBool::new(false),
        stopped: Mutex::new(None),
        counts: Default::default(),
        progress,
    };
    let fed = thread::scope(|scope| {
        for _ in 0..settings.connections.max(1) {
            scope.spawn(|| run.work());
        }
        let fed = run.feed();
        run.queue.close();
        fed
    });
    if let Some(error) = run.stopped.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    fed?;
    write_attribution(folder)?;
    Ok(run.outcome())
}

/// Samples of the set in `folder`.
///
/// # Errors
/// If it cannot be read.
pub fn count(folder: &Path) -> anyhow::Result<usize> {
    let path = folder.join(layout::REPORT);
    let reading = || format!("cannot read {}", path.display());
    let text = fs::read_to_string(&path).with_context(reading)?;
    let report: serde_json::Value = serde_json::from_str(&text).with_context(reading)?;
    let of = |side: &str| report["samples"][side].as_u64().unwrap_or_default();
    Ok((of("training") + of("validation")) as usize)
}

impl Run<'_> {
    fn outcome(&self) -> Outcome {
        let [there, fetched, failed, skipped] =
            [0, 1, 2, 3].map(|count: usize| self.counts[count].load(Ordering::Relaxed));
        Outcome { there, fetched, failed, skipped }
    }

    fn count(&self, which: usize) {
        self.counts[which].fetch_add(1, Ordering::Relaxed);
        (self.progress)(self.outcome());
    }

    fn feed(&self) -> anyhow::Result<()> {
        let mut last = String::new();
        each_sample(self.folder, |row| {
            let url = row.image;
            let is_address = url.starts_with("http://") || url.starts_with("https://");
            if self.stop.load(Ordering::Relaxed) || !is_address || url == last {
                return Ok(());
            }
            last.clear();
            last.push_str(url);
            if self.folder.join(image_file(url)).is_file() {
                self.count(0);
            } else if self.failures.knows(url) {
                self.count(3);
            } else {
                self.queue.push(Job::new(url));
            }
            Ok(())
        })?;
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.queue.take() {
            if self.stop.load(Ordering::Relaxed) {
                self.queue.done(&job);
                continue;
            }
            if let Err(error) = self.one(&job) {
                self.stop.store(true, Ordering::Relaxed);
                self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            self.queue.done(&job);
        }
    }

    /// Fetches one picture; an error is one that ends the run.
    fn one(&self, job: &Job) -> anyhow::Result<()> {
        match self.fetcher.fetch(&job.url) {
            Fetched::Bytes(bytes) => match check(&bytes) {
                Ok(()) => {
                    self.keep(&job.url, &bytes)?;
                    self.count(1);
                    Ok(())
                }
                Err(reason) => {
                    self.quarantine(&job.url, &bytes)?;
                    self.give_up(&job.url, &reason)
                }
            },
            Fetched::Never(reason) => self.give_up(&job.url, &reason),
            Fetched::Later { reason, host_pause } => {
                if let Some(pause) = host_pause {
                    self.queue.rest(job, Instant::now() + pause);
                }
                if job.attempts + 1 >= self.settings.attempts {
                    return self.give_up(&job.url, &format!("{reason}, asked {} times", job.attempts + 1));
                }
                let pause = self.settings.pause * 2u32.saturating_pow(job.attempts);
                self.queue.again(job, Instant::now() + pause.min(Duration::from_secs(60)));
                Ok(())
            }
        }
    }

    fn give_up(&self, url: &str, reason: &str) -> anyhow::Result<()> {
        self.failures.add(url, reason)?;
        self.count(2);
        Ok(())
    }

    fn keep(&self, url: &str, bytes: &[u8]) -> anyhow::Result<()> {
        put(&self.folder.join(image_file(url)), bytes)
    }

    fn quarantine(&self, url: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let name = image_file(url).file_name().map(PathBuf::from).unwrap_or_default();
        put(&self.folder.join(QUARANTINE).join(name).with_extension("bin"), bytes)
    }
}

/// Writes a file that is there whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(|error| {
        let full = error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded;
        let what = if full {
            "the disk is full: free some space and run it again, it goes on where it stopped"
        } else {
            "stopped"
        };
        anyhow::Error::new(error).context(format!("cannot write {}; {what}", path.display()))
    })
}

/// Licence and rights holder of every picture that is there.
fn write_attribution(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(ATTRIBUTION);
    let writing = || format!("cannot write {}", path.display());
    let file = AtomicWriteFile::open(&path).with_context(writing)?;
    let mut file = io::BufWriter::new(file);
    writeln!(file, "file\turl\tlicence\tattribution").with_context(writing)?;
    let mut failed = Ok(());
    each_sample(folder, |row| {
        let image = image_file(row.image);
        if failed.is_ok() && folder.join(&image).is_file() {
            failed =
                writeln!(file, "{}\t{}\t{}\t{}", image.display(), row.image, row.licence, row.attribution);
        }
        Ok(())
    })?;
    failed.with_context(writing)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error).with_context(writing)?;
    file.commit().with_context(writing)
}
