//! What was kept, dropped and why: for people and for scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::absolute;

use fieldmark_models::taxonomy::Rank;
use fieldmark_tables::{Picked, Reason, Tally};
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::source::Input;
use super::taxa::{Mend, Mending};

/// What a preparation came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of this layout.
    pub format: u32,
    /// What was read.
    pub source: Source,
    /// What decided.
    pub rules: Rules,
    /// Rows of every file: read, kept, dropped by reason.
    pub files: Vec<FileReport>,
    /// Names and taxa.
    pub taxonomy: TaxonomyReport,
    /// Pictures.
    pub samples: Samples,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Path.
    pub path: String,
    /// Its format.
    pub format: super::Format,
    /// Absolute folder that the pictures' paths start from; none where they are URLs.
    pub photos: Option<String>,
}

/// Rows of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its name.
    pub file: String,
    /// Rows read.
    pub rows: u64,
    /// Rows kept: of occurrences, those with a usable picture.
    pub kept: u64,
    /// Rows dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// Names and taxa.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxonomyReport {
    /// Different names in the rows.
    pub names: usize,
    /// Rows by what was mended of their names.
    pub mended: BTreeMap<Mend, u64>,
    /// Names that several taxa have.
    pub homonyms: usize,
    /// Taxa with pictures of their own, by rank.
    pub labels: BTreeMap<String, u64>,
}

/// Pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// For training.
    pub training: u64,
    /// For validation.
    pub validation: u64,
    /// Labelled above species.
    pub partial: u64,
    /// Species with pictures for training.
    pub species_in_training: u64,
    /// Species with pictures for validation.
    pub species_in_validation: u64,
    /// By licence.
    pub licences: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(
        input: &Input,
        rules: &Rules,
        files: Vec<Tally>,
        mending: &Mending,
        picked: &Picked,
    ) -> Self {
        let files = files
            .into_iter()
            .map(|tally| FileReport {
                kept: tally.kept(),
                rows: tally.rows,
                dropped: tally.dropped.iter().map(|(reason, &rows)| (reason.name(), rows)).collect(),
                file: tally.file,
            })
            .collect();
        let mut samples = Samples {
            training: picked.training.iter().sum(),
            validation: picked.validation.iter().sum(),
            partial: 0,
            species_in_training: 0,
            species_in_validation: 0,
            licences: picked.licences.clone(),
        };
        let mut labels: BTreeMap<String, u64> = BTreeMap::new();
        for taxon in (0..mending.ids().len()).filter(|&taxon| picked.of(taxon) > 0) {
            let rank = mending.rank(taxon);
            *labels.entry(rank.name().to_owned()).or_default() += 1;
            if matches!(rank, Rank::Species | Rank::Other(_)) {
                samples.species_in_training += u64::from(picked.training[taxon] > 0);
                samples.species_in_validation += u64::from(picked.validation[taxon] > 0);
            } else {
                samples.partial += picked.of(taxon);
            }
        }
        Self {
            format: 1,
            source: Source {
                path: input.shown(),
                format: input.format(),
                photos: input
                    .photos()
                    .map(|photos| absolute(&photos).unwrap_or(photos).display().to_string()),
            },
            rules: rules.clone(),
            files,
            taxonomy: TaxonomyReport {
                names: mending.names,
                mended: mending.mended.clone(),
                homonyms: mending.homonyms,
                labels,
            },
            samples,
        }
    }

    /// The commonest reasons, for where nothing is left.
    #[must_use]
    pub fn why(&self) -> String {
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (&reason, rows) in self.files.iter().flat_map(|file| &file.dropped) {
            *reasons.entry(reason).or_default() += rows;
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|&(_, rows)| std::cmp::Reverse(rows));
        let mut parts: Vec<String> =
            reasons.iter().take(3).map(|(reason, rows)| format!("{rows} rows {reason}")).collect();
        if reasons.iter().any(|(reason, _)| *reason == Reason::TooFewPictures.name()) {
            parts.push("--min-images says how many pictures a species needs".into());
        }
        if reasons.iter().any(|(reason, _)| *reason == Reason::Format.name()) {
            parts.push("--picture-format says which formats are taken".into());
        }
        if parts.is_empty() { "there are no rows".into() } else { parts.join(", ") }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "{}: {} rows, {} kept", file.file, file.rows, file.kept)?;
            for (reason, rows) in &file.dropped {
                writeln!(f, "  {rows:>10} {reason}")?;
            }
        }
        let TaxonomyReport { names, mended, homonyms, labels } = &self.taxonomy;
        writeln!(f, "{names} names, {homonyms} of taxa that share theirs with another")?;
        for (mend, rows) in mended {
            let mend = serde_json::to_value(mend).unwrap_or_default();
            writeln!(f, "  {rows:>10} rows mended: {}", mend.as_str().unwrap_or_default())?;
        }
        for (rank, taxa) in labels {
            writeln!(f, "  {taxa:>10} labels of rank {rank}")?;
        }
        let samples = &self.samples;
        writeln!(
            f,
            "{} pictures for training of {} species, {} for validation of {}, {} labelled above species",
            samples.training,
            samples.species_in_training,
            samples.validation,
            samples.species_in_validation,
            samples.partial
        )?;
        for (licence, pictures) in &samples.licences {
            let licence = if licence.is_empty() { "no licence named" } else { licence };
            writeln!(f, "  {pictures:>10} {licence}")?;
        }
        Ok(())
    }
}
