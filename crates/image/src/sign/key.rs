//! A key in a file.

use core::fmt;

use der::oid::ObjectIdentifier;
use der::oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use der::{Decode, SecretDocument};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaKeyPair};
use sec1::EcPrivateKey;

use super::Signer;
use crate::digest::HashFunction;
use crate::elements::SEQUENCE;
use crate::pem::{self, Block};

/// A private key, held in memory: RSA with 2048 to 4096 bits, or ECDSA with P-256 or P-384. That of ECDSA is overwritten when it
/// is dropped.
pub struct FileKey {
    secret: Secret,
    public: Vec<u8>,
}

enum Secret {
    Rsa(Box<RsaKeyPair>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not PEM, or not only that.
    #[error("the key is no PEM: {0}")]
    Pem(#[source] der::Error),
    /// It is PEM, and something else.
    #[error("the file holds {0:?}; a private key is wanted, as PKCS#8, PKCS#1 or SEC1")]
    Label(String),
    /// It is encrypted, and no pass phrase was given.
    #[error("the key is encrypted, and there is no pass phrase for it")]
    PassPhraseMissing,
    /// It is encrypted with another pass phrase, or in another way.
    #[error("the key cannot be decrypted, the pass phrase may be wrong: {0}")]
    Decryption(#[source] pkcs8::Error),
    /// It is encrypted as files were before PKCS#8.
    #[error(
        "the key is encrypted in an old way (\"Proc-Type\"), which is weak; `openssl pkcs8 -topk8 -in OLD -out NEW` writes it as \
         PKCS#8"
    )]
    OldEncryption,
    /// It is RSA, and not what it should be.
    #[error("the key cannot be used ({0}); RSA with 2048 to 4096 bits is wanted")]
    Rejected(ring::error::KeyRejected),
    /// It is for ECDSA, and broken.
    #[error("the key is none of its curve")]
    NotOfCurve,
    /// It is another kind of key.
    #[error("the key is of a kind that cannot be used here ({0}); RSA, ECDSA P-256 or ECDSA P-384 is wanted")]
    Algorithm(String),
}

impl FileKey {
    /// Reads a private key in PEM or DER: PKCS#8, also encrypted, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// If it is none, or cannot be decrypted.
    pub fn read(bytes: &[u8], pass_phrase: Option<&[u8]>) -> Result<Self, KeyError> {
        if bytes.first() == Some(&SEQUENCE) {
            return Self::from_der(bytes, pass_phrase);
        }
        let text = core::str::from_utf8(bytes).map_err(|error| KeyError::Pem(error.into()))?;
        let blocks = pem::blocks(text);
        // `openssl ecparam -genkey` puts the curve in front of the key.
        let Some(block) = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")).or(blocks.first())
        else {
            let (label, _) = SecretDocument::from_pem(text).map_err(KeyError::Pem)?;
            return Err(KeyError::Label(label.to_owned()));
        };
        Self::from_block(block, pass_phrase)
    }

    fn from_block(block: &Block<'_>, pass_phrase: Option<&[u8]>) -> Result<Self, KeyError> {
        if !matches!(block.label, "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY") {
            return Err(KeyError::Label(block.label.to_owned()));
        }
        if block.text.contains("Proc-Type:") {
            return Err(KeyError::OldEncryption);
        }
        let (label, document) = SecretDocument::from_pem(block.text).map_err(KeyError::Pem)?;
        let der = document.as_bytes();
        match label {
            "RSA PRIVATE KEY" => Self::rsa(RsaKeyPair::from_der(der)),
            "EC PRIVATE KEY" => Self::sec1(&EcPrivateKey::from_der(der).map_err(|_| KeyError::NotOfCurve)?),
            _ => Self::from_der(der, pass_phrase),
        }
    }

    fn from_der(bytes: &[u8], pass_phrase: Option<&[u8]>) -> Result<Self, KeyError> {
        if let Ok(key) = PrivateKeyInfo::try_from(bytes) {
            return Self::pkcs8(&key, bytes);
        }
        if let Ok(encrypted) = EncryptedPrivateKeyInfo::try_from(bytes) {
            let pass_phrase = pass_phrase.ok_or(KeyError::PassPhraseMissing)?;
            let document = encrypted.decrypt(pass_phrase).map_err(KeyError::Decryption)?;
            let key = PrivateKeyInfo::try_from(document.as_bytes()).map_err(KeyError::Decryption)?;
            return Self::pkcs8(&key, document.as_bytes());
        }
        match EcPrivateKey::from_der(bytes) {
            Ok(key) => Self::sec1(&key),
            Err(_) => Self::rsa(RsaKeyPair::from_der(bytes)),
        }
    }

    fn pkcs8(key: &PrivateKeyInfo<'_>, bytes: &[u8]) -> Result<Self, KeyError> {
        match key.algorithm.oid {
            RSA_ENCRYPTION => Self::rsa(RsaKeyPair::from_pkcs8(bytes)),
            ID_EC_PUBLIC_KEY => {
                let curve = key.algorithm.parameters_oid().map_err(|_| KeyError::NotOfCurve)?;
                let key = EcPrivateKey::from_der(key.private_key).map_err(|_| KeyError::NotOfCurve)?;
                Self::ecdsa(curve, key.private_key)
            }
            other => Err(KeyError::Algorithm(other.to_string())),
        }
    }

    fn sec1(key: &EcPrivateKey<'_>) -> Result<Self, KeyError> {
        let curve = key.parameters.and_then(|parameters| parameters.named_curve());
        let curve = match (curve, key.private_key.len()) {
            (Some(curve), _) => curve,
            (None, 48) => SECP_384_R_1,
            (None, _) => SECP_256_R_1,
        };
        Self::ecdsa(curve, key.private_key)
    }

    fn ecdsa(curve: ObjectIdentifier, number: &[u8]) -> Result<Self, KeyError> {
        match curve {
            SECP_256_R_1 => {
                let key = p256::ecdsa::SigningKey::from_slice(number).map_err(|_| KeyError::NotOfCurve)?;
                let public = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
                Ok(Self { secret: Secret::P256(key), public })
            }
            SECP_384_R_1 => {
                let key = p384::ecdsa::SigningKey::from_slice(number).map_err(|_| KeyError::NotOfCurve)?;
                let public = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
                Ok(Self { secret: Secret::P384(key), public })
            }
            other => Err(KeyError::Algorithm(other.to_string())),
        }
    }

    fn rsa(pair: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Self, KeyError> {
        let pair = pair.map_err(KeyError::Rejected)?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self { secret: Secret::Rsa(Box::new(pair)), public })
    }
}

impl Signer for FileKey {
    fn public_key(&self) -> Option<&[u8]> {
        Some(&self.public)
    }

    /// The same message gives the same signature: RSA's is so, and the number that each ECDSA signature needs is made from the key
    /// and the message (RFC 6979, always with the hash function as long as the curve's order).
    fn sign(
        &self,
        function: HashFunction,
        message: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let digest = || function.digest(message);
        match &self.secret {
            Secret::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding = match function {
                    HashFunction::Sha256 => &RSA_PKCS1_SHA256,
                    HashFunction::Sha384 => &RSA_PKCS1_SHA384,
                    HashFunction::Sha512 => &RSA_PKCS1_SHA512,
                };
                // The numbers only blind the computation.
                pair.sign(padding, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| "the computation failed")?;
                Ok(signature)
            }
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(digest().as_bytes())?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Secret::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(digest().as_bytes())?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
        }
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKey").finish_non_exhaustive()
    }
}
