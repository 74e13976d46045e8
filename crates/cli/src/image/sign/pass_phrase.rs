//! Where pass phrases come from: never from the command line, which everybody can read.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use super::LONGEST;
use crate::files::unread;

const VARIABLE: &str = "XEN_LOCKDOWN_PASSPHRASE";

pub(super) struct PassPhrase<'a> {
    pub(super) file: Option<&'a Path>,
}

impl PassPhrase<'_> {
    /// Asks for it at last.
    pub(super) fn get(&self, what: &str) -> Result<Zeroizing<Vec<u8>>> {
        if let Some(file) = self.file {
            return first_line(file);
        }
        if let Some(value) = std::env::var_os(VARIABLE) {
            return Ok(Zeroizing::new(value.into_vec()));
        }
        let typed = rpassword::prompt_password(format!("{what}: ")).with_context(|| {
            format!("{what} is wanted, and there is no terminal to ask for it: give --passphrase-file, or set {VARIABLE}")
        })?;
        Ok(Zeroizing::new(typed.into_bytes()))
    }
}

pub(super) fn first_line(file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = read(file)?;
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}

/// Reads a file with a secret; it may be a pipe.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST)?));
    let file = File::open(path).with_context(|| unread(path))?;
    file.take(LONGEST).read_to_end(&mut bytes).with_context(|| unread(path))?;
    Ok(bytes)
}
