//! A tree the size of the paper's (19,027 leaves, seven ranks) and answers that are calibrated by construction.

use fieldmark_models::taxonomy::{Lineage, Rank, TaxonIndex, Taxonomy, TaxonomyBuilder};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The paper's number of species.
pub(crate) const LEAVES: usize = 19_027;

/// Mean number of children, from genera up to kingdoms: about what the catalogues of life have.
const CHILDREN: [f64; 6] = [1.9, 3.3, 5.0, 5.0, 3.0, 8.0];

/// The tree; always the same one for the same `seed`. Most taxa have few children and a few have very many.
pub(crate) fn tree(seed: u64) -> Taxonomy {
    let mut random = StdRng::seed_from_u64(seed);
    // By level, from species up: the parent of each taxon.
    let mut parents: Vec<Vec<usize>> = Vec::new();
    let mut taxa = LEAVES;
    for mean in CHILDREN {
        let mut of_level = Vec::with_capacity(taxa);
        let mut parent = 0;
        while of_level.len() < taxa {
            // Pareto with exponent 2 has this mean.
            let children = (mean / 2.0 / (1.0 - random.random::<f64>()).sqrt()).round().max(1.0) as usize;
            let room = taxa - of_level.len();
            of_level.extend(std::iter::repeat_n(parent, children.min(room)));
            parent += 1;
        }
        parents.push(of_level);
        taxa = parent;
    }
    let mut builder = TaxonomyBuilder::new();
    for species in 0..LEAVES {
        let mut place = species;
        let mut names = vec![format!("species{species:05}")];
        for (level, parents) in parents.iter().enumerate() {
            place = parents[place];
            names.push(format!("{}{place:05}", Rank::MAIN[5 - level].name()));
        }
        names.reverse();
        let lineage = Lineage::new(Rank::MAIN.into_iter().zip(names));
        builder.insert(&lineage.expect("seven levels"), None);
    }
    builder.build().expect("a tree")
}

/// Leaf probabilities `[leaves]` of one picture, and a truth drawn from them: what is said to be probable by p
/// happens in a share p of the cases. Mass lies within the ancestors of one leaf, more of it the higher they are.
pub(crate) fn answer(taxonomy: &Taxonomy, random: &mut StdRng) -> (Vec<f32>, TaxonIndex) {
    let centre = taxonomy.leaf(random.random_range(0..taxonomy.leaf_count())).expect("a leaf");
    let ease: f64 = random.random_range(0.0..1.0);
    let mut probabilities = vec![0.0; taxonomy.leaf_count()];
    let mut above = (taxonomy.leaf_count(), 1.0);
    let mut outer = taxonomy.taxon(TaxonIndex::ROOT).leaves();
    for taxon in taxonomy.lineage(centre) {
        let leaves = taxonomy.taxon(taxon).leaves();
        let kept = 1.0 - (1.0 - ease) * random.random::<f64>().powi(3);
        let mass = if leaves.len() == outer.len() { above.1 } else { above.1 * kept };
        let others = outer.len() - leaves.len();
        if others > 0 {
            let share = ((above.1 - mass) / others as f64) as f32;
            probabilities[outer.start..leaves.start].fill(share);
            probabilities[leaves.end..outer.end].fill(share);
        }
        (above, outer) = ((leaves.len(), mass), leaves);
    }
    probabilities[outer.clone()].fill((above.1 / outer.len() as f64) as f32);
    let mut left = random.random::<f64>() * probabilities.iter().map(|&p| f64::from(p)).sum::<f64>();
    let drawn = probabilities.iter().position(|&p| {
        left -= f64::from(p);
        left < 0.0
    });
    (probabilities, taxonomy.leaf(drawn.unwrap_or(0)).expect("a leaf"))
}
