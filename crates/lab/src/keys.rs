//! The lab's own keys. Nothing outside the lab trusts them; they are made once and kept.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::root::{Root, SHARED};

/// What a folder of keys is called until it has all of them.
pub const NEW_KEYS: &str = ".new-keys-";

/// A key pair with its certificate.
#[derive(Clone, Debug)]
pub struct Key {
    /// The private key (PEM).
    pub private: Vec<u8>,
    /// The certificate (PEM).
    pub certificate: Vec<u8>,
    /// The certificate (DER), as firmware stores it.
    pub der: Vec<u8>,
}

/// All keys of the lab.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The platform's.
    pub platform: Key,
    /// The key exchange key.
    pub exchange: Key,
    /// The one that firmware trusts.
    pub trusted: Key,
    /// One that it does not trust.
    pub stranger: Key,
}

impl Keys {
    /// The keys below `lab`, made if they are not there.
    ///
    /// # Errors
    /// Where openssl fails or the folder cannot be written.
    pub fn get(root: &Root, lab: &Path) -> Result<Self> {
        let folder = lab.join("keys");
        if !folder.is_dir() {
            let work = tempfile::Builder::new().prefix(NEW_KEYS).tempdir_in(lab)?;
            for name in ["platform", "exchange", "trusted", "stranger"] {
                make(root, work.path(), name)?;
            }
            let renamed = fs::rename(work.path(), &folder);
            // Another run may have been faster; its keys are as good.
            if !folder.is_dir() {
                renamed.with_context(|| format!("the keys cannot be kept in {}", folder.display()))?;
            }
        }
        let read = |name: &str| -> Result<Key> {
            let file = |kind: &str| {
                let place = folder.join(format!("{name}.{kind}"));
                fs::read(&place).with_context(|| format!("{}: remove the folder and start again", place.display()))
            };
            Ok(Key { private: file("key")?, certificate: file("pem")?, der: file("der")? })
        };
        Ok(Self {
            platform: read("platform")?,
            exchange: read("exchange")?,
            trusted: read("trusted")?,
            stranger: read("stranger")?,
        })
    }
}

fn make(root: &Root, folder: &Path, name: &str) -> Result<()> {
    let (key, pem, der) =
        (format!("{SHARED}/{name}.key"), format!("{SHARED}/{name}.pem"), format!("{SHARED}/{name}.der"));
    let subject = format!("/CN=xen-lockdown lab {name}");
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650"];
    let files = ["-subj", &subject, "-keyout", &key, "-out", &pem];
    let arguments: Vec<&str> = request.into_iter().chain(files).collect();
    root.run("openssl", &arguments, Some(folder))?;
    root.run("openssl", &["x509", "-in", &pem, "-outform", "DER", "-out", &der], Some(folder))?;
    Ok(())
}
