//! The watch list. It is aware of rank: "Aphididae" fires on answers of that family, of its genera and its species.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fieldmark_models::taxonomy::{NameError, Rank, TaxonIndex, Taxonomy};

use super::novelty::{Novelty, NoveltyKind, day};

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRules {
    /// Names or ids of taxa.
    pub taxa: Vec<String>,
    /// Senses in which a new genus or species is worth an alert.
    pub novelty: Vec<NoveltyKind>,
    /// After an alert for a taxon of the list, its camera is silent on that taxon for this long.
    pub cooldown: Duration,
}

/// Finds the events worth an alert.
pub struct Alerts {
    watched: Vec<(TaxonIndex, String)>,
    novelty: Vec<NoveltyKind>,
    cooldown: Duration,
    seen: Novelty,
    last: HashMap<(usize, TaxonIndex), Instant>,
}

/// What an event is worth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worth {
    /// Entries of the list and senses of novelty it fires; none is no alert.
    pub reasons: Vec<String>,
    /// Taxa seen for the first time this day, by id, and that day.
    pub noted: Vec<(String, i64)>,
}

impl Alerts {
    /// Watches for `rules` in `taxonomy`, knowing what was `seen` before.
    ///
    /// # Errors
    /// If an entry is no taxon of the model, or is the name of several.
    pub fn new(taxonomy: &Taxonomy, rules: &AlertRules, seen: Novelty) -> Result<Self, NameError> {
        let (novelty, cooldown) = (rules.novelty.clone(), rules.cooldown);
        let watched = find_watched(taxonomy, &rules.taxa)?;
        Ok(Self { watched, novelty, cooldown, seen, last: HashMap::new() })
    }

    /// Watches for other taxa from now on.
    ///
    /// # Errors
    /// As [`Self::new`]; the list in force stays then.
    pub fn watch(&mut self, taxonomy: &Taxonomy, taxa: &[String]) -> Result<(), NameError> {
        self.watched = find_watched(taxonomy, taxa)?;
        Ok(())
    }

    /// Watches for `taxa` in the `taxonomy` of another model from now on.
    ///
    /// # Errors
    /// As [`Self::new`]; nothing but novelty is watched for then.
    pub fn change_model(&mut self, taxonomy: &Taxonomy, taxa: &[String]) -> Result<(), NameError> {
        self.last.clear();
        self.watched.clear();
        self.watch(taxonomy, taxa)
    }

    /// What an answer `taxon` of `camera` is worth: seen at `time` by the system's clock, at `now` by one that
    /// never steps back.
    pub fn weigh(
        &mut self,
        taxonomy: &Taxonomy,
        camera: usize,
        taxon: TaxonIndex,
        time: jiff::Timestamp,
        now: Instant,
    ) -> Worth {
        let mut worth = Worth::default();
        for (watched, name) in &self.watched {
            if taxonomy.contains(*watched, taxon) && self.has_cooled(camera, *watched, now) {
                worth.reasons.push(name.clone());
            }
        }
        for (watched, name) in &self.watched {
            if worth.reasons.contains(name) {
                self.last.insert((camera, *watched), now);
            }
        }
        let day = day(time);
        if is_specific(taxonomy, taxon) {
            let new = self.seen.of(taxonomy.taxon(taxon).id(), day);
            worth.reasons.extend(
                new.into_iter().filter(|kind| self.novelty.contains(kind)).map(|kind| kind.name().into()),
            );
        }
        // Who saw a species saw its genus.
        for above in taxonomy.lineage(taxon).into_iter().filter(|&above| is_specific(taxonomy, above)) {
            let id = taxonomy.taxon(above).id();
            if self.seen.see(id, day) {
                worth.noted.push((id.into(), day));
            }
        }
        worth
    }

    fn has_cooled(&self, camera: usize, watched: TaxonIndex, now: Instant) -> bool {
        let last = self.last.get(&(camera, watched));
        last.is_none_or(|&last| now.saturating_duration_since(last) >= self.cooldown)
    }
}

/// The taxa called `taxa`, each with the name as it was given.
///
/// # Errors
/// At the first that is no taxon of the model, or the name of several.
pub(crate) fn find_watched(
    taxonomy: &Taxonomy,
    taxa: &[String],
) -> Result<Vec<(TaxonIndex, String)>, NameError> {
    taxa.iter().map(|text| taxonomy.named(text).map(|taxon| (taxon, text.clone()))).collect()
}

/// Genus or below: a kingdom seen for the first time today is no news.
fn is_specific(taxonomy: &Taxonomy, taxon: TaxonIndex) -> bool {
    taxonomy.at_rank(taxon, &Rank::Genus).is_some() || taxonomy.taxon(taxon).is_leaf()
}

#[cfg(test)]
mod tests {
    use fieldmark_models::taxonomy::{Lineage, TaxonomyBuilder};

    use super::*;

    fn taxonomy() -> Taxonomy {
        let mut builder = TaxonomyBuilder::new();
        for (family, genus, species) in [
            ("Aphididae", "Aphis", "Aphis fabae"),
            ("Coccinellidae", "Coccinella", "Coccinella septempunctata"),
        ] {
            let levels = [(Rank::Family, family), (Rank::Genus, genus), (Rank::Species, species)];
            builder.insert(&Lineage::new(levels).expect("a lineage"), None);
        }
        builder.build().expect("a tree")
    }

    fn alerts(taxonomy: &Taxonomy, taxa: &[&str], novelty: &[NoveltyKind]) -> Alerts {
        let taxa = taxa.iter().map(|&text| text.into()).collect();
        let rules = AlertRules { taxa, novelty: novelty.into(), cooldown: Duration::from_secs(60) };
        Alerts::new(taxonomy, &rules, Novelty::default()).expect("a watch list")
    }

    #[test]
    fn a_family_fires_on_family_genus_and_species_and_on_nothing_else() {
        let taxonomy = taxonomy();
        for (name, fires) in [
            ("Aphididae", true),
            ("Aphis", true),
            ("Aphis fabae", true),
            ("Coccinella", false),
            ("Coccinellidae", false),
        ] {
            let taxon = taxonomy.find_name(name)[0];
            let mut alerts = alerts(&taxonomy, &["Aphididae"], &[]);
            let worth = alerts.weigh(&taxonomy, 0, taxon, jiff::Timestamp::UNIX_EPOCH, Instant::now());
            assert_eq!(worth.reasons == ["Aphididae"], fires, "{name}: {worth:?}");
        }
        let mut alerts = alerts(&taxonomy, &["Aphididae"], &[]);
        let worth = alerts.weigh(&taxonomy, 0, TaxonIndex::ROOT, jiff::Timestamp::UNIX_EPOCH, Instant::now());
        assert_eq!(worth, Worth::default());
    }

    #[test]
    fn an_alert_is_followed_by_silence_on_its_taxon_and_camera_only() {
        let taxonomy = taxonomy();
        let (aphid, beetle) = (taxonomy.find_name("Aphis")[0], taxonomy.find_name("Coccinella")[0]);
        let mut alerts = alerts(&taxonomy, &["Aphididae", "Coccinella"], &[]);
        let begin = Instant::now();
        let mut fires = |camera, taxon, second| {
            let now = begin + Duration::from_secs(second);
            !alerts.weigh(&taxonomy, camera, taxon, jiff::Timestamp::UNIX_EPOCH, now).reasons.is_empty()
        };
        assert!(fires(0, aphid, 0));
        assert!(!fires(0, aphid, 59));
        assert!(fires(1, aphid, 59));
        assert!(fires(0, beetle, 59));
        assert!(fires(0, aphid, 60));
    }

    #[test]
    fn who_saw_a_species_saw_its_genus() {
        let taxonomy = taxonomy();
        let (genus, species) = (taxonomy.find_name("Aphis")[0], taxonomy.find_name("Aphis fabae")[0]);
        let mut alerts = alerts(&taxonomy, &[], &[NoveltyKind::FirstEver]);
        let mut weigh =
            |taxon| alerts.weigh(&taxonomy, 0, taxon, jiff::Timestamp::UNIX_EPOCH, Instant::now());
        let worth = weigh(species);
        assert_eq!(worth.reasons, ["first_ever"]);
        assert_eq!(worth.noted.len(), 2);
        assert_eq!(weigh(genus), Worth::default());
    }
}
