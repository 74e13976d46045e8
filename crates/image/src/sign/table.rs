//! The signatures that an image has before it is signed again, or before they are removed.

use core::fmt;

use super::Error;
use crate::raw::{Headers, QUADWORD};
use crate::source::{self, Source};
use crate::{Image, Part, SignatureRow};

/// Why nothing can be added to the signatures of an image, or they cannot be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFault {
    /// Firmware hashes what follows them as if it stood in front of them.
    NotAtEnd,
    /// They share bytes with the headers or with a section.
    Inside,
    /// Windows takes no others, and a signature that is added would have to move them.
    NotAligned,
    /// Firmware takes no signature of such a table.
    Broken {
        /// Where the walk over its rows ends.
        at: u64,
    },
}

impl fmt::Display for TableFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAtEnd => f.write_str("do not end where the file ends"),
            Self::Inside => f.write_str("begin inside the headers or a section"),
            Self::NotAligned => f.write_str("do not stand at a multiple of eight bytes"),
            Self::Broken { at } => write!(f, "cannot be told from one another from {at:#x} on"),
        }
    }
}

/// Where the signatures begin, and so the bytes that they sign end; `None` if the image is not signed.
pub(super) fn start<S: Source>(image: &Image<S>, headers: &Headers, length: u64) -> Result<Option<u64>, Error> {
    let row = headers.security().ok_or(Error::NoPlace)?;
    if row.address == 0 && row.size == 0 {
        return Ok(None);
    }
    // A row that points to nothing.
    let at = if row.size == 0 { length } else { u64::from(row.address) };
    let fault = |fault| Err(Error::Table { at, fault });
    let ends = image.sections().iter().map(|section| section.file_range.end);
    if at < ends.fold(headers.length(), u64::max) {
        return fault(TableFault::Inside);
    }
    if at.saturating_add(u64::from(row.size)) != length {
        return fault(TableFault::NotAtEnd);
    }
    Ok(Some(at))
}

/// The table itself, which begins at `at` and can be added to, and its rows.
pub(super) fn read<S: Source>(image: &Image<S>, at: u64) -> Result<(Vec<u8>, Vec<SignatureRow>), Error> {
    let fault = |fault| Err(Error::Table { at, fault });
    if at % QUADWORD != 0 {
        return fault(TableFault::NotAligned);
    }
    let Some(table) = image.signatures()? else { return Ok((Vec::new(), Vec::new())) };
    if let Some(at) = table.broken_at {
        return fault(TableFault::Broken { at });
    }
    let size = table.range.end.saturating_sub(table.range.start);
    Ok((source::read(&image.source, at, size, Part::Signatures)?, table.rows))
}
