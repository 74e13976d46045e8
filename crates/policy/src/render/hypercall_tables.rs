//! The Rust sources about hypercalls.

use std::fmt::Write as _;

use lockdown_core::hypercall::{Clause, Field, Operation as Row, Quick, Rules};

use super::hypercalls::{count, register_line, when};
use super::rust::{HEADER, constant_name};
use crate::hypercall::{self, Arg, Operation, Pointer};
use crate::model::Policy;

/// `crates/core/src/tables/hypercalls.rs`.
pub(super) fn tables(policy: &Policy) -> String {
    let mut out = String::from(HEADER);
    out.push_str("// Which of these a table needs depends on the rules.\n#[allow(unused_imports)]\n");
    out.push_str("use crate::Reason;\n#[allow(unused_imports)]\nuse crate::hypercall::{\n    Clause, Condition, Door, Family, Field, Operation, OperationClass, Quick, Rules, ValueRule,\n};\n\n");
    let tables = [
        (true, "GATE", "What the gate can refuse, and nothing else: what Xen links."),
        (false, "HYPERCALLS", "The rules for every hypercall."),
    ];
    for (gate_only, name, about) in tables {
        rules(&mut out, policy, &hypercall::rules(policy, gate_only), name, about);
    }
    out
}

fn rules(out: &mut String, policy: &Policy, rules: &Rules<'_>, name: &str, about: &str) {
    let _ = writeln!(
        out,
        "/// {about}\npub static {name}: Rules<'static> = Rules {{ numbers: &{:?}, families: &[",
        rules.numbers
    );
    for family in rules.families {
        let _ = writeln!(
            out,
            "Family {{ places: &{:?}, concerns: &{:?}, operations: &[",
            family.places, family.concerns
        );
        for operation in family.operations {
            row(out, policy, operation);
        }
        out.push_str("] },\n");
    }
    out.push_str("] };\n\n");
}

fn row(out: &mut String, policy: &Policy, row: &Row<'_>) {
    let values = row.values.iter().map(|rule| {
        let when = rule.when.iter().map(|condition| {
            format!("Condition {{ field: {}, is: &{:?} }}", field(condition.field), condition.is)
        });
        format!(
            "ValueRule {{ when: &[{}], field: {}, ranges: &{:?}, clause: {} }}",
            when.collect::<Vec<_>>().join(", "),
            field(rule.field),
            rule.ranges,
            clause(policy, rule.clause)
        )
    });
    let optional = |given: Option<Clause>| {
        given.map_or_else(|| "None".to_owned(), |given| format!("Some({})", clause(policy, given)))
    };
    let number = if row.number == Row::ANY { "Operation::ANY".to_owned() } else { row.number.to_string() };
    let selector = match row.selector {
        Row::ANY_SELECTOR => "Operation::ANY_SELECTOR".to_owned(),
        selector => selector.to_string(),
    };
    let _ = writeln!(
        out,
        "Operation {{ number: {number}, selector: {selector}, class: OperationClass::{:?}, always: {}, own: {}, special: {}, other: {}, bare: {}, name: c{:?}, values: &[{}], quick: &[{}] }},",
        row.class,
        optional(row.always),
        optional(row.own),
        optional(row.special),
        optional(row.other),
        optional(row.bare),
        row.name.to_string_lossy(),
        values.collect::<Vec<_>>().join(", "),
        row.quick.iter().map(quick).collect::<Vec<_>>().join(", "),
    );
}

fn quick(test: &Quick) -> String {
    let Quick { offset, mask, low, span } = test;
    format!("Quick {{ offset: {offset}, mask: {mask:#x}, low: {low:#x}, span: {span:#x} }}")
}

fn clause(policy: &Policy, clause: Clause) -> String {
    let reason = policy.reasons.get(usize::from(clause.reason.index()));
    let reason = reason.map_or_else(String::new, |reason| constant_name(&reason.id));
    format!("Clause {{ door: Door::{:?}, reason: Reason::{reason} }}", clause.door)
}

fn field(field: Field) -> String {
    let mask = if field.mask == u64::MAX { "u64::MAX".to_owned() } else { format!("{:#x}", field.mask) };
    format!("Field {{ offset: {}, width: {}, mask: {mask} }}", field.offset, field.width)
}

/// `crates/policy/src/catalogue/hypercalls.rs`.
pub(super) fn catalogue(policy: &Policy) -> String {
    let mut out = String::from(HEADER);
    out.push_str("use super::{HypercallText, OperationText, OperationValueText};\n\n");
    out.push_str("/// The hypercalls, sorted by number.\npub static HYPERCALLS: &[HypercallText] = &[\n");
    for hypercall in &policy.hypercalls {
        let _ = writeln!(
            out,
            "HypercallText {{ name: {:?}, number: {}, about: {:?}, operations: &[",
            hypercall.name, hypercall.number, hypercall.about
        );
        for operation in &hypercall.operations {
            operation_text(&mut out, operation);
        }
        out.push_str("] },\n");
    }
    out.push_str("];\n");
    out
}

fn operation_text(out: &mut String, operation: &Operation) {
    let (self_door, self_reason) =
        operation.own_clause.as_ref().map_or(("", ""), |(door, reason)| (door.name(), reason.as_str()));
    let (other_door, other_reason) =
        operation.other_clause.as_ref().map_or(("", ""), |(door, reason)| (door.name(), reason.as_str()));
    let (bare_door, bare_reason) =
        operation.bare_clause.as_ref().map_or(("", ""), |(door, reason)| (door.name(), reason.as_str()));
    let values = operation.values.iter().map(|value| {
        format!(
            "OperationValueText {{ path: {:?}, allows: {:?}, door: {:?}, reason: {:?}, why: {:?} }}",
            super::hypercalls::masked(&value.field),
            value.written.join(", ").replace("..=", " to "),
            value.door.name(),
            value.reason,
            value.why
        )
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        out,
        "OperationText {{ name: {:?}, number: {:?}, selector: {:?}, class: {:?}, door: {:?}, reason: {:?}, \
         self_rule: {:?}, self_door: {self_door:?}, self_reason: {self_reason:?}, other_door: {other_door:?}, other_reason: {other_reason:?}, bare_door: {bare_door:?}, bare_reason: {bare_reason:?}, special: {}, xen: &{:?}, arch: &{:?}, \
         audited: &{:?}, source: &{:?}, used_by: &{:?}, sessions: &{:?}, mechanism: {:?}, note: {:?}, head: {:?}, \
         layout: &{:?}, values: &[{values}] }},",
        operation.name,
        operation.number,
        operation.selector,
        operation.class.name(),
        operation.door.name(),
        operation.reason.as_deref().unwrap_or_default(),
        operation.own.name(),
        operation.special,
        operation.xen,
        operation.arch,
        operation.audited,
        operation.source,
        operation.used_by,
        operation.sessions,
        operation.mechanism,
        operation.note.as_deref().unwrap_or_default(),
        operation.head.as_deref().unwrap_or_default(),
        layout(operation),
    );
}

/// The argument, a line for each thing in it.
pub(super) fn layout(operation: &Operation) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, register) in operation.registers.iter().enumerate() {
        lines.push(format!("register {}: {}", index + 1, register_line(register)));
    }
    if let Some((name, size)) = &operation.structure {
        let written = if operation.writes { "" } else { ", which Xen does not write" };
        let null = if operation.null { "; none if the address is null" } else { "" };
        lines.push(format!("structure {name}, {size} bytes{written}{null}"));
    }
    if let Some(payload) = &operation.payload {
        lines.push(format!("payload {} at {}, {} bytes", payload.path, payload.offset, payload.size));
    }
    if let Some(version) = &operation.version {
        let field = &version.field;
        let numbers = version.numbers.iter().map(|(xen, number)| format!("{number:#x} in {xen}"));
        lines.push(format!(
            "version {} at {}, {} bytes: {}",
            field.path,
            field.offset,
            field.width,
            numbers.collect::<Vec<_>>().join(", ")
        ));
    }
    if let Some(field) = &operation.selector_at {
        lines.push(format!("selector {} at {}, {} bytes", field.path, field.offset, field.width));
    }
    match &operation.target {
        Some(Arg::Register { register, .. }) => lines.push(format!("target domain in register {register}")),
        Some(Arg::Field(field) | Arg::InElement(field) | Arg::InBuffer(_, field)) => {
            lines.push(format!("target domain {} at {}, {} bytes", field.path, field.offset, field.width));
        }
        None => {}
    }
    for other in &operation.others {
        let field = &other.field;
        let when = when(&other.when);
        let own = if other.own_allowed { ", which may be the caller" } else { "" };
        lines.push(format!("another domain {} at {}, {} bytes{when}{own}", field.path, field.offset, field.width));
    }
    for pointer in &operation.handles {
        pointer_lines(&mut lines, "pointer", pointer, 0);
    }
    if let Some(tail) = &operation.tail {
        pointer_lines(&mut lines, "followed by", tail, 0);
    }
    for hidden in &operation.hidden {
        let field = &hidden.field;
        lines.push(format!("{} at {}, {} bytes: {}", field.path, field.offset, field.width, hidden.is));
    }
    lines
}

fn pointer_lines(lines: &mut Vec<String>, what: &str, pointer: &Pointer, depth: usize) {
    let buffer = &pointer.buffer;
    lines.push(format!(
        "{:indent$}{what} {} at {}: {} of {} ({} bytes each), {}{}",
        "",
        pointer.path,
        pointer.offset,
        count(&buffer.count),
        buffer.element,
        buffer.size,
        buffer.direction.name(),
        when(&pointer.when),
        indent = depth * 2
    ));
    for inner in &buffer.handles {
        pointer_lines(lines, "in each, pointer", inner, depth + 1);
    }
}
