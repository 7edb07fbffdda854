//! Which taxa the classifier tells apart at a depth, and how their weights pass to their children.

use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};

/// The classes at one depth: every taxon at that depth, and every leaf that is shallower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    /// In pre-order.
    pub taxa: Vec<TaxonIndex>,
}

impl Frontier {
    /// The classes when labels are translated to ancestors at `depth` (the paper's t_d).
    #[must_use]
    pub fn at_depth(taxonomy: &Taxonomy, depth: u16) -> Self {
        let stands = |taxon: &fieldmark_models::taxonomy::Taxon| {
            taxon.depth() == depth || (taxon.is_leaf() && taxon.depth() < depth)
        };
        Self { taxa: taxonomy.iter().filter(|(_, taxon)| stands(taxon)).map(|(index, _)| index).collect() }
    }

    /// The leaves: the last stage.
    #[must_use]
    pub fn leaves(taxonomy: &Taxonomy) -> Self {
        Self { taxa: taxonomy.iter().filter(|(_, taxon)| taxon.is_leaf()).map(|(index, _)| index).collect() }
    }

    /// Classes that agree with the label `taxon`: those at or below it, or the one above it.
    pub fn admitted<'a>(
        &'a self,
        taxonomy: &'a Taxonomy,
        taxon: TaxonIndex,
    ) -> impl Iterator<Item = usize> + 'a {
        let agrees =
            move |&class: &TaxonIndex| taxonomy.contains(taxon, class) || taxonomy.contains(class, taxon);
        self.taxa.iter().enumerate().filter(move |(_, class)| agrees(class)).map(|(position, _)| position)
    }

    /// For every class, the position of the class of `shallower` that it lies in.
    #[must_use]
    pub fn parents(&self, taxonomy: &Taxonomy, shallower: &Self) -> Vec<usize> {
        let parent = |&class: &TaxonIndex| {
            shallower.taxa.iter().position(|&above| taxonomy.contains(above, class)).unwrap_or(0)
        };
        self.taxa.iter().map(parent).collect()
    }
}

/// `sqrt(keep) * parent + sqrt(1 - keep) * other`: where both have the same variance and are independent, so
/// has the mixture. `other` is first brought to the parent's variance.
#[must_use]
pub fn mixed(parent: &[f32], other: &[f32], keep: f64) -> Vec<f32> {
    let power = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    let (of_parent, of_other) = (power(parent), power(other));
    let matched = if of_other > 0.0 { (of_parent / of_other).sqrt() } else { 0.0 };
    let (kept, added) = (keep.sqrt() as f32, ((1.0 - keep).sqrt() * matched) as f32);
    parent.iter().zip(other).map(|(p, o)| kept * p + added * o).collect()
}

#[cfg(test)]
mod tests {
    use fieldmark_models::taxonomy::{Lineage, Rank, TaxonomyBuilder};
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn tree() -> Taxonomy {
        let mut builder = TaxonomyBuilder::new();
        for names in [&["A", "B", "C"][..], &["A", "B", "D"], &["A", "E"], &["F"]] {
            builder.insert(&Lineage::new(Rank::MAIN.into_iter().zip(names)).expect("levels"), None);
        }
        builder.build().expect("a tree")
    }

    #[test]
    fn a_frontier_covers_every_leaf_once() {
        let taxonomy = tree();
        for depth in 1..5 {
            let frontier = Frontier::at_depth(&taxonomy, depth);
            let leaves: Vec<usize> = frontier.taxa.iter().flat_map(|&t| taxonomy.taxon(t).leaves()).collect();
            assert_eq!(leaves, (0..taxonomy.leaf_count()).collect::<Vec<_>>(), "depth {depth}");
        }
        assert_eq!(Frontier::at_depth(&taxonomy, 9), Frontier::leaves(&taxonomy));
    }

    #[test]
    fn children_know_their_parents_and_partial_labels_admit_all_below() {
        let taxonomy = tree();
        let (shallow, leaves) = (Frontier::at_depth(&taxonomy, 2), Frontier::leaves(&taxonomy));
        assert_eq!(leaves.parents(&taxonomy, &shallow), [0, 0, 1, 2]);
        let b = taxonomy.find_name("B")[0];
        assert_eq!(leaves.admitted(&taxonomy, b).collect::<Vec<_>>(), [0, 1]);
        let c = taxonomy.find_name("C")[0];
        assert_eq!(shallow.admitted(&taxonomy, c).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn mixing_keeps_the_variance() {
        let mut random = StdRng::seed_from_u64(3);
        let mut row =
            |limit: f32| -> Vec<f32> { (0..20_000).map(|_| random.random_range(-limit..limit)).collect() };
        let (parent, noise) = (row(0.1), row(0.7));
        let variance = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32;
        for keep in [0.0, 0.3, 0.9, 1.0] {
            let ratio = variance(&mixed(&parent, &noise, keep)) / variance(&parent);
            assert!((ratio - 1.0).abs() < 0.03, "keep {keep}: {ratio}");
        }
    }
}
