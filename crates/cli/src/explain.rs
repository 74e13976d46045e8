//! `xen-lockdown explain`: the whole entry of an option, a reason or a rule.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use lockdown_policy::catalogue::{self, OptionText, ReasonText, RuleText};
use serde_json::{Value, json};

use crate::arguments::ExplainArguments;

/// What a name can mean.
enum Subject {
    Option { domain: &'static str, text: &'static OptionText },
    Reason(&'static ReasonText),
    Rule(&'static RuleText),
}

pub(crate) fn run(arguments: &ExplainArguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if arguments.list {
        write!(out, "{}", list())?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = arguments.name.as_deref().unwrap_or_default();
    let subjects = find(name);
    if subjects.is_empty() {
        bail!(
            "{name:?} is no option, reason or rule; `xen-lockdown explain --list` prints all names{}",
            near(name)
        );
    }
    if arguments.format == "json" {
        let entries: Vec<_> = subjects.iter().map(to_json).collect();
        let document = json!({ "schema": "xen-lockdown/explain/1", "name": name, "entries": entries });
        serde_json::to_writer_pretty(&mut out, &document).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let texts: Vec<_> = subjects.iter().map(to_text).collect();
        write!(out, "{}", texts.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn options() -> impl Iterator<Item = (&'static str, &'static OptionText)> {
    let named = |domain, list: &'static [OptionText]| list.iter().map(move |text| (domain, text));
    named("xen", catalogue::XEN).chain(named("boot", catalogue::BOOT)).chain(named("dom0", catalogue::DOM0))
}

fn find(name: &str) -> Vec<Subject> {
    let (only, name) = match name.split_once(':') {
        Some((domain @ ("xen" | "boot" | "dom0"), rest)) => (Some(domain), rest),
        _ => (None, name),
    };
    // A value or no- in front does not make it another option.
    let key = name.split_once('=').map_or(name, |(key, _)| key);
    let bare = key.strip_prefix("no-").unwrap_or(key);
    let is = |domain: &str, text: &OptionText| {
        let folded = |name: &str| if domain == "dom0" { name.replace('-', "_") } else { name.to_owned() };
        [name, key, bare].iter().any(|name| folded(text.name) == folded(name))
    };
    let found = options()
        .filter(|(domain, text)| only.is_none_or(|only| only == *domain) && is(domain, text))
        .map(|(domain, text)| Subject::Option { domain, text });
    let reasons = catalogue::REASONS.iter().filter(|reason| reason.id == name).map(Subject::Reason);
    let rules = catalogue::BOUNDARY.iter().filter(|rule| rule.id.eq_ignore_ascii_case(name)).map(Subject::Rule);
    found.chain(reasons).chain(rules).collect()
}

fn near(name: &str) -> String {
    let names = options().map(|(_, text)| text.name).chain(catalogue::REASONS.iter().map(|reason| reason.id));
    let best = names.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    match best {
        Some((distance, known)) if distance * 3 <= name.len() => format!("; did you mean {known:?}?"),
        _ => String::new(),
    }
}

fn list() -> String {
    let mut out = String::new();
    for (domain, text) in options() {
        let _ = writeln!(out, "{domain:<6} {:<34} {:<8} {}", text.name, text.class, text.reason);
    }
    for reason in catalogue::REASONS {
        let _ = writeln!(out, "reason {:<34} {:<8} {}", reason.id, reason.rule, reason.level);
    }
    for rule in catalogue::BOUNDARY {
        let _ = writeln!(out, "rule   {:<34} {}", rule.id, rule.title);
    }
    out
}

fn to_text(subject: &Subject) -> String {
    let mut out = String::new();
    match subject {
        Subject::Option { domain, text } => option_text(&mut out, domain, text),
        Subject::Reason(reason) => {
            let _ = writeln!(out, "{} (reason, level {}, rule {})", reason.id, reason.level, reason.rule);
            let _ = writeln!(out, "  {}\n\n{}", reason.text, wrapped(reason.explain));
            let uses: Vec<_> = options()
                .filter(|(_, text)| {
                    text.reason == reason.id || text.items.iter().any(|item| item.reason == reason.id)
                })
                .map(|(_, text)| text.name)
                .collect();
            if !uses.is_empty() {
                let _ = writeln!(out, "\nOptions: {}", wrapped(&uses.join(", ")));
            }
        }
        Subject::Rule(rule) => {
            let _ = writeln!(out, "{}: {}\n\n{}", rule.id, rule.title, wrapped(rule.text));
            let reasons: Vec<_> = catalogue::REASONS
                .iter()
                .filter(|reason| reason.rule == rule.id)
                .map(|reason| reason.id)
                .collect();
            if !reasons.is_empty() {
                let _ = writeln!(out, "\nReasons: {}", reasons.join(", "));
            }
        }
    }
    out
}

fn option_text(out: &mut String, domain: &str, text: &OptionText) {
    let whose = match domain {
        "dom0" => "option of dom0's Linux",
        "boot" => "beside Xen's options",
        _ => "option of Xen",
    };
    let _ = writeln!(out, "{} ({whose})", text.name);
    let _ = writeln!(out, "  takes     {}", text.syntax);
    let _ = writeln!(out, "  kind      {}", text.kinds.join(", "));
    let class = match text.class {
        "safe" => "safe: unsigned text may set it to anything",
        "values" => "values: unsigned text may set it to what is listed below",
        "refused" => "refused: unsigned text may not set it",
        "latch" => "latch: it locks Xen",
        _ => "foreign: not built for x86",
    };
    let _ = writeln!(out, "  class     {class}");
    if !text.reason.is_empty() {
        let _ = writeln!(out, "  reason    {}", text.reason);
    }
    let _ = writeln!(out, "  Xen       {}", text.xen.join(", "));
    let audited = if text.audited.is_empty() { "by nobody".to_owned() } else { text.audited.join(", ") };
    if domain != "dom0" {
        let _ = writeln!(out, "  audited   {audited}");
    }
    if !text.source.is_empty() {
        let _ = writeln!(out, "  source    {}", text.source.join(", "));
    }
    let _ = writeln!(out, "\n{}", wrapped(text.mechanism));
    if !text.items.is_empty() {
        let _ = writeln!(out, "\nThe value is {}:", text.shape);
        for item in text.items {
            let reason = if item.reason.is_empty() { String::new() } else { format!(" [{}]", item.reason) };
            let _ = writeln!(out, "  {:<34} allowed: {}{reason}", shorten(item.pattern), item.allows);
            if !item.why.is_empty() {
                let _ = writeln!(out, "      {}", wrapped(item.why).replace('\n', "\n      "));
            }
        }
    }
    if !text.advice.is_empty() {
        let _ = writeln!(out, "\nInstead: {}", text.advice);
    }
}

fn shorten(pattern: &str) -> String {
    if pattern.chars().count() <= 60 {
        return pattern.to_owned();
    }
    format!("{}...", pattern.chars().take(57).collect::<String>())
}

/// Folds text at about 100 columns, keeping its paragraphs.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for paragraph in text.split("\n\n") {
        if !out.is_empty() {
            out.push_str("\n\n");
            column = 0;
        }
        for word in paragraph.split_whitespace() {
            let len = word.chars().count();
            if column > 0 && column + 1 + len > 100 {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += len;
        }
    }
    out
}

fn to_json(subject: &Subject) -> Value {
    match subject {
        Subject::Option { domain, text } => json!({
            "is": "option",
            "for": domain,
            "name": text.name,
            "kinds": text.kinds,
            "class": text.class,
            "syntax": text.syntax,
            "xen": text.xen,
            "arch": text.arch,
            "source": text.source,
            "audited": text.audited,
            "reason": text.reason,
            "mechanism": text.mechanism,
            "advice": text.advice,
            "shape": text.shape,
            "items": text.items.iter().map(|item| json!({
                "pattern": item.pattern, "allows": item.allows, "reason": item.reason, "why": item.why,
            })).collect::<Vec<_>>(),
        }),
        Subject::Reason(reason) => json!({
            "is": "reason", "id": reason.id, "level": reason.level, "rule": reason.rule,
            "text": reason.text, "explain": reason.explain,
        }),
        Subject::Rule(rule) => json!({ "is": "rule", "id": rule.id, "title": rule.title, "text": rule.text }),
    }
}
