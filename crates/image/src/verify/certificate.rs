//! Certificates as they stand in signatures and databases.

use core::fmt;

use der::Decode;
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::elements::Elements;
use crate::digest::{Digest, HashFunction};
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
    pub(super) parsed: x509_cert::Certificate,
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

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whom it is for (RFC 4514).
    #[must_use]
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate.subject.to_string()
    }

    /// Who issued it.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.parsed.tbs_certificate.issuer.to_string()
    }

    /// Its serial number, as its bytes stand.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.parsed.tbs_certificate.serial_number.as_bytes()
    }

    /// From when and until when it is valid. Neither firmware nor shim looks at it.
    #[must_use]
    pub fn validity(&self) -> (String, String) {
        let validity = &self.parsed.tbs_certificate.validity;
        (validity.not_before.to_string(), validity.not_after.to_string())
    }

    /// Its key; `None` if it is none that can be used here.
    #[must_use]
    pub fn key(&self) -> Option<KeyKind> {
        public_key::kind(&self.parsed.tbs_certificate.subject_public_key_info)
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
    pub(super) fn id(&self) -> Result<Vec<u8>, der::Error> {
        let mut inside = Elements(&self.to_be_signed).next()?.inside();
        let _version = inside.next_if(0xa0)?;
        let serial = inside.next()?.bytes;
        let _algorithm = inside.next()?;
        Ok([inside.next()?.bytes, serial].concat())
    }

    /// Whether `issuer` issued this one: by its name, its right to do so, and its signature.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        let algorithm = &self.parsed.signature_algorithm;
        self.parsed.tbs_certificate.issuer == issuer.parsed.tbs_certificate.subject
            && issuer.may_issue()
            && function_of(algorithm.oid).is_some_and(|function| {
                let signature = self.parsed.signature.raw_bytes();
                issuer.verify(function, &self.to_be_signed, signature).is_ok()
            })
    }

    /// Whether its key made this signature.
    pub(super) fn verify(&self, function: HashFunction, message: &[u8], signature: &[u8]) -> Result<(), Refused> {
        public_key::verify(&self.parsed.tbs_certificate.subject_public_key_info, function, message, signature)
    }

    /// Whether shim passes it over.
    pub(super) fn is_for_modules(&self) -> bool {
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
