//! Tables and revocations from files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lockdown_image::sbat::{self, Level, Levels, Table};
use lockdown_image::{Image, Source as _};
use lockdown_unify::{Finding, Level as Weight};

use crate::files;

/// A table, and what is to be said of it.
pub(super) struct Found {
    pub(super) table: Table,
    /// With the name of the text that each is about.
    pub(super) findings: Vec<(String, Finding)>,
}

impl Found {
    pub(super) fn is_good(&self) -> bool {
        !self.findings.iter().any(|(_, finding)| finding.is_error())
    }
}

/// The table in an image's section `.sbat`, or in a file of its own.
pub(super) fn table(path: &Path) -> Result<Found> {
    let file = files::open(path)?;
    let name = path.display().to_string();
    if !begins_with(&file, b"MZ") {
        let (table, mistakes) = Table::examine(&text(path, file)?);
        return Ok(found(table, &mistakes, &name));
    }
    let image = Image::read(file).with_context(|| format!("{name} is no image"))?;
    match image.sbat().with_context(|| files::unread(path))? {
        Some((table, mistakes)) => Ok(found(table, &mistakes, &format!("{name}:{}", sbat::SECTION))),
        None => {
            let finding = Finding::of_file(
                "sbat-missing",
                Weight::Error,
                "the image has no section .sbat: shim refuses it, and nothing revokes it",
                "write a table with xen-lockdown sbat write, and give it to image build with --sbat",
            );
            Ok(Found { table: Table::default(), findings: vec![(name, finding)] })
        }
    }
}

fn found(table: Table, mistakes: &[sbat::Mistake], name: &str) -> Found {
    let mut findings: Vec<_> = mistakes.iter().map(|mistake| (name.to_owned(), Finding::from(mistake))).collect();
    if findings.is_empty() && table.rows.len() == 1 {
        let finding = Finding::of_file(
            "sbat-alone",
            Weight::Warning,
            "the table has no row but the one of sbat itself: it passes, and nothing can revoke the image",
            "add a row for what the image is, as xen-lockdown sbat write does",
        );
        findings.push((name.to_owned(), finding));
    }
    Found { table, findings }
}

/// Revocations, and what they are called.
pub(super) fn levels(path: &Path) -> Result<Vec<(&'static str, Level)>> {
    let file = files::open(path)?;
    let name = path.display();
    if begins_with(&file, b"MZ") {
        let image = Image::read(file).with_context(|| format!("{name} is no image"))?;
        let section = image.sbat_levels().with_context(|| files::unread(path))?;
        let Some(section) = section else {
            bail!("{name} has no section {}: it is no shim, or one before 15.7", Levels::SECTION);
        };
        let Levels { automatic, latest } = Levels::read(&section).with_context(|| name.to_string())?;
        return Ok(vec![("automatic", automatic), ("latest", latest)]);
    }
    let text = text(path, file)?;
    // The variable's attributes stand in front. The first of them, non-volatile or not, is no letter.
    let is_variable = text.get(4..).is_some_and(|rest| rest.starts_with(b"sbat,")) && !text.starts_with(b"sbat,");
    let level = if is_variable { Level::read_variable(&text) } else { Level::read(&text) };
    let level = level.map_err(|mistake| anyhow::anyhow!("{name}: {mistake}"))?;
    Ok(vec![(if is_variable { "variable" } else { "file" }, level)])
}

fn begins_with(file: &File, magic: &[u8]) -> bool {
    let mut head = vec![0; magic.len()];
    file.read_at(0, &mut head).is_ok_and(|()| head == magic)
}

/// A file of text, or the beginning of one that is too long to be a table and is found to be.
fn text(path: &Path, file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(sbat::LONGEST.saturating_add(1)).read_to_end(&mut bytes);
    read.with_context(|| files::unread(path))?;
    Ok(bytes)
}
