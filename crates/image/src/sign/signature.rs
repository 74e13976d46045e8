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
use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::oid::db::rfc5911::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use der::oid::db::rfc5912::{ID_SHA_256, RSA_ENCRYPTION};
use der::{Any, Decode, Encode, Tag};
use ring::digest::{SHA256, digest};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::{Attribute, Attributes};

use super::{Certificate, Error};
use crate::raw::QUADWORD;

const SPC_PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");

/// `SpcPeImageData`: no flags, and a file with an empty name, as other tools write it. Nobody reads it.
const NO_NAME: [u8; 11] = [0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00];

/// The digest of an image, wrapped up to be signed.
pub(super) struct Content {
    content: Any,
    attributes: Attributes,
}

impl Content {
    pub(super) fn new(image_digest: &[u8; 32]) -> Result<Self, Error> {
        let value = Any::from_der(&NO_NAME)?;
        let content = SpcIndirectDataContent {
            data: SpcAttributeTypeAndOptionalValue { value_type: SPC_PE_IMAGE_DATA, value },
            message_digest: DigestInfo {
                digest_algorithm: with_null(ID_SHA_256),
                digest: OctetString::new(image_digest.as_slice())?,
            },
        };
        let content = Any::encode_from(&content)?;
        // PKCS#7 hashes the content without its tag and length.
        let content_digest = digest(&SHA256, content.value());
        let attributes = SetOfVec::try_from(vec![
            attribute(ID_CONTENT_TYPE, Any::encode_from(&SPC_INDIRECT_DATA_OBJID)?)?,
            attribute(ID_MESSAGE_DIGEST, Any::new(Tag::OctetString, content_digest.as_ref())?)?,
        ])?;
        Ok(Self { content, attributes })
    }

    /// What the key signs.
    pub(super) fn to_be_signed(&self) -> Result<Vec<u8>, Error> {
        Ok(self.attributes.to_der()?)
    }

    /// The whole, in DER.
    pub(super) fn signed(self, certificate: &Certificate, signature: Vec<u8>) -> Result<Vec<u8>, Error> {
        let tbs = &certificate.parsed.tbs_certificate;
        let sid = IssuerAndSerialNumber { issuer: tbs.issuer.clone(), serial_number: tbs.serial_number.clone() };
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(sid),
            digest_alg: with_null(ID_SHA_256),
            signed_attrs: Some(self.attributes),
            signature_algorithm: with_null(RSA_ENCRYPTION),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let certificates = vec![CertificateChoices::Certificate(certificate.parsed.clone())];
        let signed = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![with_null(ID_SHA_256)])?,
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

/// A table of signatures with this one (`WIN_CERTIFICATE`). Its length counts the zeros that fill it up, as that of
/// other tools does.
pub(super) fn table(signature: &[u8]) -> Result<Vec<u8>, Error> {
    let quadword = usize::try_from(QUADWORD).unwrap_or(8);
    let length = signature.len().checked_add(8).and_then(|length| length.checked_next_multiple_of(quadword));
    let length = length.ok_or(Error::TooBig)?;
    let mut table = Vec::with_capacity(length);
    table.extend(u32::try_from(length).map_err(|_| Error::TooBig)?.to_le_bytes());
    table.extend(WIN_CERT_REVISION_2_0.to_le_bytes());
    table.extend(WIN_CERT_TYPE_PKCS_SIGNED_DATA.to_le_bytes());
    table.extend_from_slice(signature);
    table.resize(length, 0);
    Ok(table)
}

fn attribute(oid: ObjectIdentifier, value: Any) -> Result<Attribute, Error> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

/// Algorithms without parameters say so with NULL, or some firmware refuses them.
fn with_null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(Any::null()) }
}
