//! Builds a unified image: an existing one with sections added, and its debug sections dropped if asked.
//!
//! [`Build::finish`] decides where everything goes; nothing is copied for it. The [`Unified`] image that it gives
//! is a [`Source`] like any other: it can be read, signed, or written out, and reads its parts when they are asked
//! for. The same input gives the same bytes.
//!
//! - New sections stand behind the last one in memory, at multiples of the image's own section alignment, as the
//!   PE specification has it (EDK2 asks that of the image's address alone, and would load them at any other). For
//!   Debian's Xen that is 2 MiB; it costs memory at boot, no bytes in the file.
//! - In the file all sections stand one behind the other, because Authenticode does not sign what stands between
//!   them. Those of the input keep their order, and their places too unless something before them was dropped or
//!   the table of sections needs more room than the headers have. The debug directory, the only data with places
//!   in the file in it, follows them. Symbols stand at the end.
//! - The file's length is a multiple of eight: what signs it would fill it up otherwise, and change its digest.

use core::ops::Range;
use std::io::{self, Seek, SeekFrom, Write};

use crate::error;
use crate::raw::{Checksum, Field, Headers, QUADWORD, ROW, each_chunk, expect_empty};
use crate::section::{Characteristics, Name, Section};
use crate::source::{self, Source};
use crate::{Image, Part};

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image that is built on.
    #[error("the image to build on: {0}")]
    Image(#[from] error::Error),
    /// It is signed. Anything added would break the signature.
    #[error("the image to build on is signed; what is added would break the signature: remove it first")]
    Signed,
    /// A section's name that Xen would not find.
    #[error("{0:?} is no name for a section: it begins with a dot and has two to eight printable ASCII bytes")]
    Name(String),
    /// Xen takes the first section of a name, so a second one would not be seen.
    #[error("there is a section {0} already")]
    Duplicate(Name),
    /// A section without bytes.
    #[error("section {0} would be empty")]
    Empty(Name),
    /// The bytes of a section cannot be read.
    #[error("the bytes of section {name} cannot be read: {source}")]
    Contents {
        /// Which.
        name: Name,
        /// The system's word for it.
        source: io::Error,
    },
    /// The table of sections, which is loaded with the headers, would run into the first section.
    #[error(
        "no room in the headers: with {count} sections they end at {end:#x}, and the first section is loaded at {first:#x}; \
         to drop the debug sections makes room"
    )]
    NoRoom {
        /// How many sections there would be.
        count: usize,
        /// Where the headers would end.
        end: u64,
        /// Where the first section is loaded.
        first: u64,
    },
    /// An alignment that is no power of two, or in the file one above 64 KiB, where the PE specification ends.
    #[error("the image's {what} is {value:#x}; a power of two is wanted, in the file of 64 KiB at most")]
    Alignment {
        /// Of sections in memory, or in the file.
        what: &'static str,
        /// What it is.
        value: u32,
    },
    /// The numbers in the headers have 32 bits.
    #[error("section {0} does not fit: images end at 4 GiB")]
    TooBig(Name),
    /// Something stands behind the table of sections, where new rows would go.
    #[error("the bytes from {0:#x} on, behind the table of sections, are in use")]
    Occupied(usize),
    /// Every section was dropped, and none was added.
    #[error("no section would be left: all of the image's are debug sections")]
    NothingLeft,
    /// The debug directory does not lie in a section.
    #[error("the debug directory does not lie in a section of the image")]
    DebugDirectory,
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
}

/// An image that is to be built.
#[must_use]
pub struct Build<'a> {
    base: &'a dyn Source,
    sections: &'a [Section],
    headers: Headers,
    added: Vec<Added<'a>>,
    drop_debug: bool,
    load_relocations: bool,
}

struct Added<'a> {
    name: Name,
    data: &'a dyn Source,
    length: u64,
}

impl<'a> Build<'a> {
    /// Begins with an image that is not signed.
    ///
    /// # Errors
    /// If it is signed, or cannot be read.
    pub fn on<S: Source>(image: &'a Image<S>) -> Result<Self, Error> {
        let headers = Headers::read(&image.source)?;
        if headers.security().is_some_and(|signatures| signatures.address != 0 || signatures.size != 0) {
            return Err(Error::Signed);
        }
        Ok(Self {
            base: &image.source,
            sections: &image.sections,
            headers,
            added: Vec::new(),
            drop_debug: false,
            load_relocations: false,
        })
    }

    /// Whether to leave out sections whose names begin with `.debug_`, and the symbols. Sections that stay and have
    /// names of more than eight bytes, which stand behind the symbols, keep the first eight.
    pub fn drop_debug(mut self, drop: bool) -> Self {
        self.drop_debug = drop;
        self
    }

    /// Whether to have the section `.reloc` loaded like any other: it loses the mark that it may be discarded.
    ///
    /// Firmware loads it all the same, and shim, which loads an image by itself, does not (`handle_image` in its `pe.c`, 15.8). Most
    /// programs do not miss it, because who loads them has moved them by it. Xen moves itself once more, to where it runs, and reads the
    /// section for that (`__base_relocs_start` in `efi_arch_relocate_image`, `xen/arch/x86/efi/efi-boot.h`): without it, it does not
    /// come up behind shim.
    pub fn load_relocations(mut self, load: bool) -> Self {
        self.load_relocations = load;
        self
    }

    /// Adds a section behind those that are there and those that were added before, to be read and not to be
    /// written or executed.
    ///
    /// # Errors
    /// If Xen would not find it, because of its name or behind another one of the same name, or it has no bytes.
    pub fn section(mut self, name: &str, data: &'a dyn Source) -> Result<Self, Error> {
        let name = name_of(name).ok_or_else(|| Error::Name(name.to_owned()))?;
        let mut names = self.sections.iter().map(|section| &section.name);
        if names.any(|other| other.as_bytes() == name.as_bytes())
            || self.added.iter().any(|other| other.name == name)
        {
            return Err(Error::Duplicate(name));
        }
        let length = data.length().map_err(|source| Error::Contents { name, source })?;
        if length == 0 {
            return Err(Error::Empty(name));
        }
        self.added.push(Added { name, data, length });
        Ok(self)
    }

    /// Decides where everything goes.
    ///
    /// # Errors
    /// If there is no room for it, in the headers or below 4 GiB, or the image does not say how to align it.
    pub fn finish(self) -> Result<Unified<'a>, Error> {
        let kept = self.kept()?;
        if kept.is_empty() && self.added.is_empty() {
            return Err(Error::NothingLeft);
        }
        self.lay_out(&kept)
    }

    fn kept(&self) -> Result<Vec<Kept<'a>>, Error> {
        let mut kept = Vec::new();
        for section in self.sections {
            let mut name = section.name;
            if self.drop_debug {
                let long = self.headers.long_name(self.base, &name)?;
                let whole = long.as_deref().unwrap_or(name.as_bytes());
                if whole.starts_with(b".debug_") || whole.starts_with(b".zdebug_") {
                    continue;
                }
                if let Some(long) = &long {
                    name = shortened(long);
                }
                if self.added.iter().any(|added| added.name == name) {
                    return Err(Error::Duplicate(name));
                }
            }
            let loaded = self.load_relocations && name == RELOCATIONS;
            kept.push(Kept { section, name, file: 0, loaded });
        }
        Ok(kept)
    }

    fn lay_out(mut self, kept: &[Kept<'a>]) -> Result<Unified<'a>, Error> {
        // What is filled up in the file is written: a hostile image must not make gigabytes of it.
        let in_file = self.alignment(Field::FILE_ALIGNMENT, "file alignment", MOST_IN_FILE)?;
        let in_memory = self.alignment(Field::SECTION_ALIGNMENT, "section alignment", u32::MAX)?.max(PAGE);
        let headers_size = self.size_headers(kept, in_file)?;

        let mut parts = Parts::default();
        let mut kept = kept.to_vec();
        kept.sort_by_key(|kept| kept.section.file_range.start);
        let mut cursor = align(headers_size, in_file);
        for kept in kept.iter_mut().filter(|kept| !kept.section.file_range.is_empty()) {
            cursor = align(cursor, in_file);
            kept.file = cursor;
            cursor = cursor.saturating_add(length(&kept.section.file_range));
        }
        cursor = align(cursor, in_file);

        let mut rows = Vec::new();
        let ends = kept.iter().map(|kept| kept.section.memory().end);
        let mut address = ends.fold(headers_size, u64::max);
        let mut data_size = u64::from(self.headers.u32(Field::DATA_SIZE));
        for added in &self.added {
            address = align(address, in_memory);
            let size = align(added.length, in_file);
            let row = Row { name: added.name, size: added.length, address, file_size: size, file: cursor };
            rows.push(row.bytes().ok_or(Error::TooBig(added.name))?);
            parts.push(cursor, added.length, From::Source(added.data, 0));
            cursor = cursor.saturating_add(size);
            address = address.saturating_add(added.length);
            data_size = data_size.saturating_add(size);
        }
        let last = self.added.last().map_or(Name(*b"headers\0"), |added| added.name);
        let narrow = |number: u64| u32::try_from(number).map_err(|_| Error::TooBig(last));

        let tail = self.tail(&kept)?;
        let tail_at = cursor;
        cursor = align(cursor.saturating_add(length(&tail)), QUADWORD);
        narrow(cursor)?;
        let moved = Moved { kept: &kept, tail: &tail, tail_at };

        let image_size = narrow(align(address, in_memory))?;
        let before = self.headers.u32(Field::IMAGE_SIZE);
        self.headers.set_u32(Field::IMAGE_SIZE, if self.drop_debug { image_size } else { image_size.max(before) });
        self.headers.set_u32(Field::DATA_SIZE, narrow(data_size)?);
        self.headers.set_u32(Field::HEADERS_SIZE, narrow(headers_size)?);
        self.headers.set_u32(Field::CHECKSUM, 0);
        let symbols = u64::from(self.headers.u32(Field::SYMBOLS_AT));
        self.headers.set_u32(Field::SYMBOLS_AT, if self.drop_debug { 0 } else { narrow(moved.to(symbols))? });
        if self.drop_debug {
            self.headers.set_u32(Field::SYMBOL_COUNT, 0);
        }
        self.write_table(&kept, &rows, headers_size)?;

        let debug = self.debug_directory(&moved)?;
        for kept in &kept {
            parts.section(self.base, kept, debug.as_ref());
        }
        parts.push(tail_at, length(&tail), From::Source(self.base, tail.start));
        parts.push(0, headers_size, From::Bytes(self.headers.bytes.clone()));
        parts.0.sort_by_key(|part| part.start);
        Ok(Unified { headers: self.headers, parts: parts.0, length: cursor })
    }

    fn alignment(&self, field: Field, what: &'static str, most: u32) -> Result<u64, Error> {
        let value = self.headers.u32(field);
        if value.is_power_of_two() && value <= most {
            Ok(u64::from(value))
        } else {
            Err(Error::Alignment { what, value })
        }
    }

    /// How long the headers must be. They are loaded as they are, so they must end before the first section.
    fn size_headers(&self, kept: &[Kept<'_>], in_file: u64) -> Result<u64, Error> {
        let count = kept.len().saturating_add(self.added.len());
        let table = self.headers.table().saturating_add(count.saturating_mul(ROW));
        let table = u64::try_from(table).unwrap_or(u64::MAX);
        let before = u64::from(self.headers.u32(Field::HEADERS_SIZE));
        let end = if table > before { align(table, in_file) } else { before };
        let memory = kept.iter().map(|kept| kept.section.memory()).filter(|memory| !memory.is_empty());
        let first = memory.map(|memory| memory.start).min().unwrap_or(u64::MAX);
        if end > first || u16::try_from(count).is_err() {
            return Err(Error::NoRoom { count, end, first });
        }
        Ok(end)
    }

    /// What stands behind the last section.
    fn tail(&self, kept: &[Kept<'_>]) -> Result<Range<u64>, Error> {
        let end = self.base.length().map_err(|source| error::Error::Io { offset: 0, source })?;
        let sections = self.sections.iter().map(|section| section.file_range.end);
        let headers = u64::from(self.headers.u32(Field::HEADERS_SIZE));
        let start = sections.max().unwrap_or_default().max(headers).min(end);
        let symbols = u64::from(self.headers.u32(Field::SYMBOLS_AT));
        let only_symbols = symbols >= start && self.drop_debug;
        let nothing = kept.is_empty() || only_symbols;
        Ok(if nothing { end..end } else { start..end })
    }

    fn write_table(&mut self, kept: &[Kept<'_>], added: &[[u8; ROW]], size: u64) -> Result<(), Error> {
        let table = self.headers.table();
        let before = table.saturating_add(self.sections.len().saturating_mul(ROW));
        let mut rows = Vec::new();
        let mut in_order: Vec<_> = kept.iter().collect();
        in_order.sort_by_key(|kept| kept.section.header_offset);
        for kept in in_order {
            let at = usize::try_from(kept.section.header_offset).unwrap_or(usize::MAX);
            let row = self.headers.bytes.get(at..).and_then(|rest| rest.first_chunk::<ROW>());
            let mut row = *row.ok_or(Error::TooBig(kept.name))?;
            kept.change(&mut row).ok_or(Error::TooBig(kept.name))?;
            rows.push(row);
        }
        rows.extend_from_slice(added);
        let end = table.saturating_add(rows.len().saturating_mul(ROW));
        let occupied = self.headers.bytes.get(before..end.max(before)).unwrap_or_default();
        if let Some(at) = occupied.iter().position(|&byte| byte != 0) {
            return Err(Error::Occupied(before.saturating_add(at)));
        }
        let size = usize::try_from(size).map_err(|_| Error::TooBig(Name(*b"headers\0")))?;
        self.headers.bytes.resize(size, 0);
        if let Some(old) = self.headers.bytes.get_mut(table..before.max(end)) {
            old.fill(0);
        }
        for (row, at) in rows.iter().zip((table..).step_by(ROW)) {
            self.headers.put(at, row);
        }
        self.headers.set_section_count(u16::try_from(rows.len()).unwrap_or(u16::MAX));
        Ok(())
    }

    /// The debug directory with the places that things have now, and where it stands in the input; `None` if it
    /// stays as it is.
    fn debug_directory(&self, moved: &Moved<'_>) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let Some(directory) = self.headers.debug().filter(|debug| debug.size != 0) else { return Ok(None) };
        if moved
            .kept
            .iter()
            .all(|kept| kept.section.file_range.is_empty() || kept.file == kept.section.file_range.start)
        {
            return Ok(None);
        }
        let (address, size) = (u64::from(directory.address), u64::from(directory.size));
        let at = moved.kept.iter().find_map(|kept| {
            let into = address.checked_sub(u64::from(kept.section.virtual_address))?;
            let fits = into.checked_add(size)? <= length(&kept.section.file_range);
            fits.then(|| kept.section.file_range.start.saturating_add(into))
        });
        let at = at.filter(|_| size <= MOST_DEBUG).ok_or(Error::DebugDirectory)?;
        let mut bytes = source::read(self.base, at, size, Part::Section)?;
        for entry in bytes.chunks_exact_mut(DEBUG_ENTRY) {
            let Some(place) = entry.last_chunk_mut::<4>() else { continue };
            let to = moved.to(u64::from(u32::from_le_bytes(*place)));
            *place = u32::try_from(to).map_err(|_| Error::DebugDirectory)?.to_le_bytes();
        }
        Ok(Some((at, bytes)))
    }
}

/// The size of an entry of the debug directory. Its last four bytes are a place in the file.
const DEBUG_ENTRY: usize = 28;
/// A debug directory has a handful of entries.
const MOST_DEBUG: u64 = 64 << 10;
/// The largest alignment in the file.
const MOST_IN_FILE: u32 = 64 << 10;
/// What an image is moved by.
const RELOCATIONS: Name = Name(*b".reloc\0\0");
/// Firmware sets access rights by page.
const PAGE: u64 = 0x1000;

/// A section of the input that stays.
#[derive(Clone)]
struct Kept<'a> {
    section: &'a Section,
    name: Name,
    /// Where its bytes will stand.
    file: u64,
    /// Whether it loses the mark that it may be discarded.
    loaded: bool,
}

impl Kept<'_> {
    fn change(&self, row: &mut [u8; ROW]) -> Option<()> {
        row.get_mut(..8)?.copy_from_slice(&self.name.0);
        if !self.section.file_range.is_empty() && self.file != self.section.file_range.start {
            row.get_mut(20..24)?.copy_from_slice(&u32::try_from(self.file).ok()?.to_le_bytes());
        }
        if self.loaded {
            let flags = self.section.characteristics.0 & !Characteristics::DISCARDABLE.0;
            *row.last_chunk_mut()? = flags.to_le_bytes();
        }
        Some(())
    }
}

/// A new row of the table of sections.
struct Row {
    name: Name,
    size: u64,
    address: u64,
    file_size: u64,
    file: u64,
}

impl Row {
    /// `None` if a number has more than 32 bits.
    fn bytes(&self) -> Option<[u8; ROW]> {
        self.address.checked_add(self.size).filter(|&end| u32::try_from(end).is_ok())?;
        let flags = Characteristics::DATA.0 | Characteristics::READ.0;
        let mut row = [0; ROW];
        row.get_mut(..8)?.copy_from_slice(&self.name.0);
        for (number, at) in
            [self.size, self.address, self.file_size, self.file].into_iter().zip([8usize, 12, 16, 20])
        {
            row.get_mut(at..)?.get_mut(..4)?.copy_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
        }
        *row.last_chunk_mut()? = flags.to_le_bytes();
        Some(row)
    }
}

/// Where the bytes of the input went.
struct Moved<'m> {
    kept: &'m [Kept<'m>],
    tail: &'m Range<u64>,
    tail_at: u64,
}

impl Moved<'_> {
    /// Where a place is now; zero if it is gone.
    fn to(&self, place: u64) -> u64 {
        let sections = self.kept.iter().map(|kept| (&kept.section.file_range, kept.file));
        let mut parts = sections.chain([(self.tail, self.tail_at)]);
        let part = parts.find(|(range, _)| range.contains(&place));
        part.map_or(0, |(range, at)| at.saturating_add(place.saturating_sub(range.start)))
    }
}

/// A unified image that is not signed. As a [`Source`] it has no checksum yet; [`Unified::write`] fills it in, and
/// so does what signs it.
pub struct Unified<'a> {
    headers: Headers,
    /// By their start. What is between them is zeros.
    parts: Vec<Piece<'a>>,
    length: u64,
}

impl Unified<'_> {
    /// Writes the image.
    ///
    /// # Errors
    /// If a part cannot be read, or `out` is not empty or cannot be written. What it holds then is of no use.
    pub fn write(&self, out: &mut (impl Write + Seek)) -> Result<(), Error> {
        let mut headers = self.headers.clone();
        let end = u64::try_from(headers.bytes.len()).unwrap_or(u64::MAX);
        expect_empty(out).map_err(Error::Write)?;
        out.write_all(&headers.bytes).map_err(Error::Write)?;
        let mut body = Checksum::default();
        let io = |offset, source| Error::Image(error::Error::Io { offset, source });
        each_chunk(self, end..self.length, io, |chunk| {
            body.update(chunk);
            out.write_all(chunk).map_err(Error::Write)
        })?;
        let mut checksum = Checksum::default();
        checksum.update(&headers.bytes);
        headers.set_u32(Field::CHECKSUM, checksum.followed_by(&body).value());
        out.seek(SeekFrom::Start(0)).map_err(Error::Write)?;
        out.write_all(&headers.bytes).map_err(Error::Write)?;
        out.seek(SeekFrom::Start(self.length)).map_err(Error::Write)?;
        out.flush().map_err(Error::Write)
    }
}

impl Source for Unified<'_> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let size = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let end =
            offset.checked_add(size).filter(|&end| end <= self.length).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.fill(0);
        let first = self.parts.partition_point(|part| part.start.saturating_add(part.length) <= offset);
        for part in self.parts.iter().skip(first).take_while(|part| part.start < end) {
            let from = part.start.max(offset);
            let to = part.start.saturating_add(part.length).min(end);
            let place = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
            if let Some(buffer) = buffer.get_mut(place(from)..place(to)).filter(|_| from < to) {
                part.read(from.saturating_sub(part.start), buffer)?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Parts<'a>(Vec<Piece<'a>>);

/// A piece of the file to be, and where its bytes come from.
struct Piece<'a> {
    start: u64,
    length: u64,
    from: From<'a>,
}

enum From<'a> {
    Source(&'a dyn Source, u64),
    Bytes(Vec<u8>),
}

impl Piece<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &self.from {
            From::Source(source, start) => source.read_at(start.saturating_add(offset), buffer),
            From::Bytes(bytes) => bytes.as_slice().read_at(offset, buffer),
        }
    }
}

impl<'a> Parts<'a> {
    fn push(&mut self, start: u64, length: u64, from: From<'a>) {
        self.0.push(Piece { start, length, from });
    }

    /// A section of the input, with its part of the debug directory changed.
    fn section(&mut self, base: &'a dyn Source, kept: &Kept<'a>, debug: Option<&(u64, Vec<u8>)>) {
        let range = &kept.section.file_range;
        let Some((at, bytes)) = debug.filter(|(at, _)| range.contains(at)) else {
            return self.push(kept.file, length(range), From::Source(base, range.start));
        };
        let before = at.saturating_sub(range.start);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let behind = before.saturating_add(size);
        self.push(kept.file, before, From::Source(base, range.start));
        self.push(kept.file.saturating_add(before), size, From::Bytes(bytes.clone()));
        let rest = length(range).saturating_sub(behind);
        self.push(kept.file.saturating_add(behind), rest, From::Source(base, range.start.saturating_add(behind)));
    }
}

fn name_of(name: &str) -> Option<Name> {
    let good =
        (2..=8).contains(&name.len()) && name.starts_with('.') && name.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| shortened(name.as_bytes()))
}

/// The first eight bytes.
fn shortened(name: &[u8]) -> Name {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(name) {
        *to = *from;
    }
    Name(bytes)
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

fn align(value: u64, to: u64) -> u64 {
    value.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}
