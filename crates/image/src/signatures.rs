//! The table of signatures behind an image (`WIN_CERTIFICATE`, "PE Format", section "The Attribute Certificate Table").

use core::ops::Range;

use crate::Image;
use crate::error::{Error, Fault, Part, Problem};
use crate::raw::{Headers, QUADWORD};
use crate::source::{self, Source};

/// PKCS#7 `SignedData`: an Authenticode signature.
pub const PKCS_SIGNED_DATA: u16 = 0x0002;
/// What stands in front of each signature: its length, the revision, its kind.
pub(crate) const HEADER: usize = 8;
/// A signature has some kilobytes; what is in memory at a time has an end.
const MOST: u64 = 4 << 20;

/// The signatures of an image, as they stand in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureTable {
    /// Where the table stands in the file.
    pub range: Range<u64>,
    /// Its rows, in order.
    pub rows: Vec<SignatureRow>,
    /// Where the walk over the rows could not go on, if it did not come out at the table's end. Firmware takes no signature
    /// of such a table.
    pub broken_at: Option<u64>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRow {
    /// Where its row begins in the file.
    pub offset: u64,
    /// The revision of the row: 0x0200.
    pub revision: u16,
    /// What it is: [`PKCS_SIGNED_DATA`], or something that firmware passes over.
    pub kind: u16,
    /// The signature, with the zeros behind it that its length counts.
    pub data: Vec<u8>,
}

impl<S: Source> Image<S> {
    /// Reads the table of signatures; `None` if the image is not signed.
    ///
    /// The rows are walked as EDK2 does (`DxeImageVerificationHandler`): each begins at a multiple of eight behind the one before.
    ///
    /// # Errors
    /// If it lies outside the file, or is far longer than signatures are.
    pub fn signatures(&self) -> Result<Option<SignatureTable>, Error> {
        let headers = Headers::read(&self.source)?;
        let (Some(table), Some(row)) = (headers.security(), headers.security_row()) else { return Ok(None) };
        if table.size == 0 {
            return Ok(None);
        }
        let row = u64::try_from(row.start).unwrap_or(u64::MAX);
        let length = self.source.length().map_err(|source| Error::Io { offset: 0, source })?;
        let (start, size) = (u64::from(table.address), u64::from(table.size));
        let end = start.saturating_add(size);
        if end > length {
            return Err(Problem::new(row, Fault::SignaturesOutsideFile { start, end, length }).into());
        }
        if size > MOST {
            return Err(Problem::new(row, Fault::LongSignatures { size, room: MOST }).into());
        }
        let bytes = source::read(&self.source, start, size, Part::Signatures)?;
        let (rows, broken_at) = walk(&bytes, start);
        Ok(Some(SignatureTable { range: start..end, rows, broken_at }))
    }
}

fn walk(table: &[u8], start: u64) -> (Vec<SignatureRow>, Option<u64>) {
    let quadword = usize::try_from(QUADWORD).unwrap_or(8);
    let mut rows = Vec::new();
    let mut rest = table;
    loop {
        let at = table.len().saturating_sub(rest.len());
        let offset = start.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
        if rest.is_empty() {
            return (rows, None);
        }
        let Some((row, next)) = first(rest, offset, quadword) else { return (rows, Some(offset)) };
        rows.push(row);
        rest = next;
    }
}

/// The first row, and what follows it. The last row's padding may be missing, as EDK2's own walk would then come out beyond the
/// table's end and refuse all of it, that counts as broken.
fn first(bytes: &[u8], offset: u64, quadword: usize) -> Option<(SignatureRow, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (revision, rest) = rest.split_first_chunk()?;
    let (kind, _) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let data = bytes.get(HEADER..length).filter(|data| !data.is_empty())?;
    let next = bytes.get(length.checked_next_multiple_of(quadword)?..)?;
    let (revision, kind) = (u16::from_le_bytes(*revision), u16::from_le_bytes(*kind));
    Some((SignatureRow { offset, revision, kind, data: data.to_vec() }, next))
}
