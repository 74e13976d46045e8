//! An image without signatures: as it is signed, and as it is after they were removed.

use std::io::{self, Seek, SeekFrom, Write};

use super::{Error, table};
use crate::digest::{Digest, HashFunction, Hasher};
use crate::raw::{Checksum, Directory, Field, Headers, QUADWORD, each_chunk, expect_empty};
use crate::signatures::HEADER;
use crate::source::Source;
use crate::{Image, SignatureRow, error};

/// An image fit to be signed: its bytes without signatures, and the signatures.
pub(super) struct Unsigned<'s, S> {
    source: &'s S,
    headers: Headers,
    /// Of what is signed.
    length: u64,
    /// Of what stands behind the headers.
    body: Checksum,
    signatures: Vec<u8>,
    rows: Vec<SignatureRow>,
}

/// What is left of an image after its signatures were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The length of the image.
    pub length: u64,
    /// How many bytes of signatures there were.
    pub signatures: u64,
}

/// Writes the image without its signatures to `out`, which must be empty. Zeros that were filled in when it was signed stay: nobody
/// knows them from the image's own.
///
/// # Errors
/// If it has none, or they stand elsewhere than behind everything else. What `out` holds then is of no use.
pub fn unsign(image: &impl Source, out: &mut (impl Write + Seek)) -> Result<Removed, Error> {
    let (parsed, headers, length) = open(image)?;
    let start = table::start(&parsed, &headers, length)?.ok_or(Error::NotSigned)?;
    let (body, signatures, rows) = (Checksum::default(), Vec::new(), Vec::new());
    let mut unsigned = Unsigned { source: image, headers, length: start, body, signatures, rows };
    unsigned.begin(out)?;
    unsigned.copy_with(out, |_| {})?;
    let left = unsigned.finish(out)?;
    Ok(Removed { length: left, signatures: length.saturating_sub(start) })
}

impl<'s, S: Source> Unsigned<'s, S> {
    pub(super) fn read(source: &'s S, append: bool) -> Result<Self, Error> {
        let (image, headers, length) = open(source)?;
        let start = match table::start(&image, &headers, length) {
            Ok(start @ None) => start,
            Ok(Some(_)) | Err(Error::Table { .. }) if !append => return Err(Error::Signed),
            start => start?,
        };
        let (signatures, rows) = match start {
            Some(at) => table::read(&image, at)?,
            None => (Vec::new(), Vec::new()),
        };
        check_gaps(&image, headers.length())?;
        let length = start.unwrap_or(length);
        Ok(Self { source, headers, length, body: Checksum::default(), signatures, rows })
    }

    /// # Errors
    /// If there is something in `out`.
    pub(super) fn begin(&self, out: &mut impl Seek) -> Result<(), Error> {
        expect_empty(out).map_err(Error::Write)
    }

    /// Copies the image, filled up to a multiple of eight bytes, and hashes it: all but the checksum and the row
    /// that points to the signature.
    pub(super) fn copy(&mut self, function: HashFunction, out: &mut impl Write) -> Result<Digest, Error> {
        let mut hash = Hasher::new(function);
        for part in self.headers.hashed() {
            hash.update(self.headers.bytes.get(part).ok_or(Error::NoPlace)?);
        }
        self.copy_with(out, |chunk| hash.update(chunk))?;
        let end = self.length.checked_next_multiple_of(QUADWORD).ok_or(Error::TooBig)?;
        let missing = usize::try_from(end.saturating_sub(self.length)).unwrap_or_default();
        let zeros = [0; 8].get(..missing).unwrap_or_default().to_vec();
        hash.update(&zeros);
        self.body.update(&zeros);
        out.write_all(&zeros).map_err(Error::Write)?;
        self.length = end;
        Ok(hash.finish())
    }

    fn copy_with(&mut self, out: &mut impl Write, mut see: impl FnMut(&[u8])) -> Result<(), Error> {
        out.write_all(&self.headers.bytes).map_err(Error::Write)?;
        let io = |offset, source| Error::Image(error::Error::Io { offset, source });
        each_chunk(self.source, self.headers.length()..self.length, io, |chunk| {
            see(chunk);
            self.body.update(chunk);
            out.write_all(chunk).map_err(Error::Write)
        })
    }

    /// One more signature; gives their number.
    pub(super) fn add(&mut self, row: &[u8]) -> Result<usize, Error> {
        let data = row.get(HEADER..).unwrap_or_default();
        if self.rows.iter().any(|there| there.data == data) {
            return Err(Error::Twice);
        }
        self.signatures.extend_from_slice(row);
        Ok(self.rows.len().saturating_add(1))
    }

    /// Writes the signatures and points the headers to them; gives the length of the whole.
    pub(super) fn finish(mut self, out: &mut (impl Write + Seek)) -> Result<u64, Error> {
        let size = u32::try_from(self.signatures.len()).map_err(|_| Error::TooBig)?;
        let address = u32::try_from(self.length).map_err(|_| Error::TooBig)?;
        address.checked_add(size).ok_or(Error::TooBig)?;
        let address = if size == 0 { 0 } else { address };
        self.headers.set_security(Directory { address, size });
        self.headers.set_u32(Field::CHECKSUM, 0);
        let mut behind = Checksum::default();
        behind.update(&self.signatures);
        let mut checksum = Checksum::default();
        checksum.update(&self.headers.bytes);
        let checksum = checksum.followed_by(&self.body).followed_by(&behind);
        self.headers.set_u32(Field::CHECKSUM, checksum.value());
        let length = self.length.saturating_add(u64::from(size));
        out.write_all(&self.signatures).map_err(Error::Write)?;
        out.seek(SeekFrom::Start(0)).map_err(Error::Write)?;
        out.write_all(&self.headers.bytes).map_err(Error::Write)?;
        out.seek(SeekFrom::Start(length)).map_err(Error::Write)?;
        out.flush().map_err(Error::Write)?;
        Ok(length)
    }
}

fn open<S: Source>(source: &S) -> Result<(Image<Borrowed<'_, S>>, Headers, u64), Error> {
    let image = Image::read(Borrowed(source))?;
    let headers = Headers::read(source)?;
    let length = source.length().map_err(|source| error::Error::Io { offset: 0, source })?;
    Ok((image, headers, length))
}

/// Firmware hashes the headers, then each section by its place in the file, then as many bytes as are left to the
/// file's length. Only if they follow one another is that the whole file, each byte once.
fn check_gaps<S: Source>(image: &Image<S>, headers: u64) -> Result<(), Error> {
    let mut sections: Vec<_> = image.sections().iter().filter(|section| !section.file_range.is_empty()).collect();
    sections.sort_by_key(|section| section.file_range.start);
    let mut at = headers;
    for section in sections {
        if section.file_range.start != at {
            return Err(Error::Gap { at, before: section.name });
        }
        at = section.file_range.end;
    }
    Ok(())
}

/// A source that belongs to somebody else.
struct Borrowed<'s, S>(&'s S);

impl<S: Source> Source for Borrowed<'_, S> {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}
