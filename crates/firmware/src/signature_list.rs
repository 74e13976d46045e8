//! The databases of Secure Boot: `EFI_SIGNATURE_LIST` (UEFI specification, "Signature Database"), and the header that an
//! update of one carries.

use crate::Guid;
use crate::text::size_at;

/// What stands in front of a list.
const LIST_HEADER: usize = 28;
/// What stands in front of each entry: whose it is.
const OWNER: usize = 16;

/// An entry of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is: [`Guid::CERT_X509`] and the like.
    pub kind: Guid,
    /// Who put it there.
    pub owner: Guid,
    /// The certificate, or the digest.
    pub data: Vec<u8>,
}

/// What is wrong with a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A list does not end in it.
    #[error("at offset {0:#x}: a signature list is cut off, or says that it is longer than it is")]
    Cut(usize),
    /// Its entries do not fill a list, or have no room for an owner.
    #[error("at offset {0:#x}: the sizes in the header of a signature list do not fit together")]
    Sizes(usize),
    /// Neither lists nor an update that has some.
    #[error(
        "this is no database: neither signature lists (.esl), with or without the four bytes that efivarfs puts in front, nor an update (.auth)"
    )]
    Unknown,
}

/// Reads lists, one behind the other. No bytes are no entries.
///
/// # Errors
/// See [`Error`]: the first list that is wrong. Firmware takes the lists in front of it; what is read here is taken whole.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let (Some(kind), Some(size), Some(header), Some(entry)) =
            (rest.first_chunk(), size_at(rest, 16), size_at(rest, 20), size_at(rest, 24))
        else {
            return Err(Error::Cut(at));
        };
        let list = rest.get(..size).ok_or(Error::Cut(at))?;
        let body = list.get(LIST_HEADER.saturating_add(header)..).ok_or(Error::Sizes(at))?;
        if entry <= OWNER || body.len().checked_rem(entry) != Some(0) {
            return Err(Error::Sizes(at));
        }
        entries.extend(body.chunks_exact(entry).filter_map(|entry| {
            let (owner, data) = entry.split_first_chunk()?;
            Some(Entry { kind: Guid(*kind), owner: Guid(*owner), data: data.to_vec() })
        }));
        at = at.saturating_add(size);
    }
    Ok(entries)
}

/// Reads a database from a file: lists, a variable as efivarfs shows it, or an update (`EFI_VARIABLE_AUTHENTICATION_2`), with or
/// without attributes in front. Who signed an update is not looked at.
///
/// # Errors
/// If it is none of these.
pub fn from_file(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let first = match read(bytes) {
        Ok(entries) => return Ok(entries),
        Err(error) => error,
    };
    let bare = bytes.get(4..).unwrap_or_default();
    // A variable's attributes are a few low bits, a list begins with a GUID.
    let attributes = size_at(bytes, 0).is_some_and(|attributes| attributes & !0xff == 0);
    let candidates = [update(bytes), attributes.then_some(bare), attributes.then(|| update(bare)).flatten()];
    if let Some(entries) = candidates.into_iter().flatten().find_map(|lists| read(lists).ok()) {
        return Ok(entries);
    }
    // A file that begins as a list is a list with a fault.
    let known = [Guid::CERT_X509, Guid::CERT_SHA256, Guid::CERT_SHA384, Guid::CERT_SHA512, Guid::CERT_X509_SHA256];
    Err(if known.iter().any(|kind| bytes.starts_with(&kind.0)) { first } else { Error::Unknown })
}

/// What an update says, behind its time (16 bytes) and its signature (`WIN_CERTIFICATE_UEFI_GUID`).
fn update(bytes: &[u8]) -> Option<&[u8]> {
    let signature = bytes.get(16..)?;
    let length = size_at(signature, 0)?;
    let kind = signature.get(8..24)?;
    let guid = signature.get(6..8)? == [0xf1, 0x0e] && kind == Guid::CERT_PKCS7.0;
    signature.get(length..).filter(|_| guid && length >= 24)
}

/// Writes one list; every entry has the length of the first.
#[must_use]
pub fn write(kind: Guid, owner: Guid, entries: &[&[u8]]) -> Vec<u8> {
    let entry = entries.first().map_or(0, |first| first.len()).saturating_add(OWNER);
    let size = entry.saturating_mul(entries.len()).saturating_add(LIST_HEADER);
    // Longer than 4 GiB is no list that was asked for here.
    let word = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let mut list = kind.0.to_vec();
    list.extend_from_slice(&word(size));
    list.extend_from_slice(&word(0));
    list.extend_from_slice(&word(entry));
    for data in entries {
        list.extend_from_slice(&owner.0);
        list.extend_from_slice(data);
    }
    list
}
