//! The headers and the table of sections.

use core::mem::{offset_of, size_of};
use core::ops::Range;

use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DOS_SIGNATURE, IMAGE_FILE_MACHINE_AMD64, IMAGE_NT_OPTIONAL_HDR64_MAGIC, IMAGE_NT_SIGNATURE,
    ImageDosHeader, ImageFileHeader, ImageNtHeaders64, ImageOptionalHeader64, ImageSectionHeader,
};
use object::pod::{self, Pod};

use crate::error::{Area, Error, Fault, Part, Problem};
use crate::section::{Characteristics, Name, Section};
use crate::source::{self, Source};

/// Reads all there is before the first section's bytes, and checks what the table says.
pub(crate) fn read(source: &impl Source) -> Result<Vec<Section>, Error> {
    let dos: ImageDosHeader = read_as(source, 0, Part::MzHeader)?;
    if dos.e_magic.get(LE) != IMAGE_DOS_SIGNATURE {
        return Err(Problem::new(0, Fault::NoMz).into());
    }
    let pe_at = u64::from(dos.e_lfanew.get(LE));
    let pe: ImageNtHeaders64 = read_as(source, pe_at, Part::PeHeader)?;
    check_pe(pe_at, &pe)?;

    let length = source.length().map_err(|source| Error::Io { offset: 0, source })?;
    let limits = Limits {
        headers: u64::from(pe.optional_header.size_of_headers.get(LE)),
        image: u64::from(pe.optional_header.size_of_image.get(LE)),
        length,
    };
    let headers_at = at(pe_at, offset_of!(ImageNtHeaders64, optional_header))
        .saturating_add(widen(offset_of!(ImageOptionalHeader64, size_of_headers)));
    if limits.headers > length {
        return Err(Problem::truncated(0, Part::Headers, length).into());
    }
    if limits.headers > limits.image {
        let fault = Fault::OutsideImage { area: Area::Headers, end: limits.headers, image: limits.image };
        return Err(Problem::new(headers_at, fault).into());
    }

    let sections = read_table(source, pe_at, &pe.file_header, limits.headers)?;
    sections.iter().try_for_each(|section| limits.check(section))?;
    check_overlaps(&sections, &limits)?;
    Ok(sections)
}

fn check_pe(pe_at: u64, pe: &ImageNtHeaders64) -> Result<(), Problem> {
    let file = at(pe_at, offset_of!(ImageNtHeaders64, file_header));
    let optional = at(pe_at, offset_of!(ImageNtHeaders64, optional_header));
    if pe.signature.get(LE) != IMAGE_NT_SIGNATURE {
        return Err(Problem::new(pe_at, Fault::NoPe));
    }
    let machine = pe.file_header.machine.get(LE);
    if machine != IMAGE_FILE_MACHINE_AMD64 {
        return Err(Problem::new(at(file, offset_of!(ImageFileHeader, machine)), Fault::Machine(machine.0)));
    }
    let size = pe.file_header.size_of_optional_header.get(LE);
    if usize::from(size) < size_of::<ImageOptionalHeader64>() {
        let offset = at(file, offset_of!(ImageFileHeader, size_of_optional_header));
        return Err(Problem::new(offset, Fault::ShortOptionalHeader(size)));
    }
    let magic = pe.optional_header.magic.get(LE);
    if magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC {
        return Err(Problem::new(optional, Fault::NotPe32Plus(magic)));
    }
    Ok(())
}

fn read_table(
    source: &impl Source,
    pe_at: u64,
    header: &ImageFileHeader,
    headers: u64,
) -> Result<Vec<Section>, Error> {
    let count = header.number_of_sections.get(LE);
    let count_at = at(pe_at, offset_of!(ImageNtHeaders64, file_header))
        .saturating_add(widen(offset_of!(ImageFileHeader, number_of_sections)));
    if count == 0 {
        return Err(Problem::new(count_at, Fault::NoSections).into());
    }
    let row = widen(size_of::<ImageSectionHeader>());
    let start = at(pe_at, offset_of!(ImageNtHeaders64, optional_header))
        .saturating_add(u64::from(header.size_of_optional_header.get(LE)));
    let size = row.saturating_mul(u64::from(count));
    let end = start.saturating_add(size);
    if end > headers {
        return Err(Problem::new(count_at, Fault::TooManySections { count, end, headers }).into());
    }
    let table = source::read(source, start, size, Part::SectionTable)?;
    let rows = table
        .chunks_exact(size_of::<ImageSectionHeader>())
        .zip((start..).step_by(size_of::<ImageSectionHeader>()));
    rows.map(|(bytes, offset)| Ok(section(&parse(bytes, offset, Part::SectionTable)?, offset))).collect()
}

fn section(header: &ImageSectionHeader, header_offset: u64) -> Section {
    let size = u64::from(header.size_of_raw_data.get(LE));
    // Without bytes in the file, the pointer to them means nothing.
    let start = if size == 0 { 0 } else { u64::from(header.pointer_to_raw_data.get(LE)) };
    Section {
        name: Name(header.name),
        virtual_address: header.virtual_address.get(LE),
        virtual_size: header.virtual_size.get(LE),
        file_range: start..start.saturating_add(size),
        characteristics: Characteristics(header.characteristics.get(LE).0),
        header_offset,
    }
}

struct Limits {
    headers: u64,
    image: u64,
    length: u64,
}

impl Limits {
    /// Whether a section lies in the file and in the image. Sums of two 32-bit numbers cannot overflow here; in
    /// Xen's own check they wrap.
    fn check(&self, section: &Section) -> Result<(), Problem> {
        let area = Area::Section(section.name);
        let Range { start, end } = section.file_range;
        if end > self.length {
            let offset = at(section.header_offset, offset_of!(ImageSectionHeader, pointer_to_raw_data));
            return Err(Problem::new(offset, Fault::OutsideFile { area, start, end, length: self.length }));
        }
        let memory = section.memory();
        if memory.end > self.image {
            let offset = at(section.header_offset, offset_of!(ImageSectionHeader, virtual_address));
            return Err(Problem::new(offset, Fault::OutsideImage { area, end: memory.end, image: self.image }));
        }
        Ok(())
    }
}

fn check_overlaps(sections: &[Section], limits: &Limits) -> Result<(), Problem> {
    let memory = sections.iter().map(|section| (section, section.memory()));
    if let Some((first, second)) = overlap(memory, limits.headers) {
        let offset = at(second.header_offset, offset_of!(ImageSectionHeader, virtual_address));
        let start = u64::from(second.virtual_address);
        let fault = Fault::OverlapInMemory { first, second: Area::Section(second.name), start };
        return Err(Problem::new(offset, fault));
    }
    let file = sections.iter().map(|section| (section, section.file_range.clone()));
    if let Some((first, second)) = overlap(file, limits.headers) {
        let offset = at(second.header_offset, offset_of!(ImageSectionHeader, pointer_to_raw_data));
        let start = second.file_range.start;
        let fault = Fault::OverlapInFile { first, second: Area::Section(second.name), start };
        return Err(Problem::new(offset, fault));
    }
    Ok(())
}

/// The first section that begins before another one, or the headers, end.
fn overlap<'s>(
    ranges: impl Iterator<Item = (&'s Section, Range<u64>)>,
    headers: u64,
) -> Option<(Area, &'s Section)> {
    let mut ranges: Vec<_> = ranges.filter(|(_, range)| !range.is_empty()).collect();
    ranges.sort_by_key(|(_, range)| range.start);
    let mut before = Area::Headers;
    let mut end = headers;
    for (section, range) in ranges {
        if range.start < end {
            return Some((before, section));
        }
        (before, end) = (Area::Section(section.name), range.end);
    }
    None
}

fn read_as<T: Pod>(source: &impl Source, offset: u64, part: Part) -> Result<T, Error> {
    let bytes = source::read(source, offset, widen(size_of::<T>()), part)?;
    Ok(parse(&bytes, offset, part)?)
}

fn parse<T: Pod>(bytes: &[u8], offset: u64, part: Part) -> Result<T, Problem> {
    let length = offset.saturating_add(widen(bytes.len()));
    let (value, _) = pod::from_bytes::<T>(bytes).map_err(|()| Problem::truncated(offset, part, length))?;
    Ok(*value)
}

/// The offset of a field.
fn at(offset: u64, field: usize) -> u64 {
    offset.saturating_add(widen(field))
}

fn widen(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
