//! `xen-lockdown sbat`: the tables by which images are revoked.

mod advise;
mod check;
mod compare;
mod read;
mod show;
mod write;

use std::process::ExitCode;

use anyhow::Result;
use lockdown_image::sbat::Row;
use serde_json::{Value, json};

use crate::arguments::SbatCommand;

pub(crate) fn run(command: &SbatCommand) -> Result<ExitCode> {
    match command {
        SbatCommand::Show(arguments) => show::run(arguments),
        SbatCommand::Check(arguments) => check::run(arguments),
        SbatCommand::Compare(arguments) => compare::run(arguments),
        SbatCommand::Write(arguments) => write::run(arguments),
        SbatCommand::Advise(arguments) => advise::run(arguments),
    }
}

/// A row for programs.
pub(crate) fn row_json(row: &Row) -> Value {
    json!({
        "line": row.line,
        "component": row.component,
        "generation": row.generation,
        "vendor": row.vendor,
        "package": row.package,
        "version": row.version,
        "url": row.url,
    })
}

/// Rows for people, a line each.
pub(crate) fn row_lines(rows: &[Row]) -> Vec<String> {
    let columns = |row: &Row| {
        let Row { line: _, component, generation, vendor, package, version, url } = row;
        [component.clone(), generation.to_string(), vendor.clone(), package.clone(), version.clone(), url.clone()]
    };
    let rows: Vec<[String; 6]> = rows.iter().map(columns).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|at| rows.iter().map(|row| row.get(at).map_or(0, String::len)).max().unwrap_or(0));
    let line = |row: [String; 6]| {
        let cells: Vec<String> =
            row.into_iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.into_iter().map(line).collect()
}
