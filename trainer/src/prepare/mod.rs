//! From what people really have to a set that is trained on: source -> rows -> names mended -> joined -> split -> set.
//!
//! A source hands over its rows as occurrences and pictures (`source`), with what is wrong with a row written down at
//! once. Names are mended when all of them are known (`taxa`), so that the order of rows decides nothing. What needs all
//! rows at once is `fieldmark-tables`'s: joining, duplicates, rare taxa, caps, split.

mod format;
mod intake;
mod licence;
mod report;
mod rules;
mod source;
mod taxa;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atomic_write_file::AtomicWriteFile;
use fieldmark_tables::{Ledger, Splitter, Staging, Taxa, join, pick};

pub use format::{Format, FormatError};
pub use intake::{Hand, Intake};
pub use licence::Licence;
pub use report::{Report, Samples, TaxonomyReport};
pub use rules::{OddTaxonomy, PhotoSize, PictureFormat, Rules, SplitKey};
pub use source::{Input, SourceError};
pub use taxa::{Gathered, Mend, Mending, Names, RawName, mend};

/// Files of a prepared set.
pub mod layout {
    /// The tree.
    pub const TAXONOMY: &str = "taxonomy.tsv";
    /// Folder of the samples' Parquet files.
    pub const SAMPLES: &str = "samples";
    /// Rows that were dropped.
    pub const DROPPED: &str = "dropped.parquet";
    /// What was kept, dropped and why.
    pub const REPORT: &str = "report.json";
    /// Pictures that were fetched.
    pub const IMAGES: &str = "images";
}

/// Prepares `input` into the folder `out`. `progress` is told the bytes that were read, and of how many.
///
/// # Errors
/// If the source cannot be read or is none of the formats, nothing is left, or the set cannot be written.
pub fn prepare(
    input: &Input,
    rules: &Rules,
    out: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> anyhow::Result<Report> {
    let working = || format!("cannot create folder {}", out.display());
    fs::create_dir_all(out).with_context(working)?;
    begin(out)?;
    let ledger = Ledger::create(&out.join(layout::DROPPED))?;
    let staging = Staging::new(out, input.bytes());
    let intake = Intake::new(&ledger, &staging, rules);
    let hands = source::read(input, &intake, progress)?;
    let mut names = taxa::Gathered::default();
    let (mut staged, mut numbers) = (Vec::new(), Vec::new());
    for hand in hands {
        let (rows, own) = hand.finish()?;
        numbers.push(names.take(own));
        staged.push(rows);
    }
    let mending = mend(&names, rules.odd_taxonomy);
    let verdicts: Vec<Vec<_>> =
        numbers.iter().map(|own| own.iter().map(|&name| mending.verdict(name)).collect()).collect();
    let tree = Taxa { parents: mending.parents(), ids: mending.ids(), weights: mending.weights() };
    let joined = join(&staging, &staged, &verdicts, tree, &ledger, intake.threads())?;
    drop(staged);
    let samples = out.join(layout::SAMPLES);
    let picked = pick(&joined, tree, &rules.tables(), &ledger, &samples, intake.threads())?;
    let files = ledger.close()?;
    let report = Report::new(input, rules, files, &mending, &picked);
    if report.samples.training + report.samples.validation == 0 {
        anyhow::bail!("no picture is left of {}: {}", input.shown(), report.why());
    }
    write(&out.join(layout::TAXONOMY), mending.kept(&picked)?.to_tsv().as_bytes())?;
    // Last: a set with a report is whole.
    write(&out.join(layout::REPORT), format!("{:#}\n", serde_json::to_value(&report)?).as_bytes())?;
    Ok(report)
}

/// Takes away what an earlier run left, pictures that were fetched excepted.
fn begin(out: &Path) -> anyhow::Result<()> {
    let samples = out.join(layout::SAMPLES);
    // What stands there may be somebody's photographs.
    for entry in fs::read_dir(&samples).into_iter().flatten() {
        let path = entry.with_context(|| format!("cannot read {}", samples.display()))?.path();
        let ours = path.is_file() && path.extension().is_some_and(|extension| extension == "parquet");
        anyhow::ensure!(
            ours,
            "{} is no part of a prepared set and would be removed: give another folder with --out",
            path.display()
        );
    }
    for file in [layout::REPORT, layout::TAXONOMY, layout::DROPPED] {
        remove(fs::remove_file(out.join(file)), &out.join(file))?;
    }
    remove(fs::remove_dir_all(out.join(layout::SAMPLES)), &out.join(layout::SAMPLES))
}

fn remove(result: std::io::Result<()>, path: &Path) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let writing = || format!("cannot write {}", path.display());
    let mut file = AtomicWriteFile::open(path).with_context(writing)?;
    file.write_all(bytes).with_context(writing)?;
    file.commit().with_context(writing)
}

/// Where the picture of URL `url` lies below a set's folder once it was fetched.
#[must_use]
pub fn image_file(url: &str) -> PathBuf {
    let digest = fieldmark_models::package::Sha256Digest::of(url.as_bytes()).to_string();
    let name = digest.get(..32).unwrap_or(&digest);
    Path::new(layout::IMAGES).join(name.get(..2).unwrap_or_default()).join(format!("{name}.jpg"))
}

impl Rules {
    fn tables(&self) -> fieldmark_tables::Rules {
        fieldmark_tables::Rules {
            min_images: self.min_images,
            cap: self.cap,
            validation: self.validation,
            split_by: self.split_by.into(),
            seed: self.seed,
        }
    }

    /// Which side a picture is put on.
    #[must_use]
    pub fn splitter(&self) -> Splitter {
        Splitter { validation: self.validation, by: self.split_by.into(), seed: self.seed }
    }
}
