//! Prints where Debian's packages lie, unpacked; `lockdown-debian` fetches them.

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use lockdown_debian::fetch::{self, Release};

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Debian 13, with Xen 4.20
    Trixie,
    /// Debian 12, with Xen 4.17
    Bookworm,
}

impl From<Name> for Release {
    fn from(name: Name) -> Self {
        match name {
            Name::Trixie => Self::Trixie,
            Name::Bookworm => Self::Bookworm,
        }
    }
}

/// Prints the folder with the unpacked source of `package`.
pub(crate) fn run_source(root: &Path, release: Name, package: &str, refresh: bool) -> Result<ExitCode> {
    println!("{}", fetch::source(&target(root), release.into(), package, refresh, &progress)?.display());
    Ok(ExitCode::SUCCESS)
}

/// Prints the folders with the unpacked binary packages.
pub(crate) fn run_packages(root: &Path, release: Name, packages: &[String], refresh: bool) -> Result<ExitCode> {
    let mut refresh = refresh;
    for package in packages {
        println!("{}", fetch::binary(&target(root), release.into(), package, refresh, &progress)?.display());
        // The lists that were fetched for the first package serve the others.
        refresh = false;
    }
    Ok(ExitCode::SUCCESS)
}

fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// A line for whoever watches; a log gets none.
fn progress(message: &str) {
    if io::stderr().is_terminal() {
        eprintln!("{message}");
    }
}
