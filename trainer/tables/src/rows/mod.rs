//! Rows of a delimited text file of any size and any content: in blocks that several threads work on, each row with
//! its line number, what is no row with its reason.

mod quoted;
mod unquoted;

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::{Reason, TableError};
use quoted::Quoted;
use unquoted::Unquoted;

/// Longest line that is taken for a row; GBIF's widest are some kilobytes.
pub const LONGEST_ROW: usize = 1 << 20;

/// Bytes of a block: what one thread works on at a time.
const BLOCK: usize = 4 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between cells.
    pub delimiter: u8,
    /// Whether `"` encloses cells (RFC 4180); where not, quotes are ordinary characters and a line is a row.
    pub quoted: bool,
}

impl Dialect {
    /// Tabs, no quoting: GBIF's downloads, iNaturalist Open Data.
    pub const TAB: Self = Self { delimiter: b'\t', quoted: false };
    /// Commas, quoting.
    pub const CSV: Self = Self { delimiter: b',', quoted: true };
}

/// One row: text and where its cells end.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Line it begins on, the file's first being 1.
    pub line: u64,
    text: &'a str,
    ends: &'a [u32],
    /// Bytes between two cells.
    gap: usize,
}

impl<'a> Row<'a> {
    /// Cell `position`, without blanks around it; empty past the last.
    #[must_use]
    pub fn cell(&self, position: usize) -> &'a str {
        let Some(&end) = self.ends.get(position) else { return "" };
        let start = match position.checked_sub(1) {
            Some(before) => self.ends[before] as usize + self.gap,
            None => 0,
        };
        self.text.get(start..end as usize).unwrap_or_default().trim()
    }

    /// Cell at a column that the file may lack.
    #[must_use]
    pub fn optional(&self, column: Option<usize>) -> &'a str {
        column.map_or("", |column| self.cell(column))
    }

    /// Number of cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.ends.len()
    }
}

/// A row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Line it begins on.
    pub line: u64,
    /// Why.
    pub reason: Reason,
    /// Cells found, where that is the fault.
    pub cells: usize,
}

/// Some rows, as read.
struct Block {
    /// Rows as text; quoted ones already split.
    text: Vec<u8>,
    content: Content,
    /// What was too long to be kept.
    faults: Vec<Fault>,
}

enum Content {
    /// Lines from this one on.
    Lines(u64),
    /// Line, end of the text and end in `ends` of each row.
    Split { rows: Vec<(u64, usize, usize)>, ends: Vec<u32> },
}

enum Reading<R> {
    Quoted(Box<Quoted<R>>),
    Unquoted(Unquoted<R>),
}

impl<R: Read> Reading<R> {
    fn block(&mut self) -> io::Result<Option<Block>> {
        match self {
            Self::Quoted(reading) => reading.block(),
            Self::Unquoted(reading) => reading.block(),
        }
    }

    fn line(&self) -> u64 {
        match self {
            Self::Quoted(reading) => reading.line(),
            Self::Unquoted(reading) => reading.line(),
        }
    }
}

/// A delimited file that is being read.
pub struct Rows<R> {
    name: String,
    dialect: Dialect,
    reading: Reading<R>,
    /// Rows after the header that came with it.
    begun: Option<(Block, usize)>,
    header: Vec<String>,
    width: Option<usize>,
}

impl<R: Read> Rows<R> {
    /// Begins with the header of `reader`, which messages call `name`.
    ///
    /// # Errors
    /// If it cannot be read, or its first row is no text.
    pub fn with_header(name: &str, reader: R, dialect: Dialect) -> Result<Self, TableError> {
        let mut rows = Self::without_header(name, reader, dialect, None);
        let error = |line, text: &str| TableError::Read {
            file: name.into(),
            line,
            source: io::Error::new(io::ErrorKind::InvalidData, text.to_owned()),
        };
        let block = rows.reading.block().map_err(rows.failed())?;
        let block = block.ok_or_else(|| error(1, "the file is empty: a header was expected"))?;
        let mut header = None;
        block.each(dialect, None, &mut |row| {
            if header.is_none() {
                header = Some(row.map(|row| {
                    (0..row.cells())
                        .map(|cell| row.cell(cell).trim_start_matches('\u{feff}').to_owned())
                        .collect()
                }));
            }
            Ok(())
        })?;
        rows.header = match header {
            Some(Ok(header)) => header,
            Some(Err(fault)) => {
                return Err(error(fault.line, &format!("{}: a header was expected", fault.reason.name())));
            }
            None => return Err(error(1, "a header was expected")),
        };
        rows.width = Some(rows.header.len());
        rows.begun = Some((block, 1));
        Ok(rows)
    }

    /// Begins with the first row; every row has `width` cells, where that is given.
    pub fn without_header(name: &str, reader: R, dialect: Dialect, width: Option<usize>) -> Self {
        let reading = if dialect.quoted {
            Reading::Quoted(Box::new(Quoted::new(reader, dialect.delimiter)))
        } else {
            Reading::Unquoted(Unquoted::new(reader))
        };
        Self { name: name.into(), dialect, reading, begun: None, header: Vec::new(), width }
    }

    /// Names of the columns.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Position of the column called `name`, in any letter case and with or without a namespace before it.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|cell| {
            let cell = cell.rsplit([':', '/']).next().unwrap_or(cell);
            cell.eq_ignore_ascii_case(name)
        })
    }

    /// Position of a column that is needed.
    ///
    /// # Errors
    /// If the file lacks it; the message lists those it has.
    pub fn needed(&self, name: &str) -> Result<usize, TableError> {
        self.column(name).ok_or_else(|| TableError::Read {
            file: self.name.clone(),
            line: 1,
            source: io::Error::new(
                io::ErrorKind::InvalidData,
                format!("there is no column {name:?} among {}", self.header.join(", ")),
            ),
        })
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> TableError {
        let (file, line) = (self.name.clone(), self.reading.line());
        move |source| TableError::Read { file, line, source }
    }

    /// Hands every row to `each`, on `threads` threads with a state of their own made by `state`; gives the states.
    /// Rows come in any order where there are several threads.
    ///
    /// # Errors
    /// If the file cannot be read, or what the first failing `each` said.
    pub fn each<S: Send>(
        mut self,
        threads: usize,
        state: impl Fn() -> Result<S, TableError> + Sync,
        each: impl Fn(&mut S, Result<Row<'_>, Fault>) -> Result<(), TableError> + Sync,
    ) -> Result<Vec<S>, TableError> {
        let (dialect, width) = (self.dialect, self.width);
        let stop = AtomicBool::new(false);
        let (give, take) = sync_channel::<(Block, usize)>(threads.max(1));
        let take = Mutex::new(take);
        thread::scope(|scope| {
            let work = || {
                let result = work_on(&take, &stop, dialect, width, &state, &each);
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                    // Nobody may wait to hand a block to threads that are gone.
                    while receive(&take).is_some() {}
                }
                result
            };
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            let read = self.give_blocks(&give, &stop);
            drop(give);
            let mut states = Vec::new();
            let mut failure = None;
            for worker in workers {
                match worker.join() {
                    Ok(Ok(state)) => states.push(state),
                    Ok(Err(error)) => failure = failure.or(Some(error)),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            match failure {
                Some(error) => Err(error),
                None => read.map(|()| states),
            }
        })
    }

    fn give_blocks(
        &mut self,
        give: &std::sync::mpsc::SyncSender<(Block, usize)>,
        stop: &AtomicBool,
    ) -> Result<(), TableError> {
        if let Some(begun) = self.begun.take()
            && give.send(begun).is_err()
        {
            return Ok(());
        }
        while !stop.load(Ordering::Relaxed) {
            let block = self.reading.block().map_err(self.failed())?;
            let Some(block) = block else { break };
            if give.send((block, 0)).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn receive(take: &Mutex<Receiver<(Block, usize)>>) -> Option<(Block, usize)> {
    take.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn work_on<S>(
    take: &Mutex<Receiver<(Block, usize)>>,
    stop: &AtomicBool,
    dialect: Dialect,
    width: Option<usize>,
    state: &(impl Fn() -> Result<S, TableError> + Sync),
    each: &(impl Fn(&mut S, Result<Row<'_>, Fault>) -> Result<(), TableError> + Sync),
) -> Result<S, TableError> {
    let mut state = state()?;
    while let Some((block, skip)) = receive(take) {
        if stop.load(Ordering::Relaxed) {
            continue;
        }
        let mut seen = 0;
        block.each(dialect, width, &mut |row| {
            seen += 1;
            if seen > skip { each(&mut state, row) } else { Ok(()) }
        })?;
    }
    Ok(state)
}

/// Takes a row, or what is none.
type EachRow<'e> = dyn FnMut(Result<Row<'_>, Fault>) -> Result<(), TableError> + 'e;

impl Block {
    fn each(&self, dialect: Dialect, width: Option<usize>, each: &mut EachRow<'_>) -> Result<(), TableError> {
        match &self.content {
            Content::Lines(first) => {
                let mut ends = Vec::new();
                for (line, text) in (*first..).zip(unquoted::lines(&self.text)) {
                    if !text.is_empty() {
                        unquoted::split(text, dialect.delimiter, &mut ends);
                        each(row(line, text, &ends, 1, width))?;
                    }
                }
            }
            Content::Split { rows, ends } => {
                let (mut text_start, mut ends_start) = (0, 0);
                for &(line, text_end, ends_end) in rows {
                    let text = &self.text[text_start..text_end];
                    each(row(line, text, &ends[ends_start..ends_end], 0, width))?;
                    (text_start, ends_start) = (text_end, ends_end);
                }
            }
        }
        self.faults.iter().try_for_each(|&fault| each(Err(fault)))
    }
}

fn row<'a>(
    line: u64,
    text: &'a [u8],
    ends: &'a [u32],
    gap: usize,
    width: Option<usize>,
) -> Result<Row<'a>, Fault> {
    let fault = |reason| Err(Fault { line, reason, cells: ends.len() });
    if text.len() > LONGEST_ROW {
        return fault(Reason::LineTooLong);
    }
    let Ok(text) = std::str::from_utf8(text) else { return fault(Reason::NotUtf8) };
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return fault(Reason::ControlCharacter);
    }
    if width.is_some_and(|width| width != ends.len()) {
        return fault(Reason::WrongNumberOfCells);
    }
    Ok(Row { line, text, ends, gap })
}

#[cfg(test)]
mod tests;
