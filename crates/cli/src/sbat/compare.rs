//! `xen-lockdown sbat compare`.

use std::process::ExitCode;

use anyhow::Result;
use lockdown_image::sbat::{Change, compare};
use serde_json::{Value, json};

use crate::arguments::SbatCompareArguments;
use crate::findings;
use crate::sbat::{read, row_json};

pub(super) fn run(arguments: &SbatCompareArguments) -> Result<ExitCode> {
    let mut before = read::table(&arguments.before)?;
    let mut now = read::table(&arguments.now)?;
    let is_good = before.is_good() && now.is_good();
    let mut findings = std::mem::take(&mut before.findings);
    findings.append(&mut now.findings);
    let changes = compare(&before.table, &now.table);
    let goes_down = changes.iter().any(Change::goes_down);
    if arguments.format == "json" {
        let changes: Vec<_> = changes.iter().map(change_json).collect();
        let document = json!({
            "schema": "xen-lockdown/sbat-compare/1",
            "before": arguments.before.display().to_string(),
            "now": arguments.now.display().to_string(),
            "goes_down": goes_down,
            "changes": changes,
            "findings": findings::json(&findings),
        });
        anstream::println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        findings::print(&findings);
        for change in &changes {
            anstream::println!("{}", change_text(change));
        }
        if changes.is_empty() {
            anstream::println!("the two have the same rows");
        } else if goes_down {
            anstream::println!("revocations that held for {} may not hold any more", arguments.before.display());
        }
    }
    Ok(if is_good && !goes_down { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn change_text(change: &Change<'_>) -> String {
    match change {
        Change::Added(row) => format!("{}: new, generation {}", row.component, row.generation),
        Change::Removed(row) => {
            format!("{}: gone, and was at generation {}", row.component, row.generation)
        }
        Change::Changed(old, new) if old.generation == new.generation => {
            format!("{}: the same generation {}; {} is now {}", old.component, old.generation, old, new)
        }
        Change::Changed(old, new) => {
            let verb = if change.goes_down() { "falls" } else { "rises" };
            format!("{}: the generation {verb} from {} to {}", old.component, old.generation, new.generation)
        }
    }
}

fn change_json(change: &Change<'_>) -> Value {
    let (component, before, now) = match change {
        Change::Added(row) => (&row.component, None, Some(row)),
        Change::Removed(row) => (&row.component, Some(row), None),
        Change::Changed(old, new) => (&new.component, Some(old), Some(new)),
    };
    json!({
        "component": component,
        "goes_down": change.goes_down(),
        "before": before.map(|row| row_json(row)),
        "now": now.map(|row| row_json(row)),
    })
}
