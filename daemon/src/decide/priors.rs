//! The taxa people expect, by name or id.

use fieldmark_models::specificity::Priors;
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};

/// Names suggested for one that is not known.
const SUGGESTIONS: usize = 3;

/// Why text names no taxon of this model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriorError {
    /// Nothing is called so.
    #[error("prior {text:?} is no taxon of this model; {near}")]
    Unknown {
        /// As given.
        text: String,
        /// Names that look alike.
        near: String,
    },
    /// Several are called so.
    #[error("prior {text:?} is the name of several taxa; give one of the ids {candidates}")]
    Homonym {
        /// As given.
        text: String,
        /// Ids and lineages.
        candidates: String,
    },
}

/// The taxon with id or name (scientific or vernacular, any letter case) `text`.
///
/// # Errors
/// If there is none, or there are several.
pub fn find_prior(taxonomy: &Taxonomy, text: &str) -> Result<TaxonIndex, PriorError> {
    if let Some(taxon) = taxonomy.find_id(text) {
        return Ok(taxon);
    }
    match taxonomy.find_name(text).as_slice() {
        [] => Err(PriorError::Unknown { text: text.into(), near: near(taxonomy, text) }),
        [taxon] => Ok(*taxon),
        several => {
            let describe = |&taxon: &TaxonIndex| format!("{:?}", taxonomy.taxon(taxon).id());
            let candidates = several.iter().map(describe).collect::<Vec<_>>().join(", ");
            Err(PriorError::Homonym { text: text.into(), candidates })
        }
    }
}

/// All of `texts`, as priors.
///
/// # Errors
/// As [`find_prior`], at the first that names nothing or several.
pub fn find_priors(taxonomy: &Taxonomy, texts: &[String]) -> Result<Priors, PriorError> {
    let taxa: Result<Vec<_>, _> = texts.iter().map(|text| find_prior(taxonomy, text)).collect();
    Ok(Priors::new(taxonomy, taxa?))
}

fn near(taxonomy: &Taxonomy, text: &str) -> String {
    let wanted = text.to_lowercase();
    let limit = wanted.chars().count() / 3 + 1;
    let mut scored: Vec<_> = taxonomy
        .iter()
        .skip(1)
        .map(|(_, taxon)| (distance(&wanted, &taxon.name().to_lowercase()), taxon.name()))
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

/// Edits (insert, delete, replace a character) from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (position, from) in from.chars().enumerate() {
        let mut diagonal = position;
        let mut left = position + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&to) {
            let above = *cell;
            left = (diagonal + usize::from(from != *to)).min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = position + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use fieldmark_models::taxonomy::{Lineage, Rank, TaxonomyBuilder};

    use super::*;

    fn taxonomy() -> Taxonomy {
        let mut builder = TaxonomyBuilder::new();
        for (kingdom, genus) in [("Plantae", "Quercus"), ("Plantae", "Iris"), ("Animalia", "Iris")] {
            let lineage = Lineage::new([(Rank::Kingdom, kingdom), (Rank::Genus, genus)]).expect("a lineage");
            builder.insert(&lineage, None);
        }
        builder.build().expect("a tree")
    }

    #[test]
    fn a_prior_is_found_by_name_and_by_id() {
        let taxonomy = taxonomy();
        let by_name = find_prior(&taxonomy, "quercus").expect("a taxon");
        assert_eq!(find_prior(&taxonomy, taxonomy.taxon(by_name).id()), Ok(by_name));
    }

    #[test]
    fn a_homonym_lists_its_candidates_and_an_unknown_name_near_ones() {
        let message = |text| find_prior(&taxonomy(), text).expect_err("a refusal").to_string();
        insta::assert_snapshot!(message("Iris"), @r#"prior "Iris" is the name of several taxa; give one of the ids "genus:Animalia|Iris", "genus:Plantae|Iris""#);
        insta::assert_snapshot!(message("Quercsu"), @r#"prior "Quercsu" is no taxon of this model; did you mean Quercus?"#);
        insta::assert_snapshot!(message("Zea"), @r#"prior "Zea" is no taxon of this model; see taxonomy.tsv in the package for its names"#);
    }
}
