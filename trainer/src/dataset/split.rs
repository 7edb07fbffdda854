//! Training and held-out photographs: no individual on both sides.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::taxonomy::Lineage;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::Photo;

/// Positions of photographs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Trained on.
    pub training: Vec<usize>,
    /// Of species that are trained on: one individual of each species that has several.
    pub held_out: Vec<usize>,
    /// Of species that are not trained on at all.
    pub unseen: Vec<usize>,
}

/// Holds out one individual of every species photographed more than once, and all photographs of a share
/// `left_out` of the species.
#[must_use]
pub fn random_split(photos: &[Photo], left_out: f64, seed: u64) -> Split {
    let mut random = StdRng::seed_from_u64(seed);
    let mut species: BTreeMap<&Lineage, BTreeSet<&str>> = BTreeMap::new();
    for photo in photos.iter().filter(|photo| photo.is_species()) {
        species.entry(&photo.lineage).or_default().insert(&photo.individual);
    }
    let mut unseen_species: Vec<&Lineage> = species.keys().copied().collect();
    unseen_species.shuffle(&mut random);
    unseen_species.truncate((species.len() as f64 * left_out).round() as usize);
    let mut held_individuals: BTreeSet<&str> = BTreeSet::new();
    for individuals in species.values().filter(|individuals| individuals.len() > 1) {
        let individuals: Vec<_> = individuals.iter().copied().collect();
        held_individuals.extend(individuals.choose(&mut random).copied());
    }
    let unseen_individuals: BTreeSet<&str> = photos
        .iter()
        .filter(|photo| unseen_species.contains(&&*photo.lineage))
        .map(|photo| photo.individual.as_str())
        .collect();
    let mut split = Split { training: vec![], held_out: vec![], unseen: vec![] };
    for (position, photo) in photos.iter().enumerate() {
        if unseen_individuals.contains(photo.individual.as_str()) {
            split.unseen.push(position);
        } else if held_individuals.contains(photo.individual.as_str()) {
            split.held_out.push(position);
        } else {
            split.training.push(position);
        }
    }
    split
}

/// Positions of photographs for training and for validation: a share `validation` of the individuals is held out.
#[must_use]
pub fn validation_split(photos: &[Photo], validation: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let individuals: BTreeSet<&str> = photos.iter().map(|photo| photo.individual.as_str()).collect();
    let mut individuals: Vec<&str> = individuals.into_iter().collect();
    individuals.shuffle(&mut StdRng::seed_from_u64(seed));
    individuals.truncate((individuals.len() as f64 * validation).round() as usize);
    let held: BTreeSet<&str> = individuals.into_iter().collect();
    (0..photos.len()).partition(|&photo| !held.contains(photos[photo].individual.as_str()))
}

#[cfg(test)]
mod tests {
    use fieldmark_models::taxonomy::Rank;

    use super::*;

    fn photos() -> Vec<Photo> {
        (0..60)
            .map(|i| Photo {
                path: format!("{i}.png").into(),
                lineage: Lineage::new([
                    (Rank::Kingdom, "Animalia".to_owned()),
                    (Rank::Species, format!("s{}", i / 3)),
                ])
                .expect("a lineage")
                .into(),
                individual: format!("individual {}", i / 2),
            })
            .collect()
    }

    #[test]
    fn no_individual_stands_on_both_sides() {
        let photos = photos();
        for seed in 0..50 {
            let split = random_split(&photos, 0.2, seed);
            let individuals = |side: &[usize]| -> BTreeSet<String> {
                side.iter().map(|&position| photos[position].individual.clone()).collect()
            };
            assert!(individuals(&split.training).is_disjoint(&individuals(&split.held_out)));
            assert!(individuals(&split.training).is_disjoint(&individuals(&split.unseen)));
            assert_eq!(split.training.len() + split.held_out.len() + split.unseen.len(), photos.len());
            assert!(!split.held_out.is_empty() && !split.unseen.is_empty());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_split() {
        assert_eq!(random_split(&photos(), 0.1, 7), random_split(&photos(), 0.1, 7));
        assert_ne!(random_split(&photos(), 0.1, 7), random_split(&photos(), 0.1, 8));
    }
}
