//! Signs images for Secure Boot (Authenticode) with RSA and SHA-256.
//!
//! [`sign`] reads the image once: what it writes, it hashes on the way. The signature holds no time, so that the
//! same image, key and certificate give the same bytes.
//!
//! The key is behind the trait [`Signer`]; [`FileKey`] is one in a file. Whatever signs, the signature is checked
//! with the certificate's key before anything is called signed.

mod certificate;
mod key;
mod signature;

use std::io::{self, Seek, SeekFrom, Write};
use std::time::SystemTime;

use ring::digest::{Context, SHA256};

pub use certificate::{Certificate, CertificateError};
pub use key::{FileKey, KeyError};

use crate::raw::{Checksum, Directory, Field, Headers, QUADWORD, each_chunk, expect_empty};
use crate::section::Name;
use crate::source::Source;
use crate::{Image, error};

/// A private key: in a file, a token, or elsewhere.
pub trait Signer {
    /// Its public key as a certificate holds it, in the bits of `subjectPublicKey`. For RSA that is an
    /// `RSAPublicKey` in DER.
    fn public_key(&self) -> &[u8];

    /// Signs the SHA-256 digest of the message: RSASSA-PKCS1-v1_5.
    ///
    /// # Errors
    /// Whatever its key says.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Whether the certificate's time matters. Firmware does not look at it; who signs should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It must hold at this time.
    At(SystemTime),
    /// It may have ended, or begin later.
    Ignored,
}

/// What was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The image's Authenticode digest, SHA-256. It is what a `dbx` by hash would hold.
    pub digest: [u8; 32],
    /// The length of the signed image.
    pub length: u64,
}

/// Why an image cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image.
    #[error("the image to sign: {0}")]
    Image(#[from] error::Error),
    /// It is signed already.
    #[error("the image is signed already")]
    Signed,
    /// Its headers have no row that could point to a signature.
    #[error("the headers of the image have no place for a signature")]
    NoPlace,
    /// Bytes that no signature would cover.
    #[error(
        "the image has bytes that a signature would not cover, or would cover twice, at {at:#x} before section {before}; \
         build it anew"
    )]
    Gap {
        /// Where.
        at: u64,
        /// The section that should begin there.
        before: Name,
    },
    /// With its signature it would be larger than 4 GiB.
    #[error("the image is too large: with its signature it must end below 4 GiB")]
    TooBig,
    /// The certificate has ended, or has not begun.
    #[error("the certificate is valid from {from} to {until}, and not now")]
    Expired {
        /// When it begins.
        from: String,
        /// When it ends.
        until: String,
    },
    /// The certificate is for another key.
    #[error("the certificate does not belong to the key")]
    OtherKey,
    /// Only RSA with 2048 to 4096 bits.
    #[error("the certificate's key is none of RSA with 2048 to 4096 bits")]
    Algorithm,
    /// The key refused.
    #[error("the key cannot sign: {0}")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The certificate's key does not accept what the key signed.
    #[error("the key gave a signature that its certificate does not verify")]
    BadSignature,
    /// The signature cannot be put together.
    #[error("the signature cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The signed image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
}

/// Writes the image with a signature to `out`, which must be empty. An image whose length is not a multiple of eight is
/// filled up with zeros, and the signature covers them.
///
/// # Errors
/// If the image, the key or the certificate is not fit for it; see [`Error`]. What `out` holds then is of no use.
pub fn sign(
    image: &impl Source,
    signer: &dyn Signer,
    certificate: &Certificate,
    validity: Validity,
    out: &mut (impl Write + Seek),
) -> Result<Signed, Error> {
    // Before megabytes are read.
    certificate.check(validity)?;
    if certificate.public_key() != signer.public_key() {
        return Err(Error::OtherKey);
    }
    let mut unsigned = Unsigned::read(image)?;
    expect_empty(out).map_err(Error::Write)?;
    let digest = unsigned.copy(out)?;

    let content = signature::Content::new(&digest)?;
    let message = content.to_be_signed()?;
    let bytes = signer.sign(&message).map_err(Error::Key)?;
    certificate.verify(&message, &bytes)?;
    let table = signature::table(&content.signed(certificate, bytes)?)?;

    let length = unsigned.finish(&table)?;
    out.write_all(&table).map_err(Error::Write)?;
    out.seek(SeekFrom::Start(0)).map_err(Error::Write)?;
    out.write_all(&unsigned.headers.bytes).map_err(Error::Write)?;
    out.seek(SeekFrom::Start(length)).map_err(Error::Write)?;
    out.flush().map_err(Error::Write)?;
    Ok(Signed { digest, length })
}

/// The Authenticode digest (SHA-256) that the image has once it is signed.
///
/// # Errors
/// As [`sign`], as far as the image is concerned.
pub fn digest(image: &impl Source) -> Result<[u8; 32], Error> {
    Unsigned::read(image)?.copy(&mut io::sink())
}

/// An image fit to be signed.
struct Unsigned<'s, S> {
    source: &'s S,
    headers: Headers,
    length: u64,
    /// Of what stands behind the headers.
    body: Checksum,
}

impl<'s, S: Source> Unsigned<'s, S> {
    fn read(source: &'s S) -> Result<Self, Error> {
        let image = Image::read(Borrowed(source))?;
        let headers = Headers::read(source)?;
        let signatures = headers.security().ok_or(Error::NoPlace)?;
        if signatures.address != 0 || signatures.size != 0 {
            return Err(Error::Signed);
        }
        check_gaps(&image, u64::try_from(headers.bytes.len()).unwrap_or(u64::MAX))?;
        let length = source.length().map_err(|source| error::Error::Io { offset: 0, source })?;
        Ok(Self { source, headers, length, body: Checksum::default() })
    }

    /// Copies the image, filled up to a multiple of eight bytes, and hashes it: all but the checksum and the row
    /// that points to the signature.
    fn copy(&mut self, out: &mut impl Write) -> Result<[u8; 32], Error> {
        let mut hash = Context::new(&SHA256);
        let headers = &self.headers.bytes;
        let (checksum, row) = (self.headers.checksum(), self.headers.security_row().ok_or(Error::NoPlace)?);
        for part in [0..checksum.start, checksum.end..row.start, row.end..headers.len()] {
            hash.update(headers.get(part).ok_or(Error::NoPlace)?);
        }
        out.write_all(headers).map_err(Error::Write)?;
        let start = u64::try_from(headers.len()).unwrap_or(u64::MAX);
        let io = |offset, source| Error::Image(error::Error::Io { offset, source });
        let body = &mut self.body;
        let mut take = |chunk: &[u8]| {
            hash.update(chunk);
            body.update(chunk);
            out.write_all(chunk).map_err(Error::Write)
        };
        each_chunk(self.source, start..self.length, io, &mut take)?;
        let end = self.length.checked_next_multiple_of(QUADWORD).ok_or(Error::TooBig)?;
        let missing = usize::try_from(end.saturating_sub(self.length)).unwrap_or_default();
        take([0; 8].get(..missing).unwrap_or_default())?;
        self.length = end;
        hash.finish().as_ref().try_into().map_err(|_| Error::Algorithm)
    }

    /// Points the headers to the signature, and gives the length of the whole.
    fn finish(&mut self, table: &[u8]) -> Result<u64, Error> {
        let size = u32::try_from(table.len()).map_err(|_| Error::TooBig)?;
        let address = u32::try_from(self.length).map_err(|_| Error::TooBig)?;
        address.checked_add(size).ok_or(Error::TooBig)?;
        self.headers.set_security(Directory { address, size });
        self.headers.set_u32(Field::CHECKSUM, 0);
        let mut behind = Checksum::default();
        behind.update(table);
        let mut checksum = Checksum::default();
        checksum.update(&self.headers.bytes);
        let checksum = checksum.followed_by(&self.body).followed_by(&behind);
        self.headers.set_u32(Field::CHECKSUM, checksum.value());
        Ok(self.length.saturating_add(u64::from(size)))
    }
}

/// Firmware hashes the headers, then each section by its place in the file, then as many bytes as are left to the
/// file's length. Only if they follow one another is that the whole file, each byte once.
fn check_gaps<S: Source>(image: &Image<S>, headers: u64) -> Result<(), Error> {
    let mut sections: Vec<_> = image.sections().iter().filter(|section| !section.file_range.is_empty()).collect();
    sections.sort_by_key(|section| section.file_range.start);
    let mut at = headers;
    for section in sections {
        if section.file_range.start != at {
            return Err(Error::Gap { at, before: section.name });
        }
        at = section.file_range.end;
    }
    Ok(())
}

/// A source that belongs to somebody else.
struct Borrowed<'s, S>(&'s S);

impl<S: Source> Source for Borrowed<'_, S> {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}
