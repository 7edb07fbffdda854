//! Two even halves of a calibration set, by group.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::Case;

/// A half to find thresholds on, and the other to take figures from.
#[derive(Debug, Clone)]
pub struct Halving<'a> {
    /// Thresholds come from these.
    pub fitting: Vec<&'a Case<'a>>,
    /// Figures come from these.
    pub judging: Vec<&'a Case<'a>>,
}

/// One halving of `cases`, or `number` of them with each half in both roles; none if there are fewer than two
/// groups.
#[must_use]
pub fn halvings<'a>(cases: &'a [Case<'a>], number: usize, seed: u64) -> Vec<Halving<'a>> {
    let mut groups: Vec<usize> =
        cases.iter().map(|case| case.group).collect::<BTreeSet<_>>().into_iter().collect();
    if groups.len() < 2 {
        return Vec::new();
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut made = Vec::new();
    for _ in 0..number {
        groups.shuffle(&mut random);
        let half: BTreeSet<usize> = groups[..groups.len() / 2].iter().copied().collect();
        let (fitting, judging): (Vec<_>, Vec<_>) = cases.iter().partition(|case| half.contains(&case.group));
        if number > 1 {
            made.push(Halving { fitting: judging.clone(), judging: fitting.clone() });
        }
        made.push(Halving { fitting, judging });
    }
    made
}

/// A random picture of each group.
pub(super) fn one_a_group<'a>(cases: &[&'a Case<'a>], seed: u64) -> Vec<&'a Case<'a>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut groups: BTreeMap<usize, Vec<&Case<'_>>> = BTreeMap::new();
    for case in cases {
        groups.entry(case.group).or_default().push(case);
    }
    groups.values().filter_map(|group| group.choose(&mut random).copied()).collect()
}
