//! What is taken for what.

use std::collections::BTreeMap;

use fieldmark_models::taxonomy::{Rank, TaxonIndex, Taxonomy};

use super::{Trial, Trials};

/// Answers of a rank that the best leaf's lineage leaves out.
const NONE: &str = "no taxon of this rank";

/// Best leaves against the truth at one rank.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Confusion {
    /// The rank.
    pub rank: String,
    /// Pictures whose organism has a taxon of this rank.
    pub n: usize,
    /// Of those, with the right answer.
    pub right: usize,
    /// Wrong answers, the most frequent first.
    pub mistaken: Vec<Mistaken>,
}

/// One taxon taken for another: a cell off the diagonal of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mistaken {
    /// What it is.
    pub truth: String,
    /// What it was taken for.
    pub answer: String,
    /// How often.
    pub n: usize,
    /// Pictures of what it is.
    pub of: usize,
}

/// At every rank that is asked of anything; from kingdom down.
pub(super) fn by_rank(trials: &Trials) -> Vec<Confusion> {
    let ranks =
        [Rank::Kingdom, Rank::Phylum, Rank::Class, Rank::Order, Rank::Family, Rank::Genus, Rank::Species];
    ranks.iter().map(|rank| at(trials, rank)).filter(|confusion| confusion.n > 0).collect()
}

fn at(trials: &Trials, rank: &Rank) -> Confusion {
    let mut cells: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (tree, trial) in trials.plain() {
        if let Some(cell) = cell(tree, trial, rank) {
            *cells.entry(cell).or_default() += 1;
        }
    }
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for ((truth, _), n) in &cells {
        *rows.entry(truth).or_default() += n;
    }
    let (right, wrong): (Vec<_>, Vec<_>) = cells.iter().partition(|((truth, answer), _)| truth == answer);
    let mut mistaken: Vec<Mistaken> = wrong
        .into_iter()
        .map(|((truth, answer), &n)| {
            let of = rows.get(truth.as_str()).copied().unwrap_or_default();
            Mistaken { truth: truth.clone(), answer: answer.clone(), n, of }
        })
        .collect();
    // A stable sort: those as frequent stay in the order of their names.
    mistaken.sort_by_key(|mistaken| std::cmp::Reverse(mistaken.n));
    Confusion {
        rank: rank.name().into(),
        n: rows.values().sum(),
        right: right.into_iter().map(|(_, n)| n).sum(),
        mistaken,
    }
}

/// Truth and answer at `rank`, by name; `None` where the truth has none of it.
fn cell(taxonomy: &Taxonomy, trial: &Trial, rank: &Rank) -> Option<(String, String)> {
    let name = |index: TaxonIndex| taxonomy.taxon(index).name().to_owned();
    let truth = taxonomy.at_rank(trial.truth, rank)?;
    let answer = taxonomy.at_rank(trial.best, rank);
    Some((name(truth), answer.map_or_else(|| NONE.into(), name)))
}
