//! Ranks that a row leaves blank, told by other rows with the same name below.

use std::collections::{BTreeMap, BTreeSet};

/// Cleaned cells from kingdom to genus.
pub(super) type Upper = [Option<Box<str>>; 6];

/// What one row says above a name, from kingdom down.
type Above<'a> = &'a [Option<Box<str>>];

/// Everything that is said above a name of a rank.
#[derive(Debug, Default)]
pub(super) struct Gaps<'a> {
    above: BTreeMap<(usize, &'a str), BTreeSet<Above<'a>>>,
}

impl<'a> Gaps<'a> {
    /// What `lineages` say. Their order decides nothing.
    pub(super) fn new(lineages: impl IntoIterator<Item = &'a Upper>) -> Self {
        let mut above: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for upper in lineages {
            for (rank, name) in upper.iter().enumerate().skip(1) {
                if let Some(name) = name {
                    above.entry((rank, &**name)).or_default().insert(&upper[..rank]);
                }
            }
        }
        Self { above }
    }

    /// Fills what others that have the same name, and contradict `upper` nowhere, agree on. Gives how many were filled.
    pub(super) fn fill(&self, upper: &Upper) -> (Upper, usize) {
        let mut filled = upper.clone();
        let mut count = 0;
        for gap in 0..upper.len() {
            if upper[gap].is_some() {
                continue;
            }
            let below = (gap + 1..upper.len()).find_map(|rank| Some((rank, upper[rank].as_deref()?)));
            let Some((rank, name)) = below else { continue };
            let Some(others) = self.above.get(&(rank, name)) else { continue };
            let agreeing = others.iter().filter(|other| {
                other
                    .iter()
                    .zip(upper)
                    .all(|(theirs, ours)| theirs.is_none() || ours.is_none() || theirs == ours)
            });
            let said: BTreeSet<&str> = agreeing.filter_map(|other| other[gap].as_deref()).collect();
            if let (1, Some(name)) = (said.len(), said.first()) {
                filled[gap] = Some((*name).into());
                count += 1;
            }
        }
        (filled, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upper(text: &str) -> Upper {
        let mut cells = text.split(',').map(|cell| (!cell.is_empty()).then(|| cell.into()));
        std::array::from_fn(|_| cells.next().flatten())
    }

    #[test]
    fn a_gap_is_filled_where_others_agree_and_left_where_they_do_not() {
        let all = [
            upper("Animalia,Chordata,Squamata,,Lacertidae,Lacerta"),
            upper("Animalia,Chordata,,Squamata,Lacertidae,Lacerta"),
            upper("Plantae,,,,Iridaceae,Iris"),
            upper("Animalia,,,,Eremiaphilidae,Iris"),
            upper("Plantae,Tracheophyta,Liliopsida,Asparagales,Iridaceae,Iris"),
        ];
        let gaps = Gaps::new(&all);
        assert_eq!(
            gaps.fill(&upper(",,,,,Lacerta")),
            (upper("Animalia,Chordata,Squamata,Squamata,Lacertidae,Lacerta"), 5)
        );
        let (iris, count) = gaps.fill(&upper(",,,,,Iris"));
        assert_eq!(iris[0], None, "a homonym is left alone");
        assert_eq!((iris[1].as_deref(), count), (Some("Tracheophyta"), 3));
        let (iris, _) = gaps.fill(&upper("Animalia,,,,,Iris"));
        assert_eq!(iris, upper("Animalia,,,,Eremiaphilidae,Iris"), "nothing of the plant");
    }
}
