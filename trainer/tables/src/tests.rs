//! The join against one that holds everything in memory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;

/// Rows of every Parquet file of `folder`, cells as text.
fn rows(folder: &std::path::Path) -> Vec<Vec<String>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    files.sort();
    let mut rows = Vec::new();
    for path in files {
        let file = std::fs::File::open(path).expect("a file");
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).expect("a table").build().expect("a reader");
        for batch in reader {
            let batch = batch.expect("rows");
            let columns: Vec<_> =
                batch.columns().iter().map(|column| cast(column, &DataType::Utf8).expect("text")).collect();
            for row in 0..batch.num_rows() {
                let cell = |column: &arrow::array::ArrayRef| {
                    let column = column.as_string::<i32>();
                    if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
                };
                rows.push(columns.iter().map(cell).collect());
            }
        }
    }
    rows
}

#[derive(Debug, Clone)]
struct Case {
    /// Key, name or reason, observer.
    occurrences: Vec<(u8, Option<u8>, u8)>,
    /// Key, location.
    media: Vec<(u8, u8)>,
    min: u64,
    cap: Option<u64>,
    by: SplitBy,
    threads: usize,
    partitions: u64,
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec((0..30u8, prop::option::weighted(0.9, 0..8u8), 0..5u8), 0..40),
        prop::collection::vec((0..35u8, 0..60u8), 0..120),
        1..4u64,
        prop::option::of(1..6u64),
        prop::sample::select(vec![SplitBy::Observation, SplitBy::Observer]),
        1..4usize,
        0..4u64,
    )
        .prop_map(|(occurrences, media, min, cap, by, threads, partitions)| Case {
            occurrences,
            media,
            min,
            cap,
            by,
            threads,
            partitions,
        })
}

/// 0 { 1 { 2, 3 }, 4 { 5 } }, 6, and a name that is no taxon.
const PARENTS: [u32; 7] = [0, 0, 1, 1, 0, 4, 6];

fn verdicts() -> Vec<Verdict> {
    (0..7).map(Ok).chain([Err(Reason::NoKingdom)]).collect()
}

fn ids() -> Vec<String> {
    (0..7).map(|taxon| format!("taxon {taxon}")).collect()
}

fn rules(case: &Case) -> Rules {
    Rules { min_images: case.min, cap: case.cap, validation: 0.3, split_by: case.by, seed: 5 }
}

/// Samples and dropped rows of the tables' own way.
fn joined(case: &Case) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::create(&folder.path().join("dropped.parquet")).expect("a ledger");
    let (core, media) = (ledger.file("core"), ledger.file("media"));
    let staging = Staging::new(folder.path(), case.partitions * (96 << 20));
    let mut stagers: Vec<_> = (0..case.threads).map(|_| staging.stager().expect("a stager")).collect();
    let mut page = ledger.page();
    for (line, (key, name, observer)) in (2..).zip(&case.occurrences) {
        page.read(core);
        let stager = &mut stagers[line as usize % case.threads];
        let name = name.map(u32::from).ok_or(Reason::NotResearchGrade);
        let (key, observer) = (key.to_string(), observer.to_string());
        let row = (Some(core), line);
        let occurrence = Occurrence { key: &key, observation: "", name, observer: &observer, row };
        stager.occurrence(&occurrence).expect("kept");
    }
    for (line, (key, location)) in (2..).zip(&case.media) {
        page.read(media);
        let stager = &mut stagers[line as usize % case.threads];
        let (key, location) = (key.to_string(), format!("http://x/{location}"));
        let row = (media, line);
        let medium = Medium { key: &key, location: &location, licence: "CC0-1.0", attribution: "a", row };
        stager.medium(&medium).expect("kept");
    }
    page.close().expect("written");
    let staged: Vec<_> = stagers.into_iter().map(|stager| stager.finish().expect("kept")).collect();
    let (ids, weights) = (ids(), vec![1; 7]);
    let taxa = Taxa { parents: &PARENTS, ids: &ids, weights: &weights };
    let all = vec![verdicts(); staged.len()];
    let joined = join(&staging, &staged, &all, taxa, &ledger, case.threads).expect("joined");
    let samples = folder.path().join("samples");
    let picked = pick(&joined, taxa, &rules(case), &ledger, &samples, case.threads).expect("picked");
    let tallies = ledger.close().expect("closed");
    assert_eq!(tallies[0].rows, case.occurrences.len() as u64);
    let samples = rows(&samples);
    assert_eq!(tallies[1].kept(), samples.len() as u64);
    assert_eq!((0..7).map(|taxon| picked.of(taxon)).sum::<u64>(), samples.len() as u64);
    (samples, rows(folder.path()))
}

/// Reasons by file and line.
type DroppedByHand = BTreeMap<(&'static str, u64), Reason>;

/// The same by nested loops.
fn by_hand(case: &Case) -> (BTreeSet<Vec<String>>, DroppedByHand) {
    let verdicts = verdicts();
    let mut dropped = BTreeMap::new();
    let mut first: BTreeMap<u8, (u64, Verdict, u8)> = BTreeMap::new();
    for (line, &(key, name, observer)) in (2..).zip(&case.occurrences) {
        let verdict = name.map_or(Err(Reason::NotResearchGrade), |name| verdicts[usize::from(name)]);
        match first.entry(key) {
            Entry::Vacant(place) => {
                place.insert((line, verdict, observer));
            }
            Entry::Occupied(_) => {
                dropped.insert(("core", line), Reason::DuplicateId);
            }
        }
    }
    let mut pictures = Vec::new();
    for (line, &(key, location)) in (2..).zip(&case.media) {
        let reason = match first.get(&key) {
            None => Reason::NoOccurrence,
            Some((_, Err(_), _)) => Reason::OccurrenceDropped,
            Some((_, Ok(taxon), observer)) => {
                pictures.push((*taxon, location, line, key, *observer));
                continue;
            }
        };
        dropped.insert(("media", line), reason);
    }
    for (key, (line, verdict, _)) in &first {
        if let Err(reason) = verdict {
            dropped.insert(("core", *line), *reason);
        } else if !pictures.iter().any(|picture| picture.3 == *key) {
            dropped.insert(("core", *line), Reason::NoPicture);
        }
    }
    let mut seen = BTreeSet::new();
    pictures.retain(|&(taxon, location, line, ..)| {
        let new = seen.insert((taxon, location));
        if !new {
            dropped.insert(("media", line), Reason::DuplicatePicture);
        }
        new
    });
    let own = |taxon: u32| pictures.iter().filter(|picture| picture.0 == taxon).count() as u64;
    fn kept(taxon: u32, own: &dyn Fn(u32) -> u64, min: u64) -> bool {
        own(taxon) >= min
            || (0..7).any(|child| child != taxon && PARENTS[child as usize] == taxon && kept(child, own, min))
    }
    let splitter = Splitter { validation: 0.3, by: case.by, seed: 5 };
    let mut samples = BTreeSet::new();
    let mut count: BTreeMap<u32, u64> = BTreeMap::new();
    let mut in_order = pictures.clone();
    let order = 5u64.rotate_left(32) ^ crate::pick::CAP;
    in_order.sort_by_key(|picture| {
        twox_hash::XxHash64::oneshot(order, format!("http://x/{}", picture.1).as_bytes())
    });
    for (taxon, location, line, key, observer) in in_order {
        let number = count.entry(taxon).or_default();
        if !kept(taxon, &own, case.min) {
            dropped.insert(("media", line), Reason::TooFewPictures);
        } else if case.cap.is_some_and(|cap| *number >= cap) {
            dropped.insert(("media", line), Reason::AboveCap);
        } else {
            *number += 1;
            let (key, observer) = (key.to_string(), observer.to_string());
            let side = splitter.side(&key, &observer).name().to_owned();
            let (image, taxon) = (format!("http://x/{location}"), format!("taxon {taxon}"));
            samples.insert(vec![image, taxon, key, observer, "CC0-1.0".into(), "a".into(), side]);
        }
    }
    (samples, dropped)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_are_joined_as_by_hand_whatever_the_threads_and_parts(case in case()) {
        let (samples, ledger) = joined(&case);
        let (expected, dropped) = by_hand(&case);
        prop_assert_eq!(samples.len(), expected.len());
        prop_assert_eq!(samples.into_iter().collect::<BTreeSet<_>>(), expected);
        prop_assert_eq!(ledger.len(), dropped.len(), "every dropped row stands there once");
        for row in ledger {
            let line: u64 = row[1].parse().expect("a line");
            let file = if row[0] == "core" { "core" } else { "media" };
            prop_assert_eq!(dropped.get(&(file, line)).map(|reason| reason.name()), Some(row[2].as_str()));
        }
    }

    #[test]
    fn no_observation_and_no_observer_stands_on_both_sides(case in case()) {
        let (samples, _) = joined(&case);
        let column = if case.by == SplitBy::Observer { 3 } else { 2 };
        let mut sides: BTreeMap<&str, &str> = BTreeMap::new();
        for sample in &samples {
            let side = sides.entry(&sample[column]).or_insert(&sample[6]);
            prop_assert_eq!(*side, sample[6].as_str());
        }
    }
}
