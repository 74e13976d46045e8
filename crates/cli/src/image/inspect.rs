//! `xen-lockdown image inspect`: all that an image says.

mod human;
mod json;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use lockdown_image::{Characteristics, Image, KeyKind, Section};
use lockdown_unify::Finding;
use lockdown_unify::inspect::{Depth, Inspected, inspect};

use crate::arguments::ImageInspectArguments;
use crate::files;

pub(super) fn run(arguments: &ImageInspectArguments) -> Result<ExitCode> {
    let path = &arguments.image;
    let image = Image::read(files::open(path)?).with_context(|| path.display().to_string())?;
    let depth = if arguments.hashes { Depth::Hashes } else { Depth::Headers };
    let inspected = inspect(&image, depth).with_context(|| path.display().to_string())?;
    let findings = findings(path, &inspected);
    if arguments.format == "json" {
        json::print(path, &inspected, &findings)?;
    } else {
        human::print(path, &inspected, &findings);
    }
    let is_good = !findings.iter().any(|(_, finding)| finding.is_error());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Findings with the names of the texts that they are about.
fn findings(path: &Path, inspected: &Inspected) -> Vec<(String, Finding)> {
    let name = |section: &str| match section {
        "" => path.display().to_string(),
        section => format!("{}:{section}", path.display()),
    };
    inspected.findings.iter().map(|(section, finding)| (name(section), finding.clone())).collect()
}

/// What may be done with a section's memory.
fn rights(section: &Section) -> String {
    let letters = [(Characteristics::READ, 'r'), (Characteristics::WRITE, 'w'), (Characteristics::EXECUTE, 'x')];
    letters
        .into_iter()
        .map(|(flag, letter)| if section.characteristics.has(flag) { letter } else { '-' })
        .collect()
}

fn key_name(key: Option<KeyKind>) -> String {
    match key {
        Some(KeyKind::Rsa(bits)) => format!("RSA {bits}"),
        Some(KeyKind::P256) => "ECDSA P-256".to_owned(),
        Some(KeyKind::P384) => "ECDSA P-384".to_owned(),
        None => "unknown".to_owned(),
    }
}
