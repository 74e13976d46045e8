//! Pieces of a text that know where they stand.

/// A piece of a text, in one run, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// The piece.
    pub text: &'a [u8],
    /// Bytes of the text before it.
    pub offset: usize,
    /// Its line, counted from 1; only line feeds count.
    pub line: usize,
    /// The column of its first byte, counted from 1 in bytes.
    pub column: usize,
}

impl<'a> Located<'a> {
    pub(crate) fn new(whole: &'a [u8], range: core::ops::Range<usize>) -> Self {
        let offset = range.start.min(whole.len());
        let text = whole.get(range).unwrap_or_default();
        let (line, column) = place(whole, offset);
        Self { text, offset, line, column }
    }

    /// The part from byte `at` on.
    #[must_use]
    pub fn tail(&self, at: usize) -> Self {
        let at = at.min(self.text.len());
        Self {
            text: self.text.get(at..).unwrap_or_default(),
            offset: self.offset.saturating_add(at),
            line: self.line,
            column: self.column.saturating_add(at),
        }
    }

    /// The part before byte `at`.
    #[must_use]
    pub fn head(&self, at: usize) -> Self {
        Self { text: self.text.get(..at).unwrap_or(self.text), ..*self }
    }
}

/// Locates pieces of a text in their order, so that every byte is counted once.
pub(crate) struct Places<'a> {
    text: &'a [u8],
    offset: usize,
    line: usize,
    line_start: usize,
}

impl<'a> Places<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, offset: 0, line: 1, line_start: 0 }
    }

    /// The piece, which may not stand before the one that was asked for last.
    pub(crate) fn locate(&mut self, range: core::ops::Range<usize>) -> Located<'a> {
        let passed = self.text.get(self.offset..range.start).unwrap_or_default();
        for (at, _) in passed.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            self.line = self.line.saturating_add(1);
            self.line_start = self.offset.saturating_add(at).saturating_add(1);
        }
        self.offset = self.offset.max(range.start);
        let column = range.start.saturating_sub(self.line_start).saturating_add(1);
        let text = self.text.get(range.clone()).unwrap_or_default();
        Located { text, offset: range.start, line: self.line, column }
    }
}

/// Why a text cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Problem {
    /// Bytes of the text before the place.
    pub offset: usize,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in bytes.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(text: &[u8], offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = place(text, offset);
        Self { offset, line, column, message: message.into() }
    }
}

fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at.saturating_add(1));
    let lines = before.iter().filter(|&&byte| byte == b'\n').count();
    (lines.saturating_add(1), offset.saturating_sub(start).saturating_add(1))
}
