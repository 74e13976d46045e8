//! `docs/boundary.md`: the boundary, the procedure and the rules in one document, for a security team to adopt.

use std::fmt::Write as _;

use super::reference::NOTICE;
use crate::corpus::Corpus;
use crate::rules::{About, Fact, Rules};

pub(super) fn document(corpus: &Corpus, boundary: &str, procedure: &str) -> String {
    let mut out = NOTICE.to_owned();
    out.push_str(boundary.trim_end());
    out.push_str("\n\n");
    out.push_str(procedure.trim_end());
    out.push_str("\n\n");
    rules(&mut out, corpus.rules());
    out
}

fn rules(out: &mut String, rules: &Rules) {
    out.push_str(
        "# The rules of judgement\n\nQuestions in order; the first that is answered no ends it. Each combination of words is decided by exactly one rule. \
         What a description says in several words (three attackers, say) is judged by the one that goes furthest, and of several ways to an issue by the easiest.\n\n",
    );
    for question in &rules.questions {
        let _ = writeln!(out, "## {}: {}\n", question.id, question.title);
        let _ = writeln!(out, "| rule | {} | answer | why | boundary |", question.asks.join(" | "));
        let _ = writeln!(
            out,
            "| --- | {} | --- | --- | --- |",
            question.asks.iter().map(|_| "---").collect::<Vec<_>>().join(" | ")
        );
        for row in &question.rows {
            let cells: Vec<_> = question
                .asks
                .iter()
                .map(|fact| row.when.get(fact).map_or_else(|| "any".to_owned(), |words| words.join(", ")))
                .collect();
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                row.id,
                cells.join(" | "),
                row.answer,
                row.why,
                row.boundary.join(", ")
            );
        }
        out.push('\n');
    }
    out.push_str("## What is left to choose\n\n| name | question | ours | why |\n| --- | --- | --- | --- |\n");
    for choice in &rules.choices {
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", choice.name, choice.ask, choice.default, choice.why);
    }
    out.push_str("\n# The words of a description\n\n");
    for fact in &rules.facts {
        words(out, fact);
    }
    let judged = rules.question(About::Conditions).map_or("", |question| question.id.as_str());
    let _ = write!(
        out,
        "## `ways`: What does it need?\nA list of ways to the issue, each a list of these; each kind is judged by {judged}.\n\n\
         | condition | what | kind | needs | not there with |\n| --- | --- | --- | --- | --- |\n",
    );
    for condition in &rules.conditions {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            condition.name,
            condition.text,
            condition.kind,
            condition.implies.as_ref().map_or_else(String::new, |implied| format!("`{implied}`")),
            condition.without().join(", or ")
        );
    }
}

fn words(out: &mut String, fact: &Fact) {
    if fact.name == "need" {
        return;
    }
    let more = if fact.many { " Several words may stand." } else { "" };
    let default = fact.default.as_ref().map_or_else(String::new, |word| format!(" Without it, `{word}`."));
    let _ = writeln!(out, "## `{}`: {}\n{more}{default}\n", fact.name, fact.ask);
    out.push_str("| word | what |\n| --- | --- |\n");
    for word in &fact.words {
        let _ = writeln!(out, "| `{}` | {} |", word.word, word.text);
    }
    out.push('\n');
}
