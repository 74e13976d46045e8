//! The Rust sources.

use std::fmt::Write as _;

use lockdown_core::{Class, Declared, Item, Kinds, Level, Number, Opt, Pattern, Polarity, Shape, XenVersion};

use crate::check::XEN_VERSIONS;
use crate::compile::Compiled;
use crate::model::{Entry, Policy, ShapeRule};

pub(super) const HEADER: &str = "// Generated from policy/ by `cargo xtask generate`. Do not edit.\n\n";

/// `crates/core/src/tables/generated.rs`.
pub(super) fn tables(policy: &Policy, compiled: &Compiled) -> String {
    let mut out = String::from(HEADER);
    // Which of these a table needs depends on the rules.
    out.push_str("#[allow(unused_imports)]\nuse crate::{\n    Class, Declared, Item, Kinds, Level, Number, Opt, Pattern, Polarity, Reason, ReasonInfo, Shape, Table,\n    XenVersion, XenVersions,\n};\n\n");
    out.push_str("/// The releases of Xen that have an option set, oldest first.\n");
    let _ = writeln!(out, "pub static XEN_VERSIONS: &[&str] = &{XEN_VERSIONS:?};\n");
    out.push_str("impl XenVersion {\n");
    for (index, version) in XEN_VERSIONS.iter().enumerate() {
        let _ = writeln!(
            out,
            "    /// Xen {version}.\n    pub const {}: Self = Self({index});",
            version_name(version)
        );
    }
    out.push_str("}\n\n/// The reasons, in order.\npub static REASONS: &[ReasonInfo] = &[\n");
    for reason in &policy.reasons {
        let _ = writeln!(
            out,
            "    ReasonInfo {{ id: {:?}, level: {}, rule: {:?}, text: {:?} }},",
            reason.id,
            level(reason.level),
            reason.rule,
            reason.text
        );
    }
    out.push_str("];\n\nimpl Reason {\n");
    for (index, reason) in policy.reasons.iter().enumerate() {
        let _ = writeln!(
            out,
            "    /// `{}`: {}.\n    pub const {}: Self = Self::at({index});",
            reason.id,
            reason.text,
            constant_name(&reason.id)
        );
    }
    out.push_str("}\n\n/// The rules.\npub const TABLE: Table<'static> = Table { xen: XEN, dom0: DOM0 };\n\n");
    options(&mut out, "XEN", policy, compiled.table.xen);
    options(&mut out, "DOM0", policy, compiled.table.dom0);
    out
}

fn version_name(version: &str) -> String {
    if version.starts_with(|first: char| first.is_ascii_digit()) {
        format!("V{}", version.replace('.', "_"))
    } else {
        version.to_owned()
    }
}

pub(super) fn constant_name(id: &str) -> String {
    id.to_ascii_uppercase().replace('-', "_")
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Integrity => "Level::Integrity",
        Level::Confidentiality => "Level::Confidentiality",
    }
}

fn options(out: &mut String, name: &str, policy: &Policy, options: &[Opt<'static>]) {
    let _ = writeln!(out, "static {name}: &[Opt<'static>] = &[");
    for option in options {
        let bits = (0..XEN_VERSIONS.len()).fold(0u8, |bits, index| {
            let version = XEN_VERSIONS.get(index).and_then(|version| XenVersion::from_name(version));
            bits | (u8::from(version.is_some_and(|version| option.versions.contains(version))) << index)
        });
        let _ = writeln!(
            out,
            "    Opt {{ name: {}, kinds: {}, versions: XenVersions::from_bits({bits:#05b}), reason: {}, note: {}, class: {}, declared: &[{}] }},",
            bytes(option.name),
            kinds(option.kinds),
            reason(policy, option.reason),
            option.note,
            class(policy, &option.class),
            option.declared.iter().map(declared).collect::<Vec<_>>().join(", "),
        );
    }
    out.push_str("];\n\n");
}

fn bytes(text: &[u8]) -> String {
    format!("b\"{}\"", text.escape_ascii())
}

fn kinds(kinds: Kinds) -> String {
    let all = [
        (Kinds::CUSTOM, "CUSTOM"),
        (Kinds::BOOLEAN, "BOOLEAN"),
        (Kinds::INTEGER, "INTEGER"),
        (Kinds::SIZE, "SIZE"),
        (Kinds::STRING, "STRING"),
        (Kinds::IGNORE, "IGNORE"),
    ];
    let mut names = all.iter().filter(|(kind, _)| kinds.has(*kind)).map(|(_, name)| format!("Kinds::{name}"));
    let first = names.next().unwrap_or_default();
    names.fold(first, |text, name| format!("{text}.with({name})"))
}

fn reason(policy: &Policy, reason: lockdown_core::Reason) -> String {
    let id = policy.reasons.get(usize::from(reason.index())).map_or("unknown-option", |entry| &entry.id);
    format!("Reason::{}", constant_name(id))
}

fn class(policy: &Policy, class: &Class<'_>) -> String {
    match class {
        Class::Safe => "Class::Safe".to_owned(),
        Class::Refused => "Class::Refused".to_owned(),
        Class::Latch => "Class::Latch".to_owned(),
        Class::Values(Shape::Whole { keeps, items: list }) => {
            format!(
                "Class::Values(Shape::Whole {{ keeps: {}, items: {} }})",
                keeps_text(*keeps),
                items(policy, list)
            )
        }
        Class::Values(Shape::List { keeps, separator, items: list }) => format!(
            "Class::Values(Shape::List {{ keeps: {}, separator: b'{}', items: {} }})",
            keeps_text(*keeps),
            separator.escape_ascii(),
            items(policy, list)
        ),
        Class::Values(Shape::Fields { keeps, positions, named }) => format!(
            "Class::Values(Shape::Fields {{ keeps: {}, positions: &[{}], named: {} }})",
            keeps_text(*keeps),
            positions.iter().map(|list| items(policy, list)).collect::<Vec<_>>().join(", "),
            items(policy, named)
        ),
    }
}

fn keeps_text(keeps: u16) -> String {
    if keeps == u16::MAX { "u16::MAX".to_owned() } else { keeps.to_string() }
}

fn declared(declared: &Declared<'_>) -> String {
    format!("Declared {{ overlay: {}, value: {} }}", declared.overlay, bytes(declared.value))
}

fn items(policy: &Policy, items: &[Item<'_>]) -> String {
    let items: Vec<_> = items.iter().map(|item| item_text(policy, item)).collect();
    format!("&[{}]", items.join(", "))
}

fn item_text(policy: &Policy, item: &Item<'_>) -> String {
    let reason = item.reason.map_or_else(|| "None".to_owned(), |given| format!("Some({})", reason(policy, given)));
    let pattern = match item.pattern {
        Pattern::Bool(polarity) => format!("Bool({})", polarity_text(polarity)),
        Pattern::Flag(name, polarity) => format!("Flag({}, {})", bytes(name), polarity_text(polarity)),
        Pattern::Words(words, allow) => {
            let words: Vec<_> = words.iter().map(|word| bytes(word)).collect();
            format!("Words(&[{}], {allow})", words.join(", "))
        }
        Pattern::Number(base, Number(ranges)) => format!("Number({base}, Number(&{}))", ranges_text(ranges)),
        Pattern::Size(Number(ranges)) => format!("Size(Number(&{}))", ranges_text(ranges)),
        Pattern::Prefix(prefix, inner) => format!("Prefix({}, {})", bytes(prefix), items(policy, inner)),
        Pattern::Text(prefix, without, allow) => format!("Text({}, {}, {allow})", bytes(prefix), bytes(without)),
        Pattern::Plain(prefix) => format!("Plain({})", bytes(prefix)),
        Pattern::Empty(allow) => format!("Empty({allow})"),
    };
    format!(
        "Item {{ pattern: Pattern::{pattern}, reason: {reason}, note: {}, overlay: {} }}",
        item.note, item.overlay
    )
}

fn polarity_text(polarity: Polarity) -> &'static str {
    match polarity {
        Polarity::On => "Polarity::On",
        Polarity::Off => "Polarity::Off",
        Polarity::Any => "Polarity::Any",
        Polarity::No => "Polarity::No",
    }
}

fn ranges_text(ranges: &[(u64, u64)]) -> String {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|(low, high)| {
            format!("({low}, {})", if *high == u64::MAX { "u64::MAX".to_owned() } else { high.to_string() })
        })
        .collect();
    format!("[{}]", ranges.join(", "))
}

/// `crates/policy/src/catalogue/generated.rs`.
pub(super) fn catalogue(policy: &Policy, compiled: &Compiled) -> String {
    let mut out = String::from(HEADER);
    out.push_str("#[allow(unused_imports)]\nuse super::{AllowText, ItemText, OptionText, OverlayText, ReasonText, RuleText};\n\n");
    for (name, what, entries) in [
        ("XEN", "Xen's options, sorted by name.", &policy.xen),
        ("DOM0", "What unsigned text may give to dom0's kernel, in the order of the tables.", &policy.dom0),
        ("BOOT", "What is said beside the options, sorted by name.", &policy.boot),
    ] {
        let _ = writeln!(out, "/// {what}\npub static {name}: &[OptionText] = &[");
        for entry in entries {
            option_text(&mut out, entry);
        }
        out.push_str("];\n\n");
    }
    out.push_str("/// The reasons, in order.\npub static REASONS: &[ReasonText] = &[\n");
    for reason in &policy.reasons {
        let level = match reason.level {
            Level::Integrity => "integrity",
            Level::Confidentiality => "confidentiality",
        };
        let _ = writeln!(
            out,
            "    ReasonText {{ id: {:?}, level: {level:?}, rule: {:?}, text: {:?}, explain: {:?} }},",
            reason.id, reason.rule, reason.text, reason.explain
        );
    }
    out.push_str("];\n\n/// The rules of the security boundary.\npub static BOUNDARY: &[RuleText] = &[\n");
    for rule in &policy.boundary {
        let _ =
            writeln!(out, "    RuleText {{ id: {:?}, title: {:?}, text: {:?} }},", rule.id, rule.title, rule.text);
    }
    out.push_str("];\n\n/// The notes that verdicts point at, by number; number 0 is none.\npub static NOTES: &[&str] = &[\n");
    for note in &compiled.notes {
        let _ = writeln!(out, "    {note:?},");
    }
    out.push_str("];\n\n/// The overlays that were compiled in; the first has number 1.\n");
    out.push_str("pub static OVERLAYS: &[OverlayText] = &[");
    for overlay in &compiled.overlays {
        let allows = overlay.allows.iter().map(|allow| {
            format!("AllowText {{ option: {:?}, who: {:?}, why: {:?} }}", allow.option, allow.who, allow.why)
        });
        let allows = allows.collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "OverlayText {{ name: {:?}, allows: &[{allows}] }},", overlay.name);
    }
    out.push_str("];\n");
    out
}

fn option_text(out: &mut String, entry: &Entry) {
    let _ = writeln!(
        out,
        "    OptionText {{ name: {:?}, kinds: &{:?}, class: {:?}, syntax: {:?}, xen: &{:?}, arch: &{:?}, source: &{:?}, audited: &{:?}, reason: {:?}, mechanism: {:?}, advice: {:?}, shape: {:?}, items: &[{}] }},",
        entry.name,
        entry.kinds,
        entry.class.name(),
        entry.syntax,
        entry.xen,
        entry.arch,
        entry.source,
        entry.audited,
        entry.reason.as_deref().unwrap_or_default(),
        entry.mechanism,
        entry.advice.as_deref().unwrap_or_default(),
        shape_words(entry),
        item_texts(entry),
    );
}

fn item_texts(entry: &Entry) -> String {
    let texts = super::documents::rule_lines(entry).into_iter().map(|(pattern, item)| {
        format!(
            "ItemText {{ pattern: {pattern:?}, allows: {:?}, reason: {:?}, why: {:?} }}",
            item.pattern.allows(),
            item.refuse.as_deref().unwrap_or_default(),
            item.why.as_deref().unwrap_or_default()
        )
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// How the value is taken apart.
fn shape_words(entry: &Entry) -> String {
    match &entry.shape {
        None => String::new(),
        Some(ShapeRule::Whole(_)) => "one value".to_owned(),
        Some(ShapeRule::List(separator, _)) => format!("a list, separated by {:?}", char::from(*separator)),
        Some(ShapeRule::Fields(..)) => "a list of positions, then of name=value, separated by ','".to_owned(),
    }
}
