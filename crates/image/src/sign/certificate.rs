//! The certificate that goes with a key.

use der::{Decode, Document, Encode};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::name::Name;

use super::pem::{self, Block};
use super::{Error, Validity};
use crate::digest::{Digest, HashFunction};
use crate::public_key::{self, KeyKind};

/// An X.509 certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub(super) parsed: x509_cert::Certificate,
    der: Vec<u8>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is not PEM.
    #[error("the certificate is no PEM: {0}")]
    Pem(#[source] der::Error),
    /// It is PEM, and something else.
    #[error("the file holds {0:?}, not a certificate")]
    Label(String),
    /// There are more than one.
    #[error("the file holds {0} certificates, and one is wanted: that of the key")]
    Several(usize),
    /// It is not X.509.
    #[error("this is no X.509 certificate: {0}")]
    Malformed(#[from] der::Error),
    /// It would not be the same bytes in the signature, and its own signature would break.
    #[error("the certificate is not encoded as DER wants it")]
    NotDer,
}

impl Certificate {
    /// Reads a certificate in PEM or in DER.
    ///
    /// # Errors
    /// If it is none, or more than one.
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        let mut all = Self::read_all(bytes)?;
        match (all.pop(), all.len()) {
            (Some(certificate), 0) => Ok(certificate),
            (_, others) => Err(CertificateError::Several(others.saturating_add(1))),
        }
    }

    /// Reads the certificates of a file: one in DER, or at least one in PEM.
    ///
    /// # Errors
    /// If there is none, or one of them is none.
    pub fn read_all(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if bytes.first() == Some(&SEQUENCE) {
            return Ok(vec![Self::from_der(bytes)?]);
        }
        let text = core::str::from_utf8(bytes).map_err(|error| CertificateError::Pem(error.into()))?;
        let blocks = pem::blocks(text);
        let read = |block: &Block<'_>| {
            let (_, document) = Document::from_pem(block.text).map_err(CertificateError::Pem)?;
            Self::from_der(document.as_bytes())
        };
        let all: Result<Vec<_>, _> =
            blocks.iter().filter(|block| block.label == "CERTIFICATE").map(read).collect();
        match (all?, blocks.first()) {
            (all, _) if !all.is_empty() => Ok(all),
            (_, Some(other)) => Err(CertificateError::Label(other.label.to_owned())),
            (_, None) => {
                let found = Document::from_pem(text).map_err(CertificateError::Pem)?;
                Err(CertificateError::Label(found.0.to_owned()))
            }
        }
    }

    fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(bytes)?;
        let der = parsed.to_der()?;
        if der != bytes {
            return Err(CertificateError::NotDer);
        }
        Ok(Self { parsed, der })
    }

    /// The key that it certifies, as [`super::Signer::public_key`] has it.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key().subject_public_key.raw_bytes()
    }

    /// What this key is; `None` if it is nothing that can be used here.
    #[must_use]
    pub fn kind(&self) -> Option<KeyKind> {
        public_key::kind(self.key())
    }

    /// Whose it is, as RFC 4514 writes names.
    #[must_use]
    pub fn subject(&self) -> String {
        text(&self.parsed.tbs_certificate.subject)
    }

    /// Who certifies it.
    #[must_use]
    pub fn issuer(&self) -> String {
        text(&self.parsed.tbs_certificate.issuer)
    }

    /// Its number at the issuer's, in hexadecimal.
    #[must_use]
    pub fn serial(&self) -> String {
        let bytes = self.parsed.tbs_certificate.serial_number.as_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The digest of the whole certificate, by which tools name it.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        HashFunction::Sha256.digest(&self.der)
    }

    /// When it begins and when it ends, as RFC 3339 writes times.
    #[must_use]
    pub fn valid(&self) -> (String, String) {
        let validity = &self.parsed.tbs_certificate.validity;
        (validity.not_before.to_string(), validity.not_after.to_string())
    }

    pub(super) fn key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.parsed.tbs_certificate.subject_public_key_info
    }

    /// Whether the names say so.
    pub(super) fn issued(&self, other: &Self) -> bool {
        self.parsed.tbs_certificate.subject == other.parsed.tbs_certificate.issuer
    }

    pub(super) fn check(&self, validity: Validity, subject: Option<String>) -> Result<(), Error> {
        let Validity::At(time) = validity else { return Ok(()) };
        let tbs = &self.parsed.tbs_certificate.validity;
        if tbs.not_before.to_system_time() <= time && time <= tbs.not_after.to_system_time() {
            return Ok(());
        }
        let (from, until) = self.valid();
        Err(Error::Expired { subject, from, until })
    }
}

/// Names go to terminals.
fn text(name: &Name) -> String {
    let mut text = String::new();
    for letter in name.to_string().chars() {
        if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
    }
    text
}

/// How both a certificate and a private key in DER begin.
pub(super) const SEQUENCE: u8 = 0x30;
