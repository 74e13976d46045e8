//! The certificate that goes with a key.

use core::ops::RangeInclusive;
use std::time::SystemTime;

use der::{Decode, Document, Encode};

use super::{Error, Validity};
use crate::digest::HashFunction;
use crate::public_key::{self, KeyKind};

/// An X.509 certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) parsed: x509_cert::Certificate,
    public_key: Vec<u8>,
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
    /// It is not X.509.
    #[error("this is no X.509 certificate: {0}")]
    Malformed(#[from] der::Error),
    /// It would not be the same bytes in the signature, and its own signature would break.
    #[error("the certificate is not encoded as DER wants it")]
    NotDer,
}

/// What the firmware takes, and the key in a file.
const RSA_BITS: RangeInclusive<usize> = 2048..=4096;

impl Certificate {
    /// Reads a certificate in PEM or in DER.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.first() == Some(&SEQUENCE) {
            return Self::from_der(bytes);
        }
        let text = core::str::from_utf8(bytes).map_err(|error| CertificateError::Pem(error.into()))?;
        let (label, document) = Document::from_pem(text).map_err(CertificateError::Pem)?;
        if label != "CERTIFICATE" {
            return Err(CertificateError::Label(label.to_owned()));
        }
        Self::from_der(document.as_bytes())
    }

    fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(bytes)?;
        if parsed.to_der()? != bytes {
            return Err(CertificateError::NotDer);
        }
        let public_key = parsed.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
        Ok(Self { parsed, public_key })
    }

    /// The key that it certifies, as [`super::Signer::public_key`] has it.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(super) fn check(&self, validity: Validity) -> Result<(), Error> {
        let tbs = &self.parsed.tbs_certificate;
        match public_key::kind(&tbs.subject_public_key_info) {
            Some(KeyKind::Rsa(bits)) if RSA_BITS.contains(&bits) => {}
            _ => return Err(Error::Algorithm),
        }
        let (from, until) = (tbs.validity.not_before, tbs.validity.not_after);
        let holds = |time: SystemTime| from.to_system_time() <= time && time <= until.to_system_time();
        match validity {
            Validity::At(time) if !holds(time) => {
                Err(Error::Expired { from: from.to_string(), until: until.to_string() })
            }
            Validity::At(_) | Validity::Ignored => Ok(()),
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let key = &self.parsed.tbs_certificate.subject_public_key_info;
        public_key::verify(key, HashFunction::Sha256, message, signature).map_err(|_| Error::BadSignature)
    }
}

/// How both a certificate and a private key in DER begin.
pub(super) const SEQUENCE: u8 = 0x30;
