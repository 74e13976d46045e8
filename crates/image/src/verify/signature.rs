//! One Authenticode signature: PKCS#7 `SignedData` (RFC 2315; "Windows Authenticode Portable Executable Signature Format",
//! Microsoft), read from untrusted bytes.

use std::sync::OnceLock;

use authenticode::SPC_INDIRECT_DATA_OBJID;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::oid::db::rfc5911::{ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use spki::AlgorithmIdentifierRef;

use crate::certificate::Certificate;
use crate::digest::{Digest, HashFunction};
use crate::elements::{CONTEXT_0, Element, Elements, SEQUENCE, SET};
use crate::public_key::{KeyKind, Refused};
use crate::signature_algorithm::function_of;

/// More than any signature has: what is searched has an end.
const MOST_CERTIFICATES: usize = 32;
/// Authenticode has one; OpenSSL, which firmware uses, takes more.
const MOST_SIGNERS: usize = 8;

/// A signature of an image.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The digest that the image should have.
    pub digest: Digest,
    /// The certificates that came with it.
    pub certificates: Vec<Certificate>,
    /// Who signed. Firmware wants every one of them to be good.
    signers: Vec<Signer>,
    /// What was signed, hashed with each signer's function: without its tag and length.
    content: Vec<u8>,
    /// Of each signer, the certificates that its signature leads to; computed once, as judges have many to ask about.
    reached: OnceLock<Vec<Vec<usize>>>,
}

#[derive(Clone, Debug)]
struct Signer {
    /// Issuer and serial number, as they stand.
    id: Vec<u8>,
    function: Option<HashFunction>,
    /// The signed attributes as the set that was signed, and the digest in them.
    attributes: Option<(Vec<u8>, Vec<u8>)>,
    signature: Vec<u8>,
}

/// Why a signature cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not DER, or not the elements that a signature has.
    #[error("it is no PKCS#7 signature: {0}")]
    Der(#[from] der::Error),
    /// Something other than signed data about an image.
    #[error("it holds {0} where a signature of an image is expected")]
    Content(ObjectIdentifier),
    /// SHA-1 and others.
    #[error("its hash function ({0}) is not one of SHA-256, SHA-384 and SHA-512")]
    HashFunction(ObjectIdentifier),
    /// The digest has another length than its function gives.
    #[error("its digest has {0} bytes")]
    DigestLength(usize),
    /// The function in front is not the function of the digest.
    #[error("it names two hash functions")]
    TwoFunctions,
    /// The certificate of somebody who signed is missing.
    #[error("the certificate of who signed did not come with it")]
    SignerMissing,
    /// Nobody signed it, or more certificates than there should be.
    #[error("it has {signers} signers and {certificates} certificates")]
    Counts {
        /// Who signed.
        signers: usize,
        /// What came with it.
        certificates: usize,
    },
}

impl Malformed {
    /// Whether firmware finds no hash function that it knows, and so passes the signature over.
    pub(super) const fn hides_the_function(&self) -> bool {
        matches!(self, Self::HashFunction(_))
    }
}

impl Signature {
    /// Reads a signature; zeros may follow it, as they do in an image.
    ///
    /// # Errors
    /// If it is none, or one that nobody should trust.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut info = Elements(bytes).expect(SEQUENCE)?.inside();
        let kind = info.next()?.decode()?;
        if kind != ID_SIGNED_DATA {
            return Err(Malformed::Content(kind));
        }
        let mut signed = info.expect(CONTEXT_0)?.inside().expect(SEQUENCE)?.inside();
        let _version = signed.next()?;
        let function = hash_function(&signed.expect(SET)?.inside().next()?)?;

        let mut encapsulated = signed.expect(SEQUENCE)?.inside();
        let kind = encapsulated.next()?.decode()?;
        if kind != SPC_INDIRECT_DATA_OBJID {
            return Err(Malformed::Content(kind));
        }
        let content = encapsulated.expect(CONTEXT_0)?.inside().expect(SEQUENCE)?.value;
        let mut indirect = Elements(content);
        let _kind_of_image = indirect.expect(SEQUENCE)?;
        let mut digest_info = indirect.expect(SEQUENCE)?.inside();
        if hash_function(&digest_info.next()?)? != function {
            return Err(Malformed::TwoFunctions);
        }
        let digest = digest_info.next()?.decode::<OctetStringRef<'_>>()?.as_bytes();
        let digest = Digest::read(function, digest).ok_or(Malformed::DigestLength(digest.len()))?;

        let mut certificates = Vec::new();
        if let Some(set) = signed.next_if(CONTEXT_0)? {
            let mut set = set.inside();
            while !set.is_empty() && certificates.len() <= MOST_CERTIFICATES {
                certificates.push(Certificate::from_der(set.next()?.bytes)?);
            }
        }
        let _revocations = signed.next_if(0xa1)?;
        let mut signers = Vec::new();
        let mut infos = signed.expect(SET)?.inside();
        while !infos.is_empty() && signers.len() <= MOST_SIGNERS {
            signers.push(Signer::read(infos.expect(SEQUENCE)?.inside())?);
        }
        if signers.is_empty() || signers.len() > MOST_SIGNERS || certificates.len() > MOST_CERTIFICATES {
            return Err(Malformed::Counts { signers: signers.len(), certificates: certificates.len() });
        }
        Ok(Self { digest, certificates, signers, content: content.to_vec(), reached: OnceLock::new() })
    }

    /// The certificates of those who signed, as far as they came with it.
    pub fn signers(&self) -> impl Iterator<Item = &Certificate> {
        self.signers.iter().filter_map(|signer| self.certificate_of(signer))
    }

    /// Whether the certificate of everyone who signed came with it.
    pub(super) fn names_all_signers(&self) -> bool {
        self.signers().count() == self.signers.len()
    }

    /// Whether a key on an elliptic curve made it.
    pub(super) fn is_on_a_curve(&self) -> bool {
        let curve = |certificate: &Certificate| matches!(certificate.kind(), Some(KeyKind::P256 | KeyKind::P384));
        self.signers().any(curve)
    }

    /// Whether every signer's key made its signature, and its certificate is `anchor` or was issued by it, over certificates that
    /// came with it. Times do not matter, as they do not to firmware (`Pkcs7Verify` in EDK2's `CryptPkcs7VerifyCommon.c`).
    pub(super) fn leads_to(&self, anchor: &Certificate) -> bool {
        let is_anchored = |&number: &usize| {
            let certificate = self.certificates.get(number);
            certificate.is_some_and(|certificate| certificate == anchor || certificate.is_issued_by(anchor))
        };
        let reached = self.reached.get_or_init(|| self.signers.iter().map(|signer| self.reach(signer)).collect());
        reached.iter().all(|reached| reached.iter().any(is_anchored))
    }

    /// Whether all that was signed is signed by those who say so; `Err` where that cannot be judged.
    pub(super) fn verify(&self) -> Result<(), Refused> {
        self.signers.iter().try_for_each(|signer| {
            let certificate = self.certificate_of(signer).ok_or(Refused::Wrong)?;
            signer.verify(certificate, &self.content)
        })
    }

    /// The signer's certificate, and all that came with it and issued one of these; none if the signer's key did not make its signature.
    /// Each certificate is looked at once, however they issue one another.
    fn reach(&self, signer: &Signer) -> Vec<usize> {
        let own = |certificate: &Certificate| certificate.id().is_ok_and(|id| id == signer.id);
        let own = self.certificates.iter().enumerate().find(|(_, certificate)| own(certificate));
        let good = own.filter(|(_, certificate)| signer.verify(certificate, &self.content).is_ok());
        let mut reached: Vec<usize> = good.into_iter().map(|(number, _)| number).collect();
        let mut next = 0;
        while let Some(certificate) = reached.get(next).and_then(|&number| self.certificates.get(number)) {
            for (number, issuer) in self.certificates.iter().enumerate() {
                if !reached.contains(&number) && certificate.is_issued_by(issuer) {
                    reached.push(number);
                }
            }
            next = next.saturating_add(1);
        }
        reached
    }

    fn certificate_of(&self, signer: &Signer) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| certificate.id().is_ok_and(|id| id == signer.id))
    }
}

impl Signer {
    fn read(mut info: Elements<'_>) -> Result<Self, der::Error> {
        let _version = info.next()?;
        let id = info.expect(SEQUENCE)?.value.to_vec();
        let function = function_of(info.next()?.decode::<AlgorithmIdentifierRef<'_>>()?.oid);
        let attributes = info.next_if(CONTEXT_0)?.map(|attributes| signed_attributes(&attributes)).transpose()?;
        let _algorithm = info.expect(SEQUENCE)?;
        let signature = info.next()?.decode::<OctetStringRef<'_>>()?.as_bytes().to_vec();
        Ok(Self { id, function, attributes, signature })
    }

    fn verify(&self, certificate: &Certificate, content: &[u8]) -> Result<(), Refused> {
        let function = self.function.ok_or(Refused::Algorithm)?;
        let Some((attributes, message_digest)) = &self.attributes else {
            return certificate.verify(function, content, &self.signature);
        };
        if function.digest(content).as_bytes() != message_digest {
            return Err(Refused::Wrong);
        }
        certificate.verify(function, attributes, &self.signature)
    }
}

/// The attributes as the set that is signed, and the message digest among them; empty if there is none.
fn signed_attributes(attributes: &Element<'_>) -> Result<(Vec<u8>, Vec<u8>), der::Error> {
    let mut set = attributes.bytes.to_vec();
    if let Some(tag) = set.first_mut() {
        *tag = SET;
    }
    let mut digest = Vec::new();
    let mut inside = attributes.inside();
    while !inside.is_empty() {
        let mut attribute = inside.expect(SEQUENCE)?.inside();
        if attribute.next()?.decode::<ObjectIdentifier>()? == ID_MESSAGE_DIGEST {
            digest = attribute.expect(SET)?.inside().next()?.decode::<OctetStringRef<'_>>()?.as_bytes().to_vec();
        }
    }
    Ok((set, digest))
}

fn hash_function(algorithm: &Element<'_>) -> Result<HashFunction, Malformed> {
    let oid = algorithm.decode::<AlgorithmIdentifierRef<'_>>()?.oid;
    function_of(oid).ok_or(Malformed::HashFunction(oid))
}
