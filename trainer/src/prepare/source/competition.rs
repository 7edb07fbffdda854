//! Annotations of the iNaturalist competitions (2017 to 2021): COCO's JSON with taxonomy in several shapes.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;

use fieldmark_tables::Reason;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::archive::Archive;
use super::{Input, SourceError, stays_inside};
use crate::prepare::intake::{Hand, Intake, Observed, Picture};
use crate::prepare::taxa::RawName;

#[derive(Deserialize)]
struct Annotations {
    images: Vec<Image>,
    #[serde(default)]
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
    #[serde(default)]
    licenses: Vec<LicenceEntry>,
}

/// Years write identifiers as numbers, others as text.
#[derive(Deserialize, PartialEq, Eq, Hash, Clone)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(Box<str>),
}

impl Id {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    file_name: Box<str>,
    license: Option<Id>,
    rights_holder: Option<Box<str>>,
    date: Option<Box<str>>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    category_id: Id,
}

#[derive(Deserialize, Clone)]
struct Category {
    id: Id,
    name: Option<Box<str>>,
    common_name: Option<Box<str>>,
    supercategory: Option<Box<str>>,
    kingdom: Option<Box<str>>,
    phylum: Option<Box<str>>,
    class: Option<Box<str>>,
    order: Option<Box<str>>,
    family: Option<Box<str>>,
    genus: Option<Box<str>>,
}

#[derive(Deserialize)]
struct LicenceEntry {
    id: Id,
    name: Option<Box<str>>,
    url: Option<Box<str>>,
}

/// What 2017 says of a species beside its name.
const SUPERCATEGORIES: [(&str, [&str; 3]); 13] = [
    ("Plantae", ["Plantae", "", ""]),
    ("Fungi", ["Fungi", "", ""]),
    ("Chromista", ["Chromista", "", ""]),
    ("Protozoa", ["Protozoa", "", ""]),
    ("Animalia", ["Animalia", "", ""]),
    ("Mollusca", ["Animalia", "Mollusca", ""]),
    ("Insecta", ["Animalia", "Arthropoda", "Insecta"]),
    ("Arachnida", ["Animalia", "Arthropoda", "Arachnida"]),
    ("Aves", ["Animalia", "Chordata", "Aves"]),
    ("Reptilia", ["Animalia", "Chordata", "Reptilia"]),
    ("Mammalia", ["Animalia", "Chordata", "Mammalia"]),
    ("Amphibia", ["Animalia", "Chordata", "Amphibia"]),
    ("Actinopterygii", ["Animalia", "Chordata", "Actinopterygii"]),
];

impl Category {
    fn raw(&self) -> RawName {
        let cell = |cell: &Option<Box<str>>| cell.clone().unwrap_or_default();
        let name = cell(&self.name);
        let mut ranks = [
            cell(&self.kingdom),
            cell(&self.phylum),
            cell(&self.class),
            cell(&self.order),
            cell(&self.family),
            cell(&self.genus),
            name.clone(),
        ];
        if ranks[0].is_empty() {
            let above = cell(&self.supercategory);
            if let Some((_, known)) = SUPERCATEGORIES.iter().find(|(name, _)| **name == *above) {
                for (cell, known) in ranks.iter_mut().zip(known) {
                    *cell = (*known).into();
                }
            }
        }
        // 2018 and 2019 hid the names behind numbers; without categories.json nothing is known.
        let hidden = name.bytes().all(|byte| byte.is_ascii_digit());
        let reason = (hidden && self.genus.is_none()).then_some(Reason::NoName);
        let common_name = cell(&self.common_name);
        RawName { ranks, name, rank: "species".into(), common_name, reason, ..RawName::default() }
    }
}

pub(super) fn read<'a>(
    archive: &Archive<'_>,
    input: &Input,
    intake: &Intake<'a>,
) -> Result<Vec<Hand<'a>>, SourceError> {
    let names = archive.names();
    let annotations: Vec<String> = if names.is_empty() {
        vec![archive.only()]
    } else {
        names.iter().filter(|name| name.ends_with(".json") && *name != "categories.json").cloned().collect()
    };
    let apart = categories(archive, input)?;
    let mut hand = intake.hand()?;
    for (number, name) in annotations.iter().enumerate() {
        let all: Annotations = json(archive, name)?;
        take(&mut hand, intake, name, number, &all, &apart)?;
    }
    Ok(vec![hand])
}

/// `categories.json` beside the annotations, where a year has one.
fn categories(archive: &Archive<'_>, input: &Input) -> Result<Vec<Category>, SourceError> {
    const NAME: &str = "categories.json";
    if archive.find(NAME).is_some() {
        return json(archive, NAME);
    }
    let beside = input.path.with_file_name(NAME);
    if archive.names().is_empty() && beside.is_file() {
        let archive = Archive::open(&beside)?;
        return json(&archive, NAME);
    }
    Ok(Vec::new())
}

fn json<T: DeserializeOwned>(archive: &Archive<'_>, name: &str) -> Result<T, SourceError> {
    archive.with(name, |reader| {
        serde_json::from_reader(BufReader::with_capacity(1 << 20, reader)).map_err(|error| {
            let line = (error.line() > 0).then_some(error.line() as u64);
            SourceError::Content { file: name.into(), line, problem: error.to_string() }
        })
    })
}

fn take(
    hand: &mut Hand<'_>,
    intake: &Intake<'_>,
    name: &str,
    number: usize,
    all: &Annotations,
    apart: &[Category],
) -> Result<(), SourceError> {
    let (rows, pictures) =
        (intake.file(&format!("{name} annotations")), intake.file(&format!("{name} images")));
    // Names that stand apart are the real ones.
    let categories: HashMap<&Id, &Category> =
        all.categories.iter().chain(apart).map(|category| (&category.id, category)).collect();
    let licences: HashMap<&Id, &str> = all
        .licenses
        .iter()
        .map(|entry| (&entry.id, entry.url.as_deref().or(entry.name.as_deref()).unwrap_or_default()))
        .collect();
    let images: HashMap<&Id, &Image> = all.images.iter().map(|image| (&image.id, image)).collect();
    let key = |id: &Id| format!("{number}:{}", id.text());
    for (line, annotation) in (1..).zip(&all.annotations) {
        hand.read(rows);
        let category = categories.get(&annotation.category_id);
        let image = images.get(&annotation.image_id);
        let observation = image.map(|image| image.observation()).unwrap_or_default();
        let observer = image.and_then(|image| image.rights_holder.as_deref()).unwrap_or_default();
        let observed =
            Observed { key: &key(&annotation.image_id), observation: &observation, observer, dropped: None };
        let id = annotation.category_id.text();
        hand.occurrence(&observed, (Some(rows), line), &[name, &id], || match category {
            Some(category) => category.raw(),
            None => RawName { reason: Some(Reason::UnknownTaxon), ..RawName::default() },
        })?;
    }
    let mut seen = HashSet::new();
    for (line, image) in (1..).zip(&all.images) {
        let at = (pictures, line);
        hand.read(pictures);
        if !seen.insert(&image.id) {
            hand.drop_row(at, Reason::DuplicateId, &image.id.text())?;
            continue;
        }
        if !stays_inside(&image.file_name) {
            hand.drop_row(at, Reason::UnsafePath, &image.file_name)?;
            continue;
        }
        let licence = image.license.as_ref().and_then(|id| licences.get(id)).copied().unwrap_or_default();
        let picture = Picture {
            key: &key(&image.id),
            location: &image.file_name,
            media_type: "",
            licence,
            attribution: image.rights_holder.as_deref().unwrap_or_default(),
        };
        hand.picture(&picture, at)?;
    }
    Ok(())
}

impl Image {
    /// Pictures of one person, day and place are of one observation; nothing where that is not said.
    fn observation(&self) -> String {
        match (&self.rights_holder, &self.date, self.latitude, self.longitude) {
            (Some(holder), Some(date), Some(latitude), Some(longitude)) => {
                format!("{holder}|{date}|{latitude:.4}|{longitude:.4}")
            }
            _ => String::new(),
        }
    }
}
