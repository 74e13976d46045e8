//! A part of a source, as a source.

use core::ops::Range;
use std::io;

use crate::source::Source;

/// The bytes from a place on.
#[derive(Debug)]
pub(super) struct Part<'s, S> {
    pub(super) source: &'s S,
    pub(super) start: u64,
    pub(super) length: u64,
}

impl<S: Source> Source for Part<'_, S> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let size = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if offset.checked_add(size).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_at(self.start.saturating_add(offset), buffer)
    }
}

pub(super) fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}
