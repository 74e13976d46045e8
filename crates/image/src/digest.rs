//! The digest of an image that its signature speaks of (Authenticode), taken as firmware takes it.

use core::fmt;
use core::ops::Range;

use ring::digest::{Context, SHA256, SHA384, SHA512};

use crate::Image;
use crate::error::{Error, Fault, Problem};
use crate::raw::{Headers, each_chunk};
use crate::source::Source;

/// A hash function that Authenticode and the firmware's databases have. SHA-1 is not among them: nothing that was
/// signed with it is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashFunction {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashFunction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name, as `openssl dgst` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of its digests in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of some bytes.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Digest {
        Hasher::new(self).finish_with(bytes)
    }

    pub(crate) const fn algorithm(self) -> &'static ring::digest::Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A digest. It is shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    function: HashFunction,
    bytes: [u8; 64],
}

impl Digest {
    /// A digest that stands somewhere; `None` if these are not as many bytes as the function gives.
    #[must_use]
    pub fn read(function: HashFunction, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != function.length() {
            return None;
        }
        let mut digest = Self { function, bytes: [0; 64] };
        digest.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Some(digest)
    }

    /// What it was made with.
    #[must_use]
    pub const fn function(&self) -> HashFunction {
        self.function
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.function.length()).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.function)
    }
}

/// A digest that is being made.
#[derive(Clone)]
pub struct Hasher {
    function: HashFunction,
    context: Context,
}

impl Hasher {
    /// One of no bytes yet.
    #[must_use]
    pub fn new(function: HashFunction) -> Self {
        Self { function, context: Context::new(function.algorithm()) }
    }

    /// Takes further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut digest = Digest { function: self.function, bytes: [0; 64] };
        digest.bytes.iter_mut().zip(self.context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        digest
    }

    fn finish_with(mut self, bytes: &[u8]) -> Digest {
        self.update(bytes);
        self.finish()
    }
}

impl<S: Source> Image<S> {
    /// The image's Authenticode digests, in the order of `functions`, as firmware computes them (`HashPeImage` in EDK2's
    /// `DxeImageVerificationLib.c`): the headers without the checksum and without the row that points to the
    /// signatures, then the sections by their place in the file, then as many bytes as the file has beyond these
    /// and its signatures. The file is read once.
    ///
    /// Of an image that is not signed this is the digest that it has as it is. If its length is not a multiple of eight, whoever
    /// signs it fills it up, and it is another one afterwards.
    ///
    /// # Errors
    /// If it cannot be read, or its table of signatures is longer than what is left of the file.
    pub fn digests(&self, functions: &[HashFunction]) -> Result<Vec<Digest>, Error> {
        let mut hashers: Vec<_> = functions.iter().map(|&function| Hasher::new(function)).collect();
        if !hashers.is_empty() {
            let headers = Headers::read(&self.source)?;
            for range in headers.hashed() {
                let bytes = headers.bytes.get(range).unwrap_or_default();
                hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
            }
            for range in self.hashed_behind(&headers)? {
                let io = |offset, source| Error::Io { offset, source };
                each_chunk(&self.source, range, io, |chunk| {
                    hashers.iter_mut().for_each(|hasher| hasher.update(chunk));
                    Ok(())
                })?;
            }
        }
        Ok(hashers.into_iter().map(Hasher::finish).collect())
    }

    /// What is hashed behind the headers, in order.
    pub(crate) fn hashed_behind(&self, headers: &Headers) -> Result<Vec<Range<u64>>, Error> {
        let length = self.source.length().map_err(|source| Error::Io { offset: 0, source })?;
        let mut ranges: Vec<_> = self
            .sections
            .iter()
            .map(|section| section.file_range.clone())
            .filter(|range| !range.is_empty())
            .collect();
        ranges.sort_by_key(|range| range.start);
        // Counted, not looked for: what stands between sections moves the rest.
        let size = |range: &Range<u64>| range.end.saturating_sub(range.start);
        let hashed = ranges.iter().map(size).fold(headers.length(), u64::saturating_add);
        let signatures = headers.security().map_or(0, |table| u64::from(table.size));
        let end = length.checked_sub(signatures).filter(|&end| end >= hashed || hashed >= length);
        let end = end.ok_or_else(|| {
            let offset = headers.security_row().map_or(0, |row| u64::try_from(row.start).unwrap_or(u64::MAX));
            Problem::new(offset, Fault::LongSignatures { size: signatures, room: length.saturating_sub(hashed) })
        })?;
        if hashed < end {
            ranges.push(hashed..end);
        }
        Ok(ranges)
    }
}
