//! iNaturalist Open Data: taxa with their ancestry, observations, photos.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use fieldmark_models::taxonomy::Rank;
use fieldmark_tables::Reason;
use fieldmark_tables::rows::{Dialect, Rows};

use super::SourceError;
use super::archive::Archive;
use crate::prepare::intake::{Hand, Intake, Observed, Picture};
use crate::prepare::taxa::RawName;

/// Where photos lie.
const PHOTOS: &str = "https://inaturalist-open-data.s3.amazonaws.com/photos";

/// Taxa above a taxon that no real ancestry has.
const DEEPEST: usize = 100;

/// The rank level of species; below it are subspecies, varieties, forms.
const SPECIES_LEVEL: f64 = 10.0;

struct TaxonRow {
    ancestry: Box<str>,
    level: f64,
    rank: Box<str>,
    name: Box<str>,
    active: bool,
}

/// A rank and a name.
type RankedName = (Box<str>, Box<str>);

#[derive(Default)]
struct TaxonTable {
    taxa: HashMap<Box<str>, TaxonRow>,
    /// Active taxa by rank and name.
    active: HashMap<RankedName, Option<Box<str>>>,
}

pub(super) fn read<'a>(archive: &Archive<'_>, intake: &Intake<'a>) -> Result<Vec<Hand<'a>>, SourceError> {
    let (taxa, mut hands) = taxa(archive, intake)?;
    let observers = observers(archive, intake, &mut hands)?;
    let research = intake.rules().research_grade;
    let (name, file) = member(archive, intake, "observations.csv")?;
    hands.extend(archive.with(&name, |reader| {
        let rows = Rows::with_header(&name, reader, Dialect::TAB)?;
        let [key, observer, taxon, grade] = ["observation_uuid", "observer_id", "taxon_id", "quality_grade"]
            .map(|column| rows.needed(column));
        let (key, observer, taxon, grade) = (key?, observer?, taxon?, grade?);
        Ok(intake.table(rows, file, |hand, row, at| {
            let grade = row.cell(grade);
            let dropped =
                (research && !grade.eq_ignore_ascii_case("research")).then_some(Reason::NotResearchGrade);
            let (key, observer, taxon) = (row.cell(key), row.cell(observer), row.cell(taxon));
            let observed = Observed { key, observation: "", observer, dropped };
            hand.occurrence(&observed, (Some(at.0), at.1), &[taxon], || taxa.name(taxon))
        })?)
    })?);
    let (name, file) = member(archive, intake, "photos.csv")?;
    let size = intake.rules().photo_size.name();
    hands.extend(archive.with(&name, |reader| {
        let rows = Rows::with_header(&name, reader, Dialect::TAB)?;
        let [photo, key, observer, extension, licence] =
            ["photo_id", "observation_uuid", "observer_id", "extension", "license"]
                .map(|column| rows.needed(column));
        let (photo, key, observer, extension, licence) = (photo?, key?, observer?, extension?, licence?);
        Ok(intake.table(rows, file, |hand, row, at| {
            let (photo, extension) = (row.cell(photo), row.cell(extension));
            let sound =
                |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let location = if sound(photo) && sound(extension) {
                format!("{PHOTOS}/{photo}/{size}.{extension}")
            } else {
                String::new()
            };
            let observer = row.cell(observer);
            let picture = Picture {
                key: row.cell(key),
                location: &location,
                media_type: extension,
                licence: row.cell(licence),
                attribution: observers.get(observer).map_or(observer, |name| name),
            };
            hand.picture(&picture, at)
        })?)
    })?);
    Ok(hands)
}

fn member(
    archive: &Archive<'_>,
    intake: &Intake<'_>,
    name: &str,
) -> Result<(String, fieldmark_tables::FileId), SourceError> {
    let found = archive.find(name).ok_or_else(|| SourceError::Content {
        file: name.into(),
        line: None,
        problem:
            "it is not there, nor with .gz behind; iNaturalist Open Data has observations, photos and taxa"
                .into(),
    })?;
    let file = intake.file(&found);
    Ok((found, file))
}

fn taxa<'a>(archive: &Archive<'_>, intake: &Intake<'a>) -> Result<(TaxonTable, Vec<Hand<'a>>), SourceError> {
    let (name, file) = member(archive, intake, "taxa.csv")?;
    let all = Mutex::new(HashMap::<Box<str>, (u64, TaxonRow)>::new());
    let hands = archive.with(&name, |reader| {
        let rows = Rows::with_header(&name, reader, Dialect::TAB)?;
        let columns = ["taxon_id", "ancestry", "rank_level", "rank", "name", "active"];
        let [id, ancestry, level, rank, name, active] = columns.map(|column| rows.needed(column));
        let (id, ancestry, level) = (id?, ancestry?, level?);
        let (rank, name, active) = (rank?, name?, active?);
        Ok(intake.table(rows, file, |hand, row, at| {
            if row.cell(id).is_empty() {
                return hand.drop_row(at, Reason::NoId, "");
            }
            let taxon = TaxonRow {
                ancestry: row.cell(ancestry).into(),
                level: row.cell(level).parse().unwrap_or(f64::NAN),
                rank: row.cell(rank).into(),
                name: row.cell(name).into(),
                active: matches!(row.cell(active), "true" | "t" | "1"),
            };
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            let new = (at.1, taxon);
            let twin = match all.get_mut(row.cell(id)) {
                Some(first) if first.0 > new.0 => Some(std::mem::replace(first, new).0),
                Some(_) => Some(at.1),
                None => {
                    all.insert(row.cell(id).into(), new);
                    None
                }
            };
            drop(all);
            twin.map_or(Ok(()), |line| hand.drop_row((at.0, line), Reason::DuplicateId, row.cell(id)))
        })?)
    })?;
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut table = TaxonTable::default();
    for (id, (_, taxon)) in all {
        if taxon.active {
            // Two active taxa of one name cannot stand for an inactive one.
            let key = (taxon.rank.clone(), taxon.name.clone());
            table.active.entry(key).and_modify(|one| *one = None).or_insert_with(|| Some(id.clone()));
        }
        table.taxa.insert(id, taxon);
    }
    Ok((table, hands))
}

/// Names to thank, by observer; none where the table is not there.
fn observers<'a>(
    archive: &Archive<'_>,
    intake: &Intake<'a>,
    hands: &mut Vec<Hand<'a>>,
) -> Result<HashMap<Box<str>, Box<str>>, SourceError> {
    let Some(name) = archive.find("observers.csv") else { return Ok(HashMap::new()) };
    let file = intake.file(&name);
    let all = Mutex::new(HashMap::new());
    hands.extend(archive.with(&name, |reader| {
        let rows = Rows::with_header(&name, reader, Dialect::TAB)?;
        let (id, login, name) = (rows.needed("observer_id")?, rows.needed("login")?, rows.column("name"));
        Ok(intake.table(rows, file, |_, row, _| {
            let full = row.optional(name);
            let shown = if full.is_empty() { row.cell(login) } else { full };
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(row.cell(id).into()).or_insert_with(|| shown.into());
            Ok(())
        })?)
    })?);
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl TaxonTable {
    fn name(&self, id: &str) -> RawName {
        self.resolved(id).unwrap_or_else(|reason| RawName { reason: Some(reason), ..RawName::default() })
    }

    fn resolved(&self, id: &str) -> Result<RawName, Reason> {
        if id.is_empty() {
            return Err(Reason::NoName);
        }
        let (mut id, mut taxon) = self.taxa.get_key_value(id).ok_or(Reason::UnknownTaxon)?;
        let mut synonym = false;
        if !taxon.active {
            let accepted =
                self.active.get(&(taxon.rank.clone(), taxon.name.clone())).and_then(Option::as_ref);
            let accepted = accepted.and_then(|accepted| self.taxa.get_key_value(accepted));
            (id, taxon) = accepted.ok_or(Reason::InactiveTaxon)?;
            synonym = true;
        }
        let mut ranks: [Box<str>; 7] = Default::default();
        let mut set = |taxon: &TaxonRow| {
            if let Some(position) = Rank::MAIN.iter().position(|rank| *rank == Rank::from_name(&taxon.rank)) {
                ranks[position] = taxon.name.clone();
            }
        };
        let above: Vec<&str> = taxon.ancestry.split(['/', '\\']).filter(|id| !id.is_empty()).collect();
        let twice = (1..above.len()).any(|position| above[..position].contains(&above[position]));
        if above.len() > DEEPEST || twice || above.contains(&&**id) {
            return Err(Reason::CyclicAncestry);
        }
        for id in above {
            set(self.taxa.get(id).ok_or(Reason::UnknownTaxon)?);
        }
        set(taxon);
        let main = Rank::MAIN.contains(&Rank::from_name(&taxon.rank));
        // Complexes, sections and all else between genus and species are labels of their genus.
        let rank = if !main && taxon.level > SPECIES_LEVEL { "complex" } else { &*taxon.rank };
        Ok(RawName { ranks, name: taxon.name.clone(), rank: rank.into(), synonym, ..RawName::default() })
    }
}
