//! Tools of others: what they say of an image's digest and of its signatures.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use der::pem::{LineEnding, encode_string};
use lockdown_image::verify::Certificate;

/// Those that are there.
#[derive(Default)]
pub(crate) struct Tools {
    missing: RefCell<BTreeSet<String>>,
}

impl Tools {
    /// All that know the image, of which we say that it has this digest and is signed by these, must say so too. Names them.
    pub(crate) fn signed(&self, image: &Path, digest: &str, signers: &[Certificate], signatures: usize) -> String {
        let mut agree = self.pesign(image, digest);
        // It knows one signature in the table and no more ("Corrupted attribute certificate table", 2.9).
        if signatures == 1 {
            let said = self.run("osslsigncode", [OsStr::new("verify"), OsStr::new("-in"), image.as_os_str()]);
            if let Some(said) = said {
                let text = text(&said);
                for line in ["Current message digest", "Calculated message digest"] {
                    assert_eq!(after(&text, line), Some(digest.to_owned()), "osslsigncode: {text}");
                }
                agree.push("osslsigncode");
            }
        }
        let by = |signer: &Certificate| self.sbverify(image, signer);
        let good: Vec<bool> = signers.iter().filter_map(by).collect();
        assert!(good.iter().all(|good| *good), "sbverify refuses {}", image.display());
        agree.extend((!good.is_empty()).then_some("sbverify"));
        agree.join(", ")
    }

    /// The same of an image without a signature, whose digest only pesign tells.
    pub(crate) fn unsigned(&self, image: &Path, digest: &str) -> String {
        self.pesign(image, digest).join(", ")
    }

    /// Nobody takes a changed image.
    pub(crate) fn refuse(&self, image: &[u8], signers: &[Certificate]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changed.efi");
        fs::write(&path, image).unwrap();
        for signer in signers {
            assert_ne!(self.sbverify(&path, signer), Some(true), "sbverify takes a changed image");
        }
    }

    fn pesign(&self, image: &Path, digest: &str) -> Vec<&'static str> {
        let words = [OsStr::new("--hash"), OsStr::new("--in"), image.as_os_str()];
        let Some(said) = self.run("pesign", words) else { return Vec::new() };
        assert_eq!(after(&text(&said), "hash"), Some(digest.to_owned()), "pesign: {}", image.display());
        vec!["pesign"]
    }

    fn sbverify(&self, image: &Path, signer: &Certificate) -> Option<bool> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.pem");
        fs::write(&path, encode_string("CERTIFICATE", LineEnding::LF, signer.der()).unwrap()).unwrap();
        let words = [OsStr::new("--cert"), path.as_os_str(), image.as_os_str()];
        Some(self.run("sbverify", words)?.status.success())
    }

    /// `None`, and a message once, if it is not installed.
    fn run<'a>(&self, tool: &str, words: impl IntoIterator<Item = &'a OsStr>) -> Option<Output> {
        match Command::new(tool).args(words).env("LC_ALL", "C").output() {
            Ok(output) => Some(output),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if self.missing.borrow_mut().insert(tool.to_owned()) {
                    eprintln!("{tool}: not run: it is not installed");
                }
                None
            }
            Err(error) => panic!("{tool}: {error}"),
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// What stands behind `NAME:`, in small letters.
fn after(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(line.trim().to_lowercase())
}
