//! Keys and certificates, made with `openssl`.

use std::ffi::OsStr;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use lockdown_image::sign::{Certificate, FileKey, Signed, Terms, sign};
use tempfile::TempDir;

use crate::now;
use crate::tools::{must, run};

/// A key and its certificate, made for one test.
pub(crate) struct Keys {
    pub(crate) folder: TempDir,
    pub(crate) key_path: PathBuf,
    pub(crate) certificate_path: PathBuf,
    pub(crate) key: FileKey,
    pub(crate) certificate: Certificate,
}

impl Keys {
    pub(crate) fn make() -> Option<Self> {
        Self::of("rsa:2048")
    }

    /// `None` if there is no openssl.
    pub(crate) fn of(algorithm: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (key_path, certificate_path) = make_keys(folder.path(), algorithm)?;
        let key = FileKey::read(&std::fs::read(&key_path).unwrap(), None).unwrap();
        let certificate = Certificate::read(&std::fs::read(&certificate_path).unwrap()).unwrap();
        Some(Self { folder, key_path, certificate_path, key, certificate })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub(crate) fn sign(&self, image: &[u8]) -> (Vec<u8>, Signed) {
        let mut out = Cursor::new(Vec::new());
        let signed = sign(&image, &self.key, &self.certificate, now(), &mut out).unwrap();
        (out.into_inner(), signed)
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms::new(&self.certificate)
    }

    /// What openssl says of the certificate.
    pub(crate) fn shown(&self, what: &str) -> String {
        let words = ["x509", "-noout", "-sha256", what, "-in"].map(OsStr::new);
        let output = must("openssl", words.into_iter().chain([self.certificate_path.as_os_str()])).unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What openssl makes of the key, for example in another form.
    pub(crate) fn convert(&self, command: &str, arguments: &[&str], to: &str) -> Vec<u8> {
        let out = self.path(to);
        let mut all = vec![OsStr::new(command), OsStr::new("-in"), self.key_path.as_os_str()];
        all.extend(arguments.iter().map(OsStr::new));
        all.extend([OsStr::new("-out"), out.as_os_str()]);
        must("openssl", all).unwrap();
        std::fs::read(out).unwrap()
    }
}

/// `rsa:BITS`, or the name of a curve.
pub(crate) fn make_keys(folder: &Path, algorithm: &str) -> Option<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let mut arguments: Vec<&OsStr> =
        ["req", "-x509", "-nodes", "-days", "10", "-subj", "/CN=test", "-newkey"].map(OsStr::new).to_vec();
    let curve = format!("ec_paramgen_curve:{algorithm}");
    if algorithm.starts_with("rsa:") {
        arguments.push(OsStr::new(algorithm));
    } else {
        arguments.extend(["ec", "-pkeyopt", curve.as_str()].map(OsStr::new));
    }
    arguments.extend([OsStr::new("-keyout"), key.as_os_str(), OsStr::new("-out"), certificate.as_os_str()]);
    must("openssl", arguments)?;
    Some((key, certificate))
}

/// A certificate authority, the certificate of an intermediate one and that of a key: `key`, `leaf.pem`, `middle.pem`, `root.pem`.
pub(crate) fn make_chain(folder: &Path) -> Option<()> {
    let place = |name: &str| folder.join(name).into_os_string();
    let words = |text: &str| -> Vec<_> { text.split(' ').map(OsStr::new).map(OsStr::to_os_string).collect() };
    let request = |subject: &str, name: &str| {
        let mut all = words("req -new -nodes -newkey rsa:2048 -subj");
        all.extend([format!("/CN={subject}").into(), "-keyout".into(), place(&format!("{name}.key"))]);
        all.extend(["-out".into(), place(&format!("{name}.csr"))]);
        run("openssl", all.iter().map(|word| word.as_os_str()))
    };
    let issue = |name: &str, issuer: &str, more: &str| {
        let mut all = words("x509 -req -days 10 -in");
        all.push(place(&format!("{name}.csr")));
        all.extend(words(more));
        all.push(place(&format!("{issuer}.key")));
        if name != "leaf" {
            all.extend(["-extfile".into(), place("extensions")]);
        }
        if name != issuer {
            all.extend(["-CA".into(), place(&format!("{issuer}.pem")), "-CAcreateserial".into()]);
        }
        all.extend(["-out".into(), place(&format!("{name}.pem"))]);
        must("openssl", all.iter().map(|word| word.as_os_str()))
    };
    std::fs::write(place("extensions"), "basicConstraints=critical,CA:TRUE\n").unwrap();
    for (name, issuer) in [("root", "root"), ("middle", "root"), ("leaf", "middle")] {
        request(name, name)?;
        issue(name, issuer, if name == issuer { "-signkey" } else { "-CAkey" })?;
    }
    Some(())
}
