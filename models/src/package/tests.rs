use std::io::Write;

use prost::Message as _;

use super::*;
use crate::calibration::{Calibration, Point};
use crate::onnx::{self, data_type};
use crate::specificity::Threshold;
use crate::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder};
use crate::views::{View, ViewSet};

/// A graph with the right interface and nothing inside.
fn graph(leaves: i64) -> Vec<u8> {
    let graph = onnx::Graph {
        input: vec![
            onnx::ValueInfo::tensor("whole", data_type::UINT8, &[None, Some(32), Some(32), Some(3)]),
            onnx::ValueInfo::tensor("crop", data_type::UINT8, &[None, Some(32), Some(32), Some(3)]),
        ],
        output: vec![onnx::ValueInfo::tensor("probabilities", data_type::FLOAT, &[None, Some(leaves)])],
        ..onnx::Graph::default()
    };
    onnx::Model { ir_version: 8, graph: Some(graph), ..onnx::Model::default() }.encode_to_vec()
}

fn views() -> ViewSet {
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    ViewSet::new(vec![view("whole", 1.0), view("crop", 2.0)], 32).expect("views")
}

fn taxonomy() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for name in ["Animalia", "Plantae"] {
        builder.insert(&Lineage::new([(Rank::Kingdom, name)]).expect("a lineage"), None);
    }
    builder.build().expect("a tree")
}

fn calibration() -> Calibration {
    let threshold = Threshold::new(0.5).expect("a threshold");
    let point = Point {
        target: 0.9,
        threshold,
        exact: threshold,
        average: threshold,
        confident: threshold,
        accuracy: 0.9,
        accuracy_low: 0.8,
        accuracy_high: 1.0,
        mean_depth: 1.0,
        ranks: std::collections::BTreeMap::from([("kingdom".into(), 1.0)]),
    };
    Calibration::new(10, 1.0, 0.95, vec![point]).expect("a curve")
}

fn golden(leaves: usize) -> Golden {
    let picture = GoldenPicture {
        file: "golden/grey.png".into(),
        licence: "CC0-1.0".into(),
        attribution: "rendered by the project".into(),
        probabilities: vec![0.5; leaves],
    };
    Golden { tolerance: 0.01, picture: vec![picture] }
}

fn write(model: Vec<u8>, golden: &Golden) -> (Manifest, Vec<u8>) {
    write_with(model, golden, None)
}

/// With an int8 file whose graph has `leaves` leaves and whose golden answers are `golden_int8`.
fn with_int8(leaves: i64, golden_int8: &Golden) -> (Manifest, Vec<u8>) {
    let quantisation = Quantisation { layers: 3, int8_layers: 2, float_layers: vec!["stem".into()] };
    let files = QuantisedFiles {
        int8: graph(leaves),
        fp16: Some(graph(2)),
        quantisation,
        calibration: &calibration(),
        golden: golden_int8,
        record: "bias_corrected = true".into(),
    };
    write_with(graph(2), &golden(2), Some(files))
}

fn write_with(model: Vec<u8>, golden: &Golden, quantised: Option<QuantisedFiles<'_>>) -> (Manifest, Vec<u8>) {
    let (views, taxonomy, calibration) = (views(), taxonomy(), calibration());
    let draft = Draft {
        name: "test",
        version: semver::Version::new(0, 1, 0),
        created: jiff::Timestamp::UNIX_EPOCH,
        preset: "efficientnet-lite0",
        licence: "Apache-2.0",
        provenance: vec!["rendered by the project".into()],
        views: &views,
        taxonomy: &taxonomy,
        calibration: &calibration,
        golden,
        golden_pictures: vec![("grey.png".into(), vec![1, 2, 3])],
        model,
        quantised,
        report: "<p>good".into(),
    };
    let mut bytes = Vec::new();
    let manifest = draft.write(&mut bytes).expect("a package");
    (manifest, bytes)
}

fn good() -> Vec<u8> {
    write(graph(2), &golden(2)).1
}

/// The archive with `edit` applied to its entries: path, kind, content.
fn altered(edit: impl Fn(&mut Vec<(String, tar::EntryType, Vec<u8>)>)) -> Vec<u8> {
    let archive = zstd::decode_all(&good()[..]).expect("zstd");
    let mut archive = tar::Archive::new(&archive[..]);
    let mut entries = Vec::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("content");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        entries.push((path, tar::EntryType::Regular, bytes));
    }
    edit(&mut entries);
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).expect("zstd"));
    for (path, kind, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, &bytes[..]).expect("append");
    }
    builder.into_inner().expect("tar").finish().expect("zstd")
}

fn refusal(bytes: &[u8]) -> String {
    Package::read(bytes).expect_err("a refusal").to_string()
}

#[test]
fn a_package_read_back_is_what_was_written() {
    let (manifest, bytes) = write(graph(2), &golden(2));
    let package = Package::read(&bytes[..]).expect("own package");
    assert_eq!(package.manifest(), &manifest);
    assert_eq!(package.taxonomy(), &taxonomy());
    assert_eq!(package.calibration(), &calibration());
    assert_eq!(package.views(), &views());
    assert_eq!(package.file("golden/grey.png"), Some(&[1, 2, 3][..]));
    assert_eq!(package.sha256(), Sha256Digest::of(&bytes));
}

#[test]
fn a_package_with_int8_read_back_is_what_was_written() {
    let (manifest, bytes) = with_int8(2, &golden(2));
    let package = Package::read(&bytes[..]).expect("own package");
    assert_eq!(package.manifest(), &manifest);
    assert_eq!(package.file(MODEL_INT8), Some(&graph(2)[..]));
    assert_eq!(package.calibration_int8(), Some(&calibration()));
    assert_eq!(package.golden_int8(), Some(&golden(2)));
    assert!(Package::read(&good()[..]).expect("own package").calibration_int8().is_none());
}

#[test]
fn an_int8_file_is_checked_like_the_float_one() {
    insta::assert_snapshot!(refusal(&with_int8(3, &golden(2)).1), @r#"model.int8.onnx: graph output "probabilities" is float [N, 3], the package needs float [N, 2]"#);
    assert!(matches!(Package::read(&with_int8(2, &golden(5)).1[..]), Err(OpenError::Golden(_))));
    let mut elsewhere = golden(2);
    elsewhere.picture[0].file = "golden/other.png".into();
    assert!(matches!(Package::read(&with_int8(2, &elsewhere).1[..]), Err(OpenError::Missing(_))));
}

#[test]
fn an_int8_file_without_its_thresholds_or_with_another_precision_is_refused() {
    let without = |path: &str| {
        let (mut manifest, _) = with_int8(2, &golden(2));
        manifest.files.retain(|file| file.path != path);
        manifest.check().expect_err("a refusal").to_string()
    };
    insta::assert_snapshot!(without(CALIBRATION_INT8), @"the manifest names no calibration.int8.toml");
    insta::assert_snapshot!(without(GOLDEN_INT8), @"the manifest names no golden/index.int8.toml");
    for (path, precision) in
        [(MODEL, "int8"), (MODEL_INT8, "float32"), (MODEL_FP16, ""), (MODEL_INT8, "int4")]
    {
        let (mut manifest, _) = with_int8(2, &golden(2));
        let file = manifest.files.iter_mut().find(|file| file.path == path).expect("the file");
        file.precision = Some(precision.into());
        assert!(matches!(manifest.check(), Err(ManifestError::Precision { .. })), "{path} {precision}");
    }
}

#[test]
fn the_same_draft_gives_the_same_bytes() {
    assert_eq!(good(), good());
}

#[test]
fn a_manifest_has_these_fields() {
    let (manifest, _) = write(graph(2), &golden(2));
    insta::assert_snapshot!(toml::to_string(&manifest).expect("TOML"));
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_no_change() {
    let bytes = good();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        if let Ok(package) = Package::read(&damaged[..]) {
            // Bits that no reader looks at (padding, owner names in headers) leave every file as it was.
            assert_eq!(package.taxonomy(), &taxonomy());
            assert_eq!(package.file(MODEL), Some(&graph(2)[..]));
        }
    }
}

#[test]
fn a_package_cut_short_anywhere_is_an_error() {
    let bytes = good();
    // The last bytes are the frame's checksum-less end; everything before carries content.
    for length in 0..bytes.len() - 8 {
        assert!(Package::read(&bytes[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn altered_content_is_refused_by_its_digest() {
    let bytes = altered(|entries| entries[1].2[0] ^= 1);
    insta::assert_snapshot!(refusal(&bytes), @"file taxonomy.tsv does not have the SHA-256 digest the manifest gives: the package is damaged or was altered");
}

#[test]
fn longer_content_is_refused_by_its_size() {
    let bytes = altered(|entries| entries[1].2.push(0));
    insta::assert_snapshot!(refusal(&bytes), @"file taxonomy.tsv does not have the size the manifest gives: the package is damaged or was altered");
}

#[test]
fn entries_outside_the_manifest_are_refused() {
    for path in ["../../etc/passwd", "/etc/passwd", "surprise.sh", "golden/../x"] {
        let bytes = altered(|entries| entries.push((path.into(), tar::EntryType::Regular, vec![1])));
        assert!(matches!(Package::read(&bytes[..]), Err(OpenError::Entry(p)) if p == path));
    }
}

#[test]
fn links_and_devices_are_refused() {
    for kind in
        [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Directory]
    {
        let bytes = altered(|entries| entries.insert(1, (TAXONOMY.into(), kind, vec![])));
        assert!(matches!(Package::read(&bytes[..]), Err(OpenError::Entry(_))), "{kind:?}");
    }
}

#[test]
fn a_file_given_twice_is_refused() {
    let bytes = altered(|entries| entries.push(entries[1].clone()));
    assert!(matches!(Package::read(&bytes[..]), Err(OpenError::Entry(p)) if p == TAXONOMY));
}

#[test]
fn a_missing_file_is_refused() {
    let bytes = altered(|entries| drop(entries.pop()));
    insta::assert_snapshot!(refusal(&bytes), @"file model.onnx is in the manifest but not in the archive: the package is cut short");
}

#[test]
fn a_manifest_that_is_not_first_is_refused() {
    let bytes = altered(|entries| entries.swap(0, 1));
    insta::assert_snapshot!(refusal(&bytes), @r#"the first entry is "taxonomy.tsv", it must be manifest.toml"#);
}

#[test]
fn paths_that_leave_the_package_are_refused_in_the_manifest() {
    for path in ["../x", "/x", "a//b", ".hidden", "a/..", "", "a\\b", "manifest.toml"] {
        let (mut manifest, _) = write(graph(2), &golden(2));
        manifest.files[0].path = path.into();
        assert!(matches!(manifest.check(), Err(ManifestError::Path(_))), "{path:?}");
    }
}

#[test]
fn a_newer_format_asks_for_an_update() {
    let newer = Manifest::from_toml("format = 2\nnews = true").expect_err("a refusal");
    insta::assert_snapshot!(newer, @"the package has format 2, this fieldmark reads format 1: update fieldmark");
}

#[test]
fn a_wrong_leaf_count_is_refused() {
    let bytes = write(graph(3), &golden(2)).1;
    insta::assert_snapshot!(refusal(&bytes), @r#"model.onnx: graph output "probabilities" is float [N, 3], the package needs float [N, 2]"#);
    let bytes = write(graph(2), &golden(3)).1;
    insta::assert_snapshot!(refusal(&bytes), @"golden/index.toml: golden/grey.png has 3 probabilities, the taxonomy has 2 leaves");
}

#[test]
fn a_model_that_is_no_onnx_is_refused() {
    let bytes = write(b"\xff\xff\xff no model".to_vec(), &golden(2)).1;
    assert!(matches!(Package::read(&bytes[..]), Err(OpenError::Interface { .. })));
}

#[test]
fn a_bomb_is_cut_off_at_the_size_in_the_manifest() {
    let bytes = altered(|entries| entries[1].2 = vec![0; 64 << 20]);
    assert!(matches!(Package::read(&bytes[..]), Err(OpenError::Altered { what: "size", .. })));
}

#[test]
fn other_files_are_refused_with_a_reason() {
    for bytes in [&b""[..], b"PK\x03\x04", b"{}", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0]] {
        assert!(Package::read(bytes).is_err());
    }
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&good()).expect("write");
    assert!(Package::open(file.path()).is_ok());
    let missing = Package::open(std::path::Path::new("/no/such.fieldmark")).expect_err("a refusal");
    assert!(missing.to_string().starts_with("cannot read package /no/such.fieldmark:"));
}

#[test]
fn golden_answers_allow_rounding_and_nothing_more() {
    let golden = golden(2);
    let picture = &golden.picture[0];
    assert!(golden.compare(picture, &[0.505, 0.495]).is_ok());
    assert!(matches!(golden.compare(picture, &[0.6, 0.4]), Err(GoldenError::Differs { .. })));
    assert!(matches!(golden.compare(picture, &[f32::NAN, 0.4]), Err(GoldenError::Differs { .. })));
    assert!(matches!(golden.compare(picture, &[0.5]), Err(GoldenError::Count { .. })));
}

#[test]
fn every_single_difference_in_the_interface_is_found() {
    let views = views();
    assert_eq!(check_interface(&graph(2), &views, 2), Ok(()));
    let change = |edit: fn(&mut onnx::Graph)| {
        let mut model = onnx::Model::decode(&graph(2)[..]).expect("a model");
        edit(model.graph.as_mut().expect("a graph"));
        check_interface(&model.encode_to_vec(), &views, 2).expect_err("a refusal").to_string()
    };
    insta::assert_snapshot!(change(|g| g.input.swap(0, 1)), @"the graph's inputs are [crop, whole], the package needs [whole, crop]");
    insta::assert_snapshot!(change(|g| drop(g.input.pop())), @"the graph's inputs are [whole], the package needs [whole, crop]");
    insta::assert_snapshot!(change(|g| g.output[0].name = "logits".into()), @"the graph's outputs are [logits], the package needs [probabilities]");
    insta::assert_snapshot!(change(|g| g.input[1] = onnx::ValueInfo::tensor("crop", data_type::FLOAT, &[None, Some(3), Some(32), Some(32)])), @r#"graph input "crop" is float [N, 3, 32, 32], the package needs uint8 [N, 32, 32, 3]"#);
    insta::assert_snapshot!(change(|g| g.output[0].value_type = None), @r#"graph output "probabilities" is data type 0 [], the package needs float [N, 2]"#);
}
