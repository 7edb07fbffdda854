//! A download on the disk: chunks are kept as they come, and a download that was cut off goes on with the next one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fieldmark_models::package::{Sha256Digest, Sha256Reader};

use crate::release::{CHUNK, ChunkIndex, Listed};

/// Chunks between two syncs: what a power cut may take back.
const BATCH: usize = 16;

/// A download that cannot be kept, or is not what was released.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk does not take it.
    #[error("cannot {attempt} {path}: {source}")]
    Disk {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Too little room.
    #[error(
        "{needed} bytes are needed in {path} and {left} are free beyond the {floor} that are to stay: make room"
    )]
    Full {
        /// The folder.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes that may be used.
        left: u64,
        /// Bytes that stay free.
        floor: u64,
    },
    /// What came is not what was released.
    #[error("chunk {0} is not the released one")]
    Chunk(usize),
    /// The whole is not what was released.
    #[error("the file has SHA-256 {found}, the release has {expected}")]
    Whole {
        /// As it came.
        found: Sha256Digest,
        /// As it was signed.
        expected: Sha256Digest,
    },
}

/// A download.
pub struct Download {
    data: File,
    have_file: File,
    part: PathBuf,
    have_path: PathBuf,
    finished: PathBuf,
    have: BTreeSet<usize>,
    unsynced: Vec<usize>,
    sha256: Sha256Digest,
    size: u64,
    chunk: u32,
    index: Option<ChunkIndex>,
}

fn disk<'a>(attempt: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> StoreError + 'a {
    move |source| StoreError::Disk { attempt, path: path.into(), source }
}

/// Where a finished file lies.
#[must_use]
pub fn finished_path(folder: &Path, listed: &Listed) -> PathBuf {
    folder.join(format!("{}-{}", listed.release.sha256, listed.target))
}

impl Download {
    /// Begins, or goes on with, the download of `listed` in `folder`, leaving `floor` bytes free. `index` is the
    /// release's, where it has one.
    ///
    /// # Errors
    /// If there is no room, or the disk does not take it.
    pub fn open(
        folder: &Path,
        listed: &Listed,
        index: Option<ChunkIndex>,
        floor: u64,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(disk("make", folder))?;
        let release = &listed.release;
        let (part, have_path) = (
            folder.join(format!("{}.part", release.sha256)),
            folder.join(format!("{}.have", release.sha256)),
        );
        let options = || {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options
        };
        let data = options().open(&part).map_err(disk("open", &part))?;
        let have_file = options().open(&have_path).map_err(disk("open", &have_path))?;
        let chunk = index.as_ref().map_or(CHUNK, |index| index.chunk);
        let mut download = Self {
            data,
            have_file,
            part,
            have_path,
            finished: finished_path(folder, listed),
            have: BTreeSet::new(),
            unsynced: Vec::new(),
            sha256: release.sha256,
            size: release.size,
            chunk,
            index,
        };
        download.recall()?;
        download.check_room(folder, floor)?;
        Ok(download)
    }

    /// What earlier runs kept: the size of chunks, then their numbers.
    fn recall(&mut self) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        self.have_file.read_to_end(&mut bytes).map_err(disk("read", &self.have_path))?;
        let mut numbers =
            bytes.chunks_exact(4).filter_map(|four| Some(u32::from_le_bytes(four.try_into().ok()?)));
        if numbers.next() != Some(self.chunk) {
            return self.begin_anew();
        }
        let known: BTreeSet<usize> =
            numbers.map(|number| number as usize).filter(|&n| n < self.count()).collect();
        // What a power cut did to them is not known: those that can be checked are.
        let mut buffer = vec![0; self.chunk as usize];
        for number in known {
            let (begin, length) = self.place(number);
            let sound = match &self.index {
                Some(index) => {
                    self.data.read_exact_at(&mut buffer[..length], begin).is_ok()
                        && index.fits(number, &buffer[..length])
                }
                None => true,
            };
            if sound {
                self.have.insert(number);
            }
        }
        Ok(())
    }

    fn begin_anew(&mut self) -> Result<(), StoreError> {
        self.have.clear();
        self.unsynced.clear();
        self.have_file.set_len(0).map_err(disk("empty", &self.have_path))?;
        self.have_file.write_all_at(&self.chunk.to_le_bytes(), 0).map_err(disk("write", &self.have_path))?;
        self.have_file.sync_all().map_err(disk("sync", &self.have_path))
    }

    fn check_room(&self, folder: &Path, floor: u64) -> Result<(), StoreError> {
        let needed = self.missing().map(|number| self.place(number).1 as u64).sum();
        let found = rustix::fs::statvfs(folder).map_err(|error| disk("look at", folder)(error.into()))?;
        let left = (found.f_bavail.saturating_mul(found.f_frsize)).saturating_sub(floor);
        if needed > left {
            return Err(StoreError::Full { path: folder.into(), needed, left, floor });
        }
        Ok(())
    }

    /// Chunks there are.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.chunk.into())).unwrap_or(usize::MAX)
    }

    /// Where chunk `number` begins, and how long it is.
    #[must_use]
    pub fn place(&self, number: usize) -> (u64, usize) {
        let begin = number as u64 * u64::from(self.chunk);
        (begin, usize::try_from(self.size.saturating_sub(begin).min(self.chunk.into())).unwrap_or(usize::MAX))
    }

    /// Chunks that are still to come, in order.
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count()).filter(|number| !self.have.contains(number))
    }

    /// Share that is there, 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        if self.count() == 0 { 1.0 } else { self.have.len() as f64 / self.count() as f64 }
    }

    /// Keeps chunk `number`.
    ///
    /// # Errors
    /// If it is not the released one, or the disk does not take it.
    pub fn keep(&mut self, number: usize, bytes: &[u8]) -> Result<(), StoreError> {
        let (begin, length) = self.place(number);
        let fits = match &self.index {
            Some(index) => index.fits(number, bytes),
            None => bytes.len() == length,
        };
        if !fits || number >= self.count() {
            return Err(StoreError::Chunk(number));
        }
        self.data.write_all_at(bytes, begin).map_err(disk("write", &self.part))?;
        self.have.insert(number);
        self.unsynced.push(number);
        if self.unsynced.len() >= BATCH { self.sync() } else { Ok(()) }
    }

    /// Notes what came as kept, after it is on the disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        self.data.sync_data().map_err(disk("sync", &self.part))?;
        let notes: Vec<u8> = self
            .unsynced
            .drain(..)
            .flat_map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes())
            .collect();
        let mut file = &self.have_file;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(disk("write", &self.have_path))?;
        file.write_all(&notes).map_err(disk("write", &self.have_path))?;
        self.have_file.sync_data().map_err(disk("sync", &self.have_path))
    }

    /// Checks the whole and gives it its name.
    ///
    /// # Errors
    /// If it is not what was released: then all of it is forgotten.
    pub fn finish(mut self) -> Result<PathBuf, StoreError> {
        self.sync()?;
        self.data.set_len(self.size).map_err(disk("cut", &self.part))?;
        self.data.sync_all().map_err(disk("sync", &self.part))?;
        let found = digest(&self.part)?;
        if found != self.sha256 {
            self.begin_anew()?;
            return Err(StoreError::Whole { found, expected: self.sha256 });
        }
        std::fs::rename(&self.part, &self.finished).map_err(disk("rename", &self.part))?;
        sync_folder(&self.finished)?;
        let _ = std::fs::remove_file(&self.have_path);
        Ok(self.finished)
    }
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk("sync", folder))
}

/// The digest of the file at `path`.
///
/// # Errors
/// If it cannot be read.
pub fn digest(path: &Path) -> Result<Sha256Digest, StoreError> {
    let file = File::open(path).map_err(disk("open", path))?;
    Sha256Reader::new(std::io::BufReader::new(file)).finish().map_err(disk("read", path))
}

/// Removes every file in `folder` that is none of `keep`.
pub fn sweep(folder: &Path, keep: &[PathBuf]) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for path in entries.map(|entry| entry.path()).filter(|path| !keep.contains(path)) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{Release, ReleaseKind};

    fn listed(bytes: &[u8]) -> Listed {
        let (sha256, size) = (Sha256Digest::of(bytes), bytes.len() as u64);
        let version = semver::Version::new(1, 0, 0);
        let release = Release { kind: ReleaseKind::Model, name: "toy".into(), version, sha256, size };
        Listed { release, target: "toy-1.0.0.fieldmark".into(), index: None }
    }

    fn bytes() -> Vec<u8> {
        (0..10_000u32).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn a_download_goes_on_with_the_next_chunk() {
        let (folder, bytes) = (tempfile::tempdir().expect("a folder"), bytes());
        let (listed, index) = (listed(&bytes), ChunkIndex::of(&bytes, 1024));
        let open = || Download::open(folder.path(), &listed, Some(index.clone()), 0).expect("open");
        let mut first = open();
        for number in [0, 1, 4] {
            let (begin, length) = first.place(number);
            first.keep(number, &bytes[begin as usize..][..length]).expect("kept");
        }
        first.sync().expect("synced");
        drop(first);
        let mut second = open();
        assert_eq!(second.missing().collect::<Vec<_>>(), [2, 3, 5, 6, 7, 8, 9]);
        assert!(matches!(second.keep(2, &bytes[..1024]), Err(StoreError::Chunk(2))));
        for number in second.missing().collect::<Vec<_>>() {
            let (begin, length) = second.place(number);
            second.keep(number, &bytes[begin as usize..][..length]).expect("kept");
        }
        let path = second.finish().expect("the file");
        assert_eq!(std::fs::read(path).expect("read"), bytes);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_was_damaged_on_the_disk_is_fetched_again() {
        let (folder, bytes) = (tempfile::tempdir().expect("a folder"), bytes());
        let (listed, index) = (listed(&bytes), ChunkIndex::of(&bytes, 1024));
        let mut first = Download::open(folder.path(), &listed, Some(index.clone()), 0).expect("open");
        first.keep(0, &bytes[..1024]).expect("kept");
        first.keep(1, &bytes[1024..2048]).expect("kept");
        first.sync().expect("synced");
        first.data.write_all_at(&[!bytes[5]], 5).expect("damage");
        let second = Download::open(folder.path(), &listed, Some(index), 0).expect("open");
        assert_eq!(second.missing().next(), Some(0));
        assert_eq!(second.have.len(), 1);
    }

    #[test]
    fn a_whole_with_another_digest_is_forgotten() {
        let (folder, bytes) = (tempfile::tempdir().expect("a folder"), bytes());
        let listed = listed(b"something else of ten thousand bytes");
        let listed = Listed { release: Release { size: 10_000, ..listed.release }, ..listed };
        let mut download = Download::open(folder.path(), &listed, None, 0).expect("open");
        download.keep(0, &bytes).expect("kept");
        assert!(matches!(download.finish(), Err(StoreError::Whole { .. })));
        let again = Download::open(folder.path(), &listed, None, 0).expect("open");
        assert_eq!(again.missing().count(), 1);
    }

    #[test]
    fn a_disk_without_room_is_told_before_anything_is_fetched() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Download::open(folder.path(), &listed(&bytes()), None, u64::MAX / 2).err();
        assert!(matches!(error, Some(StoreError::Full { .. })));
    }
}
