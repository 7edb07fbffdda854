//! Files in which a line is a row.

use std::io::{self, Read};

use super::{BLOCK, Block, Content, Fault};
use crate::Reason;

pub(super) struct Unquoted<R> {
    reader: R,
    /// What was read behind the last whole line.
    rest: Vec<u8>,
    line: u64,
    ended: bool,
}

impl<R: Read> Unquoted<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, rest: Vec::new(), line: 1, ended: false }
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next whole lines; none at the end.
    pub(super) fn block(&mut self) -> io::Result<Option<Block>> {
        let mut text = std::mem::take(&mut self.rest);
        text.reserve(BLOCK.saturating_sub(text.len()));
        let wanted = BLOCK.saturating_sub(text.len());
        if !self.ended && wanted > 0 {
            let read = (&mut self.reader).take(wanted as u64).read_to_end(&mut text)?;
            self.ended = read < wanted;
        }
        let end =
            if self.ended { Some(text.len()) } else { memchr::memrchr(b'\n', &text).map(|end| end + 1) };
        match end {
            Some(end) => Ok(self.cut(text, end)),
            // A whole block without an end of line is no row.
            None => self.skip_line(text).map(Some),
        }
    }

    fn cut(&mut self, mut text: Vec<u8>, end: usize) -> Option<Block> {
        if end == 0 {
            return None;
        }
        self.rest.extend_from_slice(&text[end..]);
        text.truncate(end);
        let first = self.line;
        self.line += memchr::memchr_iter(b'\n', &text).count() as u64;
        Some(Block { text, content: Content::Lines(first), faults: Vec::new() })
    }

    fn skip_line(&mut self, mut text: Vec<u8>) -> io::Result<Block> {
        let fault = Fault { line: self.line, reason: Reason::LineTooLong, cells: 0 };
        loop {
            text.clear();
            let read = (&mut self.reader).take(BLOCK as u64).read_to_end(&mut text)?;
            self.ended = read < BLOCK;
            let end = memchr::memchr(b'\n', &text);
            if let Some(end) = end {
                self.rest.extend_from_slice(&text[end + 1..]);
            }
            if end.is_some() || self.ended {
                break;
            }
        }
        self.line += 1;
        Ok(Block { text: Vec::new(), content: Content::Lines(self.line), faults: vec![fault] })
    }
}

/// Lines of `text` without their ends, LF or CRLF.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text)
        .chain((!text.ends_with(b"\n") && !text.is_empty()).then_some(text.len()))
        .map(move |end| {
            let line = &text[start..end];
            start = end + 1;
            line.strip_suffix(b"\r").unwrap_or(line)
        })
}

/// Where the cells of `line` end.
pub(super) fn split(line: &[u8], delimiter: u8, ends: &mut Vec<u32>) {
    ends.clear();
    ends.extend(memchr::memchr_iter(delimiter, line).map(|end| end as u32));
    ends.push(line.len() as u32);
}
