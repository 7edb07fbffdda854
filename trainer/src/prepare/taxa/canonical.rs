//! What a scientific name says, through GBIF's name parser.

use nameparser::model::{NamePart, NameType};
use nameparser::{ParseResult, parse};

/// Longest text that is taken for a name; the longest real ones have some two hundred characters.
const LONGEST: usize = 400;

/// A name at or below species.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Binomial {
    /// A species, also of a named hybrid (`Mentha × piperita`).
    Species {
        /// Genus, without a hybrid's sign.
        genus: String,
        /// Genus and epithet.
        name: String,
        /// Whether text was left away: authorship, infraspecific parts, marks.
        shortened: bool,
    },
    /// Two species crossed; the genus where both are of it.
    Formula(Option<String>),
    /// Not identified to species, or provisional; the genus where one is named.
    Provisional(Option<String>),
    /// No name.
    None,
}

/// The binomial that `text` stands for.
pub(super) fn binomial(text: &str) -> Binomial {
    if text.len() > LONGEST {
        return Binomial::None;
    }
    // A formula is told before it is parsed: the parser does not say of which genus it is.
    if let Some((one, other)) = text.split_once(" × ").or_else(|| text.split_once(" x "))
        && other.contains(|c: char| c.is_whitespace() || c == '.')
        && one.contains(char::is_whitespace)
        && is_name(other)
    {
        return Binomial::Formula(same_genus(one, other));
    }
    match parse(text, None, None, None) {
        ParseResult::Parsed(parsed) => {
            let provisional = || Binomial::Provisional(first_word(text));
            if parsed.type_ != NameType::Scientific || parsed.epithet_qualifier.is_some() {
                return provisional();
            }
            let (Some(genus), Some(epithet)) = (&parsed.genus, &parsed.specific_epithet) else {
                return Binomial::None;
            };
            let notho = parsed.notho.as_deref().unwrap_or_default();
            let part = |part, sign, text: &str| {
                if notho.contains(&part) { format!("{sign}{text}") } else { text.to_owned() }
            };
            let name = format!(
                "{} {}",
                part(NamePart::Generic, "×", genus),
                part(NamePart::Specific, "× ", epithet)
            );
            let shortened = name != text;
            Binomial::Species { genus: genus.clone(), name, shortened }
        }
        ParseResult::Informal(_) => Binomial::Provisional(first_word(text)),
        ParseResult::Unparsable(error) if error.type_ == NameType::Formula => Binomial::Formula(None),
        ParseResult::Unparsable(_) => Binomial::None,
    }
}

/// Whether the second half of a formula is a name and not an epithet with its authors.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_uppercase())
}

fn same_genus(one: &str, other: &str) -> Option<String> {
    let (one, other) = (first_word(one)?, other.split_whitespace().next()?);
    let same = one == other || other.strip_suffix('.').is_some_and(|initial| one.starts_with(initial));
    same.then_some(one)
}

fn first_word(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let is_genus =
        word.starts_with(|c: char| c.is_uppercase()) && word.chars().all(|c| c.is_alphabetic() || c == '-');
    is_genus.then(|| word.to_owned())
}

/// The one-word name that `text` stands for at a rank above species, without authorship. Words that say that nothing is
/// known give nothing.
pub(super) fn uninomial(text: &str) -> Option<String> {
    const UNKNOWN: [&str; 6] =
        ["incertae sedis", "unknown", "not assigned", "unassigned", "unplaced", "unclassified"];
    let lower = text.to_lowercase();
    if text.is_empty() || text.len() > LONGEST || UNKNOWN.iter().any(|unknown| lower.contains(unknown)) {
        return None;
    }
    if !text.contains(|c: char| !c.is_alphabetic() && c != '-') {
        return Some(text.to_owned());
    }
    match parse(text, None, None, None) {
        ParseResult::Parsed(parsed) => parsed.uninomial.or(parsed.genus),
        ParseResult::Informal(_) | ParseResult::Unparsable(_) => first_word(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn species(text: &str) -> String {
        match binomial(text) {
            Binomial::Species { name, .. } => name,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn authorship_and_ranks_below_are_left_away() {
        for (text, name) in [
            ("Parus major", "Parus major"),
            ("Parus major Linnaeus, 1758", "Parus major"),
            ("Vulpes vulpes silaceus Miller, 1907", "Vulpes vulpes"),
            ("Quercus robur subsp. pedunculiflora (K.Koch) Menitsky", "Quercus robur"),
            ("Mentha × piperita L.", "Mentha × piperita"),
            ("Mentha ×piperita", "Mentha × piperita"),
            ("×Fatshedera lizei", "×Fatshedera lizei"),
        ] {
            assert_eq!(species(text), name, "{text}");
        }
    }

    #[test]
    fn what_is_no_species_is_told_apart() {
        let genus = |genus: &str| Some(genus.to_owned());
        assert_eq!(binomial("Anas platyrhynchos × Anas rubripes"), Binomial::Formula(genus("Anas")));
        assert_eq!(binomial("Anas platyrhynchos × A. rubripes"), Binomial::Formula(genus("Anas")));
        assert_eq!(binomial("Anas platyrhynchos × Cairina moschata"), Binomial::Formula(None));
        assert_eq!(binomial("Bombus sp. 3"), Binomial::Provisional(genus("Bombus")));
        assert_eq!(binomial("Bombus cf. terrestris"), Binomial::Provisional(genus("Bombus")));
        assert_eq!(binomial("BOLD:AAA1234"), Binomial::None);
        assert_eq!(binomial(""), Binomial::None);
        assert_eq!(binomial(&"x".repeat(100_000)), Binomial::None);
    }

    #[test]
    fn a_name_above_species_is_one_word_or_nothing() {
        for (text, name) in [
            ("Quercus", Some("Quercus")),
            ("Quercus L.", Some("Quercus")),
            ("Fagaceae Dumort.", Some("Fagaceae")),
            ("incertae sedis", None),
            ("Unknown", None),
            ("", None),
        ] {
            assert_eq!(uninomial(text).as_deref(), name, "{text}");
        }
    }
}
