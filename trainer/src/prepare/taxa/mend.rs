//! Raw names to one tree: every name gets a taxon, or the reason why not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fieldmark_models::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder, TaxonomyError};
use fieldmark_tables::{Picked, Reason, Verdict};
use serde::Serialize;

use super::canonical::{Binomial, binomial, uninomial};
use super::gaps::{Gaps, Upper};
use super::raw::{Gathered, RawName};
use crate::prepare::rules::OddTaxonomy;

/// What was mended of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// A synonym, by its accepted name.
    Synonym,
    /// Authorship, ranks below species or marks left away.
    Shortened,
    /// A rank that the row left blank, told by others.
    RankFilled,
    /// The kingdom, told by others.
    KingdomFilled,
    /// A gap that stays.
    Gap,
    /// A hybrid formula, as a label of its genus.
    HybridFormula,
    /// A provisional name, as a label of its genus.
    Provisional,
}

/// A name before its gaps are filled.
struct Cleaned {
    upper: Upper,
    species: Option<String>,
    /// A name that is no binomial, where the source knows nothing above it.
    label: Option<String>,
    /// Whether the source knows no kingdoms.
    flat: bool,
    mends: BTreeSet<Mend>,
}

/// Names with their taxa.
#[derive(Debug)]
pub struct Mending {
    verdicts: Vec<Verdict>,
    lineages: Vec<Lineage>,
    common_names: Vec<Box<str>>,
    parents: Vec<u32>,
    ids: Vec<String>,
    weights: Vec<u64>,
    /// Rows by what was mended of their names.
    pub mended: BTreeMap<Mend, u64>,
    /// Different names.
    pub names: usize,
    /// Names of taxa that other taxa have too, in another lineage.
    pub homonyms: usize,
}

/// Rank of a class that is no taxon: the name of a folder.
const LABEL: &str = "label";

/// Makes one tree of all names. Which row came first decides nothing.
#[must_use]
pub fn mend(gathered: &Gathered, odd: OddTaxonomy) -> Mending {
    let names = gathered.names();
    let cleaned: Vec<Result<Cleaned, Reason>> = names.iter().map(|(name, _)| clean(name, odd)).collect();
    let gaps = Gaps::new(cleaned.iter().flatten().filter(|name| !name.flat).map(|name| &name.upper));
    let mut mended: BTreeMap<Mend, u64> = BTreeMap::new();
    let whole: Vec<Result<Lineage, Reason>> = cleaned
        .iter()
        .zip(names)
        .map(|(name, (_, rows))| {
            let name = name.as_ref().map_err(|&reason| reason)?;
            let (lineage, mends) = lineage(name, &gaps)?;
            mends.into_iter().for_each(|mend| *mended.entry(mend).or_default() += rows);
            Ok(lineage)
        })
        .collect();
    Mending::new(names, &whole, mended)
}

fn clean(raw: &RawName, odd: OddTaxonomy) -> Result<Cleaned, Reason> {
    if let Some(reason) = raw.reason {
        return Err(reason);
    }
    let flat = raw.flat;
    if flat && !matches!(binomial(&raw.name), Binomial::Species { .. }) {
        let (upper, species, mends) = (Upper::default(), None, BTreeSet::new());
        return Ok(Cleaned { upper, species, label: Some(raw.name.to_string()), flat, mends });
    }
    let mut mends = BTreeSet::new();
    let mut upper: Upper = std::array::from_fn(|rank| {
        let name = uninomial(&raw.ranks[rank])?;
        if *name != *raw.ranks[rank] {
            mends.insert(Mend::Shortened);
        }
        Some(name.into())
    });
    let rank = Rank::from_name(&raw.rank);
    if let Some(position) = Rank::MAIN[..6].iter().position(|main| *main == rank)
        && upper[position].is_none()
    {
        upper[position] = uninomial(&raw.name).map(Into::into);
    }
    let Some(text) = species_text(raw, &rank) else {
        return if upper.iter().all(Option::is_none) {
            Err(if raw.name.is_empty() { Reason::NoName } else { Reason::NameNotParsable })
        } else {
            Ok(Cleaned { upper, species: None, label: None, flat, mends })
        };
    };
    if raw.synonym {
        mends.insert(Mend::Synonym);
    }
    let (genus, species) = match binomial(text) {
        Binomial::Species { genus, name, shortened } => {
            if shortened {
                mends.insert(Mend::Shortened);
            }
            (Some(genus), Some(name))
        }
        Binomial::Formula(_) if odd == OddTaxonomy::Drop => return Err(Reason::Hybrid),
        Binomial::Provisional(_) if odd == OddTaxonomy::Drop => return Err(Reason::NameNotParsable),
        Binomial::Formula(genus) => {
            mends.insert(Mend::HybridFormula);
            (genus, None)
        }
        Binomial::Provisional(genus) => {
            mends.insert(Mend::Provisional);
            (genus, None)
        }
        Binomial::None => return Err(Reason::NameNotParsable),
    };
    match (&upper[5], genus) {
        (Some(given), Some(genus)) if given.trim_start_matches('×') != genus => {
            return Err(Reason::SpeciesNotOfGenus);
        }
        (None, Some(genus)) => upper[5] = Some(genus.into()),
        _ => {}
    }
    Ok(Cleaned { upper, species, label: None, flat, mends })
}

/// Where the species stands: its cell, or the name of a taxon at or below species.
fn species_text<'a>(raw: &'a RawName, rank: &Rank) -> Option<&'a str> {
    const ABOVE: [&str; 22] = [
        "domain",
        "superkingdom",
        "subkingdom",
        "infrakingdom",
        "superphylum",
        "subphylum",
        "superclass",
        "subclass",
        "infraclass",
        "superorder",
        "suborder",
        "infraorder",
        "superfamily",
        "epifamily",
        "subfamily",
        "supertribe",
        "tribe",
        "subtribe",
        "subgenus",
        "section",
        "genushybrid",
        "complex",
    ];
    let above = match rank {
        Rank::Species => false,
        Rank::Other(name) => ABOVE.contains(&&**name),
        _ => true,
    };
    if above {
        return None;
    }
    let said = [&raw.ranks[6], &raw.name].into_iter().find(|text| !text.is_empty())?;
    // Without a rank, one word is a name above species.
    let unranked = matches!(rank, Rank::Other(name) if name.is_empty() || **name == *"unranked");
    (!unranked || !raw.ranks[6].is_empty() || said.contains(' ')).then_some(said)
}

fn lineage(name: &Cleaned, gaps: &Gaps<'_>) -> Result<(Lineage, BTreeSet<Mend>), Reason> {
    if let Some(label) = &name.label {
        let lineage =
            Lineage::new([(Rank::Other(LABEL.into()), label)]).map_err(|_| Reason::NameNotParsable)?;
        return Ok((lineage, BTreeSet::new()));
    }
    let mut mends = name.mends.clone();
    let (upper, filled) = if name.flat { (name.upper.clone(), 0) } else { gaps.fill(&name.upper) };
    if name.upper[0].is_none() && upper[0].is_some() {
        mends.insert(Mend::KingdomFilled);
    }
    if filled > usize::from(name.upper[0].is_none() && upper[0].is_some()) {
        mends.insert(Mend::RankFilled);
    }
    if upper[0].is_none() && !name.flat {
        return Err(Reason::NoKingdom);
    }
    let lowest = upper.iter().rposition(Option::is_some).unwrap_or_default();
    let end = if name.species.is_some() { upper.len() } else { lowest };
    if !name.flat && upper[..end].iter().any(Option::is_none) {
        mends.insert(Mend::Gap);
    }
    let cells = upper.iter().map(|cell| cell.as_deref().unwrap_or_default());
    let levels = Rank::MAIN.into_iter().zip(cells.chain([name.species.as_deref().unwrap_or_default()]));
    let lineage = Lineage::new(levels).map_err(|_| Reason::NameNotParsable)?;
    Ok((lineage, mends))
}

/// The id that a [`TaxonomyBuilder`] gives the lowest taxon of `lineage`.
fn id_of(lineage: &Lineage) -> String {
    let rank = lineage.levels().last().map_or("", |(rank, _)| rank.name());
    format!("{rank}:{lineage}")
}

/// Lineages with a taxon that has the same rank and the same names above it as another's, at other ranks, as where a row's cells
/// are shifted by one: of two such the one with fewer rows.
fn clashes<'w>(names: &[(RawName, u64)], whole: &'w [Result<Lineage, Reason>]) -> BTreeSet<&'w Lineage> {
    let mut rows: BTreeMap<&Lineage, u64> = BTreeMap::new();
    for ((_, count), lineage) in names.iter().zip(whole) {
        if let Ok(lineage) = lineage {
            *rows.entry(lineage).or_default() += count;
        }
    }
    let mut by_rows: Vec<(&Lineage, u64)> = rows.into_iter().collect();
    by_rows.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let mut ranks_of: HashMap<String, String> = HashMap::new();
    let mut clashing = BTreeSet::new();
    for (lineage, _) in by_rows {
        let (mut path, mut ranks, mut own) = (String::new(), String::new(), Vec::new());
        for (rank, name) in lineage.levels() {
            path = if path.is_empty() { name.to_owned() } else { format!("{path}|{name}") };
            ranks = format!("{ranks}|{}", rank.name());
            own.push((format!("{}:{path}", rank.name()), ranks.clone()));
        }
        if own.iter().any(|(id, ranks)| ranks_of.get(id).is_some_and(|known| known != ranks)) {
            clashing.insert(lineage);
        } else {
            ranks_of.extend(own);
        }
    }
    clashing
}

impl Mending {
    fn new(names: &[(RawName, u64)], whole: &[Result<Lineage, Reason>], mended: BTreeMap<Mend, u64>) -> Self {
        let mut common: BTreeMap<&Lineage, &str> = BTreeMap::new();
        for ((raw, _), lineage) in names.iter().zip(whole) {
            let Ok(lineage) = lineage else { continue };
            let known = common.entry(lineage).or_insert(&raw.common_name);
            // The first in the alphabet, so that the order of rows decides nothing.
            if known.is_empty() || (!raw.common_name.is_empty() && *raw.common_name < **known) {
                *known = &raw.common_name;
            }
        }
        let mut builder = TaxonomyBuilder::new();
        common.keys().for_each(|lineage| builder.insert(lineage, None));
        let mut this = Self {
            verdicts: Vec::new(),
            lineages: Vec::new(),
            common_names: Vec::new(),
            parents: Vec::new(),
            ids: Vec::new(),
            weights: Vec::new(),
            mended,
            names: names.len(),
            homonyms: 0,
        };
        let mut clashing = BTreeSet::new();
        let tree = builder.build().or_else(|_| {
            clashing = clashes(names, whole);
            let mut builder = TaxonomyBuilder::new();
            common
                .keys()
                .filter(|lineage| !clashing.contains(*lineage))
                .for_each(|one| builder.insert(one, None));
            builder.build()
        });
        if let Ok(tree) = tree {
            this.plant(&tree);
        }
        let positions: HashMap<&str, u32> = this.ids.iter().map(String::as_str).zip(0..).collect();
        for ((_, rows), lineage) in names.iter().zip(whole) {
            let verdict = lineage.as_ref().map_err(|&reason| reason).and_then(|lineage| {
                if clashing.contains(lineage) {
                    return Err(Reason::NameNotParsable);
                }
                positions.get(id_of(lineage).as_str()).copied().ok_or(Reason::NameNotParsable)
            });
            if let Ok(taxon) = verdict {
                this.weights[taxon as usize] += rows;
            }
            this.verdicts.push(verdict);
        }
        for (lineage, name) in common {
            if let Some(&taxon) = positions.get(id_of(lineage).as_str()) {
                this.common_names[taxon as usize] = name.into();
            }
        }
        this
    }

    /// Takes over the tree without its root.
    fn plant(&mut self, tree: &Taxonomy) {
        let mut by_name: BTreeMap<(&Rank, &str), usize> = BTreeMap::new();
        let mut path: Vec<(u16, u32)> = Vec::new();
        for ((index, taxon), position) in tree.iter().skip(1).zip(0u32..) {
            while path.last().is_some_and(|&(depth, _)| depth >= taxon.depth()) {
                path.pop();
            }
            self.parents.push(path.last().map_or(position, |&(_, parent)| parent));
            path.push((taxon.depth(), position));
            self.ids.push(taxon.id().to_owned());
            let levels = tree.lineage(index).into_iter().map(|above| {
                let above = tree.taxon(above);
                (above.rank().clone(), above.name())
            });
            if let Ok(lineage) = Lineage::new(levels) {
                self.lineages.push(lineage);
            }
            *by_name.entry((taxon.rank(), taxon.name())).or_default() += 1;
        }
        self.homonyms = by_name.values().filter(|&&count| count > 1).count();
        self.weights = vec![0; self.ids.len()];
        self.common_names = vec!["".into(); self.ids.len()];
    }

    /// What became of the name at `position` of those gathered.
    pub fn verdict(&self, position: usize) -> Verdict {
        self.verdicts.get(position).copied().unwrap_or(Err(Reason::UnknownTaxon))
    }

    /// `[taxa]`: the position of the taxon above.
    #[must_use]
    pub fn parents(&self) -> &[u32] {
        &self.parents
    }

    /// `[taxa]`: keys.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// `[taxa]`: rows of occurrences.
    #[must_use]
    pub fn weights(&self) -> &[u64] {
        &self.weights
    }

    /// Rank of the taxon at `position`.
    #[must_use]
    pub fn rank(&self, position: usize) -> &Rank {
        self.lineages[position].levels().last().map_or(&Rank::Root, |(rank, _)| rank)
    }

    /// The tree of the taxa that pictures were kept of.
    ///
    /// # Errors
    /// If there is none.
    pub fn kept(&self, picked: &Picked) -> Result<Taxonomy, TaxonomyError> {
        let mut builder = TaxonomyBuilder::new();
        for (position, lineage) in self.lineages.iter().enumerate() {
            if picked.of(position) > 0 {
                builder.insert(lineage, None);
            }
        }
        for (position, lineage) in self.lineages.iter().enumerate() {
            let name = &self.common_names[position];
            if picked.of(position) > 0 && !name.is_empty() {
                builder.insert(lineage, Some(name));
            }
        }
        builder.build()
    }
}
