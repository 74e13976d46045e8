//! Signs images for Secure Boot (Authenticode) with RSA or ECDSA, and SHA-256, SHA-384 or SHA-512.
//!
//! [`sign`] reads the image once: what it writes, it hashes on the way. The signature holds no time, so that the
//! same image, key and certificate give the same bytes. [`Terms`] say more: which hash function, which certificates go along,
//! whether the signature joins others. With them an image can be signed where its key is not: what [`Terms::prepare`] gives is
//! signed elsewhere, and [`Terms::attach`] takes the signature. [`unsign`] removes signatures.
//!
//! The key is behind the trait [`Signer`]; [`FileKey`] is one in a file. Whatever signs, the signature is checked
//! with the certificate's key before anything is called signed.

mod key;
mod signature;
mod table;
mod unsigned;

use std::io::{self, Seek, Write};
use std::time::SystemTime;

pub use crate::certificate::{Certificate, CertificateError};
pub use key::{FileKey, KeyError};
pub use table::TableFault;
pub use unsigned::{Removed, unsign};

use crate::digest::{Digest, HashFunction};
use crate::error;
use crate::public_key::{self, KeyKind};
use crate::section::Name;
use crate::source::Source;
use signature::Content;
use unsigned::Unsigned;

/// A private key: in a file, a token, or elsewhere.
pub trait Signer {
    /// Its public key as a certificate holds it, in the bits of `subjectPublicKey`: for RSA an `RSAPublicKey` in DER,
    /// for ECDSA a point. `None` if that cannot be known.
    fn public_key(&self) -> Option<&[u8]>;

    /// Signs the message's digest: RSASSA-PKCS1-v1_5, or ECDSA, whose signature is one in DER, or its two numbers, each as long
    /// as the curve's order.
    ///
    /// # Errors
    /// Whatever its key says.
    fn sign(
        &self,
        function: HashFunction,
        message: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Whether the certificates' time matters. Firmware does not look at it; who signs should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// They must hold at this time.
    At(SystemTime),
    /// They may have ended, or begin later.
    Ignored,
}

/// How an image is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'c> {
    /// The certificate of the key.
    pub certificate: &'c Certificate,
    /// Certificates that go along, up to one that the firmware knows.
    pub chain: &'c [Certificate],
    /// What the image and the signature are hashed with.
    pub function: HashFunction,
    /// Whether the certificates' time matters.
    pub validity: Validity,
    /// Whether the image may be signed already; then the new signature stands behind those that it has.
    pub append: bool,
}

/// What was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The image's Authenticode digest. It is what a `dbx` by hash would hold.
    pub digest: Digest,
    /// The length of the signed image.
    pub length: u64,
    /// How many signatures it has now.
    pub signatures: usize,
}

/// What a key has to sign for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The image's Authenticode digest.
    pub digest: Digest,
    /// The message: the signature's signed attributes, in DER.
    pub message: Vec<u8>,
}

/// Why an image cannot be signed, or its signatures not removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image.
    #[error("the image: {0}")]
    Image(#[from] error::Error),
    /// It is signed already.
    #[error("the image is signed already")]
    Signed,
    /// It is not signed.
    #[error("the image is not signed")]
    NotSigned,
    /// It has this very signature.
    #[error("the image has this signature already")]
    Twice,
    /// Signatures that nothing can be added to, or that cannot be removed.
    #[error("the signatures of the image, at {at:#x}, {fault}")]
    Table {
        /// Where they should begin.
        at: u64,
        /// What is wrong.
        fault: TableFault,
    },
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
    /// A certificate has ended, or has not begun.
    #[error("the certificate{} is valid from {from} to {until}, and not now", of(subject.as_deref()))]
    Expired {
        /// Whose it is, if it is one of the chain.
        subject: Option<String>,
        /// When it begins.
        from: String,
        /// When it ends.
        until: String,
    },
    /// A certificate of the chain that certifies no other.
    #[error(
        "the certificate of {subject} in the chain has issued neither the key's certificate nor another one of the chain"
    )]
    Unrelated {
        /// Whose it is.
        subject: String,
    },
    /// The certificate is for another key.
    #[error("the certificate does not belong to the key")]
    OtherKey,
    /// Only RSA with 2048 to 4096 bits, and two curves.
    #[error("the certificate's key is none of RSA with 2048 to 4096 bits, ECDSA with P-256, ECDSA with P-384")]
    Algorithm,
    /// ECDSA with SHA-512.
    #[error("a signature by ECDSA with {0} cannot be verified here")]
    Function(HashFunction),
    /// The key refused.
    #[error("the key cannot sign: {0}")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The certificate's key does not accept what the key signed.
    #[error("the key gave a signature that its certificate does not verify")]
    BadSignature,
    /// A signature from elsewhere that is not the right one.
    #[error("the signature is not one of this image, with {0}, by the certificate's key")]
    OtherSignature(HashFunction),
    /// The signature cannot be put together.
    #[error("the signature cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
}

fn of(subject: Option<&str>) -> String {
    subject.map(|subject| format!(" of {subject} in the chain")).unwrap_or_default()
}

/// Writes the image with a signature (SHA-256) to `out`, which must be empty; see [`Terms::sign`]. It must not be signed already.
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
    Terms { validity, ..Terms::new(certificate) }.sign(image, signer, out)
}

/// The Authenticode digest (SHA-256) that the image, which is not signed, has once it is.
///
/// # Errors
/// As [`sign`], as far as the image is concerned.
pub fn digest(image: &impl Source) -> Result<Digest, Error> {
    Unsigned::read(image, false)?.copy(HashFunction::Sha256, &mut io::sink())
}

impl<'c> Terms<'c> {
    /// SHA-256, no further certificate, one that is valid now, an image that is not signed.
    #[must_use]
    pub fn new(certificate: &'c Certificate) -> Self {
        let validity = Validity::At(SystemTime::now());
        Self { certificate, chain: &[], function: HashFunction::Sha256, validity, append: false }
    }

    /// Whether these certificates can sign at all, before a key is asked for.
    ///
    /// # Errors
    /// If the key or the hash function cannot be used, if a certificate is not valid, or has nothing to do with the others.
    pub fn check(&self) -> Result<(), Error> {
        match (self.certificate.kind(), self.function) {
            (Some(KeyKind::Rsa(bits)), _) if (2048..=4096).contains(&bits) => {}
            (Some(KeyKind::P256 | KeyKind::P384), HashFunction::Sha256 | HashFunction::Sha384) => {}
            (Some(KeyKind::P256 | KeyKind::P384), function) => return Err(Error::Function(function)),
            (Some(KeyKind::Rsa(_)) | None, _) => return Err(Error::Algorithm),
        }
        let all = || core::iter::once(self.certificate).chain(self.chain);
        for (number, certificate) in all().enumerate() {
            let in_chain = (number > 0).then(|| certificate.subject());
            check_times(certificate, self.validity, in_chain)?;
        }
        for certificate in self.chain {
            if *certificate != *self.certificate
                && !all().any(|other| other != certificate && certificate.names_itself_issuer_of(other))
            {
                return Err(Error::Unrelated { subject: certificate.subject() });
            }
        }
        Ok(())
    }

    /// Writes the image with a signature to `out`, which must be empty. An image that is not signed and whose length is not a
    /// multiple of eight is filled up with zeros, and the signature covers them.
    ///
    /// # Errors
    /// If the image, the key or a certificate is not fit for it; see [`Error`]. What `out` holds then is of no use.
    pub fn sign(
        &self,
        image: &impl Source,
        signer: &dyn Signer,
        out: &mut (impl Write + Seek),
    ) -> Result<Signed, Error> {
        // Before megabytes are read.
        self.check()?;
        if signer.public_key().is_some_and(|key| key != self.certificate.public_key()) {
            return Err(Error::OtherKey);
        }
        self.write(image, out, |message| {
            let signature = signer.sign(self.function, message).map_err(Error::Key)?;
            self.verified(message, signature).ok_or(Error::BadSignature)
        })
    }

    /// What a key that is elsewhere has to sign.
    ///
    /// # Errors
    /// If the image or a certificate is not fit for it.
    pub fn prepare(&self, image: &impl Source) -> Result<Prepared, Error> {
        self.check()?;
        let digest = Unsigned::read(image, self.append)?.copy(self.function, &mut io::sink())?;
        Ok(Prepared { digest, message: Content::new(&digest)?.to_be_signed()? })
    }

    /// As [`Terms::sign`], with the signature that the key made of the message that [`Terms::prepare`] gives for this image. An
    /// ECDSA signature is in DER, or two numbers, each as long as the curve's order.
    ///
    /// # Errors
    /// As [`Terms::sign`], and if it is another signature.
    pub fn attach(
        &self,
        image: &impl Source,
        signature: &[u8],
        out: &mut (impl Write + Seek),
    ) -> Result<Signed, Error> {
        self.check()?;
        self.write(image, out, |message| {
            self.verified(message, signature.to_vec()).ok_or(Error::OtherSignature(self.function))
        })
    }

    fn write(
        &self,
        image: &impl Source,
        out: &mut (impl Write + Seek),
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Signed, Error> {
        let mut unsigned = Unsigned::read(image, self.append)?;
        unsigned.begin(out)?;
        let digest = unsigned.copy(self.function, out)?;
        let content = Content::new(&digest)?;
        let signature = sign(&content.to_be_signed()?)?;
        let row = signature::row(&content.signed(self, signature)?)?;
        let signatures = unsigned.add(&row)?;
        let length = unsigned.finish(out)?;
        Ok(Signed { digest, length, signatures })
    }

    /// The signature as it goes into the image, if the certificate's key made it.
    fn verified(&self, message: &[u8], signature: Vec<u8>) -> Option<Vec<u8>> {
        let key = self.certificate.key();
        let good = |signature: &[u8]| public_key::verify(key, self.function, message, signature).is_ok();
        if good(&signature) {
            return Some(signature);
        }
        let half = match self.certificate.kind()? {
            KeyKind::P256 => 32,
            KeyKind::P384 => 48,
            KeyKind::Rsa(_) => return None,
        };
        signature::from_numbers(&signature, half).filter(|signature| good(signature))
    }
}

fn check_times(certificate: &Certificate, validity: Validity, subject: Option<String>) -> Result<(), Error> {
    let Validity::At(time) = validity else { return Ok(()) };
    let times = certificate.times();
    if times.not_before.to_system_time() <= time && time <= times.not_after.to_system_time() {
        return Ok(());
    }
    let (from, until) = certificate.validity();
    Err(Error::Expired { subject, from, until })
}
