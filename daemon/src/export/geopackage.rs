//! OGC GeoPackage 1.3: a SQLite file with the standard's tables and one layer of points.

use std::io;
use std::path::Path;

use rusqlite::{Connection, params};

use super::Occurrence;

/// "GPKG", and the version of the standard.
const PRAGMAS: &str =
    "PRAGMA application_id = 1196444487; PRAGMA user_version = 10300; PRAGMA journal_mode = DELETE;";

/// The tables of the standard (clauses 1.1.2, 1.1.3 and 2.1.5) with the rows it demands, and the layer.
const SCHEMA: &str = r#"
CREATE TABLE gpkg_spatial_ref_sys (
    srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
INSERT INTO gpkg_spatial_ref_sys VALUES
    ('WGS 84 geodetic', 4326, 'EPSG', 4326, 'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]', 'longitude/latitude coordinates in decimal degrees on the WGS 84 spheroid'),
    ('Undefined cartesian SRS', -1, 'NONE', -1, 'undefined', 'undefined cartesian coordinate reference system'),
    ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', 'undefined geographic coordinate reference system');
CREATE TABLE gpkg_contents (
    table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
    last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')), min_x DOUBLE, min_y DOUBLE,
    max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
    CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
    z TINYINT NOT NULL, m TINYINT NOT NULL,
    CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
    CONSTRAINT uk_gc_table_name UNIQUE (table_name),
    CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
    CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE occurrence (
    fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom POINT, id TEXT NOT NULL, name TEXT NOT NULL, rank TEXT NOT NULL,
    common_name TEXT, lineage TEXT NOT NULL, probability DOUBLE NOT NULL, threshold DOUBLE NOT NULL,
    best_leaf TEXT NOT NULL, hits INTEGER NOT NULL, ended BOOLEAN NOT NULL, first_seen DATETIME NOT NULL,
    last_seen DATETIME NOT NULL, time_source TEXT NOT NULL, accuracy_m DOUBLE NOT NULL, alt_agl_m DOUBLE,
    node TEXT NOT NULL, camera TEXT NOT NULL, model TEXT NOT NULL);
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)
    VALUES ('occurrence', 'features', 'occurrence', 'organisms of a survey', 4326);
INSERT INTO gpkg_geometry_columns VALUES ('occurrence', 'geom', 'POINT', 4326, 0, 0);
"#;

/// Made beside `path` and moved there when it is whole.
pub(super) fn write(path: &Path, occurrences: &[&Occurrence]) -> io::Result<()> {
    let mut making = path.as_os_str().to_owned();
    making.push(".making");
    let making = Path::new(&making);
    match std::fs::remove_file(making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fill(making, occurrences).map_err(io::Error::other)?;
    std::fs::File::open(making)?.sync_all()?;
    std::fs::rename(making, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

fn fill(path: &Path, occurrences: &[&Occurrence]) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(PRAGMAS)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let mut bounds: Option<[f64; 4]> = None;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO occurrence VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for one in occurrences {
            let Some(place) = one.position() else { continue };
            let [west, south, east, north] = bounds.unwrap_or([place.lon, place.lat, place.lon, place.lat]);
            bounds =
                Some([west.min(place.lon), south.min(place.lat), east.max(place.lon), north.max(place.lat)]);
            let last = &one.last;
            insert.execute(params![
                point(place.lon, place.lat),
                one.id(),
                last.taxon.name,
                last.taxon.rank,
                last.taxon.common_name,
                last.taxon.lineage.join("|"),
                last.probability,
                last.threshold,
                last.best_leaf.name,
                i64::try_from(last.track.hits).unwrap_or(i64::MAX),
                one.ended(),
                one.first_seen,
                last.time,
                last.time_source,
                place.accuracy_m,
                place.alt_agl_m,
                last.node,
                last.camera,
                format!("{} {}", last.model.name, last.model.version),
            ])?;
        }
    }
    let edge = |at: usize| bounds.map(|bounds| bounds[at]);
    transaction.execute(
        "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ?",
        params![edge(0), edge(1), edge(2), edge(3)],
    )?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

/// The standard's header (version 0, little-endian, no envelope) and a well-known-binary point.
fn point(x: f64, y: f64) -> Vec<u8> {
    let mut bytes = b"GP\x00\x01".to_vec();
    bytes.extend(4326i32.to_le_bytes());
    bytes.push(1);
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(x.to_le_bytes());
    bytes.extend(y.to_le_bytes());
    bytes
}
