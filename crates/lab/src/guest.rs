//! The guest's own programs: process 1 and the attacks, linked statically.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The programs' files.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Process 1.
    pub init: PathBuf,
    /// All attacks in one program.
    pub attacks: PathBuf,
    /// What runs in the guests that dom0 makes.
    pub domain: PathBuf,
}

/// The only platform that Xen's dom0 is attacked on.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Builds them from the project's source.
///
/// # Errors
/// Where cargo fails.
pub fn build(project: &Path, lab: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Guest> {
    say("building the guest's programs");
    let folder = cargo(project, lab, &[])?;
    Ok(Guest {
        init: folder.join("guest-init"),
        attacks: folder.join("attacks"),
        domain: folder.join("lab-guest"),
    })
}

/// Builds the command `xen-lockdown` for dom0, which lacks its libraries.
///
/// # Errors
/// Where cargo fails.
pub fn build_command(project: &Path, lab: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<PathBuf> {
    say("building the command for dom0");
    let program = "xen-lockdown";
    Ok(cargo(project, lab, &["--package", program, "--bin", program])?.join(program))
}

/// Carries out the project's own `cargo guest`; gives the folder with the programs.
fn cargo(project: &Path, lab: &Path, arguments: &[&str]) -> Result<PathBuf> {
    let target = lab.join("guest");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["guest", "--quiet", "--locked", "--target-dir"])
        .arg(&target)
        .args(arguments)
        .current_dir(project);
    // The flags of whoever builds the lab are not meant for the guest.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").stdin(Stdio::null());
    let output = command.output().context("cargo cannot be started")?;
    if !output.status.success() {
        bail!("the guest's programs cannot be built: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(target.join(PLATFORM).join("release"))
}
