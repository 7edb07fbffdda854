//! The way down the tree that led to an answer, and where it would have gone on: what shows a person why an answer is
//! not more specific.

use fieldmark_models::specificity::{SpecificityControl, Thresholds};
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};
use serde::Serialize;

use super::answer::rounded;

/// Taxa shown of those one level below the answer.
const RIVALS: usize = 3;

/// One taxon on the way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rung {
    /// Scientific name.
    pub name: String,
    /// Its rank.
    pub rank: String,
    /// Vernacular name, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// Its probability in the distribution last decided on.
    pub probability: f64,
    /// The cut-off in force for it.
    pub threshold: f64,
    /// Whether it is the answer.
    pub answer: bool,
}

/// From the kingdom down to `answer` and on by the most probable taxon of each level, and the most probable taxa one
/// level below `answer`; probabilities are those `control` last decided on.
pub(super) fn descent(
    control: &SpecificityControl,
    taxonomy: &Taxonomy,
    thresholds: &Thresholds,
    answer: TaxonIndex,
) -> (Vec<Rung>, Vec<Rung>) {
    let rung = |index: TaxonIndex, probability: f64| {
        let taxon = taxonomy.taxon(index);
        Rung {
            name: taxon.name().into(),
            rank: taxon.rank().to_string(),
            common_name: taxon.common_name().map(Into::into),
            probability: rounded(probability, 4),
            threshold: rounded(thresholds.of(index).value(), 4),
            answer: index == answer,
        }
    };
    let mut way: Vec<_> = control.lineage(taxonomy, answer).map(|(index, p)| rung(index, p)).collect();
    let below = |index: TaxonIndex| -> Vec<(TaxonIndex, f64)> {
        let children = taxonomy.children(index);
        let mut children: Vec<_> =
            children.map(|child| (child, control.node_probability(taxonomy, child))).collect();
        children.sort_by(|one, other| other.1.total_cmp(&one.1));
        children
    };
    let mut level = below(answer);
    let rivals = level.iter().take(RIVALS).map(|&(index, p)| rung(index, p)).collect();
    while let Some(&(next, probability)) = level.first() {
        way.push(rung(next, probability));
        level = below(next);
    }
    (way, rivals)
}

#[cfg(test)]
mod tests {
    use fieldmark_models::specificity::{Priors, Threshold};
    use fieldmark_models::taxonomy::{Lineage, Rank, TaxonomyBuilder};

    use super::*;

    #[test]
    fn the_way_goes_through_the_answer_down_to_a_leaf() {
        let mut builder = TaxonomyBuilder::new();
        for names in [
            ["Animalia", "Apis", "Apis mellifera"],
            ["Plantae", "Quercus", "Quercus petraea"],
            ["Plantae", "Quercus", "Quercus robur"],
        ] {
            let levels = [Rank::Kingdom, Rank::Genus, Rank::Species].into_iter().zip(names);
            builder.insert(&Lineage::new(levels).expect("a lineage"), None);
        }
        let taxonomy = builder.build().expect("a tree");
        let thresholds = Thresholds::everywhere(Threshold::new(0.8).expect("a threshold"));
        let mut control = SpecificityControl::new();
        let decision = control.decide(&taxonomy, &[0.06, 0.4, 0.54], &thresholds, &Priors::none());
        let answer = decision.expect("a decision").taxon;
        let (way, rivals) = descent(&control, &taxonomy, &thresholds, answer);
        let told: Vec<_> =
            way.iter().map(|rung| (rung.name.as_str(), rung.probability, rung.answer)).collect();
        let wanted = [("Plantae", 0.94, false), ("Quercus", 0.94, true), ("Quercus robur", 0.54, false)];
        assert_eq!(told, wanted);
        assert!(way.iter().take_while(|rung| !rung.answer).all(|rung| rung.probability >= rung.threshold));
        let rivals: Vec<_> = rivals.iter().map(|rung| (rung.name.as_str(), rung.probability)).collect();
        assert_eq!(rivals, [("Quercus robur", 0.54), ("Quercus petraea", 0.4)]);
    }
}
