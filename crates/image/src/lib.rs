//! Reads unified Xen images: one `xen.efi` that carries its configuration, dom0's kernel and more in sections of
//! its own.
//!
//! [`Image::open`] reads the headers and the table of sections, some kilobytes whatever the image's size, and the
//! bytes of a section only when they are asked for. It gives the bytes that Xen will see, as Xen finds them
//! (`pe_find_section` in `xen/common/efi/pe.c`) in what the firmware has loaded:
//!
//! - The first section of a name counts. A name has at most eight bytes and begins with a dot; the long names that
//!   linkers keep in a table of strings are not looked up.
//! - A section has its *virtual* size. Where the file holds more, Xen does not see it; where the file holds less,
//!   the firmware adds zeros.
//!
//! What firmware would refuse to load is refused here, and so is what it might load in one way or another: sections
//! that overlap one another or the headers. Alignment is not looked at: Xen's linker aligns to 0x20 bytes.
//!
//! Relocations are not applied. Those of xen.efi are in its own sections.
//!
//! [`build`] adds sections to an image, [`sign`] signs it for Secure Boot, [`sbat`] reads the table by which it is revoked.

#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod build;
mod certificate;
mod digest;
mod elements;
mod error;
mod headers;
mod inspect;
mod pem;
mod public_key;
mod raw;
pub mod sbat;
mod section;
pub mod sign;
mod signature_algorithm;
mod signatures;
mod source;
pub mod verify;

use std::fs::File;
use std::path::Path;

pub use certificate::{Certificate, CertificateError};
pub use digest::{Digest, HashFunction, Hasher};
pub use error::{Area, Error, Fault, Part, Problem};
pub use inspect::{HeaderFacts, SectionSource};
pub use public_key::KeyKind;
pub use section::{Characteristics, Contents, Name, Section};
pub use signatures::{PKCS_SIGNED_DATA, SignatureRow, SignatureTable};
pub use source::Source;

/// A PE image for x86-64, its table of sections checked.
#[derive(Debug)]
pub struct Image<S> {
    source: S,
    sections: Vec<Section>,
}

impl Image<File> {
    /// Opens an image, which must be a regular file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // Asked before it is opened: to open a pipe is to wait for whoever writes to it.
        let io = |source| Error::Io { offset: 0, source };
        if !path.metadata().map_err(io)?.is_file() {
            return Err(Error::NotAFile);
        }
        Self::read(File::open(path).map_err(io)?)
    }
}

impl<S: Source> Image<S> {
    /// Reads the headers and the table of sections.
    pub fn read(source: S) -> Result<Self, Error> {
        let sections = headers::read(&source)?;
        Ok(Self { source, sections })
    }

    /// Where its bytes come from.
    pub(crate) const fn source(&self) -> &S {
        &self.source
    }

    /// All sections, in the order of the table.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section that Xen finds by this name, for example `.config`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| name.starts_with('.') && section.name.as_bytes() == name.as_bytes())
    }

    /// What Xen finds by this name; `None` if there is no such section.
    pub fn section(&self, name: &str) -> Result<Option<Contents>, Error> {
        self.find(name).map(|section| self.contents(section)).transpose()
    }

    /// Reads a section of this image.
    pub fn contents(&self, section: &Section) -> Result<Contents, Error> {
        self.beginning(section, u64::MAX)
    }

    /// Reads a section of this image, or its first `most` bytes if there are more in the file.
    pub fn beginning(&self, section: &Section, most: u64) -> Result<Contents, Error> {
        let virtual_size = u64::from(section.virtual_size);
        let in_file = section.file_range.end.saturating_sub(section.file_range.start);
        let offset = section.file_range.start;
        let bytes = source::read(&self.source, offset, in_file.min(virtual_size).min(most), Part::Section)?;
        Ok(Contents { bytes, zeros: virtual_size.saturating_sub(in_file) })
    }

    /// The first section of a name that may be longer than Xen looks for: whole, where it stands behind the symbols, or cut after eight
    /// bytes.
    pub(crate) fn find_long(&self, name: &str) -> Result<Option<&Section>, Error> {
        let headers = raw::Headers::read(&self.source)?;
        for section in &self.sections {
            let long = headers.long_name(&self.source, &section.name)?;
            let cut = name.as_bytes().get(..8).unwrap_or(name.as_bytes());
            if long.map_or(section.name.as_bytes() == cut, |long| long == name.as_bytes()) {
                return Ok(Some(section));
            }
        }
        Ok(None)
    }
}
