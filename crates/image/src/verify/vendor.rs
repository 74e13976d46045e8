//! What is built into shim: its section `.vendor_cert` (`cert.S` in its source).

use core::ops::Range;

use lockdown_firmware::signature_list;

use super::database::Database;
use crate::Image;
use crate::certificate::Certificate;
use crate::error::Error;
use crate::source::Source;

/// What a shim has, and no other image.
const SECTION: &str = ".vendor_cert";

/// Larger than any database; what is in memory has an end.
const LONGEST: u64 = 4 << 20;

/// What shim trusts and refuses by itself.
#[derive(Clone, Debug, Default)]
pub struct Vendor {
    /// What it trusts.
    pub trusted: Database,
    /// What it refuses.
    pub revoked: Database,
}

/// Why what is built into shim cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] Error),
    /// It is no shim.
    #[error("it is no shim: it has no section {SECTION}")]
    NoShim,
    /// The section's header points outside.
    #[error("its section {SECTION} is cut off")]
    Cut,
    /// What is there is neither a certificate nor a database.
    #[error("what its section {SECTION} trusts or refuses: {0}")]
    List(#[from] signature_list::Error),
}

impl Vendor {
    /// Reads what is built into a shim.
    ///
    /// # Errors
    /// If it is none, or what is there cannot be read.
    pub fn read<S: Source>(shim: &Image<S>) -> Result<Self, VendorError> {
        let section = shim.find_long(SECTION)?.ok_or(VendorError::NoShim)?;
        let bytes = shim.beginning(section, LONGEST)?.bytes;
        let word = |number: usize| {
            let at = number.checked_mul(4)?;
            usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
        };
        let (Some(trusted), Some(revoked), Some(trusted_at), Some(revoked_at)) =
            (word(0), word(1), word(2), word(3))
        else {
            return Err(VendorError::Cut);
        };
        let part = |at: usize, size: usize| -> Result<Database, VendorError> {
            let range = Range { start: at, end: at.checked_add(size).ok_or(VendorError::Cut)? };
            read(bytes.get(range).ok_or(VendorError::Cut)?)
        };
        Ok(Self { trusted: part(trusted_at, trusted)?, revoked: part(revoked_at, revoked)? })
    }
}

/// One certificate, or signature lists.
fn read(bytes: &[u8]) -> Result<Database, VendorError> {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        return Ok(Database { certificates: vec![certificate], ..Database::default() });
    }
    Ok(Database::from_entries(&signature_list::read(bytes)?))
}
