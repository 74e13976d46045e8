//! SBAT: the table in an image by which shim revokes it, and the revocations that it is held against.
//!
//! A table has rows of six fields (shim's `SBAT.md`). It is read here more strictly than by shim, which goes on with
//! what `atoi` makes of a generation: whatever shim, or somebody else, could take in another way is a [`Mistake`]. Each has its place
//! and says what to do. [`Table::examine`] gives the rows that are good beside the mistakes, [`Table::read`] a table without any.
//!
//! shim reads the bytes that the section has *in the file*, up to the end that they are padded to, and takes what stands
//! behind a zero byte for further rows (`verify_buffer_sbat` and `parse_csv_data`, shim 15.8). So does this.
//!
//! [`Level`] is what revokes, [`Levels`] what shim carries of it, and [`revoked`] holds the two against each other.

mod level;

use core::fmt;
use core::mem::offset_of;

use object::pe::ImageSectionHeader;

pub use level::{Date, Level, LevelMistake, Levels, LevelsError, Requirement};

use crate::error::{Error, Part};
use crate::source::{self, Source};
use crate::{Image, Name, Section};

/// The section that a table stands in.
pub const SECTION: &str = ".sbat";

/// Tables have some hundred bytes. What is held in memory has an end.
pub const LONGEST: u64 = 64 << 10;

/// The first row of every table.
pub const HEADER: &str = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";

/// The fields of a row, in order.
pub const FIELDS: [&str; 6] = [
    "component_name",
    "component_generation",
    "vendor_name",
    "vendor_package_name",
    "vendor_version",
    "vendor_url",
];

/// A table that has no mistakes, or the rows of one that has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its rows, the one of SBAT itself first.
    pub rows: Vec<Row>,
}

/// A row. Shown as it stands in a table, without the end of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the text, from 1.
    pub line: usize,
    /// What is compared: letters are the same only in the same case.
    pub component: String,
    /// Rises with each revocation, and never falls.
    pub generation: u16,
    /// Who makes it, for people.
    pub vendor: String,
    /// What it is called there, for people.
    pub package: String,
    /// Which version it is, for people.
    pub version: String,
    /// Where to ask, for people.
    pub url: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line: _, component, generation, vendor, package, version, url } = self;
        write!(f, "{component},{generation},{vendor},{package},{version},{url}")
    }
}

/// What is wrong with a table, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct Mistake {
    /// The line, from 1; zero where the section is meant and not its text.
    pub line: usize,
    /// The column in bytes, from 1; zero where the section is meant.
    pub column: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// See [`Mistake`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No row at all.
    #[error("there is no row in it")]
    Empty,
    /// Far longer than any table.
    #[error("it has more than {} bytes", LONGEST)]
    Long,
    /// A byte that is not printable ASCII.
    #[error("there is a byte {0:#04x}, which is no printable ASCII")]
    Byte(u8),
    /// A quotation mark. It does not hold a field together.
    #[error("there is a quotation mark: shim does not know quoting, and a comma inside still ends the field")]
    Quote,
    /// Rows behind the zero byte that seems to end the text.
    #[error("there is text behind a zero byte: shim reads it as further rows, other readers end before it")]
    BehindZero,
    /// Rows behind the end of the section in memory.
    #[error("the text goes on behind the section's size in memory: shim reads it, other readers end before it")]
    BehindSize,
    /// More or fewer than six fields.
    #[error("the row has {0} fields, not six")]
    FieldCount(usize),
    /// A field without a byte.
    #[error("the field {0} is empty")]
    EmptyField(&'static str),
    /// A field that begins or ends with a space. Names would not be the same with it.
    #[error("the field {0} begins or ends with a space")]
    Space(&'static str),
    /// A generation that is no number, or one that shim's 16 bits cannot hold.
    #[error("the generation {0:?} is no whole number from 1 to 65535, written plainly")]
    Generation(String),
    /// The first row is not the one of SBAT itself.
    #[error("the first row is not the one of sbat itself")]
    NoHeader,
    /// Two rows for one component.
    #[error("{component} has a row already, in line {line}")]
    Duplicate {
        /// Which component.
        component: String,
        /// Where its first row stands.
        line: usize,
    },
    /// Two sections. shim refuses the image.
    #[error("the image has more than one section {SECTION}: shim refuses it")]
    Sections,
    /// The file has fewer bytes than the section in memory. shim passes over the section, and refuses the image.
    #[error("the section has {in_file:#x} bytes in the file and {in_memory:#x} in memory: shim passes over it")]
    Short {
        /// How many bytes the file has.
        in_file: u64,
        /// How many it has in memory.
        in_memory: u64,
    },
    /// It has relocations. shim refuses the image.
    #[error("the section has relocations: shim refuses the image")]
    Relocations,
}

impl Fault {
    /// What it is known by; never changes its meaning.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Empty => "sbat-empty",
            Self::Long => "sbat-long",
            Self::Byte(_) => "sbat-byte",
            Self::Quote => "sbat-quote",
            Self::BehindZero => "sbat-behind-zero",
            Self::BehindSize => "sbat-behind-size",
            Self::FieldCount(_) => "sbat-field-count",
            Self::EmptyField(_) => "sbat-empty-field",
            Self::Space(_) => "sbat-space",
            Self::Generation(_) => "sbat-generation",
            Self::NoHeader => "sbat-no-header",
            Self::Duplicate { .. } => "sbat-duplicate",
            Self::Sections => "sbat-sections",
            Self::Short { .. } => "sbat-short",
            Self::Relocations => "sbat-relocations",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Empty => "write one with xen-lockdown sbat write",
            Self::Long => "give the right file",
            Self::Byte(_) => "write it in plain ASCII, without tabs and without a byte order mark",
            Self::Quote => "take it out, and every comma that it should have held",
            Self::BehindZero | Self::BehindSize => "end the section with the text, and fill it up with zeros",
            Self::FieldCount(_) => {
                "give component_name, component_generation, vendor_name, vendor_package_name, vendor_version, vendor_url, \
                 without a comma in any"
            }
            Self::EmptyField(_) => "shim refuses it: fill it in",
            Self::Space(_) => "take the space out",
            Self::Generation(_) => "write a plain number; generations begin with 1",
            Self::NoHeader => {
                "begin with sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"
            }
            Self::Duplicate { .. } => "keep one row, with the higher generation",
            Self::Sections => "build the image with one table",
            Self::Short { .. } => "build the image again: the section must stand in the file whole",
            Self::Relocations => "build the image again, with a section that is only data",
        }
    }
}

impl Table {
    /// Reads a table that has no mistakes. Zeros behind it are its padding.
    ///
    /// # Errors
    /// All that is wrong with it, by place.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<Mistake>> {
        let (table, mistakes) = Self::examine(bytes);
        if mistakes.is_empty() { Ok(table) } else { Err(mistakes) }
    }

    /// The rows that can be read, and all that is wrong, by place.
    #[must_use]
    pub fn examine(bytes: &[u8]) -> (Self, Vec<Mistake>) {
        let at = |line, column, fault| Mistake { line, column, fault };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
            return (Self::default(), vec![at(1, 1, Fault::Long)]);
        }
        let mut mistakes = Vec::new();
        let mut table = Self::default();
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last.saturating_add(1));
        let mut first = true;
        for line in lines(bytes.get(..end).unwrap_or_default()) {
            if core::mem::take(&mut first) && component(line.bytes) != b"sbat" {
                mistakes.push(at(line.number, 1, Fault::NoHeader));
            }
            match row(&line) {
                Ok(row) => match table.row(&row.component) {
                    Some(before) => {
                        let fault = Fault::Duplicate { component: row.component, line: before.line };
                        mistakes.push(at(line.number, 1, fault));
                    }
                    None => table.rows.push(row),
                },
                Err(more) => mistakes.extend(more),
            }
        }
        if first {
            mistakes.push(at(1, 1, Fault::Empty));
        }
        (table, mistakes)
    }

    /// The row of a component.
    #[must_use]
    pub fn row(&self, component: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.component == component)
    }
}

/// As it stands in a file.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// A row that is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked<'a> {
    /// What the image has.
    pub row: &'a Row,
    /// What the revocations want.
    pub wanted: &'a Requirement,
}

/// The rows of a table whose generation is lower than the revocations want. An image with one is refused. What only one of the two
/// names does not count (`verify_sbat_helper`, shim 15.8).
#[must_use]
pub fn revoked<'a>(table: &'a Table, level: &'a Level) -> Vec<Revoked<'a>> {
    let wanted = |row: &Row| level.requirements().find(|wanted| wanted.component == row.component);
    let rows = table.rows.iter().filter_map(|row| Some(Revoked { row, wanted: wanted(row)? }));
    rows.filter(|revoked| revoked.row.generation < revoked.wanted.generation).collect()
}

/// What is different in a newer table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A component that the older one does not have.
    Added(&'a Row),
    /// A component that only the older one has.
    Removed(&'a Row),
    /// Another generation, or another text: before and now.
    Changed(&'a Row, &'a Row),
}

impl Change<'_> {
    /// Whether revocations that held for the older one would no longer hold.
    #[must_use]
    pub const fn goes_down(&self) -> bool {
        match self {
            Self::Added(_) => false,
            Self::Removed(_) => true,
            Self::Changed(before, now) => now.generation < before.generation,
        }
    }
}

/// What is different between two tables, in the order of the newer one.
#[must_use]
pub fn compare<'a>(before: &'a Table, now: &'a Table) -> Vec<Change<'a>> {
    let same = |one: &Row, other: &Row| Row { line: 0, ..one.clone() } == Row { line: 0, ..other.clone() };
    let changed = now.rows.iter().filter_map(|row| match before.row(&row.component) {
        None => Some(Change::Added(row)),
        Some(old) => (!same(old, row)).then_some(Change::Changed(old, row)),
    });
    let removed = before.rows.iter().filter(|row| now.row(&row.component).is_none()).map(Change::Removed);
    changed.chain(removed).collect()
}

impl<S: Source> Image<S> {
    /// The table that shim would read, and what is wrong with it; `None` if the image has no section for it, which shim refuses.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn sbat(&self) -> Result<Option<(Table, Vec<Mistake>)>, Error> {
        let name = Name(*b".sbat\0\0\0");
        let mut sections = self.sections.iter().filter(|section| section.name == name);
        let Some(section) = sections.next() else { return Ok(None) };
        let range = &section.file_range;
        let (in_file, in_memory) = (range.end.saturating_sub(range.start), u64::from(section.virtual_size));
        let bytes =
            source::read(&self.source, range.start, in_file.min(LONGEST.saturating_add(1)), Part::Section)?;
        let (table, mut mistakes) = Table::examine(&bytes);
        let mut of_section = |fault| mistakes.push(Mistake { line: 0, column: 0, fault });
        if sections.next().is_some() {
            of_section(Fault::Sections);
        }
        if in_file < in_memory || in_file == 0 {
            of_section(Fault::Short { in_file, in_memory });
        }
        if self.has_relocations(section)? {
            of_section(Fault::Relocations);
        }
        let behind = usize::try_from(in_memory).ok().and_then(|size| bytes.get(size..));
        if behind.is_some_and(|behind| behind.iter().any(|&byte| byte != 0)) {
            of_section(Fault::BehindSize);
        }
        Ok(Some((table, mistakes)))
    }

    /// Whether the section's row points to relocations, or counts some.
    fn has_relocations(&self, section: &Section) -> Result<bool, Error> {
        let at = offset_of!(ImageSectionHeader, pointer_to_relocations);
        let at = section.header_offset.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
        let row = source::read(&self.source, at, RELOCATIONS, Part::SectionTable)?;
        // Between the two stands a pointer to line numbers.
        let (pointer, rest) = row.split_at_checked(4).unwrap_or_default();
        Ok(pointer.iter().chain(rest.get(4..6).unwrap_or_default()).any(|&byte| byte != 0))
    }
}

/// From the pointer to the relocations to their number, both with it.
const RELOCATIONS: u64 = 10;

/// A line with something in it.
struct Line<'a> {
    number: usize,
    bytes: &'a [u8],
    /// Whether a zero byte stands before it.
    behind_zero: bool,
}

/// The lines of a text that have something in them. A carriage return ends one too, and does not count as a line where a line feed
/// follows it.
fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut number = 1usize;
    let mut behind_zero = false;
    let mut ended_by_return = false;
    text.split_inclusive(|byte| matches!(byte, b'\n' | b'\r' | 0)).filter_map(move |bytes| {
        let (end, bytes) = match bytes.split_last() {
            Some((end @ (b'\n' | b'\r' | 0), rest)) => (*end, rest),
            _ => (b'\n', bytes),
        };
        // The line feed of the line that a carriage return has ended.
        if end == b'\n' && bytes.is_empty() && core::mem::take(&mut ended_by_return) {
            return None;
        }
        let line = Line { number, bytes, behind_zero };
        ended_by_return = end == b'\r';
        if end == 0 {
            behind_zero = true;
        } else {
            number = number.saturating_add(1);
        }
        (!line.bytes.is_empty()).then_some(line)
    })
}

fn component(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b',').next().unwrap_or_default()
}

/// Fields with their columns.
fn fields(line: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut column = 1usize;
    line.split(|&byte| byte == b',').map(move |field| {
        let at = column;
        column = column.saturating_add(field.len()).saturating_add(1);
        (at, field)
    })
}

fn row(line: &Line<'_>) -> Result<Row, Vec<Mistake>> {
    let mut mistakes = bad_bytes(line);
    let mut mistake = |column, fault| mistakes.push(Mistake { line: line.number, column, fault });
    let count = fields(line.bytes).count();
    if count != FIELDS.len() {
        mistake(1, Fault::FieldCount(count));
    }
    let mut texts = fields(line.bytes).zip(FIELDS).map(|((column, field), name)| {
        if field.is_empty() {
            mistake(column, Fault::EmptyField(name));
        } else if field.trim_ascii() != field {
            mistake(column, Fault::Space(name));
        } else if name == "component_generation" && generation(field).is_none() {
            mistake(column, Fault::Generation(shown(field)));
        }
        shown(field)
    });
    let mut next = || texts.next().unwrap_or_default();
    let (component, number) = (next(), next());
    let generation = generation(number.as_bytes()).unwrap_or_default();
    let row = Row {
        line: line.number,
        component,
        generation,
        vendor: next(),
        package: next(),
        version: next(),
        url: next(),
    };
    drop(texts);
    mistakes.sort_by_key(|mistake| mistake.column);
    if mistakes.is_empty() { Ok(row) } else { Err(mistakes) }
}

/// The first byte of a line that should not be there.
fn bad_bytes(line: &Line<'_>) -> Vec<Mistake> {
    let at = |column: usize, fault| Mistake { line: line.number, column: column.saturating_add(1), fault };
    let mut mistakes = Vec::new();
    if line.behind_zero {
        mistakes.push(at(0, Fault::BehindZero));
    }
    if let Some(column) = line.bytes.iter().position(|byte| !matches!(byte, b' '..=b'~')) {
        mistakes.push(at(column, Fault::Byte(line.bytes.get(column).copied().unwrap_or_default())));
    }
    if let Some(column) = line.bytes.iter().position(|&byte| byte == b'"') {
        mistakes.push(at(column, Fault::Quote));
    }
    mistakes
}

/// A number from 1 to 65535 without a sign, spaces, or zeros in front: shim's `atoi` puts what it makes of it into 16 bits.
fn generation(text: &[u8]) -> Option<u16> {
    let plain = text.first() != Some(&b'0') && text.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
