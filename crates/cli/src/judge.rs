//! `xen-lockdown judge`: what the rules say of a security issue.

mod ask;
mod terms;

use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use lockdown_advisories::render::paragraph;
use lockdown_advisories::{Corpus, Description, Issue, Judgement, Step, Verdict, judge};
use serde_json::{Value, json};

use crate::arguments::JudgeArguments;
use crate::files;

pub(crate) use self::terms::Terms;

/// No description is longer.
const LONGEST: u64 = 1 << 20;

pub(crate) fn run(arguments: &JudgeArguments) -> Result<ExitCode> {
    let corpus = Corpus::embedded()?;
    let terms = Terms::of(&arguments.terms, corpus.rules())?;
    let (name, text) = match &arguments.file {
        Some(file) if file.as_os_str() == "-" => (Path::new("standard input"), standard_input()?),
        Some(file) => (file.as_path(), files::read_text(file, LONGEST)?),
        None => {
            if let Some(output) = &arguments.output {
                files::refuse_output(output, &[])?;
                files::parent(output)?;
            }
            (Path::new("what was answered"), ask::description(corpus.rules(), &mut io::stdin().lock())?)
        }
    };
    let description = Description::read(name, &text, corpus.rules())?;
    if let Some(output) = &arguments.output {
        files::write(output, |file| Ok(io::Write::write_all(file, text.as_bytes())?))?;
    }
    let judgement = judge(&description, corpus.rules(), &terms.choices, &terms.build);
    if arguments.format == "json" {
        let mut document = json(&judgement);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("schema".to_owned(), json!("xen-lockdown/judge/1"));
            fields.insert("name".to_owned(), json!(description.name()));
            fields.insert("title".to_owned(), json!(description.title));
        }
        anstream::println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        anstream::print!("{}", human(&description, &judgement));
        if arguments.ask && arguments.output.is_none() {
            anstream::print!("\nThe description, for a file:\n\n{text}");
        }
    }
    Ok(if judgement.answer == Verdict::No { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    read.context("standard input cannot be read as text")?;
    Ok(text)
}

/// A judgement for people.
pub(crate) fn human(description: &Description, judgement: &Judgement<'_>) -> String {
    let title = match description.xsa {
        Some(xsa) => format!("XSA-{xsa}: {}", description.title),
        None => description.title.clone(),
    };
    let bump: Vec<_> = judgement.bump.iter().map(|component| component.name()).collect();
    let generation = match (judgement.answer, bump.as_slice()) {
        (Verdict::No, _) => "no generation rises".to_owned(),
        (_, []) => "nothing to revoke: it becomes a rule".to_owned(),
        (Verdict::Conditional, names) if judgement.breach == Verdict::Yes => {
            format!("{}: with the change that closes it, which the published one does not", names.join(", "))
        }
        (Verdict::Conditional, names) => format!("{}: rises if it applies", names.join(", ")),
        (Verdict::Yes, names) => format!("{}: rises", names.join(", ")),
    };
    let mut lines = vec![
        title,
        format!("  security issue        {}", judgement.issue),
        format!("  breach                {}", judgement.breach),
        format!("  SBAT                  {generation}"),
    ];
    if judgement.breach == Verdict::No && judgement.in_scope > Verdict::No {
        lines.push("  in scope              yes, but its conditions cannot be met".to_owned());
    }
    let list = |name: &str, items: &[String]| {
        items
            .iter()
            .enumerate()
            .map(|(at, item)| format!("  {:<22}{item}", if at == 0 { name } else { "" }))
            .collect::<Vec<_>>()
    };
    lines.extend(list("conditions", description.conditions.as_slice()));
    lines.extend(list("applies if", &judgement.applies_if));
    lines.extend(list("versions", &judgement.versions));
    lines.extend(list("moot with any of", &judgement.not_if));
    if let Some(overridden) = &judgement.overridden {
        lines.push(format!("  against the rules     {}", overridden.reason));
    }
    lines.push("  because".to_owned());
    lines.extend(judgement.steps.iter().map(|step| format!("    {}", step_line(step))));
    lines.push(String::new());
    lines.push("For an advisory:".to_owned());
    lines.push(paragraph(judgement));
    lines.join("\n") + "\n"
}

fn step_line(step: &Step<'_>) -> String {
    let about = step.condition.map_or_else(String::new, |condition| format!("{}: ", condition.text));
    let decided = match (&step.build, step.choice) {
        (Some(build), _) => format!(" {} here: {build}.", step.verdict.capital()),
        (None, Some((name, chosen))) => format!(" {} by the choice --{name}.", chosen.capital()),
        (None, None) => String::new(),
    };
    format!("{:<6} {about}{}{decided}", step.row.id, step.row.why)
}

/// A judgement for programs.
pub(crate) fn json(judgement: &Judgement<'_>) -> Value {
    let step = |step: &Step<'_>| {
        json!({
            "rule": step.row.id,
            "boundary": step.row.boundary,
            "verdict": step.verdict.to_string(),
            "condition": step.condition.map(|condition| condition.name.as_str()),
            "choice": step.choice.map(|(name, _)| name),
            "build": step.build,
            "why": step.row.why,
        })
    };
    json!({
        "judgement": judgement.answer.to_string(),
        "bump": judgement.bump.iter().map(|component| component.name()).collect::<Vec<_>>(),
        "breach": judgement.breach.to_string(),
        "in_scope": judgement.in_scope.to_string(),
        "security_issue": match judgement.issue {
            Issue::Yes => "yes",
            Issue::AsBreach => "as-breach",
            Issue::No => "no",
        },
        "becomes_rule": judgement.is_rule && judgement.answer > Verdict::No,
        "applies_if": judgement.applies_if,
        "versions": judgement.versions,
        "not_if": judgement.not_if,
        "rules": judgement.rules(),
        "steps": judgement.steps.iter().map(step).collect::<Vec<_>>(),
        "overridden": judgement.overridden.as_ref().map(|overridden| overridden.reason.as_str()),
        "paragraph": paragraph(judgement),
    })
}
