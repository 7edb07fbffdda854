//! Why a row is not in the set.

/// Why a row was dropped. A row has one reason: the first that holds, in the order of this list within its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// A line longer than any real row.
    LineTooLong,
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// NUL or another control character.
    ControlCharacter,
    /// More or fewer cells than the header: a stray separator.
    WrongNumberOfCells,
    /// A quote that is closed nowhere near: the row is its first line, the next begins on the second.
    UnclosedQuote,
    /// No identifier.
    NoId,
    /// An identifier that an earlier row has.
    DuplicateId,
    /// Seen to be absent.
    Absent,
    /// Not verified by its community.
    NotResearchGrade,
    /// A licence that is not asked for, or none.
    Licence,
    /// No name at any rank.
    NoName,
    /// Its kingdom is not known, nor told by others with its name.
    NoKingdom,
    /// A name that no parser makes sense of.
    NameNotParsable,
    /// A binomial of another genus than the row's.
    SpeciesNotOfGenus,
    /// A taxon that the table of taxa lacks.
    UnknownTaxon,
    /// A taxon that is its own ancestor.
    CyclicAncestry,
    /// A taxon that is no longer used, and no other has its name.
    InactiveTaxon,
    /// A hybrid, where hybrids are not wanted.
    Hybrid,
    /// No usable picture belongs to it.
    NoPicture,
    /// Not of a format that is asked for.
    Format,
    /// No address, or none that can be fetched.
    NoAddress,
    /// A path that leaves the folder.
    UnsafePath,
    /// A file that is not there.
    MissingFile,
    /// Its occurrence is not there.
    NoOccurrence,
    /// Its occurrence is there and was dropped.
    OccurrenceDropped,
    /// A picture that another row of the taxon has.
    DuplicatePicture,
    /// Its taxon has too few pictures.
    TooFewPictures,
    /// Its taxon has enough without it.
    AboveCap,
}

impl Reason {
    /// All of them, in order.
    pub const ALL: [Self; 28] = [
        Self::LineTooLong,
        Self::NotUtf8,
        Self::ControlCharacter,
        Self::WrongNumberOfCells,
        Self::UnclosedQuote,
        Self::NoId,
        Self::DuplicateId,
        Self::Absent,
        Self::NotResearchGrade,
        Self::Licence,
        Self::NoName,
        Self::NoKingdom,
        Self::NameNotParsable,
        Self::SpeciesNotOfGenus,
        Self::UnknownTaxon,
        Self::CyclicAncestry,
        Self::InactiveTaxon,
        Self::Hybrid,
        Self::NoPicture,
        Self::Format,
        Self::NoAddress,
        Self::UnsafePath,
        Self::MissingFile,
        Self::NoOccurrence,
        Self::OccurrenceDropped,
        Self::DuplicatePicture,
        Self::TooFewPictures,
        Self::AboveCap,
    ];

    /// As it stands in report and ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LineTooLong => "line_too_long",
            Self::NotUtf8 => "not_utf8",
            Self::ControlCharacter => "control_character",
            Self::WrongNumberOfCells => "wrong_number_of_cells",
            Self::UnclosedQuote => "unclosed_quote",
            Self::NoId => "no_id",
            Self::DuplicateId => "duplicate_id",
            Self::Absent => "absent",
            Self::NotResearchGrade => "not_research_grade",
            Self::Licence => "licence",
            Self::NoName => "no_name",
            Self::NoKingdom => "no_kingdom",
            Self::NameNotParsable => "name_not_parsable",
            Self::SpeciesNotOfGenus => "species_not_of_genus",
            Self::UnknownTaxon => "unknown_taxon",
            Self::CyclicAncestry => "cyclic_ancestry",
            Self::InactiveTaxon => "inactive_taxon",
            Self::Hybrid => "hybrid",
            Self::NoPicture => "no_picture",
            Self::Format => "format",
            Self::NoAddress => "no_address",
            Self::UnsafePath => "unsafe_path",
            Self::MissingFile => "missing_file",
            Self::NoOccurrence => "no_occurrence",
            Self::OccurrenceDropped => "occurrence_dropped",
            Self::DuplicatePicture => "duplicate_picture",
            Self::TooFewPictures => "too_few_pictures",
            Self::AboveCap => "above_cap",
        }
    }

    /// The reason with this number in the list.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_number() {
        for reason in Reason::ALL {
            assert_eq!(Reason::numbered(reason as u8), Some(reason));
        }
        assert_eq!(Reason::numbered(28), None);
    }
}
