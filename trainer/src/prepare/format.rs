//! Which of the formats people have their observations in.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

/// A format that sets are prepared from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Darwin Core Archive of GBIF or iNaturalist: a folder or ZIP with meta.xml, or with observations.csv and media.csv.
    DarwinCore,
    /// GBIF's simple download: one table with tabs. It names no pictures: give a multimedia table with it.
    GbifSimple,
    /// iNaturalist Open Data: observations, photos and taxa as .csv.gz.
    InatOpenData,
    /// Annotations of an iNaturalist competition: JSON.
    Competition,
    /// A CSV of files with a column for each rank.
    Table,
    /// Folders named by taxa.
    Folders,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DarwinCore => "darwin-core",
            Self::GbifSimple => "gbif-simple",
            Self::InatOpenData => "inat-open-data",
            Self::Competition => "competition",
            Self::Table => "table",
            Self::Folders => "folders",
        })
    }
}

/// Why it is not known what something is.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not there.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// None of the formats.
    #[error(
        "{path} is none of the formats: no meta.xml, no observations.csv.gz with photos and taxa, no JSON with annotations, \
         no table with gbifID or with file and kingdom, no folders with pictures; name it with --format"
    )]
    Unknown {
        /// The path.
        path: PathBuf,
    },
}

/// Recognises a folder or ZIP by the names of its members, and a file by its name and first line.
pub(super) fn recognise(path: &Path, members: &[String], first_line: &str) -> Option<Format> {
    let has = |name: &str| members.iter().any(|member| member == name || *member == format!("{name}.gz"));
    if members.is_empty() {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let cells = |delimiter| {
            first_line.split(delimiter).map(|cell: &str| cell.trim().trim_matches('"')).collect::<Vec<_>>()
        };
        let (tabs, commas) = (cells('\t'), cells(','));
        return match ending.as_str() {
            "json" => Some(Format::Competition),
            _ if tabs.contains(&"gbifID") && tabs.contains(&"scientificName") => Some(Format::GbifSimple),
            _ if commas.contains(&"file") && commas.contains(&"kingdom") => Some(Format::Table),
            _ => None,
        };
    }
    if has("meta.xml") || (has("observations.csv") && has("media.csv")) {
        Some(Format::DarwinCore)
    } else if has("observations.csv") && has("photos.csv") && has("taxa.csv") {
        Some(Format::InatOpenData)
    } else if members.iter().any(|member| member.ends_with(".json") && member != "categories.json") {
        Some(Format::Competition)
    } else if first_line.split('\t').any(|cell| cell == "gbifID") {
        Some(Format::GbifSimple)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_files() {
        let of = |members: &[&str]| {
            let members: Vec<String> = members.iter().map(|&member| member.into()).collect();
            recognise(Path::new("x"), &members, "")
        };
        assert_eq!(of(&["meta.xml", "occurrence.txt", "multimedia.txt"]), Some(Format::DarwinCore));
        assert_eq!(of(&["observations.csv", "media.csv"]), Some(Format::DarwinCore));
        assert_eq!(of(&["observations.csv.gz", "photos.csv.gz", "taxa.csv.gz"]), Some(Format::InatOpenData));
        assert_eq!(of(&["train2018.json", "categories.json"]), Some(Format::Competition));
        assert_eq!(of(&["readme.txt"]), None);
        let file = |name: &str, line: &str| recognise(Path::new(name), &[], line);
        assert_eq!(file("0001.csv", "gbifID\tdatasetKey\tscientificName"), Some(Format::GbifSimple));
        assert_eq!(file("taxa.csv", "file,name,kingdom"), Some(Format::Table));
        assert_eq!(file("train.json", "{"), Some(Format::Competition));
        assert_eq!(file("notes.csv", "a,b"), None);
    }
}
