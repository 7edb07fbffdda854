use proptest::prelude::*;

use super::*;
use crate::specificity::{SpecificityControl, Threshold};
use crate::taxonomy::{Lineage, Rank, TaxonomyBuilder};

/// Leaves in pre-order: Betula, Quercus ilex, Quercus robur.
fn oaks() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for names in [
        &["Plantae", "", "", "Fagales", "Fagaceae", "Quercus", "Quercus ilex"][..],
        &["Plantae", "", "", "Fagales", "Fagaceae", "Quercus", "Quercus robur"],
        &["Plantae", "", "", "Fagales", "Betulaceae", "Betula"],
    ] {
        builder.insert(&Lineage::new(Rank::MAIN.into_iter().zip(names)).expect("a lineage"), None);
    }
    builder.build().expect("a tree")
}

fn read(text: &str) -> Result<(Checklist, Vec<Unmatched>), ChecklistError> {
    Checklist::read(text.as_bytes(), &oaks())
}

/// Probabilities of the three leaves after the list was applied to even ones.
fn expected(text: &str, place: Option<Place>, month: Option<u8>, unlisted: f32) -> Vec<f64> {
    let taxonomy = oaks();
    let (list, _) = read(text).expect("a list");
    let priors = list.priors(&taxonomy, place, month, unlisted).expect("priors");
    let mut control = SpecificityControl::new();
    let even = [1.0 / 3.0; 3];
    control.decide(&taxonomy, &even, &Threshold::default().into(), &priors).expect("a decision");
    let of = |output| control.node_probability(&taxonomy, taxonomy.leaf(output).expect("a leaf"));
    (0..3).map(of).collect()
}

fn close(found: &[f64], wanted: [f64; 3]) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
    }
}

#[test]
fn weights_multiply_before_summing_and_the_lowest_taxon_speaks() {
    close(&expected("taxon,weight\nQuercus,3\nQuercus ilex,1\n", None, None, 1.0), [0.2, 0.2, 0.6]);
    close(&expected("taxon\tweight\nQuercus robur\t2\nquercus robur\t1\n", None, None, 0.0), [0.0, 0.0, 1.0]);
}

#[test]
fn rows_hold_in_their_place_and_season_only() {
    let list = "taxon,south,west,north,east,months\nBetula,50,-10,60,10,4-6\nQuercus ilex,,,,,\n";
    let north = Place::new(55.0, 0.0).expect("a place");
    let south = Place::new(40.0, 0.0).expect("a place");
    close(&expected(list, Some(north), Some(5), 0.0), [0.5, 0.5, 0.0]);
    close(&expected(list, Some(north), Some(7), 0.0), [0.0, 1.0, 0.0]);
    close(&expected(list, Some(south), Some(5), 0.0), [0.0, 1.0, 0.0]);
    // What is not known excludes nothing.
    close(&expected(list, None, None, 0.0), [0.5, 0.5, 0.0]);
}

#[test]
fn a_box_may_cross_the_antimeridian_and_a_season_the_new_year() {
    let list = "taxon,south,west,north,east,months\nBetula,-20,170,0,-170,11-2\nQuercus,,,,,";
    let fiji = Place::new(-18.0, 178.0).expect("a place");
    let samoa = Place::new(-13.0, -172.0).expect("a place");
    let lima = Place::new(-12.0, -77.0).expect("a place");
    for (place, month, there) in [(fiji, 12, true), (samoa, 1, true), (lima, 1, false), (fiji, 5, false)] {
        let birch = expected(list, Some(place), Some(month), 0.0)[0];
        assert_eq!(birch > 0.0, there, "{place:?} {month}");
    }
}

#[test]
fn taxa_the_model_cannot_name_are_reported() {
    let (list, unmatched) = read("taxon\nQuercus\nPinus\nQuercsu\n").expect("a list");
    assert_eq!(list.len(), 1);
    let reports: Vec<String> = unmatched.iter().map(|row| format!("{}: {}", row.line, row.reason)).collect();
    insta::assert_snapshot!(reports.join("\n"), @r#"
    3: "Pinus" is no taxon of this model; see taxonomy.tsv in the package for its names
    4: "Quercsu" is no taxon of this model; did you mean Quercus?
    "#);
}

#[test]
fn a_list_that_cannot_be_read_says_where() {
    let message = |text: &str| read(text).expect_err("a refusal").to_string();
    insta::assert_snapshot!(message(""), @"the checklist has no column `taxon` in its first line: name the columns there");
    insta::assert_snapshot!(message("taxon\nPinus\n"), @"the checklist names no taxon of this model");
    insta::assert_snapshot!(message("taxon,wieght\nQuercus,1\n"), @r#"the checklist has a column "wieght"; the columns are taxon, weight, south, west, north, east, months"#);
    insta::assert_snapshot!(message("taxon,weight\nQuercus,-1\n"), @r#"line 2 of the checklist: weight "-1": give a number from 0 upwards"#);
    insta::assert_snapshot!(message("taxon,months\nQuercus,13\n"), @r#"line 2 of the checklist: months "13": write them as 5-9, 11-2 or 4;6"#);
    insta::assert_snapshot!(message("taxon,south\nQuercus,5\n"), @"line 2 of the checklist: south, west, north and east: give all four or none");
    insta::assert_snapshot!(message("taxon,south,west,north,east\nQuercus,60,0,50,1\n"), @"line 2 of the checklist: south is above north: change them over");
    insta::assert_snapshot!(message("taxon,south,west,north,east\nQuercus,60,0,95,1\n"), @"line 2 of the checklist: latitude 95, longitude 1 is no place: give -90 to 90 and -180 to 180");
    insta::assert_snapshot!(message("taxon,weight\nQuercus\n"), @"line 2 of the checklist: CSV error: record 1 (line: 2, byte: 13): found record with 1 fields, but the previous record has 2 fields");
    assert_eq!(Checklist::read(b"taxon\n\xff\n", &oaks()), Err(ChecklistError::NotText));
}

#[test]
fn nothing_expected_here_is_an_error_and_not_a_prior() {
    let (list, _) = read("taxon,months\nQuercus,5\n").expect("a list");
    assert_eq!(list.priors(&oaks(), None, Some(6), 0.0), Err(PriorsError::Nothing));
}

proptest! {
    #[test]
    fn no_bytes_panic_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Checklist::read(&bytes, &oaks());
    }

    #[test]
    fn months_are_those_passed_on_the_way(first in 1u8..=12, last in 1u8..=12) {
        let months = Months::parse(&format!("{first}-{last}")).expect("months");
        let mut walked = vec![first];
        while walked.last() != Some(&last) {
            walked.push(walked.last().expect("one") % 12 + 1);
        }
        for month in 1..=12 {
            prop_assert_eq!(months.contain(month), walked.contains(&month));
        }
    }
}
