//! Findings about files, printed the same way by every command that has them.

use lockdown_unify::Finding;
use serde_json::{Value, json};

/// Prints each with its place and what to do.
pub(crate) fn print(findings: &[(String, Finding)]) {
    for (file, finding) in findings {
        let place = match (finding.line, finding.column) {
            (0, _) => file.clone(),
            (line, column) => format!("{file}:{line}:{column}"),
        };
        anstream::eprintln!("{}[{}]: {}", finding.level.name(), finding.id, finding.message);
        anstream::eprintln!(" --> {place}\n  = {}", finding.advice);
    }
}

/// The same for programs.
pub(crate) fn json(findings: &[(String, Finding)]) -> Vec<Value> {
    let one = |(file, finding): &(String, Finding)| {
        json!({
            "id": finding.id,
            "level": finding.level.name(),
            "file": file,
            "line": (finding.line != 0).then_some(finding.line),
            "column": (finding.line != 0).then_some(finding.column),
            "message": finding.message,
            "advice": finding.advice,
        })
    };
    findings.iter().map(one).collect()
}
