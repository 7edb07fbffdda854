//! The dial: how often answers must be right, asked for as an accuracy or as a cut-off, for the whole tree and for
//! parts of it; used as cut-offs.

use fieldmark_models::calibration::{Calibration, CalibrationError, Guarantee};
use fieldmark_models::specificity::{Threshold, Thresholds};
use fieldmark_models::taxonomy::{NameError, TaxonIndex, Taxonomy};

/// As people ask for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sureness {
    /// The share of answers that should be right, in `(0, 1)`.
    Target(f64),
    /// The cut-off itself.
    Threshold(Threshold),
}

/// How sure answers have to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Dial {
    /// In the whole tree, but for the subtrees.
    pub everywhere: Sureness,
    /// At and below taxa, by name or id; the nearest above a taxon holds.
    pub subtrees: Vec<(String, Sureness)>,
    /// What the thresholds looked up for targets promise.
    pub guarantee: Guarantee,
}

/// Why a model cannot be asked for that.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DialError {
    /// Nobody measured an accuracy that high.
    #[error(transparent)]
    Target(#[from] CalibrationError),
    /// A subtree's taxon is none.
    #[error("model.subtree: {0}")]
    Subtree(#[from] NameError),
}

/// The cut-off of one taxon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CutOff {
    /// The cut-off.
    pub threshold: Threshold,
    /// The accuracy it was measured for, where one was asked for.
    pub target: Option<f64>,
}

/// The cut-offs of every taxon.
#[derive(Debug, Clone, PartialEq)]
pub struct CutOffs {
    thresholds: Thresholds,
    everywhere: CutOff,
    subtrees: Vec<(TaxonIndex, CutOff)>,
}

impl Dial {
    /// The same for the whole tree, with no promise.
    #[must_use]
    pub fn everywhere(sureness: Sureness) -> Self {
        Self { everywhere: sureness, subtrees: Vec::new(), guarantee: Guarantee::None }
    }

    /// The cut-offs for `taxonomy`, looked up in the model's `calibration` where an accuracy is asked for.
    ///
    /// # Errors
    /// If nobody measured an accuracy that high, or a subtree is none of this model.
    pub fn cut_offs(&self, taxonomy: &Taxonomy, calibration: &Calibration) -> Result<CutOffs, DialError> {
        let cut_off = |sureness| self.cut_off(sureness, calibration);
        let everywhere = cut_off(self.everywhere)?;
        let subtree = |(name, sureness): &(String, Sureness)| -> Result<_, DialError> {
            Ok((taxonomy.named(name)?, cut_off(*sureness)?))
        };
        let subtrees: Vec<_> = self.subtrees.iter().map(subtree).collect::<Result<_, _>>()?;
        let thresholds = subtrees.iter().map(|(taxon, cut_off)| (*taxon, cut_off.threshold));
        let thresholds = Thresholds::with_subtrees(taxonomy, everywhere.threshold, thresholds);
        Ok(CutOffs { thresholds, everywhere, subtrees })
    }

    fn cut_off(&self, sureness: Sureness, calibration: &Calibration) -> Result<CutOff, CalibrationError> {
        match sureness {
            Sureness::Threshold(threshold) => Ok(CutOff { threshold, target: None }),
            Sureness::Target(target) => {
                let threshold = calibration.point_for(target)?.threshold_for(self.guarantee);
                Ok(CutOff { threshold, target: Some(target) })
            }
        }
    }
}

impl CutOffs {
    /// As specificity control takes them.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Where no subtree has its own.
    #[must_use]
    pub fn everywhere(&self) -> CutOff {
        self.everywhere
    }

    /// That of `taxon`.
    #[must_use]
    pub fn of(&self, taxonomy: &Taxonomy, taxon: TaxonIndex) -> CutOff {
        let named = |above| self.subtrees.iter().rev().find(|(subtree, _)| *subtree == above);
        taxonomy.ancestors(taxon).find_map(named).map_or(self.everywhere, |&(_, cut_off)| cut_off)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fieldmark_models::calibration::Point;
    use fieldmark_models::taxonomy::{Lineage, Rank, TaxonomyBuilder};

    use super::*;

    fn threshold(value: f64) -> Threshold {
        Threshold::new(value).expect("a threshold")
    }

    fn calibration() -> Calibration {
        let point = |target, climbed, average| Point {
            target,
            threshold: threshold(climbed),
            exact: threshold(climbed),
            average: threshold(average),
            confident: Threshold::CERTAIN,
            accuracy: target,
            accuracy_low: target,
            accuracy_high: target,
            mean_depth: 3.0,
            ranks: BTreeMap::new(),
        };
        Calibration::new(10, 1.0, 0.95, vec![point(0.8, 0.4, 0.5), point(0.9, 0.6, 0.7)]).expect("a curve")
    }

    fn taxonomy() -> Taxonomy {
        let mut builder = TaxonomyBuilder::new();
        for names in [["Fungi", "Amanita"], ["Fungi", "Boletus"], ["Plantae", "Pinus"]] {
            let lineage = Lineage::new([Rank::Kingdom, Rank::Genus].into_iter().zip(names)).expect("levels");
            builder.insert(&lineage, None);
        }
        builder.build().expect("a tree")
    }

    #[test]
    fn the_nearest_subtree_above_a_taxon_holds() {
        let taxonomy = taxonomy();
        let subtrees = vec![
            ("Fungi".into(), Sureness::Target(0.9)),
            ("amanita".into(), Sureness::Threshold(threshold(0.99))),
        ];
        let dial = Dial { everywhere: Sureness::Target(0.8), subtrees, guarantee: Guarantee::None };
        let cut_offs = dial.cut_offs(&taxonomy, &calibration()).expect("cut-offs");
        for (name, value, target) in
            [("Amanita", 0.99, None), ("Boletus", 0.6, Some(0.9)), ("Pinus", 0.4, Some(0.8))]
        {
            let taxon = taxonomy.named(name).expect("a taxon");
            assert_eq!(cut_offs.of(&taxonomy, taxon), CutOff { threshold: threshold(value), target });
            assert_eq!(cut_offs.thresholds().of(taxon).value(), value);
        }
    }

    #[test]
    fn a_guarantee_asks_for_its_own_threshold() {
        let dial = |guarantee| Dial { guarantee, ..Dial::everywhere(Sureness::Target(0.9)) };
        let of = |guarantee| {
            dial(guarantee).cut_offs(&taxonomy(), &calibration()).expect("cut-offs").everywhere().threshold
        };
        assert_eq!(of(Guarantee::None).value(), 0.6);
        assert_eq!(of(Guarantee::Average).value(), 0.7);
        assert_eq!(of(Guarantee::Confident), Threshold::CERTAIN);
    }

    #[test]
    fn what_the_model_does_not_have_is_refused() {
        let refusal =
            |dial: Dial| dial.cut_offs(&taxonomy(), &calibration()).expect_err("a refusal").to_string();
        let subtrees = vec![("Amanitta".into(), Sureness::Target(0.9))];
        let wrong = Dial { subtrees, ..Dial::everywhere(Sureness::Target(0.9)) };
        insta::assert_snapshot!(refusal(wrong), @r#"model.subtree: "Amanitta" is no taxon of this model; did you mean Amanita?"#);
        insta::assert_snapshot!(refusal(Dial::everywhere(Sureness::Target(0.95))), @"a target of 0.95 was not measured for this model: its calibration ends at 0.9; ask for that or less, or give a threshold");
    }
}
