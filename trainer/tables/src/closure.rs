//! Which taxa have pictures enough.

/// Whether each taxon stays: it has `min` pictures of its own, or a taxon below it stays. `parents[i] <= i`.
#[must_use]
pub fn kept_taxa(parents: &[u32], pictures: &[u64], min: u64) -> Vec<bool> {
    let mut below = vec![false; parents.len()];
    let mut kept = vec![false; parents.len()];
    for taxon in (0..parents.len()).rev() {
        let own = pictures[taxon];
        kept[taxon] = below[taxon] || own >= min.max(1);
        let parent = parents[taxon] as usize;
        if kept[taxon] && parent < taxon {
            below[parent] = true;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taxon_stays_for_its_own_pictures_or_for_those_below() {
        // 0 family { 1 genus { 2 species, 3 species }, 4 genus { 5 species } }, 6 another family
        let parents = [0, 0, 1, 1, 0, 4, 6];
        let kept = kept_taxa(&parents, &[1, 0, 4, 5, 0, 2, 4], 5);
        assert_eq!(kept, [true, true, false, true, false, false, false]);
    }
}
