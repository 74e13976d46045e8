//! Certificates: in signatures, in databases, and beside keys.

use core::fmt;

use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use der::{Decode, Document, Encode};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::name::Name;
use x509_cert::time::Validity;

use crate::digest::{Digest, HashFunction};
use crate::elements::{CONTEXT_0, Elements, SEQUENCE};
use crate::pem::{self, Block};
use crate::public_key::{self, KeyKind, Refused};
use crate::signature_algorithm::function_of;

/// Who may sign Linux's modules, and in shim's eyes nothing else.
const MODULE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.2312.16.1.2");

/// An X.509 certificate.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// What is signed, as it stands.
    to_be_signed: Vec<u8>,
    pub(crate) parsed: x509_cert::Certificate,
}

/// Why a file holds no certificate that can be used.
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
    /// It would not be the same bytes in a signature, and its own signature would break.
    #[error("the certificate is not encoded as DER wants it")]
    NotDer,
}

impl Certificate {
    /// Reads a certificate in DER. Nothing of it is judged.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let parsed = x509_cert::Certificate::from_der(der)?;
        let mut inside = Elements(der).next()?.inside();
        let to_be_signed = inside.next()?.bytes.to_vec();
        Ok(Self { der: der.to_vec(), to_be_signed, parsed })
    }

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
            return Ok(vec![Self::read_der(bytes)?]);
        }
        let text = core::str::from_utf8(bytes).map_err(|error| CertificateError::Pem(error.into()))?;
        let blocks = pem::blocks(text);
        let read = |block: &Block<'_>| {
            let (_, document) = Document::from_pem(block.text).map_err(CertificateError::Pem)?;
            Self::read_der(document.as_bytes())
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

    /// What goes into a signature is encoded anew, and must be the same then.
    fn read_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Self::from_der(bytes)?;
        if certificate.parsed.to_der()? == bytes { Ok(certificate) } else { Err(CertificateError::NotDer) }
    }

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whom it is for (RFC 4514).
    #[must_use]
    pub fn subject(&self) -> String {
        text(&self.parsed.tbs_certificate.subject)
    }

    /// Who issued it.
    #[must_use]
    pub fn issuer(&self) -> String {
        text(&self.parsed.tbs_certificate.issuer)
    }

    /// Its number at the issuer's, in hexadecimal, without the zero byte that keeps it from being negative.
    #[must_use]
    pub fn serial(&self) -> String {
        let bytes = self.parsed.tbs_certificate.serial_number.as_bytes();
        let bytes = bytes.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From when and until when it is valid, as RFC 3339 writes times. Neither firmware nor shim looks at it.
    #[must_use]
    pub fn validity(&self) -> (String, String) {
        let validity = &self.parsed.tbs_certificate.validity;
        (validity.not_before.to_string(), validity.not_after.to_string())
    }

    /// What its key is; `None` if it is none that can be used here.
    #[must_use]
    pub fn kind(&self) -> Option<KeyKind> {
        public_key::kind(self.key())
    }

    /// The key that it certifies, as [`crate::sign::Signer::public_key`] has it.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key().subject_public_key.raw_bytes()
    }

    pub(crate) fn key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.parsed.tbs_certificate.subject_public_key_info
    }

    /// When it begins and when it ends.
    pub(crate) fn times(&self) -> &Validity {
        &self.parsed.tbs_certificate.validity
    }

    /// Whether the names say that it certifies the other one.
    pub(crate) fn names_itself_issuer_of(&self, other: &Self) -> bool {
        self.parsed.tbs_certificate.subject == other.parsed.tbs_certificate.issuer
    }

    /// The SHA-256 digest of all of it, by which people know it.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        HashFunction::Sha256.digest(&self.der)
    }

    /// The digest of what is signed in it, by which dbx can revoke it.
    #[must_use]
    pub fn to_be_signed_digest(&self, function: HashFunction) -> Digest {
        function.digest(&self.to_be_signed)
    }

    /// Its issuer and its serial number, as a signature names it.
    pub(crate) fn id(&self) -> Result<Vec<u8>, der::Error> {
        let mut inside = Elements(&self.to_be_signed).next()?.inside();
        let _version = inside.next_if(CONTEXT_0)?;
        let serial = inside.next()?.bytes;
        let _algorithm = inside.next()?;
        Ok([inside.next()?.bytes, serial].concat())
    }

    /// Whether `issuer` issued this one: by its name, its right to do so, and its signature.
    pub(crate) fn is_issued_by(&self, issuer: &Self) -> bool {
        let algorithm = &self.parsed.signature_algorithm;
        self.parsed.tbs_certificate.issuer == issuer.parsed.tbs_certificate.subject
            && issuer.may_issue()
            && function_of(algorithm.oid).is_some_and(|function| {
                let signature = self.parsed.signature.raw_bytes();
                issuer.verify(function, &self.to_be_signed, signature).is_ok()
            })
    }

    /// Whether its key made this signature.
    pub(crate) fn verify(&self, function: HashFunction, message: &[u8], signature: &[u8]) -> Result<(), Refused> {
        public_key::verify(self.key(), function, message, signature)
    }

    /// Whether shim passes it over.
    pub(crate) fn is_for_modules(&self) -> bool {
        let usage = self.extension::<ExtendedKeyUsage>();
        usage.is_some_and(|usage| usage.0.contains(&MODULE_SIGNING))
    }

    /// A certificate of the first version says nothing about it; OpenSSL lets it issue if it is self-signed.
    fn may_issue(&self) -> bool {
        let tbs = &self.parsed.tbs_certificate;
        if tbs.extensions.as_ref().is_none_or(Vec::is_empty) {
            return tbs.issuer == tbs.subject;
        }
        let signs = self.extension::<KeyUsage>().is_none_or(|usage| usage.key_cert_sign());
        signs && self.extension::<BasicConstraints>().is_some_and(|constraints| constraints.ca)
    }

    fn extension<'a, T: Decode<'a> + AssociatedOid>(&'a self) -> Option<T> {
        let extensions = self.parsed.tbs_certificate.extensions.as_deref().unwrap_or_default();
        let extension = extensions.iter().find(|extension| extension.extn_id == T::OID)?;
        T::from_der(extension.extn_value.as_bytes()).ok()
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

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject())
    }
}
