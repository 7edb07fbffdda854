//! Licences as sources write them, by one name each.

use std::fmt;

use serde::{Serialize, Serializer};

/// A licence by its SPDX identifier, without a version where none is known; or what the source says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Licence(String);

impl Licence {
    /// From a URL of Creative Commons, an identifier, or a phrase.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        if let Some((_, path)) = lower.split_once("creativecommons.org/") {
            let mut parts = path.split('/').filter(|part| !part.is_empty());
            let (kind, code, version) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
            match (kind, code) {
                (Some("licenses"), Some(code)) => return Self::named(&format!("CC-{code}"), version),
                (Some("publicdomain"), Some("zero")) => return Self::named("CC0", "1.0"),
                (Some("publicdomain"), _) => return Self("PD".into()),
                _ => {}
            }
        }
        match lower.as_str() {
            "" => Self(String::new()),
            "cc0" | "cc0_1_0" | "cc0-1.0" => Self("CC0-1.0".into()),
            "pd" | "public domain" => Self("PD".into()),
            "c" | "(c)" | "arr" | "all rights reserved" => Self("all rights reserved".into()),
            _ => match lower.strip_prefix("cc").and_then(|rest| rest.strip_prefix(['-', '_', ' '])) {
                Some(rest) => {
                    let rest = rest.replace(['_', ' '], "-");
                    let version = rest.rfind(|c: char| c.is_ascii_lowercase()).map_or(0, |last| last + 1);
                    let (code, version) = rest.split_at(version);
                    Self::named(&format!("CC-{code}"), version.trim_matches('-'))
                }
                None => Self(text.into()),
            },
        }
    }

    fn named(code: &str, version: &str) -> Self {
        let version = version.replace('-', ".");
        let number = version.chars().all(|c| c.is_ascii_digit() || c == '.') && !version.is_empty();
        let code = code.to_ascii_uppercase();
        Self(if number { format!("{code}-{version}") } else { code })
    }

    /// As it stands in a table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether `other`, as [`Self::name`] writes it, is this licence; of any version where this one names none.
    #[must_use]
    pub fn covers(&self, other: &str) -> bool {
        other.strip_prefix(self.0.as_str()).is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Licence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_writes_a_licence_its_own_way() {
        for (text, name) in [
            ("http://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0"),
            ("https://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-4.0"),
            ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
            ("CC_BY_NC_4_0", "CC-BY-NC-4.0"),
            ("CC-BY-NC", "CC-BY-NC"),
            ("CC0", "CC0-1.0"),
            ("cc-by-sa", "CC-BY-SA"),
            ("PD", "PD"),
            ("All rights reserved", "all rights reserved"),
            ("http://example.org/mine", "http://example.org/mine"),
            ("", ""),
        ] {
            assert_eq!(Licence::new(text).name(), name, "{text}");
        }
    }

    #[test]
    fn a_licence_without_a_version_covers_all_of_its_versions() {
        let by = Licence::new("cc-by");
        assert!(by.covers("CC-BY-4.0") && by.covers("CC-BY"));
        assert!(!by.covers("CC-BY-NC-4.0") && !by.covers("") && !Licence::new("CC-BY-4.0").covers("CC-BY"));
    }
}
