//! Writes a Darwin Core Archive as GBIF sends it, of any size, with the quirks of real ones at known counts, and
//! expected.json: how many rows a preparation has to keep, and to drop for which reason.
//!
//! `cargo run --example occurrences -- FOLDER [OCCURRENCES]`

#![allow(clippy::expect_used)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

const SPECIES: u64 = 60_000;
const SPECIES_OF_GENUS: u64 = 12;
const GENERA_OF_FAMILY: u64 = 20;
const FAMILIES_OF_ORDER: u64 = 10;

/// Of a thousand occurrences, the one at each of these places has the quirk.
mod place {
    pub(crate) const STRAY_TAB: u64 = 11;
    pub(crate) const NOT_UTF8: u64 = 22;
    pub(crate) const ABSENT: u64 = 33;
    pub(crate) const NO_KINGDOM: u64 = 44;
    pub(crate) const HYBRID: u64 = 55;
    pub(crate) const MISSING_RANKS: u64 = 66;
    pub(crate) const SYNONYM: u64 = 77;
    pub(crate) const NO_MEDIA: u64 = 88;
    pub(crate) const GENUS_ONLY: u64 = 99;
    pub(crate) const DUPLICATE: u64 = 110;
}

#[derive(Default)]
struct Expected {
    occurrences: u64,
    media: u64,
    occurrence: std::collections::BTreeMap<&'static str, u64>,
    medium: std::collections::BTreeMap<&'static str, u64>,
    species: Vec<u32>,
    genera: Vec<u32>,
}

/// The finaliser of SplitMix64.
fn mixed(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Few species are common: the cube of a share.
fn species(occurrence: u64) -> u64 {
    let share = (mixed(occurrence) >> 11) as f64 / (1u64 << 53) as f64;
    ((share * share * share) * SPECIES as f64) as u64
}

/// A name of Latin look for a number.
fn word(number: u64, ending: &str) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "xo", "zu", "ka"];
    let mut rest = mixed(number) >> 20;
    let mut name: String = (0..4)
        .map(|_| {
            let syllable = SYLLABLES[(rest % 16) as usize];
            rest /= 16;
            syllable
        })
        .collect();
    // Different numbers have different names.
    let mut number = number;
    while number > 0 {
        name.push_str(SYLLABLES[(number % 16) as usize]);
        number /= 16;
    }
    name.push_str(ending);
    name
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

struct Names {
    genus: Vec<String>,
    species: Vec<String>,
    family: Vec<String>,
    order: Vec<String>,
}

impl Names {
    fn new() -> Self {
        let genera = SPECIES.div_ceil(SPECIES_OF_GENUS);
        let families = genera.div_ceil(GENERA_OF_FAMILY);
        let orders = families.div_ceil(FAMILIES_OF_ORDER);
        let genus: Vec<String> = (0..genera).map(|number| capital(&word(number, "us"))).collect();
        let species = (0..SPECIES)
            .map(|number| format!("{} {}", genus[(number / SPECIES_OF_GENUS) as usize], word(number, "is")))
            .collect();
        let family = (0..families).map(|number| capital(&word(number, "idae"))).collect();
        let order = (0..orders).map(|number| capital(&word(number, "iformes"))).collect();
        Self { genus, species, family, order }
    }
}

const OCCURRENCE: [&str; 26] = [
    "gbifID",
    "license",
    "rightsHolder",
    "institutionCode",
    "basisOfRecord",
    "occurrenceID",
    "catalogNumber",
    "recordedBy",
    "occurrenceStatus",
    "eventDate",
    "countryCode",
    "decimalLatitude",
    "decimalLongitude",
    "scientificName",
    "kingdom",
    "phylum",
    "class",
    "order",
    "family",
    "genus",
    "taxonRank",
    "taxonomicStatus",
    "mediaType",
    "acceptedTaxonKey",
    "species",
    "acceptedScientificName",
];
const MEDIA: [&str; 8] =
    ["gbifID", "type", "format", "identifier", "references", "creator", "license", "rightsHolder"];

struct Archive<'a> {
    names: &'a Names,
    expected: Expected,
    line: Vec<u8>,
}

impl Archive<'_> {
    fn occurrence(&mut self, number: u64, id: u64, out: &mut impl Write) {
        let quirk = number % 1000;
        let species = species(number);
        let genus = species / SPECIES_OF_GENUS;
        let family = genus / GENERA_OF_FAMILY;
        let order = family / FAMILIES_OF_ORDER;
        let names = self.names;
        let (mut kingdom, mut phylum, mut class) = ("Animalia", "Chordata", "Aves");
        let (mut order, mut family) =
            (names.order[order as usize].as_str(), names.family[family as usize].as_str());
        let (mut genus_name, mut accepted) =
            (names.genus[genus as usize].as_str(), names.species[species as usize].clone());
        let (mut rank, mut status) = ("SPECIES", "ACCEPTED");
        let mut name = format!("{accepted} (Linnaeus, 1758)");
        match quirk {
            place::NO_KINGDOM => {
                (kingdom, phylum, class, order, family) = ("incertae sedis", "", "", "", "");
                (genus_name, accepted) = ("Nescio", "Nescio quid".into());
                name = "Nescio quid".into();
            }
            place::HYBRID => {
                name = format!("{accepted} × {genus_name} hybridus");
                (accepted, rank) = (String::new(), "UNRANKED");
            }
            place::MISSING_RANKS => (phylum, class, order) = ("", "", ""),
            place::SYNONYM => {
                name = format!("{genus_name} antiquus Gmelin, 1789");
                status = "SYNONYM";
            }
            place::GENUS_ONLY => {
                name = format!("{genus_name} Linnaeus, 1758");
                (accepted, rank) = (String::new(), "GENUS");
            }
            _ => {}
        }
        let presence = if quirk == place::ABSENT { "ABSENT" } else { "PRESENT" };
        let observer = mixed(number / 7) % 200_000;
        self.line.clear();
        let stray = if quirk == place::STRAY_TAB { "\t" } else { "" };
        let day = number % 28 + 1;
        let (latitude, longitude) = (number % 90, number % 180);
        write!(
            self.line,
            "{id}\tCC_BY_NC_4_0\tObserver {observer}\tiNaturalist\tHUMAN_OBSERVATION\thttps://www.inaturalist.org/observations/{id}\t{id}\tObserver {observer}{stray}\t{presence}\t2023-05-{day:02}T10:00:00\tDE\t{latitude}.1234\t{longitude}.5678\t{name}\t{kingdom}\t{phylum}\t{class}\t{order}\t{family}\t{genus_name}\t{rank}\t{status}\tStillImage\t{species}\t{accepted}\t"
        )
        .expect("memory");
        if quirk == place::NOT_UTF8 {
            self.line.push(0xff);
        }
        self.line.push(b'\n');
        out.write_all(&self.line).expect("the disk takes it");
        self.expected.occurrences += 1;
    }

    /// The pictures of an occurrence, and what becomes of both.
    fn media(&mut self, number: u64, id: u64, out: &mut impl Write) {
        let quirk = number % 1000;
        let reason = match quirk {
            place::STRAY_TAB => Some("wrong_number_of_cells"),
            place::NOT_UTF8 => Some("not_utf8"),
            place::ABSENT => Some("absent"),
            place::NO_KINGDOM => Some("no_kingdom"),
            place::HYBRID => Some("hybrid"),
            _ => None,
        };
        let lost = matches!(reason, Some("wrong_number_of_cells" | "not_utf8"));
        let pictures = if quirk == place::NO_MEDIA { 0 } else { number % 2 + 1 };
        let mut usable = 0;
        for picture in 0..pictures {
            let photo = number * 2 + picture;
            let of = photo % 1000;
            let (mut kind, mut format, mut extension) = ("StillImage", "image/jpeg", "jpg");
            let mut stray = "";
            let mut own: Option<&'static str> = None;
            match of {
                203 | 800 => (format, extension, own) = ("image/png", "png", Some("format")),
                307 => (kind, format, extension, own) = ("Sound", "audio/mpeg", "mp3", Some("format")),
                407 => own = Some("no_address"),
                507 => own = Some("no_occurrence"),
                611 => (stray, own) = ("\t", Some("wrong_number_of_cells")),
                711 => own = Some("duplicate_picture"),
                _ => {}
            }
            let joined = if of == 507 { u64::MAX - id } else { id };
            // Every other picture of these is the one before it again.
            let shown = if of == 711 { photo - 1 } else { photo };
            let address = if of == 407 {
                String::new()
            } else {
                format!("https://inaturalist-open-data.s3.amazonaws.com/photos/{shown}/original.{extension}")
            };
            let observer = mixed(number / 7) % 200_000;
            writeln!(
                out,
                "{joined}\t{kind}\t{format}\t{address}\thttps://www.inaturalist.org/photos/{photo}\tobserver_{observer}\thttp://creativecommons.org/licenses/by-nc/4.0/\tObserver {observer}{stray}"
            )
            .expect("the disk takes it");
            self.expected.media += 1;
            let own = own.or(if lost { Some("no_occurrence") } else { reason.map(|_| "occurrence_dropped") });
            // A duplicate is told only of what would else be kept.
            let own = if of == 711 && lost {
                Some("no_occurrence")
            } else if of == 711 && reason.is_some() {
                Some("occurrence_dropped")
            } else {
                own
            };
            match own {
                Some("duplicate_picture") => {
                    usable += 1;
                    *self.expected.medium.entry("duplicate_picture").or_default() += 1;
                }
                Some(own) => *self.expected.medium.entry(own).or_default() += 1,
                None => {
                    usable += 1;
                    let species = species(number);
                    if quirk == place::GENUS_ONLY {
                        self.expected.genera[(species / SPECIES_OF_GENUS) as usize] += 1;
                    } else {
                        self.expected.species[species as usize] += 1;
                    }
                }
            }
        }
        let reason = reason.or((usable == 0).then_some("no_picture"));
        if let Some(reason) = reason {
            *self.expected.occurrence.entry(reason).or_default() += 1;
        }
    }
}

fn table(path: &Path, header: &[&str]) -> BufWriter<File> {
    let mut file = BufWriter::with_capacity(1 << 22, File::create(path).expect("a file"));
    writeln!(file, "{}", header.join("\t")).expect("the disk takes it");
    file
}

fn meta(folder: &Path) {
    let part = |tag: &str, key: &str, file: &str, row_type: &str, header: &[&str]| {
        let fields: String = header
            .iter()
            .enumerate()
            .skip(1)
            .map(|(index, name)| {
                format!("<field index=\"{index}\" term=\"http://rs.tdwg.org/dwc/terms/{name}\"/>\n")
            })
            .collect();
        format!(
            "<{tag} encoding=\"utf-8\" fieldsTerminatedBy=\"\\t\" linesTerminatedBy=\"\\n\" fieldsEnclosedBy=\"\" ignoreHeaderLines=\"1\" rowType=\"{row_type}\">\n<files><location>{file}</location></files>\n<{key} index=\"0\"/>\n{fields}</{tag}>\n"
        )
    };
    let core = part("core", "id", "occurrence.txt", "http://rs.tdwg.org/dwc/terms/Occurrence", &OCCURRENCE);
    let media =
        part("extension", "coreid", "multimedia.txt", "http://rs.gbif.org/terms/1.0/Multimedia", &MEDIA);
    let text = format!("<archive xmlns=\"http://rs.tdwg.org/dwc/text/\">\n{core}{media}</archive>\n");
    fs::write(folder.join("meta.xml"), text).expect("the disk takes it");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let count: u64 = arguments.next().map_or(200_000, |count| count.parse().expect("a number"));
    fs::create_dir_all(&folder).expect("a folder");
    let names = Names::new();
    let genera = vec![0; names.genus.len()];
    let expected = Expected { species: vec![0; SPECIES as usize], genera, ..Expected::default() };
    let mut archive = Archive { names: &names, expected, line: Vec::new() };
    // Identifiers in no order, as in a download: a step that shares no divisor with the count visits each once.
    let id = |number: u64| 4_000_000_000 + number;
    let mut step = (count as f64 * 0.618) as u64 | 1;
    while gcd(step, count) != 1 {
        step += 2;
    }
    let mut out = table(&folder.join("occurrence.txt"), &OCCURRENCE);
    for place in 0..count {
        let number = (u128::from(place) * u128::from(step) % u128::from(count)) as u64;
        archive.occurrence(number, id(number), &mut out);
    }
    for number in (0..count).filter(|number| number % 1000 == place::DUPLICATE) {
        archive.occurrence(number, id(number), &mut out);
        *archive.expected.occurrence.entry("duplicate_id").or_default() += 1;
    }
    out.flush().expect("the disk takes it");
    let mut out = table(&folder.join("multimedia.txt"), &MEDIA);
    for number in 0..count {
        archive.media(number, id(number), &mut out);
    }
    out.flush().expect("the disk takes it");
    meta(&folder);
    let text = format!("{:#}\n", finish(archive.expected));
    fs::write(folder.join("expected.json"), &text).expect("the disk takes it");
    print!("{text}");
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// What is left after species below five pictures are dropped, and genera that have neither species nor five of their own.
fn finish(mut expected: Expected) -> serde_json::Value {
    let (mut kept, mut too_few) = (0, 0);
    for (genus, &own) in expected.genera.iter().enumerate() {
        let first = genus * SPECIES_OF_GENUS as usize;
        let below = &expected.species[first..(first + SPECIES_OF_GENUS as usize).min(SPECIES as usize)];
        let alive = below.iter().any(|&pictures| pictures >= 5) || own >= 5;
        if alive { kept += u64::from(own) } else { too_few += u64::from(own) }
    }
    for &pictures in &expected.species {
        if pictures >= 5 { kept += u64::from(pictures) } else { too_few += u64::from(pictures) }
    }
    if too_few > 0 {
        expected.medium.insert("too_few_pictures", too_few);
    }
    let species = expected.species.iter().filter(|&&pictures| pictures >= 5).count();
    json!({
        "occurrences": { "rows": expected.occurrences, "dropped": expected.occurrence },
        "media": { "rows": expected.media, "kept": kept, "dropped": expected.medium },
        "species": species,
    })
}
