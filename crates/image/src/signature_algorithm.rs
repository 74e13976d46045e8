//! The names of algorithms in signatures and certificates.

use der::asn1::ObjectIdentifier;
use der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_SHA_256, ID_SHA_384, ID_SHA_512,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};

use crate::digest::HashFunction;

/// The hash function in the name of a hash function, or of a signature's algorithm; `None` for SHA-1, MD5, and algorithms whose name
/// has none.
pub(crate) fn function_of(algorithm: ObjectIdentifier) -> Option<HashFunction> {
    match algorithm {
        ID_SHA_256 | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => Some(HashFunction::Sha256),
        ID_SHA_384 | SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => Some(HashFunction::Sha384),
        ID_SHA_512 | SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => Some(HashFunction::Sha512),
        _ => None,
    }
}
