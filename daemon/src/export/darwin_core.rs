//! Darwin Core Archive: a table of occurrences, a descriptor of its columns, and metadata in EML, zipped.

use std::io::{self, Cursor, Write as _};

use zip::write::{SimpleFileOptions, ZipWriter};

use super::Occurrence;

/// Under which terms the records may be used: those that GBIF takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Licence {
    /// Public domain.
    #[value(name = "cc0")]
    Zero,
    /// With attribution.
    #[value(name = "cc-by")]
    Attribution,
    /// With attribution, not for profit.
    #[value(name = "cc-by-nc")]
    NonCommercial,
}

impl Licence {
    fn url(self) -> &'static str {
        match self {
            Self::Zero => "http://creativecommons.org/publicdomain/zero/1.0/legalcode",
            Self::Attribution => "http://creativecommons.org/licenses/by/4.0/legalcode",
            Self::NonCommercial => "http://creativecommons.org/licenses/by-nc/4.0/legalcode",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Zero => "Creative Commons CCZero 1.0 License",
            Self::Attribution => "Creative Commons Attribution (CC-BY) 4.0 License",
            Self::NonCommercial => "Creative Commons Attribution Non Commercial (CC-BY-NC) 4.0 License",
        }
    }
}

/// What a data set is called, and by whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its title.
    pub title: String,
    /// Organisation that made it.
    pub creator: String,
    /// Terms.
    pub licence: Licence,
    /// When it was exported.
    pub published: jiff::Timestamp,
}

/// Columns of `occurrence.txt`: names of Darwin Core's terms, which stand at <http://rs.tdwg.org/dwc/terms/> unless
/// they are Dublin Core's.
const TERMS: [&str; 26] = [
    "occurrenceID",
    "basisOfRecord",
    "eventID",
    "eventDate",
    "occurrenceStatus",
    "scientificName",
    "taxonRank",
    "kingdom",
    "genus",
    "specificEpithet",
    "higherClassification",
    "vernacularName",
    "decimalLatitude",
    "decimalLongitude",
    "geodeticDatum",
    "coordinateUncertaintyInMeters",
    "coordinatePrecision",
    "georeferenceProtocol",
    "identifiedBy",
    "dateIdentified",
    "identificationRemarks",
    "identificationVerificationStatus",
    "samplingProtocol",
    "recordedBy",
    "occurrenceRemarks",
    "license",
];

pub(super) fn archive(occurrences: &[&Occurrence], dataset: &Dataset) -> io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    for (name, text) in [
        ("meta.xml", meta()),
        ("eml.xml", eml(dataset, occurrences)),
        ("occurrence.txt", table(occurrences, dataset)),
    ] {
        zip.start_file(name, options)?;
        zip.write_all(text.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

fn term(name: &str) -> String {
    let namespace =
        if name == "license" { "http://purl.org/dc/terms/" } else { "http://rs.tdwg.org/dwc/terms/" };
    format!("{namespace}{name}")
}

fn meta() -> String {
    let fields: String = TERMS
        .iter()
        .enumerate()
        .map(|(index, name)| format!("    <field index=\"{index}\" term=\"{}\"/>\n", term(name)))
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <archive xmlns=\"http://rs.tdwg.org/dwc/text/\" metadata=\"eml.xml\">\n  \
         <core encoding=\"UTF-8\" fieldsTerminatedBy=\"\\t\" linesTerminatedBy=\"\\n\" fieldsEnclosedBy=\"\" \
         ignoreHeaderLines=\"1\" rowType=\"http://rs.tdwg.org/dwc/terms/Occurrence\">\n    \
         <files><location>occurrence.txt</location></files>\n    <id index=\"0\"/>\n{fields}  </core>\n</archive>\n"
    )
}

fn eml(dataset: &Dataset, occurrences: &[&Occurrence]) -> String {
    let (title, creator) = (escaped(&dataset.title), escaped(&dataset.creator));
    let (licence, url) = (dataset.licence.title(), dataset.licence.url());
    let published = dataset.published.strftime("%Y-%m-%d");
    let party = format!("<organizationName>{creator}</organizationName>");
    let edges =
        occurrences.iter().filter_map(|one| one.position()).fold(None, |edges: Option<[f64; 4]>, place| {
            let [west, south, east, north] = edges.unwrap_or([place.lon, place.lat, place.lon, place.lat]);
            Some([west.min(place.lon), south.min(place.lat), east.max(place.lon), north.max(place.lat)])
        });
    let coverage = edges.map(|[west, south, east, north]| {
        format!(
            "    <coverage><geographicCoverage><geographicDescription>bounds of the records</geographicDescription>\
             <boundingCoordinates><westBoundingCoordinate>{west}</westBoundingCoordinate>\
             <eastBoundingCoordinate>{east}</eastBoundingCoordinate>\
             <northBoundingCoordinate>{north}</northBoundingCoordinate>\
             <southBoundingCoordinate>{south}</southBoundingCoordinate></boundingCoordinates>\
             </geographicCoverage></coverage>\n"
        )
    });
    let coverage = coverage.unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <eml:eml xmlns:eml=\"eml://ecoinformatics.org/eml-2.1.1\" packageId=\"fieldmark-{}\" system=\"fieldmark\" \
         scope=\"system\" xml:lang=\"en\">\n  <dataset>\n    <title xml:lang=\"en\">{title}</title>\n    \
         <creator>{party}</creator>\n    <metadataProvider>{party}</metadataProvider>\n    \
         <pubDate>{published}</pubDate>\n    <language>en</language>\n    \
         <abstract><para>Organisms found by a camera and named by machine, as specifically as a threshold on their \
         probability allows. Each record is one track: sightings merged by place and lineage. No person has verified \
         the names.</para></abstract>\n    \
         <intellectualRights><para>This work is licensed under a <ulink url=\"{url}\"><citetitle>{licence}</citetitle>\
         </ulink>.</para></intellectualRights>\n{coverage}    <contact>{party}</contact>\n  </dataset>\n</eml:eml>\n",
        dataset.published.as_millisecond()
    )
}

fn table(occurrences: &[&Occurrence], dataset: &Dataset) -> String {
    let mut text = TERMS.join("\t");
    text.push('\n');
    for one in occurrences {
        let Some(place) = one.position() else { continue };
        let last = &one.last;
        // The root of the tree is no name that anybody keeps records of.
        if last.taxon.lineage.is_empty() {
            continue;
        }
        let [kingdom, genus, epithet] = one.ranks();
        let higher = last.taxon.lineage.split_last().map(|(_, above)| above.join("|")).unwrap_or_default();
        let method = match place.method {
            crate::position::Method::Nadir => "straight down from the receiver's position",
            crate::position::Method::Pose => "through camera optics and vehicle attitude onto the ground",
            crate::position::Method::Station => "position of the camera",
        };
        let (model, ended) = (format!("{} {}", last.model.name, last.model.version), one.ended());
        let date = if one.first_seen == last.time {
            last.time.clone()
        } else {
            format!("{}/{}", one.first_seen, last.time)
        };
        let remarks = if ended { "" } else { "the record ends before the track did" };
        let cells = [
            one.id(),
            "MachineObservation".into(),
            format!("{}:{}", last.node, last.boot),
            date,
            "present".into(),
            last.taxon.name.clone(),
            last.taxon.rank.clone(),
            kingdom.into(),
            genus.into(),
            epithet.into(),
            higher,
            last.taxon.common_name.clone().unwrap_or_default(),
            place.lat.to_string(),
            place.lon.to_string(),
            "EPSG:4326".into(),
            // Zero is no uncertainty that anybody believes.
            place.accuracy_m.max(0.01).to_string(),
            "0.0000001".into(),
            method.into(),
            model,
            last.time.clone(),
            one.remarks(),
            "unverified".into(),
            "images from a camera, classified automatically".into(),
            dataset.creator.clone(),
            remarks.into(),
            dataset.licence.url().into(),
        ];
        // The descriptor says that nothing is quoted.
        text.push_str(&cells.map(|cell| cell.replace(['\t', '\n', '\r'], " ")).join("\t"));
        text.push('\n');
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
