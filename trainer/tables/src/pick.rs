//! What is decided for a taxon as a whole: duplicates, too few pictures, the cap; then the split, and the table.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use twox_hash::XxHash64;

use crate::join::Joined;
use crate::ledger::{FileId, Ledger, Page};
use crate::sample::{Sample, batch, sample_properties, schema};
use crate::spill::Decode;
use crate::{Reason, Rules, Side, Splitter, TableError, Taxa, kept_taxa};

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picked {
    /// `[taxa]`: pictures kept for training of each.
    pub training: Vec<u64>,
    /// `[taxa]`: pictures kept for validation of each.
    pub validation: Vec<u64>,
    /// Pictures by licence.
    pub licences: BTreeMap<String, u64>,
}

impl Picked {
    /// Pictures kept of a taxon.
    #[must_use]
    pub fn of(&self, taxon: usize) -> u64 {
        self.training[taxon] + self.validation[taxon]
    }
}

/// Samples of a batch.
const BATCH: usize = 1 << 15;
/// What makes the order in which a cap keeps pictures one of its own.
pub(super) const CAP: u64 = 0x5bd1_e995_9e37_79b9;

struct Picture<'a> {
    taxon: u32,
    hash: u64,
    row: (u64, u64),
    location: &'a str,
    observation: &'a str,
    observer: &'a str,
    licence: &'a str,
    attribution: &'a str,
}

/// Writes the samples into `folder` as `part-0000.parquet` and so on, ordered by taxon, observation and line.
///
/// # Errors
/// If the folder takes no file.
pub fn pick(
    joined: &Joined,
    taxa: Taxa<'_>,
    rules: &Rules,
    ledger: &Ledger,
    folder: &Path,
    threads: usize,
) -> Result<Picked, TableError> {
    fs::create_dir_all(folder).map_err(TableError::write(folder))?;
    let counts = counts(joined, taxa.parents.len(), threads)?;
    let kept = kept_taxa(taxa.parents, &counts, rules.min_images);
    let taxa_count = taxa.parents.len();
    let (training, validation) = (vec![0; taxa_count], vec![0; taxa_count]);
    let empty = Picked { training, validation, licences: BTreeMap::new() };
    let picked = Mutex::new(empty);
    let schema = schema();
    in_parts(joined.partitions, threads, |partition| {
        let mut part =
            Part { taxa, rules, kept: &kept, schema: &schema, picked: &picked, page: ledger.page() };
        part.pick(joined, partition, &folder.join(format!("part-{partition:04}.parquet")))?;
        part.page.close()
    })?;
    Ok(picked.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Different pictures of every taxon.
fn counts(joined: &Joined, taxa: usize, threads: usize) -> Result<Vec<u64>, TableError> {
    let counts = Mutex::new(vec![0; taxa]);
    in_parts(joined.partitions, threads, |partition| {
        let mut marks = Vec::new();
        for spill in &joined.marks {
            for frame in spill.partition(partition) {
                let frame = frame?;
                let mut rows = Decode(&frame);
                while !rows.is_empty() {
                    marks.push((rows.number(), rows.number()));
                }
            }
        }
        marks.sort_unstable();
        marks.dedup();
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().for_each(|&(taxon, _)| counts[taxon as usize] += 1);
        Ok(())
    })?;
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn in_parts(
    partitions: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<(), TableError> + Sync,
) -> Result<(), TableError> {
    let next = AtomicUsize::new(0);
    let run = || -> Result<(), TableError> {
        loop {
            let partition = next.fetch_add(1, Ordering::Relaxed);
            if partition >= partitions {
                return Ok(());
            }
            work(partition)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

struct Part<'a> {
    taxa: Taxa<'a>,
    rules: &'a Rules,
    kept: &'a [bool],
    schema: &'a SchemaRef,
    picked: &'a Mutex<Picked>,
    page: Page<'a>,
}

impl Part<'_> {
    fn pick(&mut self, joined: &Joined, partition: usize, path: &Path) -> Result<(), TableError> {
        let mut frames = Vec::new();
        for spill in &joined.pictures {
            for frame in spill.partition(partition) {
                frames.push(frame?);
            }
        }
        let mut pictures: Vec<Picture<'_>> = frames.iter().flat_map(|frame| decode(frame)).collect();
        pictures.sort_unstable_by_key(|picture| (picture.taxon, picture.hash, picture.row));
        let mut rest = pictures.as_slice();
        let mut chosen: Vec<&Picture<'_>> = Vec::new();
        while let Some(first) = rest.first() {
            let taxon = first.taxon;
            let end = rest.partition_point(|picture| picture.taxon == taxon);
            let (own, others) = rest.split_at(end);
            self.taxon(own, &mut chosen)?;
            rest = others;
        }
        chosen.sort_unstable_by_key(|picture| (picture.taxon, picture.observation, picture.row));
        if chosen.is_empty() { Ok(()) } else { self.write(&chosen, path) }
    }

    /// The pictures of one taxon that stay, of all that lie beside each other in order of their hashes.
    fn taxon<'p>(
        &mut self,
        own: &'p [Picture<'p>],
        chosen: &mut Vec<&'p Picture<'p>>,
    ) -> Result<(), TableError> {
        let begin = chosen.len();
        let enough = own.first().is_some_and(|first| self.kept[first.taxon as usize]);
        let mut last = None;
        for picture in own {
            if last == Some(picture.hash) {
                self.drop_picture(picture, Reason::DuplicatePicture)?;
            } else if enough {
                chosen.push(picture);
            } else {
                self.drop_picture(picture, Reason::TooFewPictures)?;
            }
            last = Some(picture.hash);
        }
        let Some(cap) = self.rules.cap.and_then(|cap| usize::try_from(cap).ok()) else { return Ok(()) };
        if chosen.len() - begin > cap {
            // Another hash than sides go by: a table without observations has pictures for them, and a cap would keep one side.
            let seed = self.rules.seed.rotate_left(32) ^ CAP;
            chosen[begin..]
                .sort_by_cached_key(|picture| XxHash64::oneshot(seed, picture.location.as_bytes()));
            for picture in chosen.drain(begin + cap..) {
                self.drop_picture(picture, Reason::AboveCap)?;
            }
        }
        Ok(())
    }

    fn drop_picture(&mut self, picture: &Picture<'_>, reason: Reason) -> Result<(), TableError> {
        match FileId::numbered(picture.row.0) {
            Some(file) => self.page.drop_row((file, picture.row.1), reason, None),
            None => Ok(()),
        }
    }

    fn write(&self, chosen: &[&Picture<'_>], path: &Path) -> Result<(), TableError> {
        let Rules { validation, split_by: by, seed, .. } = *self.rules;
        let splitter = Splitter { validation, by, seed };
        let file = File::create(path).map_err(TableError::write(path))?;
        let writer = ArrowWriter::try_new(file, SchemaRef::clone(self.schema), Some(sample_properties()));
        let mut writer = writer.map_err(TableError::write(path))?;
        for chosen in chosen.chunks(BATCH) {
            let samples: Vec<Sample<'_>> = chosen
                .iter()
                .map(|picture| Sample {
                    image: picture.location,
                    taxon: &self.taxa.ids[picture.taxon as usize],
                    observation: picture.observation,
                    observer: picture.observer,
                    licence: picture.licence,
                    attribution: picture.attribution,
                    side: splitter.side(picture.observation, picture.observer),
                })
                .collect();
            let batch = batch(self.schema, &samples).map_err(TableError::write(path))?;
            writer.write(&batch).map_err(TableError::write(path))?;
            let mut picked = self.picked.lock().unwrap_or_else(PoisonError::into_inner);
            for (picture, sample) in chosen.iter().zip(&samples) {
                match picked.licences.get_mut(sample.licence) {
                    Some(count) => *count += 1,
                    None => {
                        picked.licences.insert(sample.licence.into(), 1);
                    }
                }
                match sample.side {
                    Side::Training => picked.training[picture.taxon as usize] += 1,
                    Side::Validation => picked.validation[picture.taxon as usize] += 1,
                }
            }
        }
        let file = writer.into_inner().map_err(TableError::write(path))?;
        file.sync_all().map_err(TableError::write(path))
    }
}

fn decode(frame: &[u8]) -> impl Iterator<Item = Picture<'_>> {
    let mut rows = Decode(frame);
    std::iter::from_fn(move || {
        if rows.is_empty() {
            return None;
        }
        let (taxon, file, line) = (rows.number() as u32, rows.number(), rows.number());
        let location = rows.text();
        Some(Picture {
            taxon,
            hash: XxHash64::oneshot(0, location.as_bytes()),
            row: (file, line),
            location,
            observation: rows.text(),
            observer: rows.text(),
            licence: rows.text(),
            attribution: rows.text(),
        })
    })
}
