//! OVMF's flash image: a firmware volume, in it a store, in it one record after another (edk2,
//! `MdeModulePkg/Include/Guid/VariableFormat.h`).

use crate::text::{from_utf16, size_at, u16_at, u32_at, utf16};
use crate::{Attributes, Guid, Variable, Variables};

/// The store whose records carry a time, as Secure Boot needs it.
const AUTHENTICATED_STORE: [u8; 16] =
    [0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92];
const STORE_HEADER: usize = 28;
const RECORD_HEADER: usize = 60;
const RECORD_START: u16 = 0x55aa;
/// What flash has where nothing was written.
const ERASED: u8 = 0xff;
/// `VAR_ADDED`: the record counts.
const ADDED: u8 = 0x3f;
/// The same, and about to be replaced: it counts until another one of its name was added.
const ADDED_IN_TRANSITION: u8 = 0x3e;

/// What is wrong with a flash image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has no firmware volume at its beginning.
    #[error(
        "this is no firmware volume: it has no _FVH at offset 0x28; OVMF_VARS.fd and copies of it are read, raw and not qcow2"
    )]
    NoVolume,
    /// Another format, or one without Secure Boot.
    #[error("at offset {0:#x}: the variable store is of another format than the one that Secure Boot needs")]
    Format(usize),
    /// It ends in the middle of something.
    #[error("at offset {0:#x}: the variable store is cut off here")]
    Cut(usize),
    /// A record is longer than the store.
    #[error("at offset {0:#x}: a variable is longer than the store")]
    LongVariable(usize),
    /// What is free is not erased: a record there could be read as another one.
    #[error("at offset {0:#x}: the variable store is not empty behind its last variable")]
    NotErased(usize),
    /// There is no room for a further record.
    #[error("the firmware's variable store has no room for {0}")]
    Full(String),
}

/// A flash image, and where its store has its records.
#[derive(Clone, Debug)]
pub struct Store {
    image: Vec<u8>,
    first: usize,
    /// Where the next record goes.
    next: usize,
    /// Where the store ends.
    end: usize,
}

/// Where the parts of a record stand.
struct Record {
    start: usize,
    name: usize,
    data: usize,
    next: usize,
}

impl Store {
    /// Takes a flash image.
    ///
    /// # Errors
    /// If it is none, or a record of it does not end in it.
    pub fn open(image: Vec<u8>) -> Result<Self, Error> {
        if image.get(40..44) != Some(b"_FVH") {
            return Err(Error::NoVolume);
        }
        let start = usize::from(u16_at(&image, 48).ok_or(Error::Cut(48))?);
        let kind = image.get(start..start.saturating_add(16)).ok_or(Error::Cut(start))?;
        if kind != AUTHENTICATED_STORE {
            return Err(Error::Format(start));
        }
        let size = size_at(&image, start.saturating_add(16)).ok_or(Error::Cut(start))?;
        let end = start.saturating_add(size);
        if end > image.len() {
            return Err(Error::Cut(image.len()));
        }
        let first = start.saturating_add(STORE_HEADER);
        let mut store = Self { image, first, next: first, end };
        while let Some(record) = store.record(store.next)? {
            store.next = record.next;
        }
        Ok(store)
    }

    /// The image as it is now.
    #[must_use]
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// The variables that count.
    ///
    /// # Errors
    /// None that [`Store::open`] did not give.
    pub fn variables(&self) -> Result<Variables, Error> {
        let mut added = Variables::default();
        let mut replaced = Vec::new();
        let mut at = self.first;
        while let Some(record) = self.record(at)? {
            let variable = self.variable(&record);
            match self.image.get(record.start.saturating_add(2)) {
                Some(&ADDED) => added.0.extend(variable),
                Some(&ADDED_IN_TRANSITION) => replaced.extend(variable),
                _ => {}
            }
            at = record.next;
        }
        for variable in replaced {
            if added.find(&variable.name, variable.vendor).is_none() {
                added.0.push(variable);
            }
        }
        Ok(added)
    }

    /// Adds a variable behind the others.
    ///
    /// # Errors
    /// If there is no room, or it was not erased.
    pub fn add(&mut self, variable: &Variable) -> Result<(), Error> {
        let full = || Error::Full(variable.name.clone());
        let name = utf16(&variable.name);
        let mut record = Vec::new();
        record.extend_from_slice(&RECORD_START.to_le_bytes());
        record.extend_from_slice(&[ADDED, 0]);
        record.extend_from_slice(&variable.attributes.0.to_le_bytes());
        // The count of changes, the time, and the index of a key: nobody changed it yet.
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&[0; 16]);
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&u32::try_from(name.len()).map_err(|_| full())?.to_le_bytes());
        record.extend_from_slice(&u32::try_from(variable.data.len()).map_err(|_| full())?.to_le_bytes());
        record.extend_from_slice(&variable.vendor.0);
        record.extend_from_slice(&name);
        record.extend_from_slice(&variable.data);
        let after = self.next.saturating_add(record.len());
        // A header's worth stays free: what follows the last record must read as empty.
        let free = self.next..after.saturating_add(RECORD_HEADER);
        if free.end > self.end {
            return Err(full());
        }
        let free = self.image.get(free).ok_or_else(full)?;
        if let Some(at) = free.iter().position(|&byte| byte != ERASED) {
            return Err(Error::NotErased(self.next.saturating_add(at)));
        }
        self.image.get_mut(self.next..after).ok_or_else(full)?.copy_from_slice(&record);
        self.next = after.next_multiple_of(4);
        Ok(())
    }

    /// The record at a place, or `None` behind the last one.
    fn record(&self, start: usize) -> Result<Option<Record>, Error> {
        // EDK2 stops at the store's end too (`GetStartPointer` and `GetEndPointer` in VariableParsing.c).
        if start >= self.end || u16_at(&self.image, start) != Some(RECORD_START) {
            return Ok(None);
        }
        let size = |offset: usize| size_at(&self.image, start.saturating_add(offset)).ok_or(Error::Cut(start));
        let name = start.saturating_add(RECORD_HEADER);
        let data = name.saturating_add(size(36)?);
        let end = data.saturating_add(size(40)?);
        if end > self.end {
            return Err(Error::LongVariable(start));
        }
        Ok(Some(Record { start, name, data, next: end.next_multiple_of(4) }))
    }

    fn variable(&self, record: &Record) -> Option<Variable> {
        let (name, _) = from_utf16(self.image.get(record.name..record.data)?);
        let size = size_at(&self.image, record.start.saturating_add(40))?;
        let vendor = *self.image.get(record.start.saturating_add(44)..)?.first_chunk()?;
        Some(Variable {
            name,
            vendor: Guid(vendor),
            attributes: Attributes(u32_at(&self.image, record.start.saturating_add(4))?),
            data: self.image.get(record.data..record.data.saturating_add(size))?.to_vec(),
        })
    }
}
