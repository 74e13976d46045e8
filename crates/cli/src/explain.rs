//! `xen-lockdown explain`: the whole entry of an option, a hypercall, a request to privcmd, a reason or a rule.

mod judged;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use lockdown_core::hypercall::OperationClass;
use lockdown_policy::catalogue::{
    self, HypercallText, IoctlText, OperationText, OptionText, ReasonText, RuleText,
};
use serde_json::{Value, json};

use self::judged::Judged;
use crate::arguments::ExplainArguments;

/// What a name can mean.
enum Subject {
    Option { domain: &'static str, text: &'static OptionText },
    Hypercall(&'static HypercallText),
    Operation(&'static OperationText),
    Request(&'static IoctlText),
    Reason(&'static ReasonText),
    Rule(&'static RuleText),
    Judged(Judged),
}

pub(crate) fn run(arguments: &ExplainArguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if arguments.list {
        write!(out, "{}{}", list(), judged::list()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = arguments.name.as_deref().unwrap_or_default();
    let mut subjects = find(name);
    subjects.extend(judged::find(name)?.into_iter().map(Subject::Judged));
    if subjects.is_empty() {
        bail!(
            "{name:?} is no option, hypercall, request, reason, rule or advisory; `xen-lockdown explain --list` prints all names{}",
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
    found.chain(reasons).chain(rules).chain(find_hypercalls(name)).collect()
}

fn operations() -> impl Iterator<Item = &'static OperationText> {
    catalogue::HYPERCALLS.iter().flat_map(|hypercall| hypercall.operations)
}

/// A hypercall by its name; an operation by its whole name; all that selectors choose by the name of their operation.
fn find_hypercalls(name: &str) -> Vec<Subject> {
    let below = |text: &OperationText| {
        text.name.strip_prefix(name).is_some_and(|rest| text.selector.is_some() && rest.starts_with('.'))
    };
    let is_hypercall = |text: &&HypercallText| text.name == name && text.operations.len() > 1;
    let hypercalls = catalogue::HYPERCALLS.iter().filter(is_hypercall).map(Subject::Hypercall);
    let operations = operations().filter(|text| text.name == name || (name.contains('.') && below(text)));
    let requests = catalogue::PRIVCMD.iter().filter(|text| text.name == name).map(Subject::Request);
    hypercalls.chain(operations.map(Subject::Operation)).chain(requests).collect()
}

fn near(name: &str) -> String {
    let names = options().map(|(_, text)| text.name).chain(catalogue::REASONS.iter().map(|reason| reason.id));
    let names = names.chain(catalogue::HYPERCALLS.iter().map(|hypercall| hypercall.name));
    let names = names.chain(operations().map(|operation| operation.name));
    let names = names.chain(catalogue::PRIVCMD.iter().map(|request| request.name));
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
    for text in operations() {
        let reason = [text.reason, text.self_reason, text.other_reason, text.bare_reason]
            .into_iter()
            .find(|reason| !reason.is_empty());
        let _ = writeln!(out, "call   {:<34} {:<8} {}", text.name, text.class, reason.unwrap_or_default());
    }
    for text in catalogue::PRIVCMD {
        let reason = request_reasons(text).into_iter().find(|reason| !reason.is_empty());
        let _ = writeln!(out, "ioctl  {:<34} {:<8} {}", text.name, "", reason.unwrap_or_default());
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
        Subject::Hypercall(text) => {
            let _ = writeln!(out, "{} (hypercall {})\n  {}\n", text.name, text.number, text.about);
            for operation in text.operations {
                let _ = writeln!(out, "  {:<44} {:<14} {}", operation.name, operation.class, userspace(operation));
            }
        }
        Subject::Operation(text) => operation_text(&mut out, text),
        Subject::Request(text) => request_text(&mut out, text),
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
            let requests = catalogue::PRIVCMD.iter().filter(|text| request_reasons(text).contains(&reason.id));
            let calls: Vec<_> = operations()
                .filter(|text| {
                    [text.reason, text.self_reason, text.other_reason, text.bare_reason].contains(&reason.id)
                        || text.values.iter().any(|value| value.reason == reason.id)
                })
                .map(|text| text.name)
                .chain(requests.map(|text| text.name))
                .collect();
            if !calls.is_empty() {
                let _ = writeln!(out, "\nHypercalls: {}", wrapped(&calls.join(", ")));
            }
        }
        Subject::Judged(judged) => out.push_str(&judged.text),
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

/// What dom0's userspace gets.
fn userspace(text: &OperationText) -> String {
    match text.door {
        "none" => "admitted".to_owned(),
        door => format!("refused by the {door}: {}", text.reason),
    }
}

fn operation_text(out: &mut String, text: &OperationText) {
    let _ = writeln!(out, "{} (operation of a hypercall)", text.name);
    let numbers =
        [text.number.map(|number| format!("{number}")), text.selector.map(|one| format!("selector {one}"))];
    let numbers: Vec<_> = numbers.into_iter().flatten().collect();
    if !numbers.is_empty() {
        let _ = writeln!(out, "  number    {}", numbers.join(", "));
    }
    let _ = writeln!(out, "  class     {}: {}", text.class, class_meaning(text.class));
    let door = match text.door {
        "gate" => format!("gate: Xen refuses it to everybody; reason {}", text.reason),
        "guard" => format!("guard: dom0's kernel keeps its userspace from it; reason {}", text.reason),
        _ => "none: the lock has nothing against it".to_owned(),
    };
    let _ = writeln!(out, "  door      {door}");
    let own = match text.self_rule {
        "none" => "names no domain".to_owned(),
        "implicit" => "is always about the caller".to_owned(),
        "allowed" => "may be aimed at the caller itself".to_owned(),
        "refused-by-xen" => format!("refused by Xen itself, and by the {}: {}", text.self_door, text.self_reason),
        _ => format!("refused by the {}: {}", text.self_door, text.self_reason),
    };
    let _ = writeln!(out, "  oneself   {own}");
    if !text.other_door.is_empty() {
        let _ = writeln!(out, "  others    refused by the {}: {}", text.other_door, text.other_reason);
    }
    if !text.bare_door.is_empty() {
        let _ = writeln!(
            out,
            "  bare      refused by the {} where the target lacks what it works on: {}",
            text.bare_door, text.bare_reason
        );
    }
    let users = if text.used_by.is_empty() { "nobody".to_owned() } else { text.used_by.join(", ") };
    let _ = writeln!(out, "  used by   {users}");
    if !text.sessions.is_empty() {
        let _ = writeln!(out, "  for       {}", text.sessions.join(", "));
    }
    let _ = writeln!(out, "  Xen       {} ({})", text.xen.join(", "), text.arch.join(", "));
    let audited = if text.audited.is_empty() { "by nobody".to_owned() } else { text.audited.join(", ") };
    let _ = writeln!(out, "  audited   {audited}");
    for source in text.source {
        let _ = writeln!(out, "            {source}");
    }
    let _ = writeln!(out, "\n{}", wrapped(text.mechanism));
    if !text.note.is_empty() {
        let _ = writeln!(out, "\n{}", wrapped(text.note));
    }
    if !text.head.is_empty() {
        let _ = writeln!(out, "\nIn HEAD: {}", wrapped(text.head));
    }
    if !text.values.is_empty() {
        let _ = writeln!(out, "\nOnly with these values:");
        for value in text.values {
            let _ = writeln!(
                out,
                "  {:<44} {} [{}: {}]\n      {}",
                value.path,
                value.allows,
                value.door,
                value.reason,
                wrapped(value.why).replace('\n', "\n      ")
            );
        }
    }
    if !text.layout.is_empty() {
        let _ = writeln!(out, "\nThe argument:");
        for line in text.layout {
            let _ = writeln!(out, "  {line}");
        }
    }
}

fn request_reasons(text: &IoctlText) -> [&'static str; 6] {
    [text.own, text.privileged, text.io, text.xen, text.special, text.strict]
}

fn request_text(out: &mut String, text: &IoctlText) {
    let _ = writeln!(out, "{} (request to /dev/xen/privcmd)", text.name);
    let _ = writeln!(out, "  number    {:#x}", text.command);
    if let Some(number) = text.hypercall {
        let name = catalogue::HYPERCALLS.iter().find(|hypercall| hypercall.number == number);
        let _ = writeln!(out, "  rules of  {}", name.map_or("a hypercall", |hypercall| hypercall.name));
    }
    for (what, reason) in
        [("oneself", text.own), ("dom0", text.privileged), ("reserved", text.special), ("strict", text.strict)]
    {
        if !reason.is_empty() {
            let _ = writeln!(out, "  {what:<9} refused by the guard: {reason}");
        }
    }
    let _ = writeln!(out, "\n{}", wrapped(text.mechanism));
}

fn class_meaning(class: &str) -> &'static str {
    let all = OperationClass::ALL;
    all.into_iter().find(|known| known.name() == class).map_or("", |known| known.meaning())
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
        Subject::Judged(judged) => judged.json.clone(),
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
        Subject::Hypercall(text) => json!({
            "is": "hypercall",
            "name": text.name,
            "number": text.number,
            "about": text.about,
            "operations": text.operations.iter().map(|operation| operation.name).collect::<Vec<_>>(),
        }),
        Subject::Operation(text) => json!({
            "is": "operation",
            "name": text.name,
            "number": text.number,
            "selector": text.selector,
            "class": text.class,
            "door": text.door,
            "reason": text.reason,
            "self": { "rule": text.self_rule, "door": text.self_door, "reason": text.self_reason },
            "other": { "door": text.other_door, "reason": text.other_reason },
            "bare": { "door": text.bare_door, "reason": text.bare_reason },
            "special": text.special,
            "xen": text.xen,
            "arch": text.arch,
            "audited": text.audited,
            "source": text.source,
            "used_by": text.used_by,
            "sessions": text.sessions,
            "mechanism": text.mechanism,
            "note": text.note,
            "head": text.head,
            "values": text.values.iter().map(|value| json!({
                "path": value.path, "allows": value.allows, "door": value.door, "reason": value.reason,
                "why": value.why,
            })).collect::<Vec<_>>(),
            "argument": text.layout,
        }),
        Subject::Request(text) => json!({
            "is": "request",
            "name": text.name,
            "number": text.command,
            "hypercall": text.hypercall,
            "own": text.own,
            "privileged": text.privileged,
            "io": text.io,
            "xen": text.xen,
            "special": text.special,
            "strict": text.strict,
            "mechanism": text.mechanism,
        }),
        Subject::Reason(reason) => json!({
            "is": "reason", "id": reason.id, "level": reason.level, "rule": reason.rule,
            "text": reason.text, "explain": reason.explain,
        }),
        Subject::Rule(rule) => json!({ "is": "rule", "id": rule.id, "title": rule.title, "text": rule.text }),
    }
}
