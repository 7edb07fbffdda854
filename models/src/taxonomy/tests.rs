use proptest::prelude::*;

use super::*;

pub(crate) fn lineage(names: &[&str]) -> Lineage {
    Lineage::new(Rank::MAIN.into_iter().zip(names)).expect("a lineage")
}

fn ducks() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    let ducks = ["Animalia", "Chordata", "Aves", "Anseriformes", "Anatidae", "Anas", "Anas platyrhynchos"];
    builder.insert(&lineage(&ducks), Some("mallard"));
    builder.insert(&lineage(&["Animalia", "Chordata", "Aves", "Anseriformes", "Anatidae", "Anser"]), None);
    builder.insert(&lineage(&["Plantae", "", "", "Fagales", "Fagaceae", "Quercus", "Quercus robur"]), None);
    builder.build().expect("a tree")
}

#[test]
fn a_taxonomy_table_has_these_columns() {
    insta::assert_snapshot!(ducks().to_tsv());
}

#[test]
fn homonyms_are_told_apart_by_their_lineage() {
    let mut builder = TaxonomyBuilder::new();
    let plant = lineage(&["Plantae", "", "", "", "", "Morus"]);
    let bird = lineage(&["Animalia", "Chordata", "Aves", "", "", "Morus"]);
    builder.insert(&plant, None);
    builder.insert(&bird, None);
    let taxonomy = builder.build().expect("a tree");
    assert_eq!(taxonomy.find_name("morus").len(), 2);
    assert_ne!(taxonomy.find_lineage(&plant), taxonomy.find_lineage(&bird));
    assert!(taxonomy.find_lineage(&plant).is_some());
}

#[test]
fn a_gap_in_a_lineage_is_skipped_and_makes_it_shorter() {
    let taxonomy = ducks();
    let oak = taxonomy.find_name("Quercus robur")[0];
    assert_eq!(taxonomy.taxon(oak).depth(), 5);
    assert_eq!(taxonomy.at_rank(oak, &Rank::Class), None);
}

#[test]
fn damaged_tables_are_refused_with_the_line() {
    let good = ducks().to_tsv();
    let header = good.lines().next().expect("a header").to_owned();
    let row = |text: &str| format!("{header}\n{text}\n");
    assert_eq!(Taxonomy::from_tsv(""), Err(TsvError::Header));
    assert_eq!(Taxonomy::from_tsv(&header), Err(TsvError::Tree(TaxonomyError::Empty)));
    assert_eq!(Taxonomy::from_tsv(&row("a\tb")), Err(TsvError::Cells { line: 2, found: 2 }));
    let orphan = Taxonomy::from_tsv(&row("a\tnobody\tgenus\tA\t\t0"));
    assert_eq!(orphan, Err(TsvError::Parent { line: 2, parent: "nobody".into() }));
    let output = Taxonomy::from_tsv(&row("a\t\tgenus\tA\t\t7"));
    assert!(matches!(output, Err(TsvError::Output { line: 2, .. })));
    let twice = Taxonomy::from_tsv(&row("a\t\tgenus\tA\t\t0\na\t\tgenus\tB\t\t1"));
    assert_eq!(twice, Err(TsvError::Tree(TaxonomyError::DuplicateId { id: "a".into() })));
    let scattered = "a\t\tgenus\tA\t\t\nb\ta\tspecies\tB\t\t0\nc\t\tgenus\tC\t\t1\nd\ta\tspecies\tD\t\t2";
    let scattered = Taxonomy::from_tsv(&row(scattered));
    assert_eq!(scattered, Err(TsvError::Tree(TaxonomyError::NotPreOrder { id: "d".into() })));
}

/// Parents by position: node `i` hangs below some earlier node or the root.
pub(crate) fn arbitrary_taxonomy(max: usize) -> impl Strategy<Value = Taxonomy> {
    prop::collection::vec(any::<prop::sample::Index>(), 1..max).prop_map(|choices| {
        let mut lineages: Vec<Vec<(Rank, String)>> = vec![vec![]];
        for (node, choice) in choices.into_iter().enumerate() {
            let mut levels = lineages[choice.index(lineages.len())].clone();
            levels.push((Rank::Other("level".into()), format!("t{node:03}")));
            lineages.push(levels);
        }
        let mut builder = TaxonomyBuilder::new();
        for levels in lineages.into_iter().skip(1) {
            builder.insert(&Lineage::new(levels).expect("levels"), None);
        }
        builder.build().expect("a tree")
    })
}

/// The slow way: a leaf lies below a node if the node is among its ancestors.
fn leaves_by_walking(taxonomy: &Taxonomy, node: TaxonIndex) -> Vec<usize> {
    (0..taxonomy.leaf_count())
        .filter(|&output| {
            let leaf = taxonomy.leaf(output).expect("a leaf");
            taxonomy.ancestors(leaf).any(|ancestor| ancestor == node)
        })
        .collect()
}

proptest! {
    #[test]
    fn leaf_ranges_equal_a_walk_over_ancestors(taxonomy in arbitrary_taxonomy(60)) {
        for (index, taxon) in taxonomy.iter() {
            let walked = leaves_by_walking(&taxonomy, index);
            prop_assert_eq!(taxon.leaves().collect::<Vec<_>>(), walked);
            prop_assert_eq!(taxon.depth() as usize, taxonomy.lineage(index).len());
            prop_assert_eq!(taxon.is_leaf(), taxonomy.children(index).next().is_none());
        }
    }

    #[test]
    fn a_table_read_back_is_the_same_tree(taxonomy in arbitrary_taxonomy(60)) {
        prop_assert_eq!(Taxonomy::from_tsv(&taxonomy.to_tsv()).expect("own table"), taxonomy);
    }

    #[test]
    fn containment_equals_ancestry(taxonomy in arbitrary_taxonomy(30)) {
        for (a, _) in taxonomy.iter() {
            for (b, _) in taxonomy.iter() {
                prop_assert_eq!(taxonomy.contains(a, b), taxonomy.ancestors(b).any(|x| x == a));
            }
        }
    }

    #[test]
    fn no_text_panics_the_table_reader(text in "\\PC*|(id\tparent\trank\tname\tcommon_name\toutput\n)?([a-c]?\t[a-c]?\t(genus)?\t[A-C]?\t\t[0-2]?\n)*") {
        let _ = Taxonomy::from_tsv(&text);
    }
}
