//! Where a source hands its rows over.

use std::thread;

use fieldmark_tables::rows::{Fault, Row, Rows};
use fieldmark_tables::{
    FileId, Ledger, Medium, Occurrence, Page, Reason, Staged, Stager, Staging, TableError,
};

use super::rules::Rules;
use super::taxa::Names;
use super::{Licence, RawName};

/// What all rows of a source go to.
pub struct Intake<'a> {
    ledger: &'a Ledger,
    staging: &'a Staging,
    rules: &'a Rules,
    threads: usize,
}

/// One thread's part of it.
pub struct Hand<'a> {
    stager: Stager,
    names: Names,
    page: Page<'a>,
    rules: &'a Rules,
}

/// A picture as a source has it.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Key of its occurrence.
    pub key: &'a str,
    /// Path or URL.
    pub location: &'a str,
    /// Media type, blank where only the name tells.
    pub media_type: &'a str,
    /// As the source writes it.
    pub licence: &'a str,
    /// Whom to name.
    pub attribution: &'a str,
}

/// An occurrence as a source has it.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// What pictures refer to.
    pub key: &'a str,
    /// What is split as one: blank where that is the key.
    pub observation: &'a str,
    /// Who saw it.
    pub observer: &'a str,
    /// Why it is dropped.
    pub dropped: Option<Reason>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(ledger: &'a Ledger, staging: &'a Staging, rules: &'a Rules) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { ledger, staging, rules, threads }
    }

    /// What decides.
    #[must_use]
    pub fn rules(&self) -> &'a Rules {
        self.rules
    }

    /// Threads that rows are shared among.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// A source file, by the name it has in the report.
    #[must_use]
    pub fn file(&self, name: &str) -> FileId {
        self.ledger.file(name)
    }

    /// A hand for one thread.
    ///
    /// # Errors
    /// If the set's folder takes no file.
    pub fn hand(&self) -> Result<Hand<'a>, TableError> {
        Ok(Hand {
            stager: self.staging.stager()?,
            names: Names::default(),
            page: self.ledger.page(),
            rules: self.rules,
        })
    }

    /// Takes all rows of a table; what is no row is dropped, the others go to `each` with their line.
    ///
    /// # Errors
    /// If the table cannot be read, or rows not be kept.
    pub fn table<R: std::io::Read>(
        &self,
        rows: Rows<R>,
        file: FileId,
        each: impl Fn(&mut Hand<'a>, Row<'_>, (FileId, u64)) -> Result<(), TableError> + Sync,
    ) -> Result<Vec<Hand<'a>>, TableError> {
        rows.each(
            self.threads,
            || self.hand(),
            |hand, row| {
                hand.page.read(file);
                match row {
                    Ok(row) => each(hand, row, (file, row.line)),
                    Err(Fault { line, reason, cells }) => {
                        let detail = (reason == Reason::WrongNumberOfCells).then(|| format!("{cells} cells"));
                        hand.page.drop_row((file, line), reason, detail.as_deref())
                    }
                }
            },
        )
    }
}

impl Hand<'_> {
    /// Counts a row that was not read through [`Intake::table`].
    pub fn read(&mut self, file: FileId) {
        self.page.read(file);
    }

    /// Drops a row.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn drop_row(&mut self, row: (FileId, u64), reason: Reason, detail: &str) -> Result<(), TableError> {
        self.page.drop_row(row, reason, (!detail.is_empty()).then_some(detail))
    }

    /// Takes an occurrence; `row` is its own row, of no file where the picture's says all of it. What its name was is asked
    /// for where the name, told apart by `key`, was not met before.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn occurrence(
        &mut self,
        observed: &Observed<'_>,
        row: (Option<FileId>, u64),
        key: &[&str],
        name: impl FnOnce() -> RawName,
    ) -> Result<(), TableError> {
        let Observed { key: id, observation, observer, dropped } = *observed;
        if id.is_empty() {
            return match row.0 {
                Some(file) => self.page.drop_row((file, row.1), Reason::NoId, None),
                None => Ok(()),
            };
        }
        let name = match dropped {
            Some(reason) => Err(reason),
            None => Ok(self.names.number(key, name)),
        };
        self.stager.occurrence(&Occurrence { key: id, observation, name, observer, row })
    }

    /// Takes a picture, if the rules do.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn picture(&mut self, picture: &Picture<'_>, row: (FileId, u64)) -> Result<(), TableError> {
        let Picture { key, location, media_type, licence, attribution } = *picture;
        let licence = Licence::new(licence);
        let reason = if key.is_empty() {
            Some((Reason::NoId, ""))
        } else if !self.rules.takes_format(media_type, location) {
            Some((Reason::Format, if media_type.is_empty() { location } else { media_type }))
        } else if location.is_empty() {
            Some((Reason::NoAddress, ""))
        } else if !self.rules.takes_licence(licence.name()) {
            Some((Reason::Licence, licence.name()))
        } else {
            None
        };
        if let Some((reason, detail)) = reason {
            return self.drop_row(row, reason, detail);
        }
        self.stager.medium(&Medium { key, location, licence: licence.name(), attribution, row })
    }

    pub(super) fn finish(self) -> Result<(Staged, Names), TableError> {
        self.page.close()?;
        Ok((self.stager.finish()?, self.names))
    }
}

/// Whether text is an address that pictures can be fetched from.
#[must_use]
pub(super) fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()))
}
