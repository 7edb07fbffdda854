//! A whole source of any bytes: the first chooses the format, the rest are its files, one after the other.
#![no_main]

use std::fs;

use fieldmark_trainer_fuzz::prepare::{Input, Rules, prepare};
use libfuzzer_sys::fuzz_target;

const SOURCES: [&[&str]; 4] = [
    &["meta.xml", "occurrence.txt", "multimedia.txt"],
    &["observations.csv", "media.csv"],
    &["taxa.csv", "observations.csv", "photos.csv"],
    &["train.json", "categories.json"],
];

/// Between two files.
const BETWEEN: u8 = 0x1e;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    fs::create_dir(&source).expect("a folder");
    let names = SOURCES[usize::from(first) % SOURCES.len()];
    for (name, text) in names.iter().zip(rest.split(|&byte| byte == BETWEEN)) {
        fs::write(source.join(name), text).expect("written");
    }
    let rules = Rules { min_images: 1, ..Rules::default() };
    if let Ok(input) = Input::new(&source, None) {
        let _ = prepare(&input, &rules, &folder.path().join("set"), &|_, _| {});
    }
});
