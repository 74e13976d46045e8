//! The headers as bytes, to be changed in place, and the pass that writes a file behind them.

use core::mem::{offset_of, size_of};
use core::ops::Range;
use std::io::{self, Seek, SeekFrom};

use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_DEBUG, IMAGE_DIRECTORY_ENTRY_SECURITY, ImageDataDirectory, ImageDosHeader,
    ImageFileHeader, ImageNtHeaders64, ImageOptionalHeader64, ImageSectionHeader,
};
use object::pod;

use crate::error::{Error, Fault, Part, Problem};
use crate::section::Name;
use crate::source::{self, Source};

/// How much of a file is held at a time.
const CHUNK: usize = 256 << 10;
/// More than any image has: 65535 sections, and a megabyte in front of their table. Headers are held in memory.
const MOST_HEADERS: u64 = 4 << 20;
/// Signatures stand at multiples of this, and are padded to one.
pub(crate) const QUADWORD: u64 = 8;

/// All that stands before the first section's bytes. Its image has been read and found good.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    pub(crate) bytes: Vec<u8>,
    /// Where the PE header begins.
    pe: usize,
}

/// A number in the headers: where it begins, counted from the PE header.
#[derive(Clone, Copy)]
pub(crate) struct Field(usize);

const FILE: usize = offset_of!(ImageNtHeaders64, file_header);
const OPTIONAL: usize = offset_of!(ImageNtHeaders64, optional_header);

impl Field {
    pub(crate) const SYMBOLS_AT: Self = Self(FILE + offset_of!(ImageFileHeader, pointer_to_symbol_table));
    pub(crate) const SYMBOL_COUNT: Self = Self(FILE + offset_of!(ImageFileHeader, number_of_symbols));
    pub(crate) const DATA_SIZE: Self =
        Self(OPTIONAL + offset_of!(ImageOptionalHeader64, size_of_initialized_data));
    pub(crate) const SECTION_ALIGNMENT: Self =
        Self(OPTIONAL + offset_of!(ImageOptionalHeader64, section_alignment));
    pub(crate) const FILE_ALIGNMENT: Self = Self(OPTIONAL + offset_of!(ImageOptionalHeader64, file_alignment));
    pub(crate) const IMAGE_SIZE: Self = Self(OPTIONAL + offset_of!(ImageOptionalHeader64, size_of_image));
    pub(crate) const HEADERS_SIZE: Self = Self(OPTIONAL + offset_of!(ImageOptionalHeader64, size_of_headers));
    pub(crate) const CHECKSUM: Self = Self(OPTIONAL + offset_of!(ImageOptionalHeader64, check_sum));
    const SECTION_COUNT: Self = Self(FILE + offset_of!(ImageFileHeader, number_of_sections));
    const OPTIONAL_SIZE: Self = Self(FILE + offset_of!(ImageFileHeader, size_of_optional_header));
    const DIRECTORIES: Self = Self(OPTIONAL + offset_of!(ImageOptionalHeader64, number_of_rva_and_sizes));
}

/// A row of the table of data directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) address: u32,
    pub(crate) size: u32,
}

impl Headers {
    pub(crate) fn read(source: &dyn Source) -> Result<Self, Error> {
        let dos: ImageDosHeader = parse(source, 0, Part::MzHeader)?;
        let pe_at = u64::from(dos.e_lfanew.get(LE));
        let nt: ImageNtHeaders64 = parse(source, pe_at, Part::PeHeader)?;
        let size = u64::from(nt.optional_header.size_of_headers.get(LE));
        let length = source.length().map_err(|source| Error::Io { offset: 0, source })?;
        let truncated = || Problem::truncated(0, Part::Headers, length);
        if size > MOST_HEADERS {
            return Err(Problem::new(0, Fault::LongHeaders(size)).into());
        }
        let bytes = source::read(source, 0, size, Part::Headers)?;
        let pe = usize::try_from(pe_at).map_err(|_| truncated())?;
        Ok(Self { bytes, pe })
    }

    /// Zero if the field lies outside, which it does not in an image that was found good.
    pub(crate) fn u32(&self, field: Field) -> u32 {
        self.u32_at(self.pe.saturating_add(field.0))
    }

    pub(crate) fn set_u32(&mut self, field: Field, value: u32) {
        self.put(self.pe.saturating_add(field.0), &value.to_le_bytes());
    }

    pub(crate) fn set_section_count(&mut self, count: u16) {
        let at = self.pe.saturating_add(Field::SECTION_COUNT.0);
        self.put(at, &count.to_le_bytes());
    }

    /// Where the table of sections begins.
    pub(crate) fn table(&self) -> usize {
        let at = self.pe.saturating_add(Field::OPTIONAL_SIZE.0);
        let size = self.bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u16::from_le_bytes);
        self.pe.saturating_add(OPTIONAL).saturating_add(usize::from(size))
    }

    /// How many bytes there are.
    pub(crate) fn length(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// What Authenticode hashes of them.
    pub(crate) fn hashed(&self) -> Vec<Range<usize>> {
        let (checksum, end) = (self.checksum(), self.bytes.len());
        match self.security_row() {
            Some(row) => vec![0..checksum.start, checksum.end..row.start, row.end..end],
            None => vec![0..checksum.start, checksum.end..end],
        }
    }

    /// Where the checksum stands.
    pub(crate) fn checksum(&self) -> Range<usize> {
        let start = self.pe.saturating_add(Field::CHECKSUM.0);
        start..start.saturating_add(4)
    }

    /// Where the row stands that points to the signatures; `None` if the headers have no room for one.
    pub(crate) fn security_row(&self) -> Option<Range<usize>> {
        self.directory_row(IMAGE_DIRECTORY_ENTRY_SECURITY)
    }

    /// The row that points to the signatures.
    pub(crate) fn security(&self) -> Option<Directory> {
        self.directory(IMAGE_DIRECTORY_ENTRY_SECURITY)
    }

    /// The row that points to the debug directory.
    pub(crate) fn debug(&self) -> Option<Directory> {
        self.directory(IMAGE_DIRECTORY_ENTRY_DEBUG)
    }

    pub(crate) fn set_security(&mut self, to: Directory) {
        if let Some(row) = self.security_row() {
            self.put(row.start, &to.address.to_le_bytes());
            self.put(row.start.saturating_add(4), &to.size.to_le_bytes());
        }
    }

    /// The name that a row like `/123` stands for, or as much of it as matters: names of more than eight bytes stand behind
    /// the symbols.
    pub(crate) fn long_name(&self, source: &dyn Source, name: &Name) -> Result<Option<Vec<u8>>, Error> {
        let number = name.as_bytes().strip_prefix(b"/").and_then(|digits| core::str::from_utf8(digits).ok());
        let number = number.and_then(|digits| digits.parse::<u32>().ok());
        let symbols = u64::from(self.u32(Field::SYMBOLS_AT));
        let Some(number) = number.filter(|_| symbols != 0) else { return Ok(None) };
        let size = u64::from(self.u32(Field::SYMBOL_COUNT)).saturating_mul(SYMBOL);
        let at = symbols.saturating_add(size).saturating_add(u64::from(number));
        let length = source.length().map_err(|source| Error::Io { offset: at, source })?;
        let size = length.saturating_sub(at).min(ENOUGH_OF_A_NAME);
        let bytes = source::read(source, at.min(length), size, Part::Section)?;
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        Ok(bytes.get(..end).filter(|name| !name.is_empty()).map(<[u8]>::to_vec))
    }

    fn directory(&self, number: usize) -> Option<Directory> {
        let row = self.directory_row(number)?;
        let size = row.start.saturating_add(offset_of!(ImageDataDirectory, size));
        Some(Directory { address: self.u32_at(row.start), size: self.u32_at(size) })
    }

    fn directory_row(&self, number: usize) -> Option<Range<usize>> {
        let count = usize::try_from(self.u32(Field::DIRECTORIES)).unwrap_or(usize::MAX);
        let first = self.pe.saturating_add(OPTIONAL).saturating_add(size_of::<ImageOptionalHeader64>());
        let start = first.saturating_add(number.saturating_mul(size_of::<ImageDataDirectory>()));
        let end = start.saturating_add(size_of::<ImageDataDirectory>());
        (number < count && end <= self.table()).then_some(start..end)
    }

    fn u32_at(&self, at: usize) -> u32 {
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_le_bytes)
    }

    pub(crate) fn put(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
            place.copy_from_slice(value);
        }
    }
}

/// The size of a symbol.
const SYMBOL: u64 = 18;
/// Longer than any section's name is.
const ENOUGH_OF_A_NAME: u64 = 64;
/// The size of a row in the table of sections.
pub(crate) const ROW: usize = size_of::<ImageSectionHeader>();

fn parse<T: pod::Pod>(source: &dyn Source, offset: u64, part: Part) -> Result<T, Error> {
    let size = u64::try_from(size_of::<T>()).unwrap_or(u64::MAX);
    let bytes = source::read(source, offset, size, part)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_add(offset);
    let (value, _) = pod::from_bytes::<T>(&bytes).map_err(|()| Problem::truncated(offset, part, length))?;
    Ok(*value)
}

/// Hands a range of a source over in pieces, so that no more than one of them is in memory.
pub(crate) fn each_chunk<E>(
    source: &dyn Source,
    range: Range<u64>,
    io: impl Fn(u64, io::Error) -> E,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; CHUNK];
    let mut offset = range.start;
    while offset < range.end {
        let rest = usize::try_from(range.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let size = rest.min(CHUNK);
        let chunk = buffer.get_mut(..size).unwrap_or_default();
        source.read_at(offset, chunk).map_err(|error| io(offset, error))?;
        take(chunk)?;
        offset = offset.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// What were left of an older file behind the new one would be taken for a part of it.
pub(crate) fn expect_empty(out: &mut impl Seek) -> io::Result<()> {
    if out.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not empty"))
}

/// The checksum of a PE file: the sum of its 16-bit words with the carry added back in, plus its length. The field
/// that holds it counts as zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checksum {
    sum: u64,
    length: u64,
}

impl Checksum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        // A sum with the carry added back in does not depend on the width of what is added.
        let words = bytes.chunks_exact(4);
        let mut rest = [0; 4];
        for (to, from) in rest.iter_mut().zip(words.remainder()) {
            *to = *from;
        }
        let add = |sum: u64, word: [u8; 4]| sum.wrapping_add(u64::from(u32::from_le_bytes(word)));
        let sum = words.filter_map(|word| word.first_chunk().copied()).fold(0, add);
        let mut sum = fold(add(fold(sum), rest));
        if self.length % 2 == 1 {
            // Each byte stands on the other side of its word.
            sum = fold(sum << 8);
        }
        self.sum = fold(self.sum.wrapping_add(sum));
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// The bytes of `self`, and those of `next` behind them.
    pub(crate) fn followed_by(mut self, next: &Self) -> Self {
        let sum = if self.length % 2 == 1 { fold(next.sum << 8) } else { next.sum };
        self.sum = fold(self.sum.wrapping_add(sum));
        self.length = self.length.saturating_add(next.length);
        self
    }

    pub(crate) fn value(&self) -> u32 {
        u32::try_from(self.sum.wrapping_add(self.length)).unwrap_or(u32::MAX)
    }
}

fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

    use super::*;
    use proptest::prelude::*;

    /// As the specification puts it.
    fn plain(bytes: &[u8]) -> u32 {
        let mut sum = 0u32;
        for word in bytes.chunks(2) {
            sum += u32::from(word[0]) | u32::from(*word.get(1).unwrap_or(&0)) << 8;
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum + u32::try_from(bytes.len()).unwrap()
    }

    proptest! {
        #[test]
        fn the_checksum_does_not_depend_on_the_pieces(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
        ) {
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            let mut whole = Checksum::default();
            whole.update(first);
            let before = whole.clone();
            whole.update(second);
            prop_assert_eq!(whole.value(), plain(&bytes));
            let mut behind = Checksum::default();
            behind.update(second);
            prop_assert_eq!(before.followed_by(&behind).value(), plain(&bytes));
        }
    }
}
