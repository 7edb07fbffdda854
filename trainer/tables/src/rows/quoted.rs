//! Files in which quotes enclose cells, and a row may have several lines.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{BLOCK, Block, Content, Fault, LONGEST_ROW};
use crate::Reason;

/// Cells that no row has.
const MOST_CELLS: usize = 1 << 14;

pub(super) struct Quoted<R> {
    reader: R,
    parser: Reader,
    input: Vec<u8>,
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
        let (mut written, mut cells, mut too_long) = (0, 0, false);
        let mut line = None;
        loop {
            if self.used == self.input.len() && !self.ended {
                self.fill()?;
            }
            // Empty lines before a row are not its own.
            if line.is_none() {
                self.skip_blank();
                if self.used == self.input.len() && !self.ended {
                    continue;
                }
                line = Some(self.parser.line());
            }
            let at = line.unwrap_or_default();
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
                    (too_long, written, cells) = (true, 0, 0);
                }
                ReadRecordResult::Record if too_long => {
                    return Ok(Some(Err(Fault { line: at, reason: Reason::LineTooLong, cells: 0 })));
                }
                ReadRecordResult::Record => {
                    let start = 0;
                    text.extend_from_slice(&self.output[start..written]);
                    ends.extend(self.ends[..cells].iter().map(|&end| end as u32));
                    return Ok(Some(Ok(at)));
                }
                ReadRecordResult::End => {
                    self.finished = true;
                    let fault = Fault { line: at, reason: Reason::LineTooLong, cells: 0 };
                    return Ok(too_long.then_some(Err(fault)));
                }
            }
        }
    }

    fn skip_blank(&mut self) {
        while let Some(b'\n' | b'\r') = self.input.get(self.used) {
            if self.input[self.used] == b'\n' {
                self.parser.set_line(self.parser.line() + 1);
            }
            self.used += 1;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.input.clear();
        self.used = 0;
        let read = (&mut self.reader).take(1 << 16).read_to_end(&mut self.input)?;
        self.ended = read == 0;
        Ok(())
    }
}
