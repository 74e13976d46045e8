//! db, dbx and their kin, as a judge needs them.

use lockdown_firmware::Guid;
use lockdown_firmware::signature_list::Entry;

use crate::certificate::Certificate;
use crate::digest::{Digest, HashFunction};

/// What a database says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Certificates.
    pub certificates: Vec<Certificate>,
    /// Digests of images.
    pub images: Vec<Digest>,
    /// Digests of what is signed in certificates; only dbx has these.
    pub to_be_signed: Vec<Digest>,
    /// What cannot be read: the kinds of entries that nobody knows here, and of certificates that are none.
    pub unread: Vec<Guid>,
}

impl Database {
    /// What the entries of signature lists say.
    #[must_use]
    pub fn from_entries(entries: &[Entry]) -> Self {
        let mut database = Self::default();
        for entry in entries {
            database.add(entry);
        }
        database
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This one, and what another one says.
    pub fn extend(&mut self, other: &Self) {
        self.certificates.extend_from_slice(&other.certificates);
        self.images.extend_from_slice(&other.images);
        self.to_be_signed.extend_from_slice(&other.to_be_signed);
        self.unread.extend_from_slice(&other.unread);
    }

    fn add(&mut self, entry: &Entry) {
        let known = match entry.kind {
            Guid::CERT_X509 => {
                Certificate::from_der(&entry.data).map(|found| self.certificates.push(found)).is_ok()
            }
            Guid::CERT_SHA256 => self.add_image(HashFunction::Sha256, &entry.data),
            Guid::CERT_SHA384 => self.add_image(HashFunction::Sha384, &entry.data),
            Guid::CERT_SHA512 => self.add_image(HashFunction::Sha512, &entry.data),
            Guid::CERT_X509_SHA256 => self.add_revoked(HashFunction::Sha256, &entry.data),
            Guid::CERT_X509_SHA384 => self.add_revoked(HashFunction::Sha384, &entry.data),
            Guid::CERT_X509_SHA512 => self.add_revoked(HashFunction::Sha512, &entry.data),
            _ => false,
        };
        if !known {
            self.unread.push(entry.kind);
        }
    }

    fn add_image(&mut self, function: HashFunction, data: &[u8]) -> bool {
        Digest::read(function, data).map(|digest| self.images.push(digest)).is_some()
    }

    /// Behind the digest stands since when the certificate is revoked. What it signed before would have to prove that by a
    /// countersignature of a time stamping authority, which is not looked at: it counts as revoked.
    fn add_revoked(&mut self, function: HashFunction, data: &[u8]) -> bool {
        let digest = data.get(..function.length()).and_then(|digest| Digest::read(function, digest));
        digest.map(|digest| self.to_be_signed.push(digest)).is_some()
    }

    /// Whether this is the digest of an image in it.
    pub(super) fn has_image(&self, digest: &Digest) -> bool {
        self.images.contains(digest)
    }

    /// Whether the certificate is revoked by its digest.
    pub(super) fn revokes(&self, certificate: &Certificate) -> bool {
        self.to_be_signed.iter().any(|digest| certificate.to_be_signed_digest(digest.function()) == *digest)
    }
}
