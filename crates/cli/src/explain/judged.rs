//! Advisories, the rules by which they are judged, and the conditions that they need.

use std::fmt::Write as _;

use anyhow::Result;
use lockdown_advisories::{Build, Choices, Condition, Corpus, Description, Gap, Question, Record, Row, judge};
use serde_json::{Value, json};

use crate::judge;

/// What is said of one.
pub(super) struct Judged {
    pub(super) text: String,
    pub(super) json: Value,
}

/// An advisory (`xsa-309`), a question (`J2`), a rule (`J2.4`) or a condition (`grant-v2`).
pub(super) fn find(name: &str) -> Result<Vec<Judged>> {
    let corpus = Corpus::embedded()?;
    let lower = name.to_ascii_lowercase();
    let number = lower.strip_prefix("xsa-").and_then(|number| number.parse().ok());
    if let Some(record) = number.and_then(|xsa| corpus.record(xsa)) {
        return Ok(vec![match record {
            Record::Advisory(advisory) => advisory_entry(advisory, &corpus),
            Record::Gap(gap) => gap_entry(gap),
        }]);
    }
    let mut found = Vec::new();
    for question in &corpus.rules().questions {
        if question.id.eq_ignore_ascii_case(name) {
            found.push(question_entry(question));
        }
        let rows = question.rows.iter().filter(|row| row.id.eq_ignore_ascii_case(name));
        found.extend(rows.map(|row| row_entry(question, row, &corpus)));
    }
    found.extend(corpus.rules().condition(name).map(|condition| condition_entry(condition, &corpus)));
    Ok(found)
}

/// A line for each.
pub(super) fn list() -> Result<String> {
    let corpus = Corpus::embedded()?;
    let choices = Choices::of(corpus.rules());
    let mut out = String::new();
    for question in &corpus.rules().questions {
        let _ = writeln!(out, "judge  {:<34} {}", question.id, question.title);
        for row in &question.rows {
            let _ = writeln!(out, "judge  {:<34} {}", row.id, row.answer);
        }
    }
    for condition in &corpus.rules().conditions {
        let _ = writeln!(out, "needs  {:<34} {}", condition.name, condition.text);
    }
    for advisory in corpus.advisories() {
        let judgement = judge(advisory, corpus.rules(), &choices, &Build::default());
        let name = advisory.name().to_ascii_lowercase();
        let _ = writeln!(out, "xsa    {name:<34} {:<12} {}", judgement.answer, advisory.title);
    }
    Ok(out)
}

fn advisory_entry(advisory: &Description, corpus: &Corpus) -> Judged {
    let judgement = judge(advisory, corpus.rules(), &Choices::of(corpus.rules()), &Build::default());
    let mut text = judge::human(advisory, &judgement);
    text.push('\n');
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<12}{value}");
        }
    };
    let names = |releases: &[lockdown_advisories::Release]| {
        releases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    line("published", &advisory.date.map_or_else(String::new, |date| date.to_string()));
    line("CVE", &advisory.cves.join(", "));
    line("conditions", advisory.conditions.as_deref().unwrap_or_default());
    line("note", advisory.note.as_deref().unwrap_or_default());
    line("affected", advisory.affected.note.as_deref().unwrap_or_default());
    line("fixed in", &names(&advisory.fix.xen));
    line("Linux", &names(&advisory.fix.linux));
    line("commits", &advisory.fix.commits.join(", "));
    if let Some(provenance) = &advisory.provenance {
        line("confidence", provenance.confidence.name());
        line("read in", &provenance.source.join("; "));
    }
    let mut json = judge::json(&judgement);
    if let Some(fields) = json.as_object_mut() {
        fields.insert("is".to_owned(), json!("advisory"));
        fields.insert("name".to_owned(), json!(advisory.name()));
        fields.insert("title".to_owned(), json!(advisory.title));
        fields.insert("date".to_owned(), json!(advisory.date.map(|date| date.to_string())));
        fields.insert("cves".to_owned(), json!(advisory.cves));
        fields.insert("conditions".to_owned(), json!(advisory.conditions));
        fields.insert("note".to_owned(), json!(advisory.note));
    }
    Judged { text, json }
}

fn gap_entry(gap: &Gap) -> Judged {
    let state = if gap.is_unused { "no advisory has this number" } else { "nothing is known of it here" };
    let text = format!("XSA-{}: {state}\n  {}\n", gap.xsa, gap.why);
    Judged {
        text,
        json: json!({ "is": "gap", "name": format!("XSA-{}", gap.xsa), "state": state, "why": gap.why }),
    }
}

fn question_entry(question: &Question) -> Judged {
    let mut text = format!("{}: {}\n", question.id, question.title);
    for row in &question.rows {
        let _ = writeln!(text, "  {:<6} {:<22} {}", row.id, row.answer.to_string(), row.why);
    }
    let rules: Vec<_> = question.rows.iter().map(|row| row.id.as_str()).collect();
    let json = json!({
        "is": "question", "name": question.id, "title": question.title, "rules": rules,
    });
    Judged { text, json }
}

fn row_entry(question: &Question, row: &Row, corpus: &Corpus) -> Judged {
    let mut text = format!("{} (rule of judgement, {}: {})\n", row.id, question.id, question.title);
    for (fact, words) in &row.when {
        let _ = writeln!(text, "  {fact:<12}{}", words.join(", "));
    }
    let _ = writeln!(text, "  {:<12}{}", "answer", row.answer);
    let _ = writeln!(text, "  {:<12}{}\n\n{}", "boundary", row.boundary.join(", "), row.why);
    let choices = Choices::of(corpus.rules());
    let used: Vec<_> = corpus
        .advisories()
        .filter(|advisory| {
            let judgement = judge(advisory, corpus.rules(), &choices, &Build::default());
            judgement.rules().contains(&row.id.as_str())
        })
        .map(Description::name)
        .collect();
    if !used.is_empty() {
        let _ = writeln!(
            text,
            "\nApplied to {} advisories, last to {}",
            used.len(),
            used.last().map_or("", String::as_str)
        );
    }
    let json = json!({
        "is": "judgement-rule", "name": row.id, "question": question.id, "when": row.when,
        "answer": row.answer.to_string(), "boundary": row.boundary, "why": row.why, "advisories": used,
    });
    Judged { text, json }
}

fn condition_entry(condition: &Condition, corpus: &Corpus) -> Judged {
    let mut text = format!("{} (what an issue can need)\n  {:<12}{}\n", condition.name, "what", condition.text);
    let _ = writeln!(text, "  {:<12}{}", "kind", condition.kind);
    if let Some(implied) = &condition.implies {
        let _ = writeln!(text, "  {:<12}{implied}", "needs");
    }
    for without in condition.without() {
        let _ = writeln!(text, "  {:<12}{without}", "not with");
    }
    let needed: Vec<_> = corpus
        .advisories()
        .filter(|advisory| advisory.ways.iter().any(|way| way.contains(&condition.name)))
        .map(Description::name)
        .collect();
    let _ = writeln!(text, "\nNeeded by {} advisories", needed.len());
    let json = json!({
        "is": "condition", "name": condition.name, "text": condition.text, "kind": condition.kind,
        "needs": condition.implies, "without": condition.without(), "advisories": needed,
    });
    Judged { text, json }
}
