//! Files in which quotes enclose cells, and a row may have several lines.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{BLOCK, Block, Content, Fault, LONGEST_ROW};
use crate::Reason;

/// Cells that no row has.
const MOST_CELLS: usize = 1 << 14;

/// Bytes that are read at once.
const FILL: usize = 1 << 16;

pub(super) struct Quoted<R> {
    reader: R,
    parser: Reader,
    input: Vec<u8>,
    /// Where the present row begins: its bytes are kept, for the next begins on its second line if it is none.
    start: usize,
    used: usize,
    output: Vec<u8>,
    ends: Vec<usize>,
    ended: bool,
    finished: bool,
}

impl<R: Read> Quoted<R> {
    pub(super) fn new(reader: R, delimiter: u8) -> Self {
        Self {
            reader,
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            input: Vec::new(),
            start: 0,
            used: 0,
            output: vec![0; LONGEST_ROW],
            ends: vec![0; MOST_CELLS],
            ended: false,
            finished: false,
        }
    }

    pub(super) fn line(&self) -> u64 {
        self.parser.line()
    }

    /// Rows of about a block; none at the end.
    pub(super) fn block(&mut self) -> io::Result<Option<Block>> {
        let (mut text, mut rows, mut ends, mut faults) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while !self.finished && text.len() < BLOCK && faults.len() < BLOCK / 64 {
            match self.row(&mut text, &mut ends)? {
                Some(Ok(line)) => rows.push((line, text.len(), ends.len())),
                Some(Err(fault)) => faults.push(fault),
                None => break,
            }
        }
        if rows.is_empty() && faults.is_empty() {
            return Ok(None);
        }
        Ok(Some(Block { text, content: Content::Split { rows, ends }, faults }))
    }

    /// Appends one row and gives its line.
    fn row(&mut self, text: &mut Vec<u8>, ends: &mut Vec<u32>) -> io::Result<Option<Result<u64, Fault>>> {
        self.begin()?;
        let line = self.parser.line();
        let (mut written, mut cells) = (0, 0);
        loop {
            if self.used == self.input.len() && !self.ended {
                self.fill()?;
            }
            let at_end = self.used == self.input.len();
            let (result, read, wrote, ended) = self.parser.read_record(
                &self.input[self.used..],
                &mut self.output[written..],
                &mut self.ends[cells..],
            );
            self.used += read;
            written += wrote;
            cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return self.leave(line).map(|fault| Some(Err(fault)));
                }
                ReadRecordResult::Record if at_end && self.is_open() => {
                    return self.leave(line).map(|fault| Some(Err(fault)));
                }
                ReadRecordResult::Record => {
                    text.extend_from_slice(&self.output[..written]);
                    ends.extend(self.ends[..cells].iter().map(|&end| end as u32));
                    return Ok(Some(Ok(line)));
                }
                ReadRecordResult::End => {
                    self.finished = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Goes to the beginning of a row: empty lines before it are not its own.
    fn begin(&mut self) -> io::Result<()> {
        loop {
            while let Some(&byte @ (b'\n' | b'\r')) = self.input.get(self.used) {
                if byte == b'\n' {
                    self.parser.set_line(self.parser.line() + 1);
                }
                self.used += 1;
            }
            self.start = self.used;
            if self.used < self.input.len() || self.ended {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Whether the row that ends with the file has several lines because its quote was never closed.
    fn is_open(&self) -> bool {
        let row = &self.input[self.start..];
        let several = memchr::memchr(b'\n', row).is_some_and(|end| end + 1 < row.len());
        several && memchr::memchr_iter(b'"', row).count() % 2 == 1
    }

    /// Leaves the row that begins on `line` for the line behind it.
    fn leave(&mut self, line: u64) -> io::Result<Fault> {
        let several = memchr::memchr(b'\n', &self.input[self.start..self.used]).is_some();
        let reason = if several { Reason::UnclosedQuote } else { Reason::LineTooLong };
        self.used = self.start;
        let mut end = memchr::memchr(b'\n', &self.input[self.used..]);
        while end.is_none() && !self.ended {
            self.start = self.input.len();
            self.fill()?;
            end = memchr::memchr(b'\n', &self.input[self.used..]);
        }
        self.used = end.map_or(self.input.len(), |end| self.used + end + 1);
        self.parser.reset();
        self.parser.set_line(line + 1);
        Ok(Fault { line, reason, cells: 0 })
    }

    /// Reads on; what lies before the row is forgotten.
    fn fill(&mut self) -> io::Result<()> {
        self.input.drain(..self.start);
        self.used = self.used.saturating_sub(self.start);
        self.start = 0;
        let read = (&mut self.reader).take(FILL as u64).read_to_end(&mut self.input)?;
        self.ended = read == 0;
        Ok(())
    }
}
