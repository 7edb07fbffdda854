//! What is expected to be seen: configured taxa, and a checklist for the place and the time of the year.

use std::path::{Path, PathBuf};

use fieldmark_models::checklist::{Checklist, ChecklistError, Place, Unmatched};
use fieldmark_models::package::Sha256Digest;
use fieldmark_models::specificity::{Priors, PriorsError};
use fieldmark_models::taxonomy::{NameError, Taxonomy};

/// As people ask for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expected {
    /// Names or ids of the only taxa to expect.
    pub taxa: Vec<String>,
    /// A list of taxa with their places and seasons.
    pub checklist: Option<ListedIn>,
    /// Where the cameras are.
    pub place: Option<Place>,
}

/// A checklist's file.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedIn {
    /// The file.
    pub file: PathBuf,
    /// Weight of the leaves that no row speaks for.
    pub unlisted: f32,
}

/// Why a checklist is not used.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationError {
    /// The file.
    #[error("cannot read checklist {path}: {source}")]
    File {
        /// Path of the list.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its content.
    #[error("{path}: {source}")]
    List {
        /// Path of the list.
        path: PathBuf,
        /// What is wrong.
        source: ChecklistError,
    },
    /// Nothing in it applies.
    #[error("{path}: nothing is expected at this place in month {month}: {source}")]
    Nothing {
        /// Path of the list.
        path: PathBuf,
        /// 1 to 12.
        month: u8,
        /// What is left.
        source: PriorsError,
    },
}

/// A list that was read.
#[derive(Debug)]
pub struct List {
    from: ListedIn,
    checklist: Checklist,
    /// Rows whose taxa the model cannot name.
    pub unmatched: Vec<Unmatched>,
}

impl List {
    /// Reads the list against `taxonomy`.
    ///
    /// # Errors
    /// If there is none, or it says nothing.
    pub fn read(from: &ListedIn, taxonomy: &Taxonomy) -> Result<Self, ExpectationError> {
        let path = || from.file.clone();
        let bytes =
            read_bounded(&from.file).map_err(|source| ExpectationError::File { path: path(), source })?;
        let (checklist, unmatched) = Checklist::read(&bytes, taxonomy)
            .map_err(|source| ExpectationError::List { path: path(), source })?;
        Ok(Self { from: from.clone(), checklist, unmatched })
    }

    /// Rows that name a taxon of the model.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.checklist.len()
    }

    /// What it expects at `place` in `month`.
    ///
    /// # Errors
    /// If that is nothing.
    pub fn priors(
        &self,
        taxonomy: &Taxonomy,
        place: Option<Place>,
        month: u8,
    ) -> Result<Priors, ExpectationError> {
        let priors = self.checklist.priors(taxonomy, place, Some(month), self.from.unlisted);
        priors.map_err(|source| ExpectationError::Nothing { path: self.from.file.clone(), month, source })
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // One more than is allowed, so that too much is seen to be too much.
    let limit = fieldmark_models::checklist::MAX_BYTES as u64 + 1;
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The priors in force; follows the months.
#[derive(Debug)]
pub struct Expectation {
    taxa: Priors,
    list: Option<List>,
    place: Option<Place>,
    month: u8,
    priors: Priors,
    in_force: Option<Sha256Digest>,
}

impl Expectation {
    /// A list that cannot be used is told of and not used: answers then claim no list.
    ///
    /// # Errors
    /// If a taxon is none of this model.
    pub fn new(expected: &Expected, taxonomy: &Taxonomy, month: u8) -> Result<Self, NameError> {
        let taxa: Vec<_> = expected.taxa.iter().map(|text| taxonomy.named(text)).collect::<Result<_, _>>()?;
        let taxa = Priors::new(taxonomy, taxa);
        let list = expected.checklist.as_ref().and_then(|from| {
            let list = List::read(from, taxonomy);
            list.inspect_err(|error| tracing::error!("{error}; answering without the checklist")).ok()
        });
        if let Some(list) = &list {
            tracing::info!(rows = list.rows(), unmatched = list.unmatched.len(), sha256 = %list.checklist.digest(), "checklist");
            for row in &list.unmatched {
                tracing::warn!("{}: line {}: {}", list.from.file.display(), row.line, row.reason);
            }
        }
        let (priors, place) = (taxa.clone(), expected.place);
        let mut expectation = Self { taxa, list, place, month: 0, priors, in_force: None };
        expectation.follow(taxonomy, month);
        Ok(expectation)
    }

    /// The priors in `month`, 1 to 12.
    pub fn follow(&mut self, taxonomy: &Taxonomy, month: u8) -> &Priors {
        if month != self.month {
            self.month = month;
            (self.priors, self.in_force) = self.now(taxonomy);
        }
        &self.priors
    }

    /// Digest of the list that the priors come from; `None` when they come from none.
    #[must_use]
    pub fn in_force(&self) -> Option<Sha256Digest> {
        self.in_force
    }

    fn now(&self, taxonomy: &Taxonomy) -> (Priors, Option<Sha256Digest>) {
        let Some(list) = &self.list else { return (self.taxa.clone(), None) };
        match list.priors(taxonomy, self.place, self.month) {
            Ok(priors) => (self.taxa.and(&priors), Some(*list.checklist.digest())),
            Err(error) => {
                tracing::error!("{error}; answering without the checklist");
                (self.taxa.clone(), None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fieldmark_models::specificity::{SpecificityControl, Threshold};
    use fieldmark_models::taxonomy::{Lineage, Rank, TaxonomyBuilder};

    use super::*;

    fn taxonomy() -> Taxonomy {
        let mut builder = TaxonomyBuilder::new();
        for names in [["Animalia", "Apis"], ["Plantae", "Pinus"], ["Plantae", "Quercus"]] {
            let lineage = Lineage::new([Rank::Kingdom, Rank::Genus].into_iter().zip(names)).expect("levels");
            builder.insert(&lineage, None);
        }
        builder.build().expect("a tree")
    }

    fn expecting(taxa: &[&str], list: Option<&Path>) -> Expected {
        let checklist = list.map(|file| ListedIn { file: file.into(), unlisted: 0.0 });
        Expected { taxa: taxa.iter().map(|&name| name.into()).collect(), checklist, place: None }
    }

    fn best(taxonomy: &Taxonomy, priors: &Priors) -> String {
        let decision = SpecificityControl::new()
            .decide(taxonomy, &[0.5, 0.2, 0.3], &Threshold::default().into(), priors)
            .expect("a decision");
        taxonomy.taxon(decision.best_leaf).name().into()
    }

    #[test]
    fn a_list_follows_the_months_and_only_claims_what_it_says() {
        let taxonomy = taxonomy();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list.csv");
        std::fs::write(&path, "taxon,months\nPinus,1-6\nApis,7-9\n").expect("write");
        let mut expectation = Expectation::new(&expecting(&[], Some(&path)), &taxonomy, 3).expect("taxa");
        assert_eq!(best(&taxonomy, expectation.follow(&taxonomy, 3)), "Pinus");
        assert!(expectation.in_force().is_some());
        assert_eq!(best(&taxonomy, expectation.follow(&taxonomy, 8)), "Apis");
        // Nothing is expected in December: the list is not claimed.
        assert!(expectation.follow(&taxonomy, 12).is_none());
        assert_eq!(expectation.in_force(), None);
    }

    #[test]
    fn a_list_that_cannot_be_used_is_not_claimed_and_taxa_still_hold() {
        let taxonomy = taxonomy();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list.csv");
        for content in [None, Some(""), Some("taxon\nFagus\n"), Some("taxon,weight\nPinus,x\n")] {
            if let Some(content) = content {
                std::fs::write(&path, content).expect("write");
            }
            let mut expectation =
                Expectation::new(&expecting(&["Plantae"], Some(&path)), &taxonomy, 3).expect("taxa");
            assert_eq!(best(&taxonomy, expectation.follow(&taxonomy, 3)), "Quercus");
            assert_eq!(expectation.in_force(), None);
        }
        assert!(Expectation::new(&expecting(&["Fagus"], None), &taxonomy, 3).is_err());
    }
}
