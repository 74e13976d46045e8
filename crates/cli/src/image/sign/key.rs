//! The key: in a file, or in a token.

use std::path::Path;

use anyhow::{Context as _, Result};
use lockdown_image::sign::{FileKey, KeyError, Signer};

use super::pass_phrase::{self, PassPhrase};
use super::token::Token;
use super::uri::Uri;

pub(super) enum Key {
    File(FileKey),
    Token(Token),
}

impl Key {
    /// Asks for a pass phrase only where one is needed.
    pub(super) fn open(key: &Path, pass_phrase: &PassPhrase<'_>) -> Result<Self> {
        if let Some(uri) = key.to_str().filter(|key| key.starts_with("pkcs11:")) {
            let uri = Uri::parse(uri).context("--key")?;
            return Ok(Self::Token(Token::open(&uri, pass_phrase)?));
        }
        let name = || key.display().to_string();
        let bytes = pass_phrase::read(key)?;
        match FileKey::read(&bytes, None) {
            Err(KeyError::PassPhraseMissing) => {
                let pass_phrase = pass_phrase.get(&format!("the pass phrase of {}", key.display()))?;
                Ok(Self::File(FileKey::read(&bytes, Some(&pass_phrase)).with_context(name)?))
            }
            other => Ok(Self::File(other.with_context(name)?)),
        }
    }

    pub(super) fn signer(&self) -> &dyn Signer {
        match self {
            Self::File(key) => key,
            Self::Token(token) => token,
        }
    }
}
