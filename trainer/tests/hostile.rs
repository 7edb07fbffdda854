//! Sources damaged at random: a set whose promises hold, or an error; never a panic.

#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use fieldmark_models::taxonomy::Taxonomy;
use fieldmark_trainer::prepare::{Input, Rules, layout, prepare};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Damage {
    Byte(u8),
    Insert(Vec<u8>),
    Cut(u16),
    Repeat(u16),
    End,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<u8>().prop_map(Damage::Byte),
        prop::collection::vec(prop::sample::select(b"\t\n\"\\,\0\xff<>{}[]/.".to_vec()), 1..6)
            .prop_map(Damage::Insert),
        (1..300u16).prop_map(Damage::Cut),
        (1..300u16).prop_map(Damage::Repeat),
        Just(Damage::End),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>, at: u16) {
        let at = usize::from(at) % bytes.len().max(1);
        let end = bytes.len();
        let until = |length: &u16| (at + usize::from(*length)).min(end);
        match self {
            Self::Byte(byte) if !bytes.is_empty() => bytes[at] = *byte,
            Self::Byte(_) => {}
            Self::Insert(more) => drop(bytes.splice(at..at, more.iter().copied())),
            Self::Cut(length) => drop(bytes.drain(at..until(length))),
            Self::Repeat(length) => {
                let part = bytes[at..until(length)].to_vec();
                bytes.splice(at..at, part);
            }
            Self::End => bytes.truncate(at),
        }
    }
}

const SOURCES: [&str; 5] = ["gbif", "inat-dwca", "inat-open-data", "competition-2017", "competition-2021"];

fn copy(name: &str, to: &Path) -> Vec<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prepare").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(from)
        .expect("a fixture")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let copy = to.join(path.file_name().expect("a name"));
            fs::copy(&path, &copy).expect("copied");
            copy
        })
        .collect();
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_damaged_source_is_a_set_or_an_error(
        source in prop::sample::select(SOURCES.to_vec()),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>(), damage()), 1..6),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let (at, out) = (folder.path().join("source"), folder.path().join("set"));
        fs::create_dir(&at).expect("a folder");
        let files = copy(source, &at);
        for (file, position, damage) in &damages {
            let path = &files[file.index(files.len())];
            let mut bytes = fs::read(path).expect("a file");
            damage.apply(&mut bytes, *position);
            fs::write(path, bytes).expect("written");
        }
        let rules = Rules { min_images: 1, ..Rules::default() };
        let prepared = Input::new(&at, None)
            .map_err(anyhow::Error::from)
            .and_then(|input| prepare(&input, &rules, &out, &|_, _| {}));
        match prepared {
            Ok(report) => {
                for file in &report.files {
                    prop_assert_eq!(file.rows, file.kept + file.dropped.values().sum::<u64>());
                }
                let tsv = fs::read_to_string(out.join(layout::TAXONOMY)).expect("a taxonomy");
                prop_assert!(Taxonomy::from_tsv(&tsv).is_ok());
            }
            Err(error) => {
                prop_assert!(!out.join(layout::REPORT).exists());
                let said = format!("{error:#}");
                prop_assert!(!said.is_empty());
            }
        }
    }
}
