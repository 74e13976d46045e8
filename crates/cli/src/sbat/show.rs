//! `xen-lockdown sbat show`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::arguments::SbatShowArguments;
use crate::findings;
use crate::sbat::{read, row_json, row_lines};

pub(super) fn run(arguments: &SbatShowArguments) -> Result<ExitCode> {
    let found = read::table(&arguments.file)?;
    if arguments.format == "json" {
        let rows: Vec<_> = found.table.rows.iter().map(row_json).collect();
        let document = json!({
            "schema": "xen-lockdown/sbat-show/1",
            "file": arguments.file.display().to_string(),
            "rows": rows,
            "findings": findings::json(&found.findings),
        });
        anstream::println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        for line in row_lines(&found.table.rows) {
            anstream::println!("{line}");
        }
        findings::print(&found.findings);
    }
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
