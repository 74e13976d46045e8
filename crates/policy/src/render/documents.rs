//! The reference documentation, in Markdown.

use std::fmt::Write as _;

use lockdown_core::Level;

use crate::model::{ClassName, Entry, ItemRule, Policy, ShapeRule};

pub(super) const NOTICE: &str = "<!-- Generated from policy/ by `cargo xtask generate`. Do not edit. -->\n";

/// `docs/reference/options.md`.
pub(super) fn options(policy: &Policy) -> String {
    let mut out = format!("{NOTICE}# Xen's command-line options under lockdown\n\n");
    out.push_str(
        "What unsigned text may set while Xen is locked. Text that is built in or signed may set everything; an option that\n\
         does not stand here is refused. *Audited* names the releases of Xen whose handler was read.\n\n\
         - **safe**: any value.\n- **values**: the values in the table below the option, nothing else.\n\
         - **refused**: no value.\n- **foreign**: not built for x86, so unknown there.\n\n",
    );
    let count = |class: ClassName| policy.xen.iter().filter(|entry| entry.class == class).count();
    let _ = writeln!(
        out,
        "{} options: {} safe, {} with safe values, {} refused, {} not built for x86, and `lockdown` itself.\n",
        policy.xen.len(),
        count(ClassName::Safe),
        count(ClassName::Values),
        count(ClassName::Refused),
        count(ClassName::Foreign)
    );
    out.push_str("| option | class | reason | Xen | audited |\n| --- | --- | --- | --- | --- |\n");
    for entry in &policy.xen {
        let _ = writeln!(
            out,
            "| [`{}`](#{}) | {} | {} | {} | {} |",
            entry.name,
            anchor(&entry.name),
            entry.class.name(),
            entry.reason.as_deref().unwrap_or_default(),
            entry.xen.join(", "),
            entry.audited.join(", ")
        );
    }
    out.push('\n');
    for entry in &policy.xen {
        option(&mut out, entry);
    }
    out.push_str("# Beside the options\n\nWhat a boot entry, a boot loader or a configuration file says, and what Xen reads before its option parser runs.\n\n");
    for entry in &policy.boot {
        option(&mut out, entry);
    }
    out
}

/// `docs/reference/dom0-options.md`.
pub(super) fn dom0_options(policy: &Policy) -> String {
    let mut out = format!("{NOTICE}# Options of dom0's Linux that unsigned text may set\n\n");
    out.push_str(
        "dom0's command line decides what its kernel runs and loads before the guard stands, so unsigned text gets this short list and\n\
         nothing else. `-` and `_` in names are the same. A locked Xen adds `lockdown=integrity` (or `lockdown=confidentiality`) itself.\n\n",
    );
    for entry in &policy.dom0 {
        option(&mut out, entry);
    }
    out
}

/// `docs/reference/reasons.md`.
pub(super) fn reasons(policy: &Policy) -> String {
    let mut out = format!("{NOTICE}# Reasons for a refusal\n\n");
    out.push_str("In order. A level refuses the reasons of its own part and of those above. Rules are those of [the boundary](../boundary.md).\n\n");
    out.push_str("| reason | level | rule | refused because it ... |\n| --- | --- | --- | --- |\n");
    for reason in &policy.reasons {
        let level = match reason.level {
            Level::Integrity => "integrity",
            Level::Confidentiality => "confidentiality",
        };
        let _ = writeln!(out, "| `{}` | {level} | {} | {} |", reason.id, reason.rule, cell(&reason.text));
    }
    out.push('\n');
    for reason in &policy.reasons {
        let _ = writeln!(out, "**`{}`** {}\n", reason.id, reason.explain);
    }
    out
}

fn option(out: &mut String, entry: &Entry) {
    let _ = writeln!(out, "<a id=\"{}\"></a>\n## `{}`", anchor(&entry.name), entry.name);
    let mut facts = vec![format!("**{}**", entry.class.name())];
    facts.extend(entry.reason.as_ref().map(|reason| format!("reason `{reason}`")));
    facts.push(format!("{}: `{}`", entry.kinds.join(" + "), entry.syntax.replace('`', "'")));
    if !entry.audited.is_empty() {
        facts.push(format!("audited on {}", entry.audited.join(", ")));
    }
    if !entry.source.is_empty() {
        facts.push(entry.source.join(", "));
    }
    let _ = writeln!(out, "{}\n\n{}\n", facts.join(" · "), entry.mechanism);
    let lines = rule_lines(entry);
    if !lines.is_empty() {
        out.push_str("| value | allowed | otherwise | why |\n| --- | --- | --- | --- |\n");
        for (pattern, item) in lines {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                cell(&format!("`{pattern}`")),
                cell(&item.pattern.allows()),
                item.refuse.as_deref().unwrap_or_default(),
                cell(item.why.as_deref().unwrap_or_default())
            );
        }
        out.push('\n');
    }
    if let Some(advice) = &entry.advice {
        let _ = writeln!(out, "Instead: {advice}\n");
    }
}

/// Each item of a rule, with its pattern in words.
pub(super) fn rule_lines(entry: &Entry) -> Vec<(String, &ItemRule)> {
    match &entry.shape {
        None => Vec::new(),
        Some(ShapeRule::Whole(items) | ShapeRule::List(_, items)) => {
            items.iter().map(|item| (item.pattern.to_string(), item)).collect()
        }
        Some(ShapeRule::Fields(positions, named)) => {
            let at = positions.iter().enumerate().flat_map(|(position, items)| {
                items.iter().map(move |item| (format!("{}: {}", position + 1, item.pattern), item))
            });
            at.chain(named.iter().map(|item| (item.pattern.to_string(), item))).collect()
        }
    }
}

/// The end of a link to an option: letters, digits and dashes.
fn anchor(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("option-{}", name.chars().map(keep).collect::<String>())
}

/// Text in a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
