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
    // Everything comes by openssl's standard output: it does not mind where a file of its own is cut off by a full disk.
    let keep = |kind: &str, bytes: Vec<u8>| {
        let place = folder.join(format!("{name}.{kind}"));
        fs::write(&place, bytes).with_context(|| format!("{} cannot be written", place.display()))
    };
    let openssl = |arguments: &[&str]| root.run("openssl", arguments, Some(folder));
    keep("key", openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])?)?;
    let (key, pem) = (format!("{SHARED}/{name}.key"), format!("{SHARED}/{name}.pem"));
    let subject = format!("/CN=xen-lockdown lab {name}");
    keep("pem", openssl(&["req", "-x509", "-new", "-key", &key, "-sha256", "-days", "3650", "-subj", &subject])?)?;
    keep("der", openssl(&["x509", "-in", &pem, "-outform", "DER"])?)
}
