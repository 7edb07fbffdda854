//! A taxon by what a person writes: its id, its scientific name, its vernacular name.

use super::{TaxonIndex, Taxonomy};

/// Names suggested for one that is not known.
const SUGGESTIONS: usize = 3;

/// Why text names no taxon of a taxonomy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is called so.
    #[error("{text:?} is no taxon of this model; {near}")]
    Unknown {
        /// As given.
        text: String,
        /// Names that look alike.
        near: String,
    },
    /// Several are called so.
    #[error("{text:?} is the name of several taxa; give one of the ids {candidates}")]
    Homonym {
        /// As given.
        text: String,
        /// Their ids.
        candidates: String,
    },
}

impl Taxonomy {
    /// The taxon with id or name (scientific or vernacular, any letter case) `text`.
    ///
    /// # Errors
    /// If there is none, or there are several.
    pub fn named(&self, text: &str) -> Result<TaxonIndex, NameError> {
        let text = text.trim();
        if let Some(taxon) = self.find_id(text) {
            return Ok(taxon);
        }
        match self.find_name(text).as_slice() {
            [] => Err(NameError::Unknown { text: text.into(), near: self.near(text) }),
            [taxon] => Ok(*taxon),
            several => {
                let describe = |&taxon: &TaxonIndex| format!("{:?}", self.taxon(taxon).id());
                let candidates = several.iter().map(describe).collect::<Vec<_>>().join(", ");
                Err(NameError::Homonym { text: text.into(), candidates })
            }
        }
    }

    fn near(&self, text: &str) -> String {
        let wanted = text.to_lowercase();
        let limit = wanted.chars().count() / 3 + 1;
        let mut scored: Vec<_> = self
            .iter()
            .skip(1)
            .map(|(_, taxon)| (strsim::osa_distance(&wanted, &taxon.name().to_lowercase()), taxon.name()))
            .filter(|(distance, _)| *distance <= limit)
            .collect();
        scored.sort_unstable();
        scored.dedup();
        let names: Vec<_> = scored.iter().take(SUGGESTIONS).map(|(_, name)| *name).collect();
        if names.is_empty() {
            "see taxonomy.tsv in the package for its names".into()
        } else {
            format!("did you mean {}?", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder};

    fn taxonomy() -> Taxonomy {
        let mut builder = TaxonomyBuilder::new();
        for (kingdom, genus) in [("Plantae", "Quercus"), ("Plantae", "Iris"), ("Animalia", "Iris")] {
            let lineage = Lineage::new([(Rank::Kingdom, kingdom), (Rank::Genus, genus)]).expect("a lineage");
            builder.insert(&lineage, None);
        }
        builder.build().expect("a tree")
    }

    #[test]
    fn a_taxon_is_found_by_name_and_by_id() {
        let taxonomy = taxonomy();
        let by_name = taxonomy.named(" quercus").expect("a taxon");
        assert_eq!(taxonomy.named(taxonomy.taxon(by_name).id()), Ok(by_name));
    }

    #[test]
    fn a_homonym_lists_its_candidates_and_an_unknown_name_near_ones() {
        let message = |text| taxonomy().named(text).expect_err("a refusal").to_string();
        insta::assert_snapshot!(message("Iris"), @r#""Iris" is the name of several taxa; give one of the ids "genus:Animalia|Iris", "genus:Plantae|Iris""#);
        insta::assert_snapshot!(message("Quercsu"), @r#""Quercsu" is no taxon of this model; did you mean Quercus?"#);
        insta::assert_snapshot!(message("Zea"), @r#""Zea" is no taxon of this model; see taxonomy.tsv in the package for its names"#);
    }
}
