//! `xen-lockdown sbat check`.

use std::process::ExitCode;

use anyhow::Result;
use lockdown_image::sbat::{Level, Revoked, Table, revoked};
use lockdown_unify::{Finding, Level as Weight};
use serde_json::{Value, json};

use crate::arguments::SbatCheckArguments;
use crate::findings;
use crate::sbat::read;

pub(super) fn run(arguments: &SbatCheckArguments) -> Result<ExitCode> {
    let mut found = read::table(&arguments.file)?;
    let levels = arguments.revocations.as_deref().map(read::levels).transpose()?;
    let levels = levels.unwrap_or_default();
    let file = arguments.file.display().to_string();
    let is_well_formed = found.is_good();
    for (which, level) in &levels {
        let source = arguments.revocations.as_deref().map_or_else(String::new, |path| path.display().to_string());
        let rows = revoked(&found.table, level).into_iter();
        let rows: Vec<_> = rows.map(|row| (file.clone(), finding(&row, which, level, &source))).collect();
        found.findings.extend(rows);
    }
    if arguments.format == "json" {
        let levels: Vec<_> = levels.iter().map(|(which, level)| level_json(which, level, &found.table)).collect();
        let document = json!({
            "schema": "xen-lockdown/sbat-check/1",
            "file": file,
            "well_formed": is_well_formed,
            "revocations": levels,
            "findings": findings::json(&found.findings),
        });
        anstream::println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        findings::print(&found.findings);
        if is_well_formed {
            anstream::println!("{file}: {} rows, well-formed", found.table.rows.len());
        }
        for (which, level) in &levels {
            let answer = match revoked(&found.table, level).len() {
                0 => "nothing is revoked".to_owned(),
                1 => "1 row is revoked: shim refuses it".to_owned(),
                count => format!("{count} rows are revoked: shim refuses it"),
            };
            anstream::println!("{file}: by revocations of {} ({which}): {answer}", level.date());
        }
    }
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn finding(revoked: &Revoked<'_>, which: &str, level: &Level, source: &str) -> Finding {
    let Revoked { row, wanted } = revoked;
    let message = format!(
        "{} has generation {}, and the revocations of {} ({which}, line {} in {source}) want {}",
        row.component,
        row.generation,
        level.date(),
        wanted.line,
        wanted.generation
    );
    let advice =
        "take a version that has the fix, whose table says so; to raise the number alone hides a known hole";
    let finding = Finding::of_file("revoked", Weight::Error, message, advice);
    Finding { line: row.line, column: 1, ..finding }
}

fn level_json(which: &str, level: &Level, table: &Table) -> Value {
    let rows = revoked(table, level).into_iter().map(|revoked| {
        json!({
            "component": revoked.row.component,
            "generation": revoked.row.generation,
            "wanted": revoked.wanted.generation,
            "line": revoked.row.line,
            "revocation_line": revoked.wanted.line,
        })
    });
    let rows: Vec<_> = rows.collect();
    json!({ "from": which, "date": level.date().to_string(), "revoked": rows })
}
