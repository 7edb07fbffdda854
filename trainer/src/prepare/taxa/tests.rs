use fieldmark_tables::Reason;
use proptest::prelude::*;

use super::*;
use crate::prepare::rules::OddTaxonomy;

fn raw(cells: [&str; 7], name: &str, rank: &str) -> RawName {
    RawName { ranks: cells.map(Into::into), name: name.into(), rank: rank.into(), ..RawName::default() }
}

fn key(raw: &RawName) -> Vec<&str> {
    raw.ranks.iter().map(|cell| &**cell).chain([&*raw.name, &*raw.rank]).collect()
}

fn gathered(rows: &[RawName], threads: usize) -> (Gathered, Vec<usize>) {
    let mut gathered = Gathered::default();
    let mut numbers = vec![0; rows.len()];
    for thread in 0..threads {
        let mut names = Names::default();
        let own: Vec<(usize, u32)> = rows
            .iter()
            .enumerate()
            .filter(|(row, _)| row % threads == thread)
            .map(|(row, raw)| (row, names.number(&key(raw), || raw.clone())))
            .collect();
        let positions = gathered.take(names);
        own.into_iter().for_each(|(row, number)| numbers[row] = positions[number as usize]);
    }
    (gathered, numbers)
}

fn verdicts(rows: &[RawName], odd: OddTaxonomy) -> (Vec<String>, Mending) {
    let (gathered, numbers) = gathered(rows, 1);
    let mending = mend(&gathered, odd);
    let said = numbers.iter().map(|&number| match mending.verdict(number) {
        Ok(taxon) => mending.ids()[taxon as usize].clone(),
        Err(reason) => reason.name().to_owned(),
    });
    (said.collect(), mending)
}

const PARUS: [&str; 7] = ["Animalia", "Chordata", "Aves", "Passeriformes", "Paridae", "Parus", "Parus major"];

#[test]
fn names_are_mended_or_dropped_with_their_reason() {
    let blank = [""; 7];
    let mut synonym = raw(PARUS, "Parus ater Linnaeus, 1758", "SPECIES");
    synonym.synonym = true;
    let rows = [
        raw(PARUS, "Parus major Linnaeus, 1758", "SPECIES"),
        synonym,
        raw(["Animalia", "", "", "", "", "Parus", ""], "Parus major major", "SUBSPECIES"),
        raw(["", "", "", "", "", "Parus", "Parus major"], "Parus major", "SPECIES"),
        raw(["", "", "", "", "Iridaceae", "Iris", "Iris germanica"], "Iris germanica L.", "SPECIES"),
        raw(["Plantae", "", "", "", "", "Quercus", ""], "Quercus × rosacea Bechst.", "HYBRID"),
        raw(["Animalia", "", "", "", "", "Anas", ""], "Anas platyrhynchos × Anas rubripes", "HYBRID"),
        raw(["Animalia", "", "", "", "", "Bombus", ""], "Bombus sp. 3", "SPECIES"),
        raw(["Animalia", "", "", "", "", "Anas", "Mareca strepera"], "Mareca strepera", "SPECIES"),
        raw(["Viruses", "", "", "", "", "", ""], "BOLD:AAA1234", "UNRANKED"),
        raw(["Animalia", "Chordata", "Aves", "", "", "", ""], "Aves", "CLASS"),
        raw(blank, "", ""),
    ];
    let (said, mending) = verdicts(&rows, OddTaxonomy::Drop);
    let parus = "species:Animalia|Chordata|Aves|Passeriformes|Paridae|Parus|Parus major";
    assert_eq!(
        said,
        [
            parus,
            parus,
            parus,
            parus,
            "no_kingdom",
            "species:Plantae|Quercus|Quercus × rosacea",
            "hybrid",
            "name_not_parsable",
            "species_not_of_genus",
            "kingdom:Viruses",
            "class:Animalia|Chordata|Aves",
            "no_name",
        ]
    );
    let mended: Vec<(Mend, u64)> = mending.mended.iter().map(|(&mend, &rows)| (mend, rows)).collect();
    assert_eq!(
        mended,
        [
            (Mend::Synonym, 1),
            (Mend::Shortened, 2),
            (Mend::RankFilled, 2),
            (Mend::KingdomFilled, 1),
            (Mend::Gap, 1),
        ]
    );
    let (said, _) = verdicts(&rows, OddTaxonomy::Mend);
    assert_eq!(said[6..8], ["genus:Animalia|Anas", "genus:Animalia|Bombus"]);
}

#[test]
fn homonyms_are_told_apart_by_lineage() {
    let iris = |kingdom, family, species| raw([kingdom, "", "", "", family, "Iris", species], "", "");
    let rows = [
        iris("Plantae", "Iridaceae", "Iris germanica"),
        iris("Animalia", "Eremiaphilidae", "Iris oratoria"),
        raw(["", "", "", "", "", "Iris", "Iris minima"], "", ""),
    ];
    let (said, mending) = verdicts(&rows, OddTaxonomy::Drop);
    assert_eq!(said[0], "species:Plantae|Iridaceae|Iris|Iris germanica");
    assert_eq!(said[1], "species:Animalia|Eremiaphilidae|Iris|Iris oratoria");
    assert_eq!(said[2], "no_kingdom", "nobody knows which Iris is meant");
    assert_eq!(mending.homonyms, 1);
}

fn any_name() -> impl Strategy<Value = RawName> {
    let cell = |names: &'static [&'static str]| prop::sample::select(names);
    (
        cell(&["", "Animalia", "Plantae", "incertae sedis"]),
        cell(&["", "Chordata", "Tracheophyta"]),
        cell(&["", "Aves"]),
        cell(&["", "Rosales", "Anseriformes"]),
        cell(&["", "Rosaceae", "Anatidae Leach"]),
        cell(&["", "Rosa", "Anas", "Anas L.", "Iris"]),
        cell(&["", "Rosa canina", "Rosa canina L.", "Anas crecca", "Anas sp.", "Iris x y", "?"]),
        cell(&[
            "",
            "Rosa",
            "Anas crecca × Anas acuta",
            "Anas crecca carolinensis",
            "Mentha × piperita",
            "\u{1}",
        ]),
        cell(&["", "species", "GENUS", "hybrid", "subspecies", "order"]),
    )
        .prop_map(|(k, p, c, o, f, g, s, name, rank)| raw([k, p, c, o, f, g, s], name, rank))
}

proptest! {
    #[test]
    fn a_tree_is_the_same_from_rows_in_any_order_on_any_threads(
        rows in prop::collection::vec(any_name(), 1..40),
        seed in any::<u64>(),
        threads in 1..4usize,
    ) {
        use rand::SeedableRng as _;
        use rand::seq::SliceRandom as _;
        let (one, numbers) = gathered(&rows, 1);
        let first = mend(&one, OddTaxonomy::Mend);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        let shuffled: Vec<RawName> = order.iter().map(|&row| rows[row].clone()).collect();
        let (other, others) = gathered(&shuffled, threads);
        let second = mend(&other, OddTaxonomy::Mend);
        prop_assert_eq!(first.ids(), second.ids());
        prop_assert_eq!(first.parents(), second.parents());
        prop_assert_eq!(first.weights(), second.weights());
        prop_assert_eq!(&first.mended, &second.mended);
        for (position, &row) in order.iter().enumerate() {
            prop_assert_eq!(second.verdict(others[position]), first.verdict(numbers[row]));
        }
    }

    #[test]
    fn any_text_is_a_name_or_a_reason(cells in prop::array::uniform7("\\PC{0,12}"), name in "\\PC{0,40}") {
        let (said, _) = verdicts(&[RawName { ranks: cells.map(Into::into), name: name.into(), ..RawName::default() }],
            OddTaxonomy::Drop);
        prop_assert_eq!(said.len(), 1);
    }
}

#[test]
fn a_reason_of_the_source_stands() {
    let row = RawName { reason: Some(Reason::CyclicAncestry), ..RawName::default() };
    assert_eq!(verdicts(&[row], OddTaxonomy::Mend).0, ["cyclic_ancestry"]);
}
