//! What cannot be had, one line of JSON each: written when it is known, read by the next run.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub(super) struct Failures {
    path: PathBuf,
    file: Mutex<File>,
    known: HashSet<Box<str>>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    url: Box<str>,
    reason: Box<str>,
}

impl Failures {
    /// Those at `path`; forgotten where `again` asks for all of them once more.
    pub(super) fn open(path: &Path, again: bool) -> anyhow::Result<Self> {
        let mut known = HashSet::new();
        if !again {
            // A line that a kill cut short is asked for once more.
            let text = fs::read(path).unwrap_or_default();
            for line in text.split(|&byte| byte == b'\n') {
                if let Ok(line) = serde_json::from_slice::<Line>(line) {
                    known.insert(line.url);
                }
            }
        }
        let mut options = OpenOptions::new();
        if again {
            options.write(true).truncate(true)
        } else {
            options.append(true)
        };
        let file =
            options.create(true).open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path: path.into(), file: Mutex::new(file), known })
    }

    pub(super) fn knows(&self, url: &str) -> bool {
        self.known.contains(url)
    }

    pub(super) fn add(&self, url: &str, reason: &str) -> anyhow::Result<()> {
        let line = Line { url: url.into(), reason: reason.into() };
        let text = format!("\n{}", serde_json::to_string(&line)?);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }
}
