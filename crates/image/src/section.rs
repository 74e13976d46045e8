//! One section of an image.

use core::fmt;
use core::ops::Range;

/// A row of the table of sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: Name,
    /// Where the firmware puts it, from the start of the loaded image.
    pub virtual_address: u32,
    /// Its size there.
    pub virtual_size: u32,
    /// Where its bytes stand in the file; empty if it has none.
    pub file_range: Range<u64>,
    /// What it is, and what may be done with its memory.
    pub characteristics: Characteristics,
    /// Where the row itself stands in the file.
    pub header_offset: u64,
}

impl Section {
    /// What it takes up in the loaded image.
    pub(crate) fn memory(&self) -> Range<u64> {
        let start = u64::from(self.virtual_address);
        let in_file = self.file_range.end.saturating_sub(self.file_range.start);
        // Without a size in memory, firmware (EDK2) loads what the file has, though Xen takes it for empty.
        let size = if self.virtual_size == 0 { in_file } else { u64::from(self.virtual_size) };
        start..start.saturating_add(size)
    }
}

/// The name of a section as it stands in the table: eight bytes, filled up with NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub [u8; 8]);

impl Name {
    /// The name up to its first NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

/// The characteristics of a section, a set of flags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Characteristics(pub u32);

impl Characteristics {
    /// It holds code.
    pub const CODE: Self = Self(0x20);
    /// It holds data.
    pub const DATA: Self = Self(0x40);
    /// It holds zeros, which the file does not have.
    pub const ZEROS: Self = Self(0x80);
    /// It can be dropped once the image runs.
    pub const DISCARDABLE: Self = Self(0x0200_0000);
    /// It may be executed.
    pub const EXECUTE: Self = Self(0x2000_0000);
    /// It may be read.
    pub const READ: Self = Self(0x4000_0000);
    /// It may be written.
    pub const WRITE: Self = Self(0x8000_0000);

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl fmt::Debug for Characteristics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The bytes of a section as Xen sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The bytes from the file.
    pub bytes: Vec<u8>,
    /// How many zeros the firmware adds behind them. They are not part of `bytes`: a hostile image can ask for
    /// gigabytes of them.
    pub zeros: u64,
}
