//! A folder with an image, keys and certificates, and tools of others; one that is not installed is reported as not run.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::builder::Pe;

pub(crate) struct Folder {
    folder: TempDir,
    /// What the command finds in its environment.
    pub(crate) environment: HashMap<&'static str, String>,
}

impl Folder {
    /// `unified.efi`, `db.key` with `db.crt` (RSA), `new.key` with `new.crt` (P-256); `None` if there is no openssl.
    pub(crate) fn new() -> Option<Self> {
        let folder = Self { folder: tempfile::tempdir().unwrap(), environment: HashMap::new() };
        let image = Pe::new().with(".text", &[0x90; 0x30]).with(".config", b"[global]\n").build();
        folder.write("unified.efi", &image);
        folder.keys("db", "rsa:2048")?;
        folder.keys("new", "P-256")?;
        Some(folder)
    }

    /// `NAME.key` and `NAME.crt`: `rsa:BITS`, or a curve.
    pub(crate) fn keys(&self, name: &str, algorithm: &str) -> Option<()> {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let (curve, subject) = (format!("ec_paramgen_curve:{algorithm}"), format!("/CN={name}"));
        let mut words = vec![
            "req",
            "-x509",
            "-nodes",
            "-days",
            "10",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ];
        words.push("-newkey");
        if algorithm.starts_with("rsa:") {
            words.push(algorithm);
        } else {
            words.extend(["ec", "-pkeyopt", &curve]);
        }
        self.tool("openssl", &words)?;
        Some(())
    }

    /// `NAME.crt` for `db.key`, which ended the day before.
    pub(crate) fn expired(&self, name: &str) {
        let certificate = format!("{name}.crt");
        let subject = format!("/CN={name}");
        self.tool("openssl", &["req", "-new", "-key", "db.key", "-subj", &subject, "-out", "old.csr"]).unwrap();
        let words = ["x509", "-req", "-days", "-1", "-in", "old.csr", "-signkey", "db.key", "-out", &certificate];
        self.tool("openssl", &words).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Everything in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_remove("XEN_LOCKDOWN_PASSPHRASE").envs(&self.environment);
        command
    }

    /// Runs `xen-lockdown image` here.
    pub(crate) fn image(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_xen-lockdown")).arg("image").args(arguments).output().unwrap()
    }

    /// The same for a program; exit status, the document, standard error.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value, String) {
        let output = self.image(&[arguments, &["--format", "json"]].concat());
        let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), document, String::from_utf8(output.stderr).unwrap())
    }

    /// Runs a shell's text here, with `xen-lockdown` to be found by its name.
    pub(crate) fn shell(&self, text: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_xen-lockdown")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        self.command("sh").args(["-euc", text]).env("PATH", path).output().unwrap()
    }

    /// Runs a tool that has to succeed; `None` if it is not installed.
    pub(crate) fn tool(&self, tool: &str, arguments: &[&str]) -> Option<Output> {
        let output = self.try_tool(tool, arguments)?;
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
        Some(output)
    }

    pub(crate) fn try_tool(&self, tool: &str, arguments: &[&str]) -> Option<Output> {
        match self.command(tool).args(arguments).output() {
            Ok(output) => Some(output),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("{tool}: not run: it is not installed");
                None
            }
            Err(error) => panic!("{tool}: {error}"),
        }
    }

    /// A token `signing` of SoftHSM with `db.key` as `db` (id 01) and `new.key` as `new` (id 02), its PIN (1234) in `pin`; `None`
    /// if SoftHSM is not installed.
    pub(crate) fn token(&mut self) -> Option<()> {
        const MODULES: [&str; 4] = [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib64/softhsm/libsofthsm2.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
        ];
        fs::create_dir(self.path("tokens")).unwrap();
        let configuration = format!("directories.tokendir = {}\n", self.path("tokens").display());
        self.write("softhsm2.conf", configuration.as_bytes());
        self.write("pin", b"1234\n");
        self.environment.insert("SOFTHSM2_CONF", self.path("softhsm2.conf").to_str().unwrap().to_owned());
        let words = ["--init-token", "--free", "--label", "signing", "--pin", "1234", "--so-pin", "5678"];
        self.tool("softhsm2-util", &words)?;
        for (name, id) in [("db", "01"), ("new", "02")] {
            let (key, import) = (format!("{name}.key"), format!("{name}.import"));
            self.tool("openssl", &["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-out", &import]).unwrap();
            let words = ["--import", &import, "--token", "signing", "--label", name, "--id", id, "--pin", "1234"];
            self.tool("softhsm2-util", &words).unwrap();
        }
        let module = MODULES.into_iter().find(|module| Path::new(module).exists()).unwrap();
        self.environment.insert("XEN_LOCKDOWN_PKCS11_MODULE", module.to_owned());
        Some(())
    }
}
