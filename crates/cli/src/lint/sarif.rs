//! `--format sarif`: SARIF 2.1.0, for code scanners.

use std::io::{BufWriter, Write as _};

use lockdown_policy::catalogue;
use serde_json::{Value, json};

use crate::lint::Report;
use crate::lint::input::{Place, Trouble};
use crate::lint::judge::{Judged, JudgedToken};

pub(super) fn print(report: &Report) -> anyhow::Result<()> {
    let rules: Vec<_> = catalogue::REASONS
        .iter()
        .map(|reason| {
            json!({
                "id": reason.id,
                "shortDescription": { "text": reason.text },
                "fullDescription": { "text": reason.explain },
                "properties": { "level": reason.level, "boundary": reason.rule },
            })
        })
        .collect();
    let results: Vec<_> = report
        .judged
        .iter()
        .flat_map(|judged| judged.tokens.iter().filter_map(|token| result(judged, token)))
        .collect();
    let notifications: Vec<_> = report.troubles.iter().map(notification).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "xen-lockdown",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "utf16CodeUnits",
            "invocations": [{
                "executionSuccessful": report.troubles.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "properties": { "xen": report.xen.name() },
        }],
    });
    let mut out = BufWriter::new(std::io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &document).map_err(std::io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

fn result(judged: &Judged, token: &JudgedToken) -> Option<Value> {
    let refused = token.refused.as_ref()?;
    let text = format!("{} is refused: {}. Instead: {}", token.text, token.message, refused.advice);
    Some(json!({
        "ruleId": refused.reason,
        "level": "error",
        "message": { "text": text },
        "locations": [location(&token.origin.name, Some(token.place), token.text.encode_utf16().count())],
        "properties": { "input": judged.name, "option": token.option },
    }))
}

fn notification(trouble: &Trouble) -> Value {
    json!({
        "level": "error",
        "message": { "text": trouble.message },
        "locations": [location(&trouble.name, trouble.place, 1)],
    })
}

fn location(name: &str, place: Option<Place>, len: usize) -> Value {
    let region = place.map(|place| {
        json!({
            "startLine": place.line,
            "startColumn": place.column,
            "endColumn": place.column.saturating_add(len),
        })
    });
    let mut physical = json!({ "artifactLocation": { "uri": name } });
    if let (Some(region), Some(object)) = (region, physical.as_object_mut()) {
        object.insert("region".to_owned(), region);
    }
    json!({ "physicalLocation": physical })
}
