//! The signature as bytes: PKCS#7 `SignedData` as Authenticode wants it ("Windows Authenticode Portable Executable
//! Signature Format", Microsoft), in a row of the table of signatures.

use authenticode::{
    DigestInfo, SPC_INDIRECT_DATA_OBJID, SpcAttributeTypeAndOptionalValue, SpcIndirectDataContent,
};
use authenticode::{WIN_CERT_REVISION_2_0, WIN_CERT_TYPE_PKCS_SIGNED_DATA};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{ObjectIdentifier, OctetString, SequenceOf, SetOfVec, UintRef};
use der::oid::db::rfc5911::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ID_SHA_256, ID_SHA_384, ID_SHA_512, RSA_ENCRYPTION,
};
use der::{Any, Decode, Encode, Tag};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::{Attribute, Attributes};

use super::{Certificate, Error, Terms};
use crate::digest::{Digest, HashFunction};
use crate::public_key::KeyKind;
use crate::raw::QUADWORD;

const SPC_PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");

/// `SpcPeImageData`: no flags, and a file with an empty name, as other tools write it. Nobody reads it.
const NO_NAME: [u8; 11] = [0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00];

/// The digest of an image, wrapped up to be signed.
pub(super) struct Content {
    function: HashFunction,
    content: Any,
    attributes: Attributes,
}

impl Content {
    pub(super) fn new(image_digest: &Digest) -> Result<Self, Error> {
        let function = image_digest.function();
        let value = Any::from_der(&NO_NAME)?;
        let content = SpcIndirectDataContent {
            data: SpcAttributeTypeAndOptionalValue { value_type: SPC_PE_IMAGE_DATA, value },
            message_digest: DigestInfo {
                digest_algorithm: with_null(identifier(function)),
                digest: OctetString::new(image_digest.as_bytes())?,
            },
        };
        let content = Any::encode_from(&content)?;
        // PKCS#7 hashes the content without its tag and length.
        let content_digest = function.digest(content.value());
        let attributes = SetOfVec::try_from(vec![
            attribute(ID_CONTENT_TYPE, Any::encode_from(&SPC_INDIRECT_DATA_OBJID)?)?,
            attribute(ID_MESSAGE_DIGEST, Any::new(Tag::OctetString, content_digest.as_bytes())?)?,
        ])?;
        Ok(Self { function, content, attributes })
    }

    /// What the key signs.
    pub(super) fn to_be_signed(&self) -> Result<Vec<u8>, Error> {
        Ok(self.attributes.to_der()?)
    }

    /// The whole, in DER.
    pub(super) fn signed(self, terms: &Terms<'_>, signature: Vec<u8>) -> Result<Vec<u8>, Error> {
        let tbs = &terms.certificate.parsed.tbs_certificate;
        let sid = IssuerAndSerialNumber { issuer: tbs.issuer.clone(), serial_number: tbs.serial_number.clone() };
        let hashed_with = with_null(identifier(self.function));
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(sid),
            digest_alg: hashed_with.clone(),
            signed_attrs: Some(self.attributes),
            signature_algorithm: signature_algorithm(terms.certificate.kind(), self.function)?,
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let mut certificates: Vec<&Certificate> = vec![terms.certificate];
        for certificate in terms.chain {
            if !certificates.contains(&certificate) {
                certificates.push(certificate);
            }
        }
        let certificates: Vec<_> = certificates
            .into_iter()
            .map(|certificate| CertificateChoices::Certificate(certificate.parsed.clone()))
            .collect();
        let signed = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![hashed_with])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: SPC_INDIRECT_DATA_OBJID,
                econtent: Some(self.content),
            },
            certificates: Some(CertificateSet(SetOfVec::try_from(certificates)?)),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        };
        let info = ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&signed)? };
        Ok(info.to_der()?)
    }
}

/// The row of the table of signatures (`WIN_CERTIFICATE`). Its length counts the zeros that fill it up, as that of
/// other tools does.
pub(super) fn row(signature: &[u8]) -> Result<Vec<u8>, Error> {
    let quadword = usize::try_from(QUADWORD).unwrap_or(8);
    let length = signature.len().checked_add(8).and_then(|length| length.checked_next_multiple_of(quadword));
    let length = length.ok_or(Error::TooBig)?;
    let mut row = Vec::with_capacity(length);
    row.extend(u32::try_from(length).map_err(|_| Error::TooBig)?.to_le_bytes());
    row.extend(WIN_CERT_REVISION_2_0.to_le_bytes());
    row.extend(WIN_CERT_TYPE_PKCS_SIGNED_DATA.to_le_bytes());
    row.extend_from_slice(signature);
    row.resize(length, 0);
    Ok(row)
}

/// An ECDSA signature in DER, of its two numbers, each with `half` bytes.
pub(super) fn from_numbers(numbers: &[u8], half: usize) -> Option<Vec<u8>> {
    let (first, second) = numbers.split_at_checked(half)?;
    if second.len() != half {
        return None;
    }
    let numbers = [UintRef::new(first).ok()?, UintRef::new(second).ok()?];
    let mut sequence = SequenceOf::<UintRef<'_>, 2>::new();
    numbers.into_iter().try_for_each(|number| sequence.add(number)).ok()?;
    sequence.to_der().ok()
}

const fn identifier(function: HashFunction) -> ObjectIdentifier {
    match function {
        HashFunction::Sha256 => ID_SHA_256,
        HashFunction::Sha384 => ID_SHA_384,
        HashFunction::Sha512 => ID_SHA_512,
    }
}

/// RSA is named without the hash function, as all tools do.
fn signature_algorithm(kind: Option<KeyKind>, function: HashFunction) -> Result<AlgorithmIdentifierOwned, Error> {
    let oid = match (kind.ok_or(Error::Algorithm)?, function) {
        (KeyKind::Rsa(_), _) => return Ok(with_null(RSA_ENCRYPTION)),
        (KeyKind::P256 | KeyKind::P384, HashFunction::Sha256) => ECDSA_WITH_SHA_256,
        (KeyKind::P256 | KeyKind::P384, HashFunction::Sha384) => ECDSA_WITH_SHA_384,
        (KeyKind::P256 | KeyKind::P384, HashFunction::Sha512) => return Err(Error::Function(function)),
    };
    // RFC 5758: without parameters.
    Ok(AlgorithmIdentifierOwned { oid, parameters: None })
}

fn attribute(oid: ObjectIdentifier, value: Any) -> Result<Attribute, Error> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

/// Algorithms without parameters say so with NULL, or some firmware refuses them.
fn with_null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(Any::null()) }
}
