//! `classify` with the shipped package on photographs.

use serde_json::Value;

use crate::programs::{photograph, run};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/packages/garden-0.1.0.fieldmark");

fn classify(arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["classify", "--json", "--model", PACKAGE], arguments].concat();
    let (out, err, code) = run("fieldmarkd", &arguments);
    assert_eq!(code, Some(0), "{err}");
    out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn lineage(answer: &Value) -> Vec<&str> {
    let names = answer["taxon"]["lineage"].as_array().expect("a lineage");
    names.iter().map(|name| name.as_str().expect("a name")).collect()
}

#[test]
fn photographs_are_named_and_every_step_of_the_lineage_has_its_probability() {
    let files = ["animals/mammals/cats/tiger", "animals/fish/clownfish", "plants/flowers/daffodil"];
    let files = files.map(photograph);
    let answers = classify(&files.each_ref().map(String::as_str));
    assert_eq!(answers.len(), files.len());
    for (answer, kingdom) in answers.iter().zip(["Animalia", "Animalia", "Plantae"]) {
        assert_eq!(lineage(answer).first(), Some(&kingdom), "{answer}");
        let probabilities = answer["lineage_probabilities"].as_array().expect("probabilities");
        let probabilities: Vec<f64> = probabilities.iter().map(|p| p.as_f64().expect("a number")).collect();
        assert_eq!(probabilities.len(), lineage(answer).len());
        assert!(probabilities.windows(2).all(|pair| pair[0] >= pair[1]), "{answer}");
    }
}

#[test]
fn a_prior_turns_the_search_and_a_wrong_one_names_near_ones() {
    let tiger = photograph("animals/mammals/cats/tiger");
    let answers = classify(&["--target", "0.95", "--prior", "Plantae", &tiger]);
    assert!(lineage(&answers[0]).is_empty() || lineage(&answers[0])[0] == "Plantae", "{}", answers[0]);
    let wrong = ["classify", "--model", PACKAGE, "--prior", "Plantea", &tiger];
    let (_, err, code) = run("fieldmarkd", &wrong);
    assert_eq!(code, Some(64));
    assert!(err.contains("did you mean Plantae"), "{err}");
}

#[test]
fn a_checklist_is_claimed_only_when_it_was_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("list.csv");
    let tiger = photograph("animals/mammals/cats/tiger");
    let listed = |content: &str| {
        std::fs::write(&list, content).expect("write");
        classify(&["--checklist", list.to_str().expect("a path"), &tiger]).remove(0)
    };
    let used = listed("taxon,weight\nAnimalia,1\nPanthera tigris,0.5\n");
    assert_eq!(used["checklist"].as_str().map(str::len), Some(64), "{used}");
    assert!(listed("taxon\nNo such thing\n").get("checklist").is_none());
}
