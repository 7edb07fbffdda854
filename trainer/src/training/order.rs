//! Which picture comes when: a function of seed and epoch alone, so that an interrupted run finds its place again.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// The order of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Every picture once.
    Once,
    /// Every class as often as any other, its pictures in turn at random.
    Balanced,
}

/// Positions of pictures in epoch `epoch`: as many as there are pictures. `classes[i]` is the class of picture `i`.
#[must_use]
pub(super) fn epoch(classes: &[usize], sampling: Sampling, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = StdRng::seed_from_u64(mixed(seed, epoch));
    match sampling {
        Sampling::Once => {
            let mut order: Vec<usize> = (0..classes.len()).collect();
            order.shuffle(&mut random);
            order
        }
        Sampling::Balanced => {
            let count = classes.iter().max().map_or(0, |last| last + 1);
            let mut members = vec![Vec::new(); count];
            for (picture, &class) in classes.iter().enumerate() {
                members[class].push(picture);
            }
            members.retain(|members| !members.is_empty());
            let mut draw = || {
                let class = &members[random.random_range(0..members.len())];
                class[random.random_range(0..class.len())]
            };
            (0..classes.len()).map(|_| draw()).collect()
        }
    }
}

/// A seed for part `part` of what `seed` decides (the finaliser of SplitMix64).
#[must_use]
pub(super) fn mixed(seed: u64, part: u64) -> u64 {
    let mut value = seed.wrapping_add(part.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_every_picture_once_in_an_order_of_its_own() {
        let classes = vec![0; 50];
        let first = epoch(&classes, Sampling::Once, 7, 0);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_eq!(first, epoch(&classes, Sampling::Once, 7, 0));
        assert_ne!(first, epoch(&classes, Sampling::Once, 7, 1));
        assert_ne!(first, epoch(&classes, Sampling::Once, 8, 0));
    }

    #[test]
    fn balanced_classes_come_equally_often() {
        let classes: Vec<usize> = (0..3000).map(|i| usize::from(i >= 2900) * 2).collect();
        let rare = epoch(&classes, Sampling::Balanced, 1, 0).iter().filter(|&&i| i >= 2900).count();
        assert!((1350..1650).contains(&rare), "{rare}");
    }
}
