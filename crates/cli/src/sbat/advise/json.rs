//! The answer for programs.

use lockdown_advisories::{Corpus, Entry, LastBump, Verdict};
use serde_json::{Value, json};

use super::Answer;
use crate::judge::Terms;

pub(super) fn document(answers: &[Answer<'_>], corpus: &Corpus, terms: &Terms) -> Value {
    let choices: serde_json::Map<String, Value> =
        terms.choices.iter().map(|(name, verdict)| (name.to_owned(), json!(verdict.to_string()))).collect();
    json!({
        "schema": "xen-lockdown/sbat-advise/1",
        "data_until": corpus.releases().until.to_string(),
        "last_advisory": corpus.last().and_then(|advisory| advisory.xsa),
        "not_judged": corpus.gaps().filter(|gap| !gap.is_unused).map(|gap| gap.xsa).collect::<Vec<_>>(),
        "choices": choices,
        "components": answers.iter().map(component).collect::<Vec<_>>(),
    })
}

fn component(answer: &Answer<'_>) -> Value {
    let Answer { side, generation, advice } = answer;
    let since = match &side.last {
        Some(LastBump::Date(date)) => json!({ "date": date.to_string() }),
        Some(LastBump::Version(version, _)) => json!({ "version": version.to_string() }),
        None => Value::Null,
    };
    let entries = |entries: &[Entry<'_>]| entries.iter().map(entry).collect::<Vec<_>>();
    json!({
        "component": advice.component.name(),
        "version": side.version.to_string(),
        "generation": generation,
        "since": since,
        "rises": advice.rises.map(|rises| match rises {
            Verdict::Yes => "yes",
            Verdict::Conditional => "conditional",
            Verdict::No => "no",
        }),
        "days": advice.days.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "fixed_since": entries(&advice.fixed),
        "open": entries(&advice.open),
        "unknown": entries(&advice.unknown),
        "moot": entries(&advice.moot),
    })
}

fn entry(entry: &Entry<'_>) -> Value {
    let Entry { advisory, judgement, standing, superseded_by, skipped, maybe_before } = entry;
    json!({
        "xsa": advisory.xsa,
        "title": advisory.title,
        "date": advisory.date.map(|date| date.to_string()),
        "judgement": judgement.answer.to_string(),
        "standing": standing.name(),
        "why": standing.why(),
        "build": judgement.steps.iter().filter_map(|step| step.build.as_deref()).collect::<Vec<_>>(),
        "applies_if": judgement.applies_if,
        "not_if": judgement.not_if,
        "rules": judgement.rules(),
        "superseded_by": superseded_by,
        "skipped": skipped,
        "maybe_before": maybe_before,
    })
}
