//! A folder, a ZIP or one file, read by names of members and never unpacked to disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

use super::SourceError;
use crate::prepare::format::FormatError;

/// Text shrinks to a tenth, tables of repeated cells to a fiftieth. What grows beyond this is no table.
const MOST_GROWTH: u64 = 200;

/// Growth that is always allowed.
const FREE: u64 = 64 << 20;

/// Uncompressed size of a gzip file, about: it does not know its own above 4 GB.
const USUAL_GROWTH: u64 = 4;

pub(super) struct Archive<'p> {
    path: PathBuf,
    kind: Kind,
    progress: Option<&'p (dyn Fn(u64, u64) + Sync)>,
    read: Arc<AtomicU64>,
    total: u64,
}

enum Kind {
    File,
    Folder(Vec<(String, u64)>),
    Zip(Vec<(String, u64)>),
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| FormatError::Read { path: path.clone(), source }.into()
}

impl<'p> Archive<'p> {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = failed(path);
        let metadata = fs::metadata(path).map_err(&failed)?;
        let (kind, total) = if metadata.is_dir() {
            let mut members = Vec::new();
            for entry in fs::read_dir(path).map_err(&failed)? {
                let entry = entry.map_err(&failed)?;
                let metadata = fs::metadata(entry.path()).map_err(&failed)?;
                if metadata.is_file() {
                    members.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
                }
            }
            members.sort();
            let total = members.iter().map(|(_, bytes)| bytes).sum();
            (Kind::Folder(members), total)
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
            let mut zip = ZipArchive::new(File::open(path).map_err(&failed)?)
                .map_err(|error| failed(io::Error::other(error)))?;
            let mut members = Vec::new();
            for member in 0..zip.len() {
                let broken = |error| failed(io::Error::other(error));
                let file = zip.by_index_raw(member).map_err(broken)?;
                members.push((file.name().map_err(broken)?.into_owned(), file.size()));
            }
            (Kind::Zip(members), metadata.len())
        } else {
            (Kind::File, metadata.len())
        };
        Ok(Self { path: path.into(), kind, progress: None, read: Arc::default(), total })
    }

    pub(super) fn with_progress(mut self, progress: &'p (dyn Fn(u64, u64) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Names of its members; none where it is one file.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.kind {
            Kind::File => Vec::new(),
            Kind::Folder(members) | Kind::Zip(members) => {
                members.iter().map(|(name, _)| name.clone()).collect()
            }
        }
    }

    /// The name of the one file it is.
    pub(super) fn only(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Bytes of all members, uncompressed, about. A size that a ZIP claims is believed up to what could be true.
    pub(super) fn bytes(&self) -> u64 {
        let one =
            |(name, bytes): &(String, u64)| if name.ends_with(".gz") { bytes * USUAL_GROWTH } else { *bytes };
        match &self.kind {
            Kind::File => one(&(self.only(), self.total)),
            Kind::Folder(members) => members.iter().map(one).sum(),
            Kind::Zip(members) => {
                let claimed = members.iter().map(one).fold(0, u64::saturating_add);
                claimed.min(self.total.saturating_mul(MOST_GROWTH))
            }
        }
    }

    /// The member called `name`, or `name` with `.gz` behind.
    pub(super) fn find(&self, name: &str) -> Option<String> {
        let names = self.names();
        [name.to_owned(), format!("{name}.gz")].into_iter().find(|wanted| names.contains(wanted))
    }

    /// Hands the bytes of a member, uncompressed, to `work`.
    pub(super) fn with<T>(
        &self,
        name: &str,
        work: impl FnOnce(Box<dyn Read + '_>) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let failed = |source: io::Error| SourceError::File { file: name.into(), source: source.into() };
        match &self.kind {
            Kind::Zip(_) => {
                let file = File::open(&self.path).map_err(failed)?;
                let mut zip = ZipArchive::new(file).map_err(|error| failed(io::Error::other(error)))?;
                let member = zip.by_name(name).map_err(|error| failed(io::Error::other(error)))?;
                let packed = Arc::new(AtomicU64::new(member.compressed_size()));
                work(Box::new(Limited { inner: self.told(member), packed, grown: 0 }))
            }
            kind => {
                let path = if matches!(kind, Kind::File) { self.path.clone() } else { self.path.join(name) };
                let file = self.told(File::open(path).map_err(failed)?);
                if !name.ends_with(".gz") {
                    return work(Box::new(file));
                }
                let count = Arc::<AtomicU64>::default();
                let counted = Counted { inner: file, count: Arc::clone(&count) };
                work(Box::new(Limited { inner: MultiGzDecoder::new(counted), packed: count, grown: 0 }))
            }
        }
    }

    fn told<R>(&self, inner: R) -> Told<'p, R> {
        let total = if matches!(self.kind, Kind::Zip(_)) { self.bytes() } else { self.total };
        Told { inner, read: Arc::clone(&self.read), total, progress: self.progress }
    }
}

/// Tells how far reading has come.
struct Told<'p, R> {
    inner: R,
    read: Arc<AtomicU64>,
    total: u64,
    progress: Option<&'p (dyn Fn(u64, u64) + Sync)>,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = self.read.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if let Some(progress) = self.progress {
            progress(read, self.total);
        }
        Ok(count)
    }
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Refuses what grows beyond anything that is text.
struct Limited<R> {
    inner: R,
    packed: Arc<AtomicU64>,
    grown: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.grown += count as u64;
        if self.grown > FREE + MOST_GROWTH * self.packed.load(Ordering::Relaxed) {
            return Err(io::Error::other(format!(
                "it grows to more than {MOST_GROWTH} times its size: a decompression bomb, and no table"
            )));
        }
        Ok(count)
    }
}
