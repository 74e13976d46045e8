//! Public keys as certificates hold them, and the signatures that they verify.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use der::{Decode, Tag, Tagged};
use ring::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    UnparsedPublicKey, VerificationAlgorithm,
};
use spki::SubjectPublicKeyInfoOwned;

use crate::digest::HashFunction;

/// What a key is, as far as it can be used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with the size of its modulus in bits.
    Rsa(usize),
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

/// Why a signature is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The key, the hash function, or the two together cannot be judged here.
    Algorithm,
    /// The key did not make it.
    Wrong,
}

/// The kind of a key; `None` for what is not known here, such as P-521 or Ed25519.
pub(crate) fn kind(key: &SubjectPublicKeyInfoOwned) -> Option<KeyKind> {
    let algorithm = &key.algorithm;
    if algorithm.oid == RSA_ENCRYPTION {
        let parts = Vec::<AnyRef<'_>>::from_der(key.subject_public_key.raw_bytes()).ok()?;
        let modulus = parts.first().filter(|part| part.tag() == Tag::Integer)?.value();
        let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
        let bits = modulus.len().checked_sub(zeros)?.checked_mul(8)?;
        let first = modulus.get(zeros)?;
        return Some(KeyKind::Rsa(bits.checked_sub(usize::try_from(first.leading_zeros()).ok()?)?));
    }
    if algorithm.oid != ID_EC_PUBLIC_KEY {
        return None;
    }
    match algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()? {
        SECP_256_R_1 => Some(KeyKind::P256),
        SECP_384_R_1 => Some(KeyKind::P384),
        _ => None,
    }
}

/// Whether the key made this signature of the message's digest: RSASSA-PKCS1-v1_5, or ECDSA in DER.
pub(crate) fn verify(
    key: &SubjectPublicKeyInfoOwned,
    function: HashFunction,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refused> {
    let kind = kind(key).ok_or(Refused::Algorithm)?;
    let algorithm: &'static dyn VerificationAlgorithm = match (kind, function) {
        (KeyKind::Rsa(_), HashFunction::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa(_), HashFunction::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa(_), HashFunction::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::P256, HashFunction::Sha256) => &ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, HashFunction::Sha384) => &ECDSA_P256_SHA384_ASN1,
        (KeyKind::P384, HashFunction::Sha256) => &ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, HashFunction::Sha384) => &ECDSA_P384_SHA384_ASN1,
        (KeyKind::P256 | KeyKind::P384, HashFunction::Sha512) => return Err(Refused::Algorithm),
    };
    let key = UnparsedPublicKey::new(algorithm, key.subject_public_key.raw_bytes());
    key.verify(message, signature).map_err(|_| Refused::Wrong)
}
