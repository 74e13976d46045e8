//! What can be wrong with an image.

use core::fmt;
use std::io;

use crate::section::Name;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read at offset {offset:#x}: {source}")]
    Io {
        /// From where.
        offset: u64,
        /// The system's word for it.
        source: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("not a regular file")]
    NotAFile,
    /// It can be read, but it is no image that could be booted, or not in one way only.
    #[error(transparent)]
    Malformed(#[from] Problem),
}

/// What is wrong with the bytes of an image, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at offset {offset:#x}: {fault}")]
pub struct Problem {
    /// Where in the file the fault is stated.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
}

impl Problem {
    pub(crate) const fn new(offset: u64, fault: Fault) -> Self {
        Self { offset, fault }
    }

    pub(crate) const fn truncated(offset: u64, part: Part, length: u64) -> Self {
        Self::new(offset, Fault::Truncated { part, length })
    }
}

/// See [`Problem`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A part of it does not fit into the file.
    #[error("{part} begins here, and the file ends at {length:#x}, before it does")]
    Truncated {
        /// What is cut off.
        part: Part,
        /// The length of the file.
        length: u64,
    },
    /// It does not begin with `MZ`.
    #[error("no MZ header: this is not an EFI image")]
    NoMz,
    /// There is no `PE\0\0` where the MZ header says it is.
    #[error("no PE header here, though the MZ header says so")]
    NoPe,
    /// Not x86-64. Xen finds no section in it then.
    #[error("the image is for machine {0:#06x}, not for x86-64 (0x8664)")]
    Machine(u16),
    /// Not PE32+.
    #[error("the optional header has magic {0:#06x}, not that of PE32+ (0x020b)")]
    NotPe32Plus(u16),
    /// The optional header is too short for what it must hold.
    #[error("the optional header has {0} bytes, at least 112 are needed")]
    ShortOptionalHeader(u16),
    /// An image without sections.
    #[error("the image has no sections")]
    NoSections,
    /// Headers that are held in memory to be changed, and are far larger than any image's.
    #[error("the headers are {0:#x} bytes long, more than any image needs")]
    LongHeaders(u64),
    /// The table is longer than the headers, which are what the firmware loads and Xen reads.
    #[error(
        "too many sections: the table of {count} ends at {end:#x}, and the headers it belongs to at {headers:#x}"
    )]
    TooManySections {
        /// How many there should be.
        count: u16,
        /// Where their table would end.
        end: u64,
        /// Where the headers end.
        headers: u64,
    },
    /// Headers, or a section, that the loaded image has no room for.
    #[error("{area} ends at {end:#x} in memory, and the image at {image:#x}")]
    OutsideImage {
        /// Which.
        area: Area,
        /// Where it ends.
        end: u64,
        /// Where the image ends.
        image: u64,
    },
    /// A section whose bytes the file does not have.
    #[error("the data of {area} stands at {start:#x} to {end:#x}, and the file ends at {length:#x}")]
    OutsideFile {
        /// Which.
        area: Area,
        /// Where its bytes should begin.
        start: u64,
        /// Where they should end.
        end: u64,
        /// The length of the file.
        length: u64,
    },
    /// Signatures that the file does not have.
    #[error("the signatures stand at {start:#x} to {end:#x}, and the file ends at {length:#x}")]
    SignaturesOutsideFile {
        /// Where they should begin.
        start: u64,
        /// Where they should end.
        end: u64,
        /// The length of the file.
        length: u64,
    },
    /// Signatures that are longer than there is room for them.
    #[error("the signatures are {size:#x} bytes long, and there is room for {room:#x}")]
    LongSignatures {
        /// How long they should be.
        size: u64,
        /// How long they can be.
        room: u64,
    },
    /// Two that share memory: what Xen sees depends on the firmware.
    #[error("{second} begins at {start:#x} in memory, inside {first}")]
    OverlapInMemory {
        /// The one that begins first.
        first: Area,
        /// The other.
        second: Area,
        /// Where the other begins.
        start: u64,
    },
    /// Two that share bytes of the file.
    #[error("the data of {second} begins at {start:#x} in the file, inside that of {first}")]
    OverlapInFile {
        /// The one that begins first.
        first: Area,
        /// The other.
        second: Area,
        /// Where the other begins.
        start: u64,
    },
}

/// A part of the file that is read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The MZ header.
    MzHeader,
    /// The PE header and the optional header.
    PeHeader,
    /// All headers, as far as the firmware loads them.
    Headers,
    /// The table of sections.
    SectionTable,
    /// The bytes of a section.
    Section,
    /// The table of signatures.
    Signatures,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MzHeader => "the MZ header",
            Self::PeHeader => "the PE header",
            Self::Headers => "what the image calls its headers",
            Self::SectionTable => "the table of sections",
            Self::Section => "the data of a section",
            Self::Signatures => "the table of signatures",
        })
    }
}

/// The headers, or a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The headers.
    Headers,
    /// A section.
    Section(Name),
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Headers => f.write_str("the headers"),
            Self::Section(name) => write!(f, "section {name}"),
        }
    }
}
