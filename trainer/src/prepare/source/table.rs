//! A CSV of files or URLs with a column for each rank.

use fieldmark_tables::Reason;
use fieldmark_tables::rows::{Dialect, Rows};

use super::archive::Archive;
use super::{Input, SourceError, stays_inside};
use crate::prepare::intake::{Hand, Intake, Observed, Picture, is_address};
use crate::prepare::taxa::RawName;

const RANKS: [&str; 7] = ["kingdom", "phylum", "class", "order", "family", "genus", "species"];

pub(super) fn read<'a>(
    archive: &Archive<'_>,
    input: &Input,
    intake: &Intake<'a>,
) -> Result<Vec<Hand<'a>>, SourceError> {
    let name = archive.only();
    let file = intake.file(&name);
    let photos = input.photos().unwrap_or_default();
    archive.with(&name, |reader| {
        let rows = Rows::with_header(&name, reader, Dialect::CSV)?;
        let path = rows.needed("file")?;
        let ranks = RANKS.map(|rank| rows.column(rank));
        rows.needed("kingdom")?;
        let optional = |names: &[&str]| names.iter().find_map(|name| rows.column(name));
        let individual = optional(&["individual", "observation"]);
        let (observer, common) = (optional(&["observer"]), optional(&["common_name"]));
        let (licence, attribution) = (optional(&["licence", "license"]), optional(&["attribution"]));
        Ok(intake.table(rows, file, |hand, row, at| {
            let location = row.cell(path);
            if !is_address(location) {
                if !stays_inside(location) {
                    let reason = if location.is_empty() { Reason::NoAddress } else { Reason::UnsafePath };
                    return hand.drop_row(at, reason, location);
                }
                if !photos.join(location).is_file() {
                    return hand.drop_row(at, Reason::MissingFile, location);
                }
            }
            let said = row.optional(individual);
            let observation = if said.is_empty() { input.individual(location) } else { said };
            let ranks = ranks.map(|column| row.optional(column));
            let common_name = row.optional(common);
            let observed =
                Observed { key: location, observation, observer: row.optional(observer), dropped: None };
            let [k, p, c, o, f, g, s] = ranks;
            hand.occurrence(&observed, (None, at.1), &[k, p, c, o, f, g, s, common_name], || RawName {
                ranks: ranks.map(Into::into),
                common_name: common_name.into(),
                ..RawName::default()
            })?;
            let picture = Picture {
                key: location,
                location,
                media_type: "",
                licence: row.optional(licence),
                attribution: row.optional(attribution),
            };
            hand.picture(&picture, at)
        })?)
    })
}
