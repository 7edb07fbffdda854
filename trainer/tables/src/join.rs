//! Occurrences with their pictures, one part of the keys after the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use foldhash::fast::RandomState;
use twox_hash::XxHash64;

use crate::ledger::{FileId, Ledger, Page};
use crate::spill::{Decode, Encode, Spill, SpillWriter};
use crate::stage::{DROPPED, Staged, Staging, Verdict};
use crate::{Reason, TableError, Taxa};

/// Pictures with their taxon, on disk in parts of neighbouring taxa.
pub struct Joined {
    pub(crate) pictures: Vec<Spill>,
    /// Taxon and hash of the picture's location alone: what counts need.
    pub(crate) marks: Vec<Spill>,
    pub(crate) partitions: usize,
}

/// Which part a taxon belongs to: parts follow the taxonomy's order and are of about the same weight.
pub(crate) fn parts(weights: &[u64], partitions: usize) -> Vec<u32> {
    let total = weights.iter().map(|&weight| weight + 1).sum::<u64>().max(1);
    let mut sum = 0;
    weights
        .iter()
        .map(|&weight| {
            let part = u128::from(sum) * partitions as u128 / u128::from(total);
            sum += weight + 1;
            part as u32
        })
        .collect()
}

struct Known<'a> {
    observation: &'a str,
    observer: &'a str,
    name: Verdict,
    row: (u64, u64),
    used: bool,
}

/// Joins what all threads kept; `verdicts[i]` are for the numbers of names that `staged[i]` used.
///
/// # Errors
/// If the disk takes no more.
pub fn join(
    staging: &Staging,
    staged: &[Staged],
    verdicts: &[Vec<Verdict>],
    taxa: Taxa<'_>,
    ledger: &Ledger,
    threads: usize,
) -> Result<Joined, TableError> {
    let media: u64 = staged
        .iter()
        .map(|staged| (0..staging.partitions()).map(|part| staged.media.bytes(part)).sum::<u64>())
        .sum();
    let partitions = ((media >> 26) as usize + 1).min(512).min(taxa.parents.len().max(1));
    let parts = parts(taxa.weights, partitions);
    let next = AtomicUsize::new(0);
    let work = || -> Result<(Spill, Spill), TableError> {
        let mut job = Job {
            pictures: SpillWriter::new(staging.folder(), partitions)?,
            marks: SpillWriter::new(staging.folder(), partitions)?,
            parts: &parts,
            page: ledger.page(),
            row: Vec::new(),
        };
        loop {
            let partition = next.fetch_add(1, Ordering::Relaxed);
            if partition >= staging.partitions() {
                break;
            }
            job.partition(partition, staged, verdicts)?;
        }
        job.page.close()?;
        Ok((job.pictures.finish()?, job.marks.finish()?))
    };
    let spills = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let (pictures, marks) = spills.into_iter().unzip();
    Ok(Joined { pictures, marks, partitions })
}

struct Job<'a> {
    pictures: SpillWriter,
    marks: SpillWriter,
    parts: &'a [u32],
    page: Page<'a>,
    row: Vec<u8>,
}

impl Job<'_> {
    fn partition(
        &mut self,
        partition: usize,
        staged: &[Staged],
        verdicts: &[Vec<Verdict>],
    ) -> Result<(), TableError> {
        let mut frames = Vec::new();
        for (staged, verdicts) in staged.iter().zip(verdicts) {
            for frame in staged.occurrences.partition(partition) {
                frames.push((frame?, verdicts));
            }
        }
        let mut known: HashMap<&str, Known<'_>, RandomState> = HashMap::default();
        for (frame, verdicts) in &frames {
            self.learn(frame, verdicts, &mut known)?;
        }
        for staged in staged {
            for frame in staged.media.partition(partition) {
                self.media(&frame?, &mut known)?;
            }
        }
        for (_, occurrence) in known {
            let reason = occurrence.name.err().or((!occurrence.used).then_some(Reason::NoPicture));
            if let Some(reason) = reason {
                self.drop_occurrence(occurrence.row, reason)?;
            }
        }
        Ok(())
    }

    fn learn<'f>(
        &mut self,
        frame: &'f [u8],
        verdicts: &[Verdict],
        known: &mut HashMap<&'f str, Known<'f>, RandomState>,
    ) -> Result<(), TableError> {
        let mut rows = Decode(frame);
        while !rows.is_empty() {
            let (key, observation, observer) = (rows.text(), rows.text(), rows.text());
            let (name, file, line) = (rows.number(), rows.number(), rows.number());
            let name = match name.checked_sub(DROPPED) {
                Some(reason) => Err(Reason::numbered(reason as u8).unwrap_or(Reason::OccurrenceDropped)),
                None => verdicts.get(name as usize).copied().unwrap_or(Err(Reason::UnknownTaxon)),
            };
            let observation = if observation.is_empty() { key } else { observation };
            let mut row = Known { observation, observer, name, row: (file, line), used: false };
            // The first row in its file keeps an identifier, whichever thread read it.
            if let Some(other) = known.get_mut(key) {
                if row.row < other.row {
                    std::mem::swap(&mut row, other);
                }
                self.drop_occurrence(row.row, Reason::DuplicateId)?;
            } else {
                known.insert(key, row);
            }
        }
        Ok(())
    }

    fn media(
        &mut self,
        frame: &[u8],
        known: &mut HashMap<&str, Known<'_>, RandomState>,
    ) -> Result<(), TableError> {
        let mut rows = Decode(frame);
        while !rows.is_empty() {
            let (key, location, licence, attribution) = (rows.text(), rows.text(), rows.text(), rows.text());
            let (file, line) = (rows.number(), rows.number());
            let occurrence = known.get_mut(key);
            let taxon = match &occurrence {
                None => Err(Reason::NoOccurrence),
                // The medium's own row says what is wrong with it.
                Some(known) if FileId::numbered(known.row.0).is_none() => known.name,
                Some(known) => known.name.map_err(|_| Reason::OccurrenceDropped),
            };
            let (taxon, occurrence) = match (taxon, occurrence) {
                (Ok(taxon), Some(occurrence)) => (taxon, occurrence),
                (taxon, _) => {
                    let reason = taxon.err().unwrap_or(Reason::NoOccurrence);
                    self.drop_occurrence((file, line), reason)?;
                    continue;
                }
            };
            occurrence.used = true;
            let part = self.parts.get(taxon as usize).copied().unwrap_or_default() as usize;
            self.row.clear();
            let mut mark = Encode(&mut self.row);
            mark.number(u64::from(taxon));
            mark.number(XxHash64::oneshot(0, location.as_bytes()));
            self.marks.write(part, &self.row)?;
            self.row.clear();
            let mut row = Encode(&mut self.row);
            row.number(u64::from(taxon));
            row.number(file);
            row.number(line);
            for text in [location, occurrence.observation, occurrence.observer, licence, attribution] {
                row.text(text);
            }
            self.pictures.write(part, &self.row)?;
        }
        Ok(())
    }

    fn drop_occurrence(&mut self, (file, line): (u64, u64), reason: Reason) -> Result<(), TableError> {
        match FileId::numbered(file) {
            Some(file) => self.page.drop_row((file, line), reason, None),
            None => Ok(()),
        }
    }
}
