//! What an image says of itself in its headers, for whoever looks at it: nothing here decides anything.

use core::mem::{offset_of, size_of};
use core::ops::Range;

use object::LittleEndian as LE;
use object::pe::{ImageDosHeader, ImageNtHeaders64};
use object::pod;

use crate::digest::{Digest, HashFunction, Hasher};
use crate::error::{Error, Part, Problem};
use crate::raw::{Checksum, Field, Headers, each_chunk};
use crate::source::{self, Source};
use crate::{Image, Section};

/// The headers, as far as firmware, shim or people look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFacts {
    /// For which machine: 0x8664.
    pub machine: u16,
    /// When it was linked, in seconds since 1970; zero if that is not told.
    pub timestamp: u32,
    /// The linker's number for the image. Xen has its own version there, 4.20.
    pub image_version: (u16, u16),
    /// What starts it: 10 is an EFI application.
    pub subsystem: u16,
    /// Where it begins to run, from the start of the loaded image.
    pub entry_point: u32,
    /// Where it would like to be loaded.
    pub image_base: u64,
    /// How much memory it takes.
    pub image_size: u32,
    /// How long its headers are.
    pub headers_size: u32,
    /// Sections stand at multiples of this in memory.
    pub section_alignment: u32,
    /// Sections stand at multiples of this in the file.
    pub file_alignment: u32,
    /// `DllCharacteristics`.
    pub dll_characteristics: u16,
    /// The checksum, which no firmware asks for; zero if there is none.
    pub checksum: u32,
}

impl HeaderFacts {
    /// `IMAGE_DLLCHARACTERISTICS_NX_COMPAT`: it does not want memory that can be written and executed.
    pub const NX_COMPAT: u16 = 0x0100;

    /// Whether it says that it gets along with memory that is either written or executed.
    #[must_use]
    pub const fn is_nx_compatible(&self) -> bool {
        self.dll_characteristics & Self::NX_COMPAT != 0
    }
}

impl<S: Source> Image<S> {
    /// How many bytes the file has.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn length(&self) -> Result<u64, Error> {
        self.source.length().map_err(|source| Error::Io { offset: 0, source })
    }

    /// Reads the headers again.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn header_facts(&self) -> Result<HeaderFacts, Error> {
        let at = source::read(&self.source, 0, widen(size_of::<ImageDosHeader>()), Part::MzHeader)?;
        let field = offset_of!(ImageDosHeader, e_lfanew);
        let at = at.get(field..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_le_bytes);
        let at = u64::from(at);
        let bytes = source::read(&self.source, at, widen(size_of::<ImageNtHeaders64>()), Part::PeHeader)?;
        let (headers, _) = pod::from_bytes::<ImageNtHeaders64>(&bytes)
            .map_err(|()| Problem::truncated(at, Part::PeHeader, widen(bytes.len())))?;
        let (file, optional) = (&headers.file_header, &headers.optional_header);
        Ok(HeaderFacts {
            machine: file.machine.get(LE).0,
            timestamp: file.time_date_stamp.get(LE),
            image_version: (optional.major_image_version.get(LE), optional.minor_image_version.get(LE)),
            subsystem: optional.subsystem.get(LE).0,
            entry_point: optional.address_of_entry_point.get(LE),
            image_base: optional.image_base.get(LE),
            image_size: optional.size_of_image.get(LE),
            headers_size: optional.size_of_headers.get(LE),
            section_alignment: optional.section_alignment.get(LE),
            file_alignment: optional.file_alignment.get(LE),
            dll_characteristics: optional.dll_characteristics.get(LE).0,
            checksum: optional.check_sum.get(LE),
        })
    }

    /// The whole name of each section, in the order of the table: names of more than eight bytes stand behind the symbols, where there
    /// are any.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn section_names(&self) -> Result<Vec<String>, Error> {
        let headers = Headers::read(&self.source)?;
        let name = |section: &Section| {
            let long = headers.long_name(&self.source, &section.name)?;
            Ok(long.map_or_else(|| section.name.to_string(), |long| long.escape_ascii().to_string()))
        };
        self.sections.iter().map(name).collect()
    }

    /// What no signature covers of the file, beside the checksum and the row that points to the signatures: whoever has the file may change
    /// it there. Authenticode hashes sections by their place, and then as many bytes at the end as are left by length.
    ///
    /// # Errors
    /// If the headers cannot be read, or the table of signatures is longer than what is left of the file.
    pub fn not_covered(&self) -> Result<Vec<Range<u64>>, Error> {
        let headers = Headers::read(&self.source)?;
        let length = self.length()?;
        let mut covered = self.hashed_behind(&headers)?;
        covered.push(0..headers.length());
        // One that lies outside the file is told by who reads it.
        covered.extend(headers.security().map(|table| {
            let start = u64::from(table.address);
            start.min(length)..start.saturating_add(u64::from(table.size)).min(length)
        }));
        covered.sort_by_key(|range| range.start);
        let mut free = Vec::new();
        let mut at = 0;
        for range in covered.iter().filter(|range| !range.is_empty()) {
            if range.start > at {
                free.push(at..range.start);
            }
            at = at.max(range.end);
        }
        if at < length {
            free.push(at..length);
        }
        Ok(free)
    }

    /// The checksum that the file has; all of it is read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn compute_checksum(&self) -> Result<u32, Error> {
        let mut headers = Headers::read(&self.source)?;
        let length = self.length()?;
        headers.set_u32(Field::CHECKSUM, 0);
        let mut checksum = Checksum::default();
        checksum.update(&headers.bytes);
        let io = |offset, source| Error::Io { offset, source };
        each_chunk(&self.source, headers.length()..length, io, |chunk| {
            checksum.update(chunk);
            Ok(())
        })?;
        Ok(checksum.value())
    }

    /// The digest of the bytes that a section has in the file, as far as Xen sees them.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn section_digest(&self, section: &Section, function: HashFunction) -> Result<Digest, Error> {
        let start = section.file_range.start;
        let size = section.file_range.end.saturating_sub(start).min(u64::from(section.virtual_size));
        let mut hasher = Hasher::new(function);
        let io = |offset, source| Error::Io { offset, source };
        each_chunk(&self.source, start..start.saturating_add(size), io, |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    /// A section as a source of its own: the bytes that it has in the file, as far as Xen sees them.
    #[must_use]
    pub const fn section_source<'i>(&'i self, section: &Section) -> SectionSource<'i, S> {
        let range = &section.file_range;
        let in_file = range.end.saturating_sub(range.start);
        let in_memory = section.virtual_size as u64;
        let length = if in_file < in_memory { in_file } else { in_memory };
        SectionSource { source: &self.source, start: range.start, length }
    }
}

/// The bytes that a section has in the file, as far as Xen sees them.
#[derive(Clone, Copy, Debug)]
pub struct SectionSource<'i, S> {
    source: &'i S,
    start: u64,
    length: u64,
}

impl<S: Source> Source for SectionSource<'_, S> {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let end = offset.checked_add(widen(buffer.len())).filter(|&end| end <= self.length);
        end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        self.source.read_at(self.start.saturating_add(offset), buffer)
    }
}

fn widen(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
