//! The reference of hypercalls, in Markdown.

use std::fmt::Write as _;

use lockdown_core::hypercall::OperationClass;

use super::documents::{NOTICE, cell};
use super::hypercall_tables::layout;
use crate::hypercall::{Condition, Count, DoorName, Field, Hypercall, Operation, Register, Role, SelfRule, Unit};
use crate::model::Policy;

/// `docs/reference/hypercalls.md`.
pub(super) fn hypercalls(policy: &Policy) -> String {
    let mut out = format!("{NOTICE}# Hypercalls under lockdown\n\n");
    out.push_str(
        "Which operations are privileged and which are the control plane, one by one. *Userspace* is what dom0's userspace may issue \
         through its kernel while the host is locked; *own* is the same operation aimed at the domain that issues it.\n\n\
         - **gate**: Xen refuses it, to everybody.\n\
         - **guard**: dom0's kernel needs it; it keeps its userspace from it.\n\
         - **admitted**: the lock has nothing against it. Xen's own checks still follow.\n\n\
         A reason of level confidentiality refuses at that level only. Layouts are those of Xen 4.20 on x86-64, and are compared with its public \
         headers by `cargo xtask layouts`.\n\n",
    );
    classes(&mut out, policy);
    out.push_str(
        "# All operations\n\n| operation | class | userspace | own | audited |\n| --- | --- | --- | --- | --- |\n",
    );
    for operation in operations(policy) {
        let _ = writeln!(
            out,
            "| [`{}`](#{}) | {} | {} | {} | {} |",
            operation.name,
            anchor(&operation.name),
            operation.class.name(),
            userspace(operation),
            own(operation),
            if operation.audited.is_empty() { "no".to_owned() } else { operation.audited.join(", ") }
        );
    }
    out.push('\n');
    for hypercall in &policy.hypercalls {
        family(&mut out, hypercall);
    }
    out
}

fn operations(policy: &Policy) -> impl Iterator<Item = &Operation> {
    policy.hypercalls.iter().flat_map(|hypercall| &hypercall.operations)
}

fn classes(out: &mut String, policy: &Policy) {
    let _ = writeln!(
        out,
        "{} hypercalls, {} operations.\n\n| class | what it means | all | gate | guard | admitted |\n| --- | --- | --- | --- | --- | --- |",
        policy.hypercalls.len(),
        operations(policy).count()
    );
    for class in OperationClass::ALL {
        let count = |door: Option<DoorName>| {
            let mine = operations(policy).filter(|one| one.class == class);
            mine.filter(|one| door.is_none_or(|door| door == one.door)).count()
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            class.name(),
            class.meaning(),
            count(None),
            count(Some(DoorName::Gate)),
            count(Some(DoorName::Guard)),
            count(Some(DoorName::None))
        );
    }
    let unaudited = operations(policy).filter(|one| one.is_unaudited()).count();
    let _ = writeln!(
        out,
        "\nOf {unaudited} operations the handler has not been read; none of them is let through from userspace.\n"
    );
}

fn family(out: &mut String, hypercall: &Hypercall) {
    let _ = writeln!(out, "# `{}` ({})\n\n{}\n", hypercall.name, hypercall.number, hypercall.about);
    for operation in &hypercall.operations {
        entry(out, operation);
    }
}

fn entry(out: &mut String, operation: &Operation) {
    let number = match (operation.number, operation.selector) {
        (Some(number), Some(selector)) => format!(" ({number}, {selector})"),
        (Some(number), None) => format!(" ({number})"),
        _ => String::new(),
    };
    let _ = writeln!(out, "<a id=\"{}\"></a>\n## `{}`{number}", anchor(&operation.name), operation.name);
    let mut facts = vec![
        format!("**{}**", operation.class.name()),
        answer(operation.door, operation.reason.as_deref()),
        format!("own: {}", own(operation)),
    ];
    facts.extend(
        operation.other_clause.as_ref().map(|(door, reason)| format!("others: {}", answer(*door, Some(reason)))),
    );
    facts.extend(
        operation.bare_clause.as_ref().map(|(door, reason)| format!("bare: {}", answer(*door, Some(reason)))),
    );
    facts.push(match operation.used_by.as_slice() {
        [] => "used by nobody".to_owned(),
        users => format!("used by {}", users.join(", ")),
    });
    if !operation.sessions.is_empty() {
        facts.push(format!("needed for {}", operation.sessions.join(", ")));
    }
    facts.push(format!("Xen {}", operation.xen.join(", ")));
    facts.push(match operation.audited.as_slice() {
        [] => "not audited".to_owned(),
        audited => format!("audited on {}: {}", audited.join(", "), operation.source.join(", ")),
    });
    let _ = writeln!(out, "{}\n\n{}\n", facts.join(" · "), operation.mechanism);
    for text in
        [&operation.note, &operation.head.as_ref().map(|head| format!("In HEAD: {head}"))].into_iter().flatten()
    {
        let _ = writeln!(out, "{text}\n");
    }
    if !operation.values.is_empty() {
        out.push_str("| field | allowed | otherwise | why |\n| --- | --- | --- | --- |\n");
        for value in &operation.values {
            let _ = writeln!(
                out,
                "| `{}`{} | {} | {} `{}` | {} |",
                masked(&value.field),
                when(&value.when),
                cell(&value.written.join(", ").replace("..=", " to ")),
                value.door.name(),
                value.reason,
                cell(&value.why)
            );
        }
        out.push('\n');
    }
    let lines = layout(operation);
    if !lines.is_empty() {
        let _ = writeln!(out, "```text\n{}\n```\n", lines.join("\n"));
    }
}

/// What userspace gets, aimed at a domain that is not privileged.
fn userspace(operation: &Operation) -> String {
    let answer = answer(operation.door, operation.reason.as_deref());
    match (operation.class, operation.door, &operation.other_clause) {
        (OperationClass::ReadLeak, DoorName::Gate | DoorName::Guard, _)
            if operation.reason.as_deref() != Some("unaudited") =>
        {
            format!("{answer} at confidentiality")
        }
        (_, DoorName::None, Some((door, reason))) => self::answer(*door, Some(reason)),
        (_, DoorName::None, None) if !operation.values.is_empty() => "by its values".to_owned(),
        _ => answer,
    }
}

fn answer(door: DoorName, reason: Option<&str>) -> String {
    match (door, reason) {
        (DoorName::None, _) => "admitted".to_owned(),
        (door, reason) => format!("{} `{}`", door.name(), reason.unwrap_or_default()),
    }
}

fn own(operation: &Operation) -> String {
    match (&operation.own_clause, operation.own) {
        (Some((door, reason)), SelfRule::RefusedByXen) => {
            format!("Xen itself, {}", answer(*door, Some(reason)))
        }
        (Some((door, reason)), _) => answer(*door, Some(reason)),
        (None, SelfRule::Allowed) => "admitted".to_owned(),
        (None, SelfRule::Implicit) => "always".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

/// A field, with the bits that count.
pub(super) fn masked(field: &Field) -> String {
    match field.mask {
        Some(mask) => format!("{} & {mask:#x}", field.path),
        None => field.path.clone(),
    }
}

/// Conditions, in words; nothing where there are none.
pub(super) fn when(conditions: &[Condition]) -> String {
    let texts = conditions.iter().map(|condition| {
        let is: Vec<_> = condition.is.iter().map(u64::to_string).collect();
        format!("{} is {}", masked(&condition.field), is.join(" or "))
    });
    let texts: Vec<_> = texts.collect();
    if texts.is_empty() { String::new() } else { format!(", if {}", texts.join(" and ")) }
}

/// How much there is, in words.
pub(super) fn count(count: &Count) -> String {
    match count {
        Count::Constant(number) => number.to_string(),
        Count::Register(number) => format!("as many as register {number} says"),
        Count::Implicit(text, None) => text.clone(),
        Count::Implicit(text, Some(most)) => format!("{text}, at most {most} bytes"),
        Count::Field { field, unit, squared, minus, plus } => {
            let mut text = field.path.clone();
            if let Some(minus) = minus {
                let _ = write!(text, " - {}", minus.path);
            }
            if *plus > 0 {
                let _ = write!(text, " + {plus}");
            }
            if *squared {
                let _ = write!(text, " squared");
            }
            match unit {
                Unit::Elements => {}
                Unit::Bytes => text.push_str(" bytes"),
                Unit::Bits => text.push_str(" bits"),
            }
            text
        }
    }
}

/// What a register holds, in words.
pub(super) fn register_line(register: &Register) -> String {
    match &register.role {
        Role::Operation(None) => "the operation".to_owned(),
        Role::Operation(Some(mask)) => format!("the operation, bits {mask:#x}"),
        Role::Structure => "the address of the structure".to_owned(),
        Role::Elements(number) => format!("the address of as many structures as register {number} says"),
        Role::Calls(number) => format!("the address of as many calls as register {number} says"),
        Role::Count => "a number of elements".to_owned(),
        Role::Target => "the target domain".to_owned(),
        Role::Value => "a number".to_owned(),
        Role::Buffer(buffer) => format!(
            "the address of {} of {} ({} bytes each), {}",
            count(&buffer.count),
            buffer.element,
            buffer.size,
            buffer.direction.name()
        ),
        Role::Buffers(number, known) => {
            let known = known.iter().map(|(index, buffer)| {
                format!(
                    "; buffer {index}: {} of {}, {}",
                    count(&buffer.count),
                    buffer.element,
                    buffer.direction.name()
                )
            });
            format!("the address of as many buffers as register {number} says{}", known.collect::<String>())
        }
    }
}

fn anchor(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("op-{}", name.chars().map(keep).collect::<String>())
}
