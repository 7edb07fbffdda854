//! Preparation with the program itself, from every format on a small fixture with the quirks of the real ones.

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use fieldmark_models::taxonomy::Taxonomy;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prepare")
}

fn prepare(from: &Path, arguments: &[&str], out: &Path) -> Output {
    let mut command = Command::new(TRAINER);
    command.current_dir(from).arg("prepare").args(arguments).arg("--out").arg(out);
    command.output().expect("the trainer")
}

/// Rows of a Parquet file or of all in a folder, as text.
fn table(path: &Path) -> Vec<Vec<String>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
    }
    let mut rows = Vec::new();
    for path in files {
        let file = fs::File::open(path).expect("a file");
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("rows") {
            let batch = batch.expect("rows");
            let columns: Vec<_> =
                batch.columns().iter().map(|column| cast(column, &DataType::Utf8).expect("text")).collect();
            for row in 0..batch.num_rows() {
                let cell = |column: &arrow::array::ArrayRef| {
                    let column = column.as_string::<i32>();
                    if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
                };
                rows.push(columns.iter().map(cell).collect());
            }
        }
    }
    rows
}

fn lines(rows: &[Vec<String>]) -> String {
    rows.iter().fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{}", row.join(" | "));
        text
    })
}

/// What the program wrote, after checking what holds for every set.
fn set(out: &Path) -> String {
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("report.json")).expect("a report")).expect("JSON");
    let samples = table(&out.join("samples"));
    let mut dropped = table(&out.join("dropped.parquet"));
    dropped.sort_by_key(|row| (row[0].clone(), row[1].parse::<u64>().expect("a line")));
    let tsv = fs::read_to_string(out.join("taxonomy.tsv")).expect("a taxonomy");
    let taxonomy = Taxonomy::from_tsv(&tsv).expect("a taxonomy");
    let mut sides: BTreeMap<&str, &str> = BTreeMap::new();
    for sample in &samples {
        assert!(taxonomy.find_id(&sample[1]).is_some(), "{} has a taxon", sample[0]);
        assert_eq!(*sides.entry(&sample[2]).or_insert(&sample[6]), sample[6], "one side for {}", sample[2]);
    }
    let rows: BTreeSet<(&str, &str)> = dropped.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    assert_eq!(rows.len(), dropped.len(), "a dropped row stands there once");
    let mut counted: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    dropped.iter().for_each(|row| *counted.entry((&row[0], &row[2])).or_default() += 1);
    for file in report["files"].as_array().expect("files") {
        let reasons = file["dropped"].as_object().expect("reasons");
        let name = file["file"].as_str().expect("a name");
        for (reason, rows) in reasons {
            assert_eq!(counted.get(&(name, reason.as_str())).copied(), rows.as_u64(), "{name}: {reason}");
        }
        let sum: u64 = reasons.values().filter_map(serde_json::Value::as_u64).sum();
        assert_eq!(file["rows"].as_u64(), file["kept"].as_u64().map(|kept| kept + sum), "{name}");
    }
    let files = serde_json::to_string_pretty(&report["files"]).expect("JSON");
    let names = serde_json::to_string_pretty(&report["taxonomy"]).expect("JSON");
    let pictures = serde_json::to_string_pretty(&report["samples"]).expect("JSON");
    format!("{files}\n{names}\n{pictures}\n\n{tsv}\n{}\n{}", lines(&samples), lines(&dropped))
}

fn golden(arguments: &[&str]) -> String {
    let out = tempfile::tempdir().expect("a folder");
    let output = prepare(&fixtures(), arguments, out.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    set(out.path())
}

#[test]
fn a_darwin_core_archive_of_gbif() {
    insta::assert_snapshot!(golden(&["gbif"]));
}

#[test]
fn the_same_archive_with_odd_names_mended_licences_chosen_and_a_cap() {
    let arguments =
        ["--odd-taxonomy", "mend", "--licence", "cc-by-nc,cc0", "--cap", "3", "--min-images", "1"];
    insta::assert_snapshot!(golden(&[&["gbif"][..], &arguments].concat()));
}

#[test]
fn a_simple_table_of_gbif_with_its_pictures() {
    let arguments = ["gbif-simple/0001234-241126133413365.csv", "--media", "gbif-simple/multimedia.txt"];
    insta::assert_snapshot!(golden(&arguments));
}

#[test]
fn an_archive_of_inaturalist() {
    insta::assert_snapshot!(golden(&["inat-dwca", "--min-images", "2", "--odd-taxonomy", "mend"]));
}

#[test]
fn inaturalist_open_data() {
    insta::assert_snapshot!(golden(&["inat-open-data", "--min-images", "1"]));
}

#[test]
fn annotations_of_every_competition() {
    for year in ["2017", "2018", "2019", "2021"] {
        let folder = format!("competition-{year}");
        insta::assert_snapshot!(folder.clone(), golden(&[&folder, "--min-images", "1"]));
    }
}

#[test]
fn a_table_of_files() {
    let arguments = ["table/taxa.csv", "--min-images", "1", "--individuals", "gnu-baby"];
    insta::assert_snapshot!(golden(&arguments));
}

#[test]
fn folders_named_by_taxa() {
    insta::assert_snapshot!("folders_by_rank", golden(&["folders-by-rank", "--min-images", "1"]));
    insta::assert_snapshot!("folders_flat", golden(&["folders-flat", "--min-images", "1"]));
}

#[test]
fn a_zip_and_compressed_tables_give_what_their_files_give() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("download.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
    for name in ["occurrence.txt", "multimedia.txt", "meta.xml"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("a member");
        zip.write_all(&fs::read(fixtures().join("gbif").join(name)).expect("a fixture")).expect("written");
    }
    zip.finish().expect("a zip");
    assert_eq!(golden(&[&path.display().to_string()]), golden(&["gbif"]));
    let open = folder.path().join("open-data");
    fs::create_dir(&open).expect("a folder");
    for name in ["taxa", "observations", "photos", "observers"] {
        let bytes = fs::read(fixtures().join(format!("inat-open-data/{name}.csv"))).expect("a fixture");
        let file = fs::File::create(open.join(format!("{name}.csv.gz"))).expect("a file");
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(&bytes).expect("written");
        gzip.finish().expect("written");
    }
    let unpacked = golden(&["inat-open-data", "--min-images", "1"]);
    let packed = golden(&[&open.display().to_string(), "--min-images", "1"]);
    assert_eq!(packed.replace(".csv.gz", ".csv"), unpacked);
}

#[test]
fn an_observer_stands_on_one_side_when_asked_for() {
    let out = tempfile::tempdir().expect("a folder");
    let arguments = ["inat-open-data", "--min-images", "1", "--split-by", "observer", "--validation", "0.5"];
    assert!(prepare(&fixtures(), &arguments, out.path()).status.success());
    let mut sides: BTreeMap<String, String> = BTreeMap::new();
    for sample in table(&out.path().join("samples")) {
        assert_eq!(*sides.entry(sample[3].clone()).or_insert(sample[6].clone()), sample[6]);
    }
    assert!(sides.len() > 1);
}

/// What the program says of a source that it refuses.
/// A folder with a table of `rows`, each with a picture of its own.
fn of_rows(rows: impl IntoIterator<Item = &'static str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("photos")).expect("a folder");
    let mut text = String::from("file,kingdom,phylum,class,order,family,genus,species\n");
    for (number, row) in rows.into_iter().enumerate() {
        let _ = writeln!(text, "photos/{number}.jpg,{row}");
        fs::write(folder.path().join(format!("photos/{number}.jpg")), "a picture").expect("write");
    }
    fs::write(folder.path().join("table.csv"), text).expect("write");
    folder
}

const OAK: &str = "Plantae,Tracheophyta,Magnoliopsida,Fagales,Fagaceae,Quercus,Quercus robur";
const BEECH: &str = "Plantae,Tracheophyta,Magnoliopsida,Fagales,Fagaceae,Fagus,Fagus sylvatica";

#[test]
fn a_cap_leaves_both_sides_their_share() {
    let folder = of_rows((0..1000).map(|number| if number < 800 { OAK } else { BEECH }));
    let out = folder.path().join("set");
    let output = prepare(folder.path(), &["table.csv", "--cap", "100"], &out);
    assert!(output.status.success(), "{output:?}");
    for species in ["Quercus robur", "Fagus sylvatica"] {
        let own: Vec<_> = table(&out.join("samples"))
            .into_iter()
            .filter(|row| row.iter().any(|cell| cell.ends_with(species)))
            .collect();
        let validation = own.iter().filter(|row| row.iter().any(|cell| cell == "validation")).count();
        assert_eq!(own.len(), 100);
        assert!((8..40).contains(&validation), "{validation} of {species}");
    }
}

#[test]
fn one_row_with_shifted_cells_takes_no_others_with_it() {
    let crow = "Animalia,Chordata,Aves,,Corvidae,Corvus,Corvus corax";
    let shifted = "Animalia,,Chordata,Aves,Corvidae,Corvus,Corvus corax";
    let folder = of_rows([shifted].into_iter().chain([crow; 10]).chain([BEECH; 10]));
    let out = folder.path().join("set");
    let output = prepare(folder.path(), &["table.csv"], &out);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(table(&out.join("samples")).len(), 20);
}

#[test]
fn photographs_that_lie_where_the_set_would_are_left_alone() {
    let folder = of_rows([OAK, BEECH]);
    fs::rename(folder.path().join("photos"), folder.path().join("samples")).expect("renamed");
    let output = prepare(folder.path(), &["table.csv"], folder.path());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("give another folder with --out"), "{error}");
    assert!(folder.path().join("samples/0.jpg").exists());
}

fn refusal(from: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let out = tempfile::tempdir().expect("a folder");
    let output = prepare(from, arguments, out.path());
    assert!(!out.path().join("report.json").exists(), "no set is whole");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_cannot_be_read_is_told_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let write = |name: &str, bytes: &[u8]| {
        let path = at.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("written");
    };
    let meta = fs::read_to_string(fixtures().join("gbif/meta.xml")).expect("a fixture");
    write("traversal/meta.xml", meta.replace("occurrence.txt", "../../../etc/passwd").as_bytes());
    write("torn/meta.xml", b"<archive><core>\n</archive>");
    write("lacking/meta.xml", meta.as_bytes());
    write("competition/train.json", b"{\"images\": [\n  {\"id\": 1,,}\n]}");
    write("columns/taxa.csv", b"file,kingdom\n");
    write("columns/observations.csv", b"a\tb\n");
    write("columns/photos.csv", b"a\tb\n");
    write("notes.txt", b"nothing\n");
    write("two-deep/a/b/1.jpg", b"");
    for (arguments, code, says) in [
        (&["traversal"][..], 1, "meta.xml line 5: \"../../../etc/passwd\" leaves the archive"),
        (&["torn"], 1, "meta.xml line 2"),
        (&["lacking"], 1, "it names occurrence.txt, which is not there"),
        (&["competition"], 1, "train.json line 2"),
        (
            &["columns"],
            1,
            "cannot read taxa.csv at line 1: there is no column \"taxon_id\" among file,kingdom",
        ),
        (&["notes.txt"], 64, "notes.txt is none of the formats"),
        (&["nowhere"], 64, "cannot read nowhere"),
        (&["two-deep"], 1, "its folders are 2 deep"),
        (&["notes.txt", "--validation", "1.5"], 64, "--validation: 1.5"),
    ] {
        let (found, error) = refusal(at, arguments);
        assert!(error.contains(says), "{arguments:?}: {error}");
        assert_eq!(found, Some(code), "{arguments:?}: {error}");
    }
    let (code, error) = refusal(&fixtures(), &["table/taxa.csv", "--min-images", "50"]);
    assert!(error.contains("too_few_pictures") && error.contains("--min-images"), "{error}");
    assert_eq!(code, Some(1));
    let (_, error) = refusal(&fixtures(), &["gbif-simple/0001234-241126133413365.csv"]);
    assert!(error.contains("has no addresses of pictures") && error.contains("--media"), "{error}");
}

#[test]
fn a_decompression_bomb_ends_with_its_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let meta = fs::read(fixtures().join("gbif/meta.xml")).expect("a fixture");
    let path = folder.path().join("bomb.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
    zip.start_file("meta.xml", zip::write::SimpleFileOptions::default()).expect("a member");
    zip.write_all(&meta).expect("written");
    for name in ["occurrence.txt", "multimedia.txt"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("a member");
        zip.write_all(b"gbifID\n").expect("written");
        let zeros = vec![b'\n'; 1 << 20];
        (0..300).for_each(|_| zip.write_all(&zeros).expect("written"));
    }
    zip.finish().expect("a zip");
    let (code, error) = refusal(folder.path(), &["bomb.zip"]);
    assert!(
        error.contains("cannot read occurrence.txt at line") && error.contains("decompression bomb"),
        "{error}"
    );
    assert_eq!(code, Some(1));
}
