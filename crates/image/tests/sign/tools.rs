//! Tools of others.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

/// Each gives `None` if the tool is not installed.
pub(crate) fn sbverify(certificate: &Path, image: &Path) -> Option<bool> {
    let arguments = [OsStr::new("--cert"), certificate.as_os_str(), image.as_os_str()];
    Some(run("sbverify", arguments)?.status.success())
}

pub(crate) fn osslsigncode(certificate: &Path, image: &Path) -> Option<bool> {
    let arguments = [OsStr::new("verify"), OsStr::new("-CAfile"), certificate.as_os_str(), image.as_os_str()];
    Some(run("osslsigncode", arguments)?.status.success())
}

/// What pesign says of the signatures. It verifies none.
pub(crate) fn pesign(image: &Path) -> Option<String> {
    let shown = run("pesign", [OsStr::new("--show-signature"), OsStr::new("--in"), image.as_os_str()])?;
    Some(String::from_utf8_lossy(&shown.stdout).into_owned())
}

/// Runs a tool; `None` if it is not installed.
pub(crate) fn run<'a>(tool: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Option<Output> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("{tool}: not run: it is not installed");
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

/// Runs a tool that has to succeed.
pub(crate) fn must<'a>(tool: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Option<Output> {
    let output = run(tool, arguments)?;
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}
