//! Folders named by taxa: one level of classes, or one for each rank.

use std::fs;
use std::io;
use std::path::Path;

use fieldmark_tables::Reason;

use super::{Input, SourceError};
use crate::prepare::intake::{Hand, Intake, Observed, Picture};
use crate::prepare::rules::PictureFormat;
use crate::prepare::taxa::RawName;

/// Folders below each other that are still looked into.
const DEEPEST: usize = 16;

/// Whether there is a picture in a folder below `path`.
pub(super) fn has_pictures(path: &Path) -> bool {
    let mut found = false;
    let _ = walk(path, "", 0, &mut |file: &str| {
        found |= file.contains('/') && PictureFormat::of(file).is_some();
    });
    found
}

/// Files below `folder`, paths relative and in order. Links to folders are not followed.
fn walk(folder: &Path, relative: &str, depth: usize, each: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if name.starts_with('.') {
            continue;
        }
        let relative = if relative.is_empty() { name } else { format!("{relative}/{name}") };
        if entry.file_type()?.is_dir() {
            if depth < DEEPEST {
                walk(&entry.path(), &relative, depth + 1, each)?;
            }
        } else {
            each(&relative);
        }
    }
    Ok(())
}

pub(super) fn read<'a>(input: &Input, intake: &Intake<'a>) -> Result<Vec<Hand<'a>>, SourceError> {
    let mut files = Vec::new();
    let failed = |source: io::Error| SourceError::File { file: input.shown(), source: source.into() };
    walk(&input.path, "", 0, &mut |file: &str| files.push(file.to_owned())).map_err(failed)?;
    let deepest = files.iter().map(|file| file.matches('/').count()).max().unwrap_or_default();
    if (2..7).contains(&deepest) {
        return Err(SourceError::Content {
            file: input.shown(),
            line: None,
            problem: format!(
                "its folders are {deepest} deep: one level (class/picture.jpg) or seven were expected \
                 (kingdom/phylum/class/order/family/genus/species/picture.jpg)"
            ),
        });
    }
    let file = intake.file(&input.shown());
    let mut hand = intake.hand()?;
    for (line, path) in (1..).zip(&files) {
        let at = (file, line);
        hand.read(file);
        let folders: Vec<&str> = path.split('/').collect();
        let Some((_, folders)) = folders.split_last() else { continue };
        if folders.is_empty() {
            hand.drop_row(at, Reason::NoName, path)?;
            continue;
        }
        // Folders below species hold one individual each.
        let individual =
            if folders.len() > 7 { folders.join("/") } else { input.individual(path).to_owned() };
        let observed = Observed { key: path, observation: &individual, observer: "", dropped: None };
        let named = &folders[..folders.len().min(7)];
        hand.occurrence(&observed, (None, line), named, || name(named, deepest >= 7))?;
        let picture = Picture { key: path, location: path, media_type: "", licence: "", attribution: "" };
        hand.picture(&picture, at)?;
    }
    Ok(vec![hand])
}

fn name(folders: &[&str], by_rank: bool) -> RawName {
    let spaced = |text: &str| text.replace('_', " ").trim().to_owned();
    if by_rank {
        let mut cells = folders.iter().map(|folder| spaced(folder).into());
        let ranks = std::array::from_fn(|_| cells.next().unwrap_or_default());
        return RawName { ranks, ..RawName::default() };
    }
    let folder = folders.first().copied().unwrap_or_default();
    // The competition of 2021: number, six ranks and epithet in one name.
    let parts: Vec<&str> = folder.split('_').collect();
    if let [number, kingdom, phylum, class, order, family, genus, epithet @ ..] = parts.as_slice()
        && !epithet.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        let species = format!("{genus} {}", epithet.join(" "));
        let ranks =
            [kingdom, phylum, class, order, family, genus, &species.as_str()].map(|&cell| cell.into());
        return RawName { ranks, ..RawName::default() };
    }
    RawName { name: spaced(folder).into(), flat: true, ..RawName::default() }
}
