//! `crates/core/src/tables/layouts.rs`: what the guard's walk over arguments needs of the layouts in `policy/hypercalls/`.

use std::fmt::Write as _;

use lockdown_core::guard::HANDLES;

use super::rust::HEADER;
use crate::check::XEN_VERSIONS;
use crate::hypercall::{
    Arg, Buffer, Condition, Count, Direction, DoorName, Field, Hypercall, Operation, Pointer, Register, Role,
    Unit, Version,
};
use crate::model::Policy;
use crate::problem::{Problem, Problems};

/// The file.
///
/// # Errors
/// What userspace may issue and the walk cannot describe.
pub(super) fn tables(policy: &Policy) -> Result<String, Problems> {
    let mut tables = Tables { layouts: Vec::new(), problems: Problems::default() };
    let families: Vec<_> = policy.hypercalls.iter().map(|hypercall| tables.family(hypercall)).collect();
    let Tables { layouts, problems } = tables;
    problems.into_result(())?;
    let mut out = String::from(HEADER);
    out.push_str("// Which of these the table needs depends on the rules.\n#[allow(unused_imports)]\n");
    out.push_str("use crate::guard::{\n    At, Buffer, Carrier, Count, Direction, Family, Handle, Layout, Layouts, Other, Row, SelectorAt, Short, Target, Version,\n};\n");
    out.push_str("#[allow(unused_imports)]\nuse crate::hypercall::{Condition, Field, Operation};\nuse crate::XenVersions;\n\n");
    out.push_str("/// Where things stand in the arguments of what the guard admits. Belongs to [`HYPERCALLS`](super::HYPERCALLS).\n");
    let _ = writeln!(
        out,
        "pub static LAYOUTS: Layouts<'static> = Layouts {{ families: &[\n{}], layouts: &[\n{}] }};",
        families.concat(),
        layouts.concat()
    );
    Ok(out)
}

struct Tables {
    /// Each once.
    layouts: Vec<String>,
    problems: Problems,
}

impl Tables {
    fn family(&mut self, hypercall: &Hypercall) -> String {
        let at = self.at(hypercall);
        let mut rows = String::new();
        let mut selectors: Vec<String> = Vec::new();
        let mut shorts: Vec<String> = Vec::new();
        for (row, operation) in hypercall.operations.iter().enumerate() {
            let number = operation.number.map_or("Operation::ANY".to_owned(), |number| number.to_string());
            let selector = operation.selector.map_or("Operation::ANY_SELECTOR".to_owned(), |one| one.to_string());
            let layout = if operation.is_for_userspace() { self.place(operation) } else { 0 };
            let _ = write!(rows, "Row {{ number: {number}, selector: {selector}, layout: {layout} }},");
            if let (Some(short), Some(number)) = (short(hypercall, operation, row, layout), operation.number) {
                let number = usize::from(number);
                shorts.resize(shorts.len().max(number + 1), "Short::LONG,".to_owned());
                shorts[number] = short;
            }
            if let Some(at) = &operation.selector_at {
                let carrier = carrier(operation);
                let text = format!("SelectorAt {{ number: {number}, field: {}, carrier: {carrier} }},", field(at));
                if !selectors.contains(&text) {
                    selectors.push(text);
                }
            }
        }
        let mut numbers: Vec<_> = hypercall.operations.iter().filter(|one| one.selector.is_some()).collect();
        numbers.dedup_by_key(|operation| operation.number);
        if numbers.len() != selectors.len() {
            self.problems
                .push(hypercall.problem("operations of one number have their selectors in different places"));
        }
        format!(
            "Family {{ at: {at}, selectors: &[{}], rows: &[{rows}], shorts: &[{}] }},\n",
            selectors.concat(),
            shorts.concat()
        )
    }

    /// Where the number of an operation stands.
    fn at(&mut self, hypercall: &Hypercall) -> String {
        let registers = hypercall.operations.first().map_or(&[][..], |operation| &operation.registers);
        match (&hypercall.selector, registers.first().map(|register| &register.role)) {
            (None, Some(Role::Calls(number))) => format!("At::Calls(0, {})", from_zero(*number)),
            (None, _) => "At::Nowhere".to_owned(),
            (Some(Arg::Register { register, mask }), _) => {
                format!("At::Register({}, {:#x})", from_zero(*register), mask.unwrap_or(u64::from(u32::MAX)))
            }
            (Some(Arg::Field(at) | Arg::InElement(at) | Arg::InBuffer(_, at)), _) => {
                let mut carriers: Vec<_> = hypercall.operations.iter().map(carrier).collect();
                carriers.dedup();
                let is_used = hypercall.operations.iter().any(Operation::is_for_userspace);
                // A plan knows the pointers of one layout only.
                for operation in &hypercall.operations {
                    let mixes =
                        carrier(operation).starts_with("Carrier::Elements") && operation.is_for_userspace();
                    if mixes && (!operation.handles.is_empty() || !operation.writes) {
                        self.complain(
                            operation,
                            "elements that each say what they are have no pointers, and are written",
                        );
                    }
                }
                let carrier = match carriers.as_slice() {
                    [only] => only.clone(),
                    // Enough to tell why it is refused.
                    _ if !is_used => format!("Carrier::Structure(0, {}, false)", at.offset + u32::from(at.width)),
                    _ => {
                        self.problems.push(hypercall.problem(
                            "its operations have structures of different sizes, and say in them what they are",
                        ));
                        "Carrier::None".to_owned()
                    }
                };
                format!("At::Carried({}, {carrier})", field(at))
            }
        }
    }

    /// The place of an operation's layout, counted from 1.
    fn place(&mut self, operation: &Operation) -> usize {
        let text = self.layout(operation);
        let place = self.layouts.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.layouts.push(text);
            self.layouts.len() - 1
        });
        place + 1
    }

    fn layout(&mut self, operation: &Operation) -> String {
        let carrier = carrier(operation);
        let has_structure =
            |one: &Register| matches!(one.role, Role::Structure | Role::Elements(_) | Role::Buffers(..));
        if operation.registers.iter().any(has_structure) && operation.structure.is_none() {
            self.complain(operation, "a register holds the address of a structure, and none is described");
        }
        // What only stands in registers looks alike in every release.
        let points =
            operation.registers.iter().any(|one| has_structure(one) || matches!(one.role, Role::Buffer(_)));
        let versions = if points { &operation.layout } else { &operation.xen };
        let bits = XEN_VERSIONS.iter().enumerate().filter(|(_, name)| versions.iter().any(|xen| xen == *name));
        let bits = bits.fold(0, |bits, (place, _)| bits | 1 << place);
        let target = match &operation.target {
            None => "Target::None".to_owned(),
            Some(Arg::Register { register, .. }) => format!("Target::Register({})", from_zero(*register)),
            Some(Arg::Field(at) | Arg::InElement(at) | Arg::InBuffer(_, at)) => {
                format!("Target::Field({})", field(at))
            }
        };
        let others = operation.others.iter().map(|other| {
            let (at, when, own) = (field(&other.field), conditions(&other.when), other.own_allowed);
            format!("Other {{ field: {at}, when: {when}, own: {own} }},")
        });
        let others: String = others.collect();
        let mut registers = String::new();
        for (place, register) in operation.registers.iter().enumerate() {
            if let Role::Buffer(buffer) = &register.role {
                let _ = write!(registers, "({place}, {}),", self.buffer(operation, buffer));
            }
        }
        let mut pointers: Vec<_> = operation.handles.iter().collect();
        pointers.sort_by_key(|pointer| pointer.offset);
        if pointers.len() > HANDLES {
            self.complain(operation, format!("has more than {HANDLES} pointers"));
        }
        let handles: String = pointers.into_iter().map(|one| self.handle(operation, one) + ",").collect();
        let tail = operation.tail.as_ref().map(|tail| format!("Some({})", self.handle(operation, tail)));
        if operation.tail.is_some() && !carrier.starts_with("Carrier::Structure") {
            self.complain(operation, "a list goes on behind a structure that is not alone");
        }
        format!(
            "Layout {{ versions: XenVersions::from_bits({bits:#b}), carrier: {carrier}, writes: {}, version: {}, target: {target}, \
             others: &[{others}], registers: &[{registers}], handles: &[{handles}], tail: {} }},\n",
            operation.writes,
            operation.version.as_ref().map_or("None".to_owned(), version),
            tail.unwrap_or_else(|| "None".to_owned()),
        )
    }

    fn handle(&mut self, operation: &Operation, pointer: &Pointer) -> String {
        let buffer = self.buffer(operation, &pointer.buffer);
        format!("Handle {{ offset: {}, buffer: {buffer}, when: {} }}", pointer.offset, conditions(&pointer.when))
    }

    fn buffer(&mut self, operation: &Operation, buffer: &Buffer) -> String {
        let mut size = buffer.size;
        let count = match &buffer.count {
            Count::Constant(number) => format!("Count::Constant({number})"),
            Count::Register(register) => format!("Count::Register({})", from_zero(*register)),
            Count::Implicit(_, most) => {
                size = 1;
                format!("Count::Constant({})", most.unwrap_or(u64::MAX))
            }
            Count::Field { field: at, unit, squared, minus, plus } => {
                let at = field(at);
                match (unit, squared, minus, plus) {
                    (Unit::Bits, false, None, 0) => format!("Count::Bits({at})"),
                    (Unit::Bytes, false, None, 0) => {
                        size = 1;
                        format!("Count::Field({at})")
                    }
                    (Unit::Elements, false, None, 0) => format!("Count::Field({at})"),
                    (Unit::Elements, true, None, 0) => format!("Count::Square({at})"),
                    (Unit::Elements, false, Some(minus), plus) => {
                        format!("Count::Between({at}, {}, {plus})", field(minus))
                    }
                    _ => {
                        self.complain(operation, "the walk does not know how to count so");
                        String::new()
                    }
                }
            }
        };
        let direction = direction(buffer.direction);
        format!("Buffer {{ size: {size}, count: {count}, direction: Direction::{direction} }}")
    }

    fn complain(&mut self, operation: &Operation, message: impl std::fmt::Display) {
        let problem: Problem = operation.problem(format!("{}: {message}", operation.name));
        self.problems.push(problem);
    }
}

/// What is copied for an operation.
fn carrier(operation: &Operation) -> String {
    let size = operation.structure.as_ref().map(|(_, size)| *size);
    let found =
        operation.registers.iter().enumerate().find_map(|(place, register)| match (&register.role, size) {
            (Role::Structure, Some(size)) => {
                Some(format!("Carrier::Structure({place}, {size}, {})", operation.null))
            }
            (Role::Elements(number), Some(size)) => {
                Some(format!("Carrier::Elements({place}, {}, {size})", from_zero(*number)))
            }
            (Role::Buffers(number, _), Some(size)) => {
                Some(format!("Carrier::Buffers({place}, {}, {size})", from_zero(*number)))
            }
            _ => None,
        });
    found.unwrap_or_else(|| "Carrier::None".to_owned())
}

/// The straight way over an operation, if it has one: at most a structure, a target and a pointer, and nothing else that
/// could be against it.
fn short(hypercall: &Hypercall, operation: &Operation, row: usize, layout: usize) -> Option<String> {
    let is_plain = operation.door == DoorName::None
        && operation.others.is_empty()
        && operation.values.is_empty()
        && operation.other_clause.is_none()
        && operation.selector.is_none()
        && operation.tail.is_none()
        && operation.hidden.is_empty()
        && !operation.null
        && operation.layout.iter().any(|xen| xen == "4.20");
    let (row, layout) = (u8::try_from(row).ok()?, u16::try_from(layout).ok().filter(|layout| *layout > 0)?);
    let mut register = None;
    for (place, one) in operation.registers.iter().enumerate() {
        match &one.role {
            Role::Operation(_) | Role::Value => {}
            Role::Structure if register.is_none() => register = Some(place),
            _ => return None,
        }
    }
    if !is_plain {
        return None;
    }
    let mut text = format!("Short {{ row: {row}, layout: {layout},");
    let size = operation.structure.as_ref().map_or(0, |(_, size)| *size);
    match (register, size) {
        (None, 0) if operation.target.is_none() && operation.handles.is_empty() => {
            return Some(text + " ..Short::LONG },");
        }
        (Some(register), 8..) => {
            let _ = write!(text, "register: {register}, size: {size},");
        }
        _ => return None,
    }
    // A place from which eight bytes lie in the structure, and how many bits up the number is there.
    let place = |field: &Field| {
        let offset = field.offset.min(size - 8);
        Some((offset, (field.offset - offset) * 8)).filter(|_| field.mask.is_none())
    };
    let (mut head, mut mask) = (0_u64, 0_u64);
    let mut first = |field: &Field, value: u32| {
        let up = field.offset.checked_mul(8).filter(|up| up + u32::from(field.width) * 8 <= 64)?;
        if field.width != 4 || field.mask.is_some() {
            return None;
        }
        head |= u64::from(value) << up;
        mask |= u64::from(u32::MAX) << up;
        Some(())
    };
    if let Some(Arg::Field(at)) = &hypercall.selector {
        first(at, operation.number?.into())?;
    }
    if let Some(version) = &operation.version {
        first(&version.field, version.numbers.iter().find(|(xen, _)| xen == "4.20")?.1)?;
    }
    let _ = write!(text, "head: {head:#x}, head_mask: {mask:#x},");
    match &operation.target {
        None => {}
        Some(Arg::Field(at)) if at.width == 2 && place(at)?.1 == 0 => {
            let _ = write!(text, "target: {}, own: {},", at.offset, operation.own_clause.is_none());
        }
        Some(_) => return None,
    }
    match operation.handles.as_slice() {
        [] => {}
        [pointer] if pointer.when.is_empty() && pointer.offset + 8 <= size => {
            let buffer = &pointer.buffer;
            let (element, count) = match &buffer.count {
                Count::Constant(number) => (buffer.size, format!("more: {number},")),
                Count::Field {
                    field,
                    unit: unit @ (Unit::Elements | Unit::Bytes),
                    squared: false,
                    minus: None,
                    plus: 0,
                } => {
                    let (offset, up) = place(field)?;
                    let bits = u64::MAX >> (64 - u32::from(field.width) * 8);
                    let element = if *unit == Unit::Bytes { 1 } else { buffer.size };
                    (element, format!("count: {offset}, count_shift: {up}, count_mask: {bits:#x},"))
                }
                _ => return None,
            };
            let direction = direction(buffer.direction);
            let _ = write!(
                text,
                "pointer: {}, element: {element}, {count} direction: Direction::{direction},",
                pointer.offset
            );
        }
        _ => return None,
    }
    Some(text + " ..Short::LONG },")
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "In",
        Direction::Out => "Out",
        Direction::InOut | Direction::Retained => "InOut",
    }
}

/// Registers are counted from 1 in the policy and from 0 in the tables.
fn from_zero(register: u8) -> u8 {
    register.saturating_sub(1)
}

fn field(field: &Field) -> String {
    let mask = field.mask.map_or("u64::MAX".to_owned(), |mask| format!("{mask:#x}"));
    format!("Field {{ offset: {}, width: {}, mask: {mask} }}", field.offset, field.width)
}

fn conditions(when: &[Condition]) -> String {
    let texts = when.iter().map(|one| format!("Condition {{ field: {}, is: &{:?} }},", field(&one.field), one.is));
    format!("&[{}]", texts.collect::<String>())
}

fn version(version: &Version) -> String {
    let number =
        |name: &&str| version.numbers.iter().find(|(xen, _)| xen == name).map_or(0, |(_, number)| *number);
    let numbers: Vec<_> = XEN_VERSIONS.iter().map(number).collect();
    format!("Some(Version {{ field: {}, numbers: &{numbers:?} }})", field(&version.field))
}
