//! A key in a file.

use core::fmt;

use der::SecretDocument;
use pkcs8::EncryptedPrivateKeyInfo;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

use super::Signer;
use super::certificate::SEQUENCE;

/// An RSA key with 2048 to 4096 bits, held in memory.
pub struct FileKey {
    pair: RsaKeyPair,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not PEM, or not only that.
    #[error("the key is no PEM: {0}")]
    Pem(#[source] der::Error),
    /// It is PEM, and something else.
    #[error("the file holds {0:?}; a private key is wanted, as PKCS#8 or PKCS#1")]
    Label(String),
    /// It is encrypted, and no pass phrase was given.
    #[error("the key is encrypted, and there is no pass phrase for it")]
    PassPhraseMissing,
    /// It is encrypted with another pass phrase, or in another way.
    #[error("the key cannot be decrypted, the pass phrase may be wrong: {0}")]
    Decryption(#[source] pkcs8::Error),
    /// It is not what it should be.
    #[error("the key cannot be used ({0}); RSA with 2048 to 4096 bits is wanted")]
    Rejected(ring::error::KeyRejected),
}

impl FileKey {
    /// Reads a private key in PEM (PKCS#8, also encrypted, and PKCS#1) or DER (PKCS#8 and PKCS#1).
    ///
    /// # Errors
    /// If it is none, or cannot be decrypted.
    pub fn read(bytes: &[u8], pass_phrase: Option<&[u8]>) -> Result<Self, KeyError> {
        let pair = if bytes.first() == Some(&SEQUENCE) {
            RsaKeyPair::from_pkcs8(bytes).or_else(|_| RsaKeyPair::from_der(bytes))
        } else {
            let text = core::str::from_utf8(bytes).map_err(|error| KeyError::Pem(error.into()))?;
            let (label, document) = SecretDocument::from_pem(text).map_err(KeyError::Pem)?;
            match label {
                "PRIVATE KEY" => RsaKeyPair::from_pkcs8(document.as_bytes()),
                "RSA PRIVATE KEY" => RsaKeyPair::from_der(document.as_bytes()),
                "ENCRYPTED PRIVATE KEY" => {
                    let pass_phrase = pass_phrase.ok_or(KeyError::PassPhraseMissing)?;
                    RsaKeyPair::from_pkcs8(decrypt(document.as_bytes(), pass_phrase)?.as_bytes())
                }
                other => return Err(KeyError::Label(other.to_owned())),
            }
        };
        Ok(Self { pair: pair.map_err(KeyError::Rejected)? })
    }
}

impl Signer for FileKey {
    fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        // The numbers only blind the computation, the signature is the same each time.
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| "the computation failed")?;
        Ok(signature)
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKey").finish_non_exhaustive()
    }
}

fn decrypt(document: &[u8], pass_phrase: &[u8]) -> Result<SecretDocument, KeyError> {
    let encrypted = EncryptedPrivateKeyInfo::try_from(document).map_err(KeyError::Decryption)?;
    encrypted.decrypt(pass_phrase).map_err(KeyError::Decryption)
}
