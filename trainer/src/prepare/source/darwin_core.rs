//! Darwin Core Archives of GBIF and iNaturalist, and GBIF's simple table.

use std::io::Read;

use fieldmark_tables::rows::{Dialect, Row, Rows};
use fieldmark_tables::{FileId, Reason, TableError};

use super::archive::Archive;
use super::meta::{self, Part};
use super::{Input, SourceError};
use crate::prepare::intake::{Hand, Intake, Observed, Picture, is_address};
use crate::prepare::taxa::RawName;

/// Columns of an occurrence; a source may lack any but the key.
struct OccurrenceColumns {
    key: usize,
    ranks: [Option<usize>; 7],
    name: Option<usize>,
    accepted: Option<usize>,
    rank: Option<usize>,
    status: Option<usize>,
    presence: Option<usize>,
    grade: Option<usize>,
    /// Of one animal or plant that was recorded more than once.
    organism: Option<usize>,
    observer: Option<usize>,
    common_name: Option<usize>,
}

/// What iNaturalist calls what is not of research grade. Other publishers have words of their own for how a record was verified,
/// in the same column.
const LOWER_GRADES: [&str; 2] = ["casual", "needs_id"];

const RANKS: [&str; 7] = ["kingdom", "phylum", "class", "order", "family", "genus", "species"];

impl OccurrenceColumns {
    fn new(key: usize, column: &dyn Fn(&str) -> Option<usize>) -> Self {
        let any = |names: &[&str]| names.iter().find_map(|name| column(name));
        Self {
            key,
            ranks: RANKS.map(column),
            name: column("scientificName"),
            accepted: column("acceptedScientificName"),
            rank: column("taxonRank"),
            status: column("taxonomicStatus"),
            presence: column("occurrenceStatus"),
            grade: any(&["qualityGrade", "quality_grade", "identificationVerificationStatus"]),
            organism: column("organismID"),
            observer: any(&["inaturalistLogin", "recordedByID", "recordedBy"]),
            common_name: column("vernacularName"),
        }
    }

    fn take(
        &self,
        hand: &mut Hand<'_>,
        row: Row<'_>,
        at: (FileId, u64),
        research: bool,
    ) -> Result<(), TableError> {
        let grade = row.optional(self.grade);
        let dropped = if row.optional(self.presence).eq_ignore_ascii_case("absent") {
            Some(Reason::Absent)
        } else if research && LOWER_GRADES.iter().any(|lower| grade.eq_ignore_ascii_case(lower)) {
            Some(Reason::NotResearchGrade)
        } else {
            None
        };
        let observer = row.optional(self.observer);
        let observed =
            Observed { key: row.cell(self.key), observation: row.optional(self.organism), observer, dropped };
        let ranks = self.ranks.map(|column| row.optional(column));
        let accepted = row.optional(self.accepted);
        let name = if accepted.is_empty() { row.optional(self.name) } else { accepted };
        let (rank, common_name) = (row.optional(self.rank), row.optional(self.common_name));
        let synonym = row.optional(self.status).to_ascii_lowercase().contains("synonym");
        let mark = if synonym { "synonym" } else { "" };
        let [k, p, c, o, f, g, s] = ranks;
        hand.occurrence(
            &observed,
            (Some(at.0), at.1),
            &[k, p, c, o, f, g, s, name, rank, common_name, mark],
            || RawName {
                ranks: ranks.map(Into::into),
                name: name.into(),
                rank: rank.into(),
                common_name: common_name.into(),
                synonym,
                ..RawName::default()
            },
        )
    }
}

/// Columns of a picture.
struct MediaColumns {
    key: usize,
    location: Option<usize>,
    kind: Option<usize>,
    format: Option<usize>,
    licence: Option<usize>,
    holder: Option<usize>,
    creator: Option<usize>,
}

impl MediaColumns {
    fn new(key: usize, column: &dyn Fn(&str) -> Option<usize>) -> Self {
        Self {
            key,
            location: column("identifier").or_else(|| column("accessURI")),
            kind: column("type"),
            format: column("format"),
            licence: column("license"),
            holder: column("rightsHolder"),
            creator: column("creator"),
        }
    }

    fn take(&self, hand: &mut Hand<'_>, row: Row<'_>, at: (FileId, u64)) -> Result<(), TableError> {
        let location = row.optional(self.location);
        let (kind, format) = (row.optional(self.kind), row.optional(self.format));
        let still = kind.is_empty() || kind.ends_with("StillImage") || kind.eq_ignore_ascii_case("image");
        let holder = row.optional(self.holder);
        let picture = Picture {
            key: row.cell(self.key),
            location: if is_address(location) { location } else { "" },
            media_type: if still { format } else { kind },
            licence: row.optional(self.licence),
            attribution: if holder.is_empty() { row.optional(self.creator) } else { holder },
        };
        hand.picture(&picture, at)
    }
}

/// Reads an archive: its core and the table of its pictures.
pub(super) fn read<'a>(archive: &Archive<'_>, intake: &Intake<'a>) -> Result<Vec<Hand<'a>>, SourceError> {
    let parts = match archive.find("meta.xml") {
        Some(name) => meta::parts(&text(archive, &name)?)?,
        None => vec![bare("observations.csv", "Occurrence"), bare("media.csv", "Multimedia")],
    };
    let missing = |what| SourceError::Content {
        file: "meta.xml".into(),
        line: None,
        problem: format!("it names no table of {what}; is it a Darwin Core Archive with media?"),
    };
    let is = |part: &&Part, words: &[&str]| words.contains(&part.row_type.as_str());
    let core = parts.iter().find(|part| is(part, &["Occurrence"])).ok_or_else(|| missing("occurrences"))?;
    let media = parts.iter().find(|part| is(part, &["Multimedia", "Image"]));
    let media = media.ok_or_else(|| missing("pictures (Multimedia)"))?;
    let research = intake.rules().research_grade;
    let mut hands = table(archive, core, intake, |key, column| {
        let columns = OccurrenceColumns::new(key, column);
        move |hand: &mut Hand<'a>, row: Row<'_>, at| columns.take(hand, row, at, research)
    })?;
    hands.extend(table(archive, media, intake, |key, column| {
        let columns = MediaColumns::new(key, column);
        move |hand: &mut Hand<'a>, row: Row<'_>, at| columns.take(hand, row, at)
    })?);
    Ok(hands)
}

/// A table of iNaturalist's archive, whose header says it all.
fn bare(file: &str, row_type: &str) -> Part {
    let (file, row_type) = (file.to_owned(), row_type.to_owned());
    Part { file, row_type, dialect: Dialect::CSV, header: true, key: 0, fields: Vec::new() }
}

fn text(archive: &Archive<'_>, name: &str) -> Result<String, SourceError> {
    archive.with(name, |reader| {
        let mut text = String::new();
        let failed = |source: std::io::Error| SourceError::File { file: name.into(), source: source.into() };
        reader.take(meta::LONGEST).read_to_string(&mut text).map_err(failed)?;
        Ok(text)
    })
}

fn table<'a, E>(
    archive: &Archive<'_>,
    part: &Part,
    intake: &Intake<'a>,
    each: impl FnOnce(usize, &dyn Fn(&str) -> Option<usize>) -> E,
) -> Result<Vec<Hand<'a>>, SourceError>
where
    E: Fn(&mut Hand<'a>, Row<'_>, (FileId, u64)) -> Result<(), TableError> + Sync,
{
    let name = archive.find(&part.file).ok_or_else(|| SourceError::Content {
        file: "meta.xml".into(),
        line: None,
        problem: format!("it names {}, which is not there", part.file),
    })?;
    let file = intake.file(&name);
    archive.with(&name, |reader| {
        let rows = if part.header {
            Rows::with_header(&name, reader, part.dialect)?
        } else {
            Rows::without_header(&name, reader, part.dialect, Some(part.width()))
        };
        // meta.xml decides which column is what; without it the header does.
        let each = if part.fields.is_empty() {
            each(part.key, &|term| rows.column(term))
        } else {
            each(part.key, &|term| part.column(term))
        };
        Ok(intake.table(rows, file, each)?)
    })
}

/// Reads GBIF's simple table, which names no pictures, and the multimedia table given with it.
pub(super) fn read_simple<'a>(
    archive: &Archive<'_>,
    input: &Input,
    intake: &Intake<'a>,
) -> Result<Vec<Hand<'a>>, SourceError> {
    let media = input.media.as_ref().ok_or_else(|| SourceError::Content {
        file: input.shown(),
        line: None,
        problem:
            "GBIF's simple table has no addresses of pictures: download the Darwin Core Archive, or give its \
                  multimedia.txt with --media"
                .into(),
    })?;
    let names = archive.names();
    let name = match names.iter().find(|name| name.ends_with(".csv")) {
        Some(name) => name.clone(),
        None => archive.only(),
    };
    let file = intake.file(&name);
    let research = intake.rules().research_grade;
    let mut hands = archive.with(&name, |reader| {
        let rows = Rows::with_header(&name, reader, Dialect::TAB)?;
        let columns = OccurrenceColumns::new(rows.needed("gbifID")?, &|term| rows.column(term));
        Ok(intake.table(rows, file, |hand, row, at| columns.take(hand, row, at, research))?)
    })?;
    let archive = Archive::open(media)?;
    let name = archive.only();
    let file = intake.file(&name);
    hands.extend(archive.with(&name, |reader| {
        let rows = Rows::with_header(&name, reader, Dialect::TAB)?;
        let columns = MediaColumns::new(rows.needed("gbifID")?, &|term| rows.column(term));
        Ok(intake.table(rows, file, |hand, row, at| columns.take(hand, row, at))?)
    })?);
    Ok(hands)
}
