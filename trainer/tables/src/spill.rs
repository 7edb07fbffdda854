//! Rows on disk, in partitions: one file a writer, compressed frames, an index in memory. The files have no names, so
//! that nothing is left behind by a process that is killed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::TableError;

/// Memory for rows that wait to be written, all partitions of a writer together.
const WAITING: usize = 16 << 20;

/// Compression: URLs and names shrink to a quarter at a speed above most disks'.
const LEVEL: i32 = 1;

pub(crate) struct SpillWriter {
    folder: PathBuf,
    file: File,
    frame: usize,
    waiting: Vec<Vec<u8>>,
    frames: Vec<Vec<Frame>>,
    compressor: zstd::bulk::Compressor<'static>,
    offset: u64,
}

#[derive(Clone, Copy)]
struct Frame {
    offset: u64,
    length: u32,
    raw: u32,
}

/// What a writer wrote.
pub(crate) struct Spill {
    folder: PathBuf,
    file: File,
    frames: Vec<Vec<Frame>>,
}

impl SpillWriter {
    pub(crate) fn new(folder: &Path, partitions: usize) -> Result<Self, TableError> {
        let failed = |source| TableError::Spill { folder: folder.into(), source };
        Ok(Self {
            folder: folder.into(),
            file: tempfile::tempfile_in(folder).map_err(failed)?,
            frame: (WAITING / partitions.max(1)).clamp(16 << 10, 1 << 20),
            waiting: vec![Vec::new(); partitions],
            frames: vec![Vec::new(); partitions],
            compressor: zstd::bulk::Compressor::new(LEVEL).map_err(failed)?,
            offset: 0,
        })
    }

    pub(crate) fn write(&mut self, partition: usize, row: &[u8]) -> Result<(), TableError> {
        let waiting = &mut self.waiting[partition];
        waiting.extend_from_slice(row);
        if waiting.len() >= self.frame { self.flush(partition) } else { Ok(()) }
    }

    fn flush(&mut self, partition: usize) -> Result<(), TableError> {
        let failed = |source| TableError::Spill { folder: self.folder.clone(), source };
        let rows = &mut self.waiting[partition];
        let packed = self.compressor.compress(rows).map_err(failed)?;
        self.file.write_all(&packed).map_err(failed)?;
        let (length, raw) = (packed.len() as u32, rows.len() as u32);
        self.frames[partition].push(Frame { offset: self.offset, length, raw });
        self.offset += packed.len() as u64;
        rows.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Spill, TableError> {
        for partition in 0..self.waiting.len() {
            if !self.waiting[partition].is_empty() {
                self.flush(partition)?;
            }
        }
        Ok(Spill { folder: self.folder, file: self.file, frames: self.frames })
    }
}

impl Spill {
    /// The frames of a partition, in the order they were written.
    pub(crate) fn partition(&self, partition: usize) -> impl Iterator<Item = Result<Vec<u8>, TableError>> {
        self.frames[partition].iter().map(|frame| {
            self.read(*frame).map_err(|source| TableError::Spill { folder: self.folder.clone(), source })
        })
    }

    fn read(&self, frame: Frame) -> io::Result<Vec<u8>> {
        let mut packed = vec![0; frame.length as usize];
        self.file.read_exact_at(&mut packed, frame.offset)?;
        zstd::bulk::decompress(&packed, frame.raw as usize)
    }

    /// Bytes of rows in a partition.
    pub(crate) fn bytes(&self, partition: usize) -> u64 {
        self.frames[partition].iter().map(|frame| u64::from(frame.raw)).sum()
    }
}

/// Appends the parts of a row.
pub(crate) struct Encode<'a>(pub(crate) &'a mut Vec<u8>);

impl Encode<'_> {
    pub(crate) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }
}

/// Takes the parts of rows off in the order they were appended. What was never written by [`Encode`] ends it.
pub(crate) struct Decode<'a>(pub(crate) &'a [u8]);

impl<'a> Decode<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn text(&mut self) -> &'a str {
        let length = self.take(4).try_into().map_or(0, u32::from_le_bytes);
        std::str::from_utf8(self.take(length as usize)).unwrap_or_default()
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.take(8).try_into().map_or(0, u64::from_le_bytes)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((&[], &[]));
        self.0 = rest;
        taken
    }
}
