//! `docs/reference/advisories.json`: the judgements for other tools.

use serde_json::{Value, json};

use crate::build::Build;
use crate::corpus::Corpus;
use crate::description::{Description, Gap};
use crate::judgement::judge;
use crate::rules::Choices;

/// The feed, as JSON.
#[must_use]
pub fn feed(corpus: &Corpus) -> String {
    let choices = Choices::of(corpus.rules());
    let advisories: Vec<_> = corpus.advisories().map(|advisory| entry(advisory, corpus, &choices)).collect();
    let chosen: serde_json::Map<String, Value> =
        choices.iter().map(|(name, verdict)| (name.to_owned(), json!(verdict.to_string()))).collect();
    let document = json!({
        "schema": "xen-lockdown/advisories/1",
        "data_until": corpus.releases().until.to_string(),
        "choices": chosen,
        "advisories": advisories,
        "without": corpus.gaps().map(gap).collect::<Vec<_>>(),
    });
    // One line for each advisory, so that a change shows what moved.
    let mut out = "{\n".to_owned();
    let fields: Vec<String> = document
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| format!("    {item}")).collect();
                format!("  {}: [\n{}\n  ]", json!(name), items.join(",\n"))
            }
            other => format!("  {}: {other}", json!(name)),
        })
        .collect();
    out.push_str(&fields.join(",\n"));
    out.push_str("\n}\n");
    out
}

fn entry(advisory: &Description, corpus: &Corpus, choices: &Choices) -> Value {
    let judgement = judge(advisory, corpus.rules(), choices, &Build::default());
    let names = |releases: &[crate::version::Release]| -> Vec<String> {
        releases.iter().map(ToString::to_string).collect()
    };
    json!({
        "xsa": advisory.xsa,
        "title": advisory.title,
        "date": advisory.date.map(|date| date.to_string()),
        "cves": advisory.cves,
        "judgement": judgement.answer.to_string(),
        "bump": judgement.bump.iter().map(|component| component.name()).collect::<Vec<_>>(),
        "in_scope": judgement.in_scope.to_string(),
        "applies_if": judgement.applies_if.iter().chain(&judgement.versions).collect::<Vec<_>>(),
        "not_if": judgement.not_if,
        "first_fixed": { "xen": names(&advisory.fix.xen), "linux": names(&advisory.fix.linux) },
        "supersedes": advisory.fix.supersedes,
        "rules": judgement.rules(),
        "overridden": judgement.overridden.as_ref().map(|overridden| overridden.reason.clone()),
        "confidence": advisory.provenance.as_ref().map(|provenance| provenance.confidence.name()),
        "source": advisory.provenance.as_ref().map(|provenance| provenance.source.clone()),
    })
}

fn gap(gap: &Gap) -> Value {
    json!({ "xsa": gap.xsa, "state": if gap.is_unused { "unused" } else { "unknown" }, "why": gap.why })
}
