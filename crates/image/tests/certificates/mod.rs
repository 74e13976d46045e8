//! Makes keys and certificates with `openssl`.

use std::fs;
use std::io::{Cursor, ErrorKind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use lockdown_image::HashFunction;
use lockdown_image::sign::{self, FileKey, Terms, Validity};
use tempfile::TempDir;

/// A key and its certificate.
pub(crate) struct Pair {
    folder: TempDir,
    /// The certificate.
    pub(crate) der: Vec<u8>,
}

/// One who certifies others.
pub(crate) struct Authority {
    pub(crate) pair: Pair,
}

/// `image` with one more signature, whatever the certificates' time.
pub(crate) fn sign(image: &[u8], pair: &Pair, chain: &[&Pair], function: HashFunction) -> Vec<u8> {
    let certificate = pair.for_signing();
    let chain: Vec<_> = chain.iter().map(|pair| pair.for_signing()).collect();
    let terms =
        Terms { chain: &chain, function, validity: Validity::Ignored, append: true, ..Terms::new(&certificate) };
    let mut out = Cursor::new(Vec::new());
    terms.sign(&image, &pair.key(), &mut out).unwrap();
    out.into_inner()
}

impl Pair {
    pub(crate) fn for_signing(&self) -> sign::Certificate {
        sign::Certificate::read(&self.der).unwrap()
    }

    pub(crate) fn key(&self) -> FileKey {
        FileKey::read(&fs::read(self.key_file()).unwrap(), None).unwrap()
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    pub(crate) fn certificate_file(&self) -> PathBuf {
        self.folder.path().join("certificate")
    }
}

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign";
const LEAF: &str = "basicConstraints=CA:FALSE";
const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

impl Authority {
    /// A root; `None`, with a message, where `openssl` is missing.
    pub(crate) fn make() -> Option<Self> {
        Some(Self { pair: make("root", RSA, CA, 365, None)? })
    }

    /// Another one, certified by this one.
    pub(crate) fn authority(&self, name: &str) -> Self {
        Self { pair: make(name, RSA, CA, 365, Some(&self.pair)).unwrap() }
    }

    pub(crate) fn leaf(&self, name: &str) -> Pair {
        self.leaf_with(name, LEAF)
    }

    pub(crate) fn leaf_with(&self, name: &str, extensions: &str) -> Pair {
        make(name, RSA, extensions, 365, Some(&self.pair)).unwrap()
    }

    /// One with this serial number.
    pub(crate) fn numbered(&self, name: &str, serial: &str) -> Pair {
        make_with(name, RSA, LEAF, 365, Some(&self.pair), serial).unwrap()
    }

    pub(crate) fn expired(&self, name: &str) -> Pair {
        make(name, RSA, LEAF, -1, Some(&self.pair)).unwrap()
    }

    pub(crate) fn wide_leaf(&self, name: &str) -> Pair {
        make(name, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"], LEAF, 365, Some(&self.pair))
            .unwrap()
    }

    pub(crate) fn curve_leaf(&self, name: &str, curve: &str) -> Pair {
        let curve = format!("ec_paramgen_curve:{curve}");
        let algorithm = ["-algorithm", "EC", "-pkeyopt", &curve, "-pkeyopt", "ec_param_enc:named_curve"];
        make(name, &algorithm, LEAF, 365, Some(&self.pair)).unwrap()
    }
}

fn make(name: &str, algorithm: &[&str], extensions: &str, days: i32, issuer: Option<&Pair>) -> Option<Pair> {
    // A file of serial numbers would be one for all tests.
    static SERIAL: AtomicU32 = AtomicU32::new(2);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed).to_string();
    make_with(name, algorithm, extensions, days, issuer, &serial)
}

fn make_with(
    name: &str,
    algorithm: &[&str],
    extensions: &str,
    days: i32,
    issuer: Option<&Pair>,
    serial: &str,
) -> Option<Pair> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, request, certificate) = (file("key"), file("request"), file("certificate"));
    openssl(&[&["genpkey", "-out", &key], algorithm].concat())?;
    openssl(&["req", "-new", "-key", &key, "-subj", &format!("/CN={name}"), "-out", &request])?;
    fs::write(file("extensions"), extensions).unwrap();
    let (days, extensions) = (days.to_string(), file("extensions"));
    let mut arguments =
        vec!["x509", "-req", "-in", &request, "-days", &days, "-extfile", &extensions, "-out", &certificate];
    let signed = issuer.map(|issuer| {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        (path(issuer.certificate_file()), path(issuer.key_file()))
    });
    match &signed {
        Some((certificate, key)) => arguments.extend(["-CA", certificate, "-CAkey", key, "-set_serial", serial]),
        None => arguments.extend(["-signkey", &key]),
    }
    openssl(&arguments)?;
    let der = file("der");
    openssl(&["x509", "-in", &certificate, "-outform", "der", "-out", &der])?;
    let der = fs::read(der).unwrap();
    Some(Pair { folder, der })
}

fn openssl(arguments: &[&str]) -> Option<()> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("not run: openssl is not installed");
            None
        }
        Err(error) => panic!("openssl: {error}"),
    }
}
