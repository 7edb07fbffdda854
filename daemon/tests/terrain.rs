//! A terrain model that GDAL wrote is read as GDAL reads it. GDAL is large: without it the test says that it was skipped,
//! and fails where FIELDMARK_GDAL=1 asks for it.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

use fieldmark_daemon::position::{Geodetic, Terrain};

/// Hills that differ from sample to sample.
fn height(column: u32, row: u32) -> i16 {
    let (x, y) = (f64::from(column), f64::from(row));
    (600.0 + 200.0 * (x / 37.0).sin() + 150.0 * (y / 23.0).cos() + x / 4.0) as i16
}

/// An SRTM tile of three arc seconds.
fn write_srtm(path: &Path) {
    let sample = |at: u32| height(at % 1201, at / 1201).to_be_bytes();
    let bytes: Vec<u8> = (0..1201 * 1201).flat_map(sample).collect();
    std::fs::write(path, bytes).expect("write");
}

fn gdal(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_terrain_that_gdal_wrote_is_read_as_gdal_reads_it() {
    if Command::new("gdal_translate").arg("--version").output().is_err() {
        assert_ne!(std::env::var("FIELDMARK_GDAL").as_deref(), Ok("1"), "FIELDMARK_GDAL=1, and no GDAL");
        eprintln!("SKIPPED: gdal_translate is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write_srtm(&path("N47E008.hgt"));
    let text = |name: &str| path(name).to_str().expect("a path").to_owned();
    let (srtm, plain, packed, float) =
        (text("N47E008.hgt"), text("plain.tif"), text("packed.tif"), text("float.tif"));
    gdal("gdal_translate", &["-q", &srtm, &plain]);
    let deflate = ["-co", "COMPRESS=DEFLATE", "-co", "PREDICTOR=2", "-co", "TILED=YES"];
    gdal(
        "gdal_translate",
        &[&["-q"], &deflate[..], &["-projwin", "8.2", "47.8", "8.6", "47.3", &srtm, &packed]].concat(),
    );
    gdal("gdal_translate", &["-q", "-ot", "Float32", "-co", "COMPRESS=LZW", &srtm, &float]);
    for file in [&srtm, &plain, &packed, &float] {
        let terrain = Terrain::read(Path::new(file)).expect("terrain");
        for (column, row) in [(300, 400), (477, 641), (600, 700), (333, 555)] {
            let (lat, lon) = (48.0 - f64::from(row) / 1200.0, 8.0 + f64::from(column) / 1200.0);
            let place = [lon.to_string(), lat.to_string()];
            let said = gdal("gdallocationinfo", &["-valonly", "-wgs84", file, &place[0], &place[1]]);
            let said: f64 = said.trim().parse().expect("a height");
            assert!((said - f64::from(height(column, row))).abs() < 0.5, "{file}: GDAL says {said}");
            let found = terrain.elevation(Geodetic { lat, lon }).expect("inside");
            assert!((found - said).abs() < 0.01, "{file} {column} {row}: {found}, GDAL {said}");
        }
    }
    // In metres it is refused, with what to do.
    let metres = text("metres.tif");
    gdal("gdalwarp", &["-q", "-t_srs", "EPSG:32632", "-ts", "100", "100", &srtm, &metres]);
    let refused = Terrain::read(Path::new(&metres)).expect_err("metres").to_string();
    assert!(refused.contains("gdalwarp -t_srs EPSG:4326"), "{refused}");
}
