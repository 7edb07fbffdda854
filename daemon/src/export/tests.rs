use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::*;

/// An event as `fieldmark record` keeps it.
fn event(seq: u64, kind: &str, track: u64, position: Option<(f64, f64)>) -> Value {
    let mut event = json!({
        "v": 1, "id": format!("{seq:026}"), "boot": "B", "seq": seq, "type": kind, "node": "uav", "camera": "nadir",
        "time": format!("2026-11-23T05:32:{:02}.000Z", seq % 60), "time_source": "gps", "replay": false,
        "taxon": { "id": "x", "name": "Quercus robur", "rank": "species", "depth": 7, "common_name": "oak, \"English\"",
            "lineage": ["Plantae", "Quercus", "Quercus robur"] },
        "probability": 0.93, "threshold": 0.88, "stop": "leaf",
        "best_leaf": { "name": "Quercus robur", "probability": 0.93 }, "track": { "id": track, "hits": seq + 1 },
        "region": { "box": [0.0, 0.0, 1.0, 1.0], "name": "frame" },
        "model": { "name": "garden", "version": "0.1.0", "sha256": "0".repeat(64) }, "engine": "tract-f32",
        "latency_ms": 1.0
    });
    match position {
        Some((lat, lon)) => {
            event["position"] = json!({ "lat": lat, "lon": lon, "alt_agl_m": 40.0, "accuracy_m": 2.5, "age_ms": 20.0, "method": "pose" });
        }
        None => event["no_position"] = json!("stale"),
    }
    event
}

fn recorded(path: &Path, events: &[Value]) {
    let connection = Connection::open(path).expect("a file");
    connection.execute_batch(crate::cli::RECORD_SCHEMA).expect("the recorder's table");
    for event in events {
        connection
            .execute(
                "INSERT INTO event (id, boot, seq, node, camera, type, time, replay, track, taxon, rank, probability, message)
                 VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, 'x', 'x', 0, ?)",
                params![
                    event["id"].as_str(),
                    event["boot"].as_str(),
                    event["seq"].as_i64(),
                    event["node"].as_str(),
                    event["camera"].as_str(),
                    event["type"].as_str(),
                    event["time"].as_str(),
                    event["track"]["id"].as_i64(),
                    event.to_string()
                ],
            )
            .expect("a row");
    }
}

fn survey(folder: &Path) -> Vec<Occurrence> {
    let path = folder.join("events.sqlite");
    recorded(
        &path,
        &[
            event(0, "new", 0, Some((47.0, 8.0))),
            event(1, "new", 1, Some((47.001, 8.001))),
            event(2, "end", 0, Some((47.0001, 8.0))),
            event(3, "new", 2, None),
        ],
    );
    read(&path, &Choice::default()).expect("a record").0
}

fn dataset() -> Dataset {
    let (title, creator) = ("Trees & <shrubs>".into(), "Survey".into());
    Dataset { title, creator, licence: Licence::Zero, published: jiff::Timestamp::UNIX_EPOCH }
}

#[test]
fn a_track_is_one_occurrence_where_it_was_last_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let survey = survey(folder.path());
    let told: Vec<_> = survey
        .iter()
        .map(|one| (one.last.track.id, one.ended(), one.position().map(|place| place.lat)))
        .collect();
    assert_eq!(told, [(0, true, Some(47.0001)), (1, false, Some(47.001)), (2, false, None)]);
    let (none, _) = read(
        &folder.path().join("events.sqlite"),
        &Choice { node: Some("other".into()), ..Choice::default() },
    )
    .expect("a record");
    assert!(none.is_empty());
    assert!(read(&folder.path().join("nothing.sqlite"), &Choice::default()).is_err());
    assert!(!folder.path().join("nothing.sqlite").exists());
}

#[test]
fn geojson_has_longitude_first_and_no_feature_without_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let (survey, path) = (survey(folder.path()), folder.path().join("out.geojson"));
    write(Format::Geojson, &path, &survey, &dataset()).expect("written");
    let text: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
    assert_eq!(text["features"].as_array().map(Vec::len), Some(2));
    assert_eq!(text["features"][0]["geometry"]["coordinates"], json!([8.0, 47.0001]));
}

#[test]
fn csv_has_a_row_for_every_track_and_quotes_what_needs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (survey, path) = (survey(folder.path()), folder.path().join("out.csv"));
    write(Format::Csv, &path, &survey, &dataset()).expect("written");
    let text = std::fs::read_to_string(&path).expect("a file");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[1].contains("\"oak, \"\"English\"\"\""), "{}", lines[1]);
    assert!(lines[3].contains(",,,,,stale,"), "{}", lines[3]);
}

#[test]
fn a_geopackage_has_the_tables_and_marks_of_the_standard() {
    let folder = tempfile::tempdir().expect("a folder");
    let (survey, path) = (survey(folder.path()), folder.path().join("out.gpkg"));
    write(Format::Gpkg, &path, &survey, &dataset()).expect("written");
    let connection = Connection::open(&path).expect("a file");
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    assert_eq!(number("PRAGMA application_id"), 0x4750_4B47);
    assert_eq!(number("SELECT count(*) FROM occurrence"), 2);
    assert_eq!(number("SELECT count(*) FROM gpkg_spatial_ref_sys WHERE srs_id IN (4326, -1, 0)"), 3);
    let point: Vec<u8> =
        connection.query_row("SELECT geom FROM occurrence", [], |row| row.get(0)).expect("a point");
    assert_eq!(&point[..8], b"GP\x00\x01\xe6\x10\x00\x00");
    assert_eq!(point[13..21], 8.0f64.to_le_bytes());
    assert!(!folder.path().join("out.gpkg.making").exists());
}

#[test]
fn an_archive_keeps_to_what_data_portals_ask_of_occurrences() {
    let folder = tempfile::tempdir().expect("a folder");
    let (survey, path) = (survey(folder.path()), folder.path().join("out.zip"));
    write(Format::Dwca, &path, &survey, &dataset()).expect("written");
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).expect("a file")).expect("an archive");
    let mut file = |name: &str| std::io::read_to_string(zip.by_name(name).expect("a member")).expect("text");
    let (meta, eml, table) = (file("meta.xml"), file("eml.xml"), file("occurrence.txt"));
    let header: Vec<_> = table.lines().next().expect("a header").split('\t').collect();
    assert_eq!(meta.matches("<field index=").count(), header.len());
    assert!(eml.contains("Trees &amp; &lt;shrubs&gt;") && eml.contains("publicdomain/zero/1.0/legalcode"));
    let rows: Vec<Vec<_>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 2);
    let cell =
        |row: usize, term: &str| rows[row][header.iter().position(|name| *name == term).expect("a column")];
    let mut ids: Vec<_> = (0..rows.len()).map(|row| cell(row, "occurrenceID")).collect();
    ids.dedup();
    assert_eq!(ids.len(), rows.len(), "unique");
    for row in 0..rows.len() {
        assert_eq!(cell(row, "basisOfRecord"), "MachineObservation");
        assert_eq!((cell(row, "scientificName"), cell(row, "taxonRank")), ("Quercus robur", "species"));
        assert_eq!(
            (cell(row, "kingdom"), cell(row, "genus"), cell(row, "specificEpithet")),
            ("Plantae", "Quercus", "robur")
        );
        assert!(cell(row, "coordinateUncertaintyInMeters").parse::<f64>().is_ok_and(|metres| metres > 0.0));
        assert!(cell(row, "identificationRemarks").contains("probability 0.930"));
    }
    assert_eq!(cell(0, "eventDate"), "2026-11-23T05:32:00.000Z/2026-11-23T05:32:02.000Z");
}
