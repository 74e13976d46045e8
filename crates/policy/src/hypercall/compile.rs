//! From the rules for hypercalls to the tables of `lockdown_core::hypercall`.

use std::ffi::CString;

use lockdown_core::Reason;
use lockdown_core::hypercall::{
    Clause, Condition as CoreCondition, Door, Family, Field as CoreField, Operation as Row, Quick, Relation,
    Rules, ValueRule,
};

use super::layout::{Condition, Field};
use super::{DoorName, Hypercall, Operation, SelfRule, ValueEntry};
use crate::compile::{Words, keep};
use crate::model::Policy;

/// Operations with numbers up to this are found by their number.
const DENSE: u16 = 255;

/// What sorts and identifies a row.
fn operation_key(operation: &Operation) -> (u16, u8) {
    (operation.number.unwrap_or(Row::ANY), operation.selector.unwrap_or(Row::ANY_SELECTOR))
}

/// The rules of all doors, or of the gate alone: rows that it can refuse, with what it can refuse them for.
pub(crate) fn rules(policy: &Policy, gate_only: bool) -> Rules<'static> {
    let words = Words::new(&policy.reasons);
    let mut numbers = vec![0u8; 64];
    let mut families = Vec::new();
    for hypercall in &policy.hypercalls {
        let rows = hypercall.operations.iter().map(|operation| row(operation, &words, gate_only));
        let rows: Vec<_> = rows.filter(|row| !gate_only || can_refuse(row)).collect();
        let Some(first) = rows.first() else { continue };
        let is_single = first.number == Row::ANY;
        let dense = rows.iter().map(|row| row.number).filter(|&number| number <= DENSE && !is_single).max();
        let mut places = vec![0u8; dense.map_or(0, |largest| usize::from(largest) + 1)];
        let mut concerned = vec![0u8; places.len()];
        for (index, row) in rows.iter().enumerate().rev() {
            if let Some(place) = places.get_mut(usize::from(row.number)) {
                *place = u8::try_from(index + 1).unwrap_or(0);
            }
            if let Some(bits) = concerned.get_mut(usize::from(row.number)) {
                *bits |= concerns(row);
            }
        }
        families.push(Family { places: keep(places), concerns: keep(concerned), operations: keep(rows) });
        if let Some(number) = numbers.get_mut(usize::from(hypercall.number)) {
            *number = u8::try_from(families.len()).unwrap_or(0);
        }
    }
    let used = numbers.iter().rposition(|&number| number != 0).map_or(0, |last| last + 1);
    numbers.truncate(used);
    Rules { numbers: keep(numbers), families: keep(families) }
}

fn can_refuse(row: &Row<'_>) -> bool {
    row.always.is_some()
        || row.own.is_some()
        || row.special.is_some()
        || row.other.is_some()
        || row.bare.is_some()
        || !row.values.is_empty()
}

fn row(operation: &Operation, words: &Words, gate_only: bool) -> Row<'static> {
    let clause = |door: DoorName, reason: &str| {
        let door = match door {
            DoorName::None => return None,
            DoorName::Gate => Door::Gate,
            DoorName::Guard if gate_only => return None,
            DoorName::Guard => Door::Guard,
        };
        Some(Clause { door, reason: words.reason(Some(reason)).unwrap_or(Reason::at(0)) })
    };
    let has_target = !matches!(operation.own, SelfRule::None | SelfRule::Implicit);
    let special = (has_target && !operation.special).then_some((DoorName::Guard, "special-target"));
    let values = operation.values.iter().filter_map(|value| {
        Some(ValueRule {
            when: keep(value.when.iter().map(condition).collect()),
            field: field(&value.field),
            ranges: keep(value.ranges.clone()),
            clause: clause(value.door, &value.reason)?,
        })
    });
    let (number, selector) = operation_key(operation);
    Row {
        number,
        selector,
        class: operation.class,
        always: operation.reason.as_deref().and_then(|reason| clause(operation.door, reason)),
        own: operation.own_clause.as_ref().and_then(|(door, reason)| clause(*door, reason)),
        special: special.and_then(|(door, reason)| clause(door, reason)),
        other: operation.other_clause.as_ref().and_then(|(door, reason)| clause(*door, reason)),
        bare: operation.bare_clause.as_ref().and_then(|(door, reason)| clause(*door, reason)),
        name: name(&operation.name),
        quick: keep(quick(operation, gate_only)),
        values: keep(values.collect()),
    }
}

/// Tests of eight bytes that are enough for every rule of `values` to be kept; none where there are no such tests.
fn quick(operation: &Operation, gate_only: bool) -> Vec<Quick> {
    let values = operation.values.iter().filter(|value| !gate_only || value.door == DoorName::Gate);
    let tests: Option<Vec<Quick>> = values.map(|value| one_quick(operation, value)).collect();
    let mut merged: Vec<Quick> = Vec::new();
    for test in tests.unwrap_or_default() {
        // Bits that have to be clear are asked for together where eight bytes hold them.
        let wider = merged.iter_mut().find_map(|one| Some((clear_from(*one, test)?, one)));
        match wider {
            Some((both, one)) => *one = both,
            None => merged.push(test),
        }
    }
    merged
}

/// One test for two, of which both only want bits to be clear and the second begins in the eight bytes of the first.
fn clear_from(first: Quick, second: Quick) -> Option<Quick> {
    let shift = u32::from(second.offset.checked_sub(first.offset)?).checked_mul(8)?;
    let moved = second.mask.checked_shl(shift)?;
    let is_whole = moved.checked_shr(shift) == Some(second.mask);
    let is_clear = |one: Quick| one.low == 0 && one.span == 0;
    (is_whole && is_clear(first) && is_clear(second)).then_some(Quick { mask: first.mask | moved, ..first })
}

/// The first range that a value may be in, without regard to where the rule applies: policy names first what a toolstack
/// does every day.
fn one_quick(operation: &Operation, value: &ValueEntry) -> Option<Quick> {
    let (_, size) = operation.structure.as_ref()?;
    let fits = value.field.offset.checked_add(8).is_some_and(|end| end <= *size);
    let bits = u64::MAX.checked_shr(64 - u32::from(value.field.width) * 8)?;
    let mask = bits & value.field.mask.unwrap_or(u64::MAX);
    let (low, high) = *value.ranges.first()?;
    let offset = u16::try_from(value.field.offset).ok()?;
    // From zero up to all ones below a bit: the bits above are clear.
    let (mask, span) = if low == 0 && high & high.wrapping_add(1) == 0 && value.field.mask.is_none() {
        (mask & !high, 0)
    } else {
        (mask, high.saturating_sub(low))
    };
    fits.then_some(Quick { offset, mask, low, span })
}

/// For each relation, whether anything in the row can refuse; numbers that are no relation are always looked at.
fn concerns(row: &Row<'_>) -> u8 {
    let whole = row.always.is_some() || !row.values.is_empty();
    let relations = [
        (Relation::NONE, false),
        (Relation::OWN, row.own.is_some()),
        (Relation::OTHER, row.other.is_some()),
        (Relation::PRIVILEGED, row.own.is_some() || row.other.is_some()),
        (Relation::SPECIAL, row.special.is_some() || row.other.is_some()),
        (Relation::BARE, row.bare.is_some() || row.other.is_some()),
    ];
    let unknown = !0 << relations.len();
    relations.iter().filter(|(_, refuses)| whole || *refuses).fold(unknown, |bits, (one, _)| bits | 1 << one.0)
}

fn name(text: &str) -> &'static std::ffi::CStr {
    // Names come from TOML keys; one with a zero byte would be cut there.
    let bytes: Vec<u8> = text.bytes().take_while(|&byte| byte != 0).collect();
    Box::leak(CString::new(bytes).unwrap_or_default().into_boxed_c_str())
}

fn field(field: &Field) -> CoreField {
    CoreField {
        offset: u16::try_from(field.offset).unwrap_or(u16::MAX),
        width: field.width,
        mask: field.mask.unwrap_or(u64::MAX),
    }
}

fn condition(condition: &Condition) -> CoreCondition<'static> {
    CoreCondition { field: field(&condition.field), is: keep(condition.is.clone()) }
}

impl Hypercall {
    /// The operation with that name, as `createdomain` or `livepatch_op.upload`.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| {
            operation.name.strip_prefix(&self.name).is_some_and(|rest| rest.strip_prefix('.') == Some(name))
        })
    }
}
