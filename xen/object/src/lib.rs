// SPDX-License-Identifier: GPL-2.0-only
//! The engine as Xen calls it: `lockdown-core` behind the few C functions that `xen/include/lockdown.h` declares.
//!
//! Rust decides, C carries: every function takes what C read and gives back what is to be done. Nothing here keeps
//! state, so nothing needs a lock, and each function can run before Xen has a console.
//!
//! `xen-lockdown xen build` compiles this crate straight with rustc for a machine without an operating system and
//! holds the object against the list in `crates/hypervisor`; cargo compiles it for its tests only.

#![cfg_attr(target_os = "none", no_std)]

use core::ffi::{CStr, c_char};

use lockdown_core::hypercall::{Call, Door, HypercallNumber, OperationNumber, Relation, Selector, decide};
use lockdown_core::{
    Level, Lockdown, Reason, Segment, Target, Token, Verdict, XenVersion, dom0_line, tables, xen_text,
};
use lockdown_ffi::{
    self as ffi, answer_number, bytes, bytes_mut, level_number, level_of, level_or_highest, refused, version_of,
};

mod records;

pub use records::{Record, Records};

/// The answer where C handed over what cannot be; the glue stops the boot.
const IMPOSSIBLE: u8 = 0xff;

/// Judges one segment of Xen's own text, overwrites what is refused with spaces, and records it.
///
/// `level` is 0 (not locked), 1 (integrity) or 2 (confidentiality); `segment` 0 (built in), 1 (signed) or 2 (runtime);
/// `version` is Xen's, 420 for 4.20. Returns the level after the text, which may have locked; 0xff if an argument cannot
/// be.
///
/// # Safety
/// `text` must be `size` bytes that nobody else uses during the call, and `records` one record buffer, likewise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_filter_xen(
    level: u8,
    segment: u8,
    version: u32,
    text: *mut c_char,
    size: usize,
    records: *mut Records,
) -> u8 {
    // SAFETY: what the caller promises is what `filter` wants.
    unsafe { filter(Target::Xen, level, segment, version, text, size, records) }.map_or(IMPOSSIBLE, level_number)
}

/// The same for a piece of dom0's text, which cannot lock. Returns 0, or 0xff if an argument cannot be.
///
/// # Safety
/// As [`lockdown_rs_filter_xen`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_filter_dom0(
    level: u8,
    segment: u8,
    version: u32,
    text: *mut c_char,
    size: usize,
    records: *mut Records,
) -> u8 {
    // SAFETY: what the caller promises is what `filter` wants.
    unsafe { filter(Target::Dom0, level, segment, version, text, size, records) }.map_or(IMPOSSIBLE, |_| 0)
}

/// The level that a text would lead to, without changing it.
///
/// # Safety
/// `text` must be `size` bytes that nobody writes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_latches(
    level: u8,
    segment: u8,
    version: u32,
    text: *const c_char,
    size: usize,
) -> u8 {
    // SAFETY: the caller hands over `size` bytes of text, which nobody writes.
    let text = unsafe { bytes(text, size) };
    let (Some(level), Some(from), Some(text)) = (level_of(level), segment_of(segment), text) else {
        return IMPOSSIBLE;
    };
    let mut lockdown = Lockdown::new(&tables::TABLE, version_of(version), level);
    lockdown.xen_tokens(from, text).for_each(drop);
    level_number(lockdown.level())
}

/// Where dom0's text begins in a segment: the offset of its first byte, with the end of Xen's own text in `xen_end`. Without
/// a separator both are the length of the text.
///
/// # Safety
/// `text` must be `size` bytes that nobody writes during the call, `xen_end` a place for one number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_split(text: *const c_char, size: usize, xen_end: *mut usize) -> usize {
    // SAFETY: the caller hands over `size` bytes of text, which nobody writes.
    let text = xen_text::until_nul(unsafe { bytes(text, size) }.unwrap_or_default());
    let (end, dom0) = xen_text::split_dom0(text).map_or((text.len(), text.len()), |(end, dom0)| (end, dom0.start));
    // SAFETY: the caller hands over a place for one number, or nothing.
    if let Some(place) = unsafe { xen_end.as_mut() } {
        *place = end;
    }
    dom0
}

/// Puts the option that locks dom0's kernel into its line: at the end, or in front where Linux would not read it there
/// or where it would not fit ([`dom0_line::lock`]). Returns the length of the line, at most `size - 1`; 0 if an argument
/// cannot be.
///
/// # Safety
/// `line` must be `size` bytes that nobody else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_dom0_line(level: u8, line: *mut c_char, size: usize) -> usize {
    // SAFETY: the caller hands over `size` bytes, which only this call uses.
    let line = unsafe { bytes_mut(line, size) };
    match (level_of(level).flatten(), line) {
        (Some(level), Some(line)) => dom0_line::lock(line, level).unwrap_or(0),
        _ => 0,
    }
}

/// Records what the glue itself refused, a file or an argument of the image, as a refused token of Xen's.
///
/// # Safety
/// `id` must be a text that ends in a zero byte, `text` `size` bytes that nobody writes during the call, `records` one
/// record buffer that nobody else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_record(
    segment: u8,
    id: *const c_char,
    text: *const c_char,
    size: usize,
    records: *mut Records,
) -> u8 {
    // SAFETY: the caller hands over one whole record buffer, which only this call uses.
    let records = unsafe { records.as_mut() };
    // SAFETY: the caller hands over `size` bytes of text, which nobody writes.
    let text = unsafe { bytes(text, size) };
    // SAFETY: the caller hands over a text that ends in a zero byte.
    let reason = unsafe { lockdown_rs_reason_index(id) };
    let (Some(records), Some(text), Ok(reason), Some(_)) =
        (records, text, u8::try_from(reason), segment_of(segment))
    else {
        return IMPOSSIBLE;
    };
    records.add(segment, false, reason, text);
    0
}

/// Asks whether an operation may go on: 0, or the index of the reason and 1.
///
/// `selector` selects within an operation that has one; `relation` is what the domain that the operation names is to
/// the caller: 0 none named, 1 itself, 2 another, 3 another that is privileged, 4 a reserved number, 5 another without
/// processors. `arg` is Xen's own
/// copy of the structure, or null: what depends on a value is refused then. A level that cannot be counts as the highest.
///
/// # Safety
/// `arg` must be null or `size` bytes that nobody writes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_gate(
    level: u8,
    hypercall: u32,
    operation: u32,
    selector: u32,
    relation: u8,
    arg: *const c_char,
    size: usize,
) -> u32 {
    // SAFETY: the caller hands over `size` bytes, which nobody writes, or nothing.
    let argument = unsafe { bytes(arg, size) }.unwrap_or_default();
    let call = Call {
        hypercall: HypercallNumber(hypercall),
        operation: OperationNumber(operation),
        selector: Selector(selector),
        relation: Relation(relation),
        argument,
    };
    let level = level_or_highest(level);
    answer_number(decide(&tables::GATE, &call, level, Door::Gate))
}

/// A test of eight bytes of a structure, `struct lockdown_quick`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuickTest {
    /// The bits that count.
    pub mask: u64,
    /// The least that they may be.
    pub low: u64,
    /// How much more they may be.
    pub span: u64,
    /// Bytes from the start of the structure.
    pub offset: u16,
}

/// One of the tests which, where all hold, are enough for no value in the structure to be a reason to refuse: 1 with the
/// test in `place`, 0 behind the last.
///
/// # Safety
/// `place` must be null or a place for one test.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_quick(
    hypercall: u32,
    operation: u32,
    selector: u32,
    index: u32,
    place: *mut QuickTest,
) -> u8 {
    let row = tables::GATE.find(HypercallNumber(hypercall), OperationNumber(operation), Selector(selector));
    let test = row.zip(usize::try_from(index).ok()).and_then(|(row, index)| row.quick.get(index));
    // SAFETY: the caller hands over a place for one test, or nothing.
    let (Some(test), Some(place)) = (test, unsafe { place.as_mut() }) else { return 0 };
    *place = QuickTest { mask: test.mask, low: test.low, span: test.span, offset: test.offset };
    1
}

/// The name of an operation that the gate knows, a static text; a null pointer for any other.
#[unsafe(no_mangle)]
pub extern "C" fn lockdown_rs_operation(hypercall: u32, operation: u32, selector: u32) -> *const c_char {
    let row = tables::GATE.find(HypercallNumber(hypercall), OperationNumber(operation), Selector(selector));
    row.map_or(core::ptr::null(), |row| row.name.as_ptr())
}

/// Asks whether a value may be written to an option while Xen runs: 0 if unsigned text may say `name=value`, else the
/// index of the reason and 1. An option is looked for in all releases.
///
/// # Safety
/// `name` and `value` must be texts that end in a zero byte and that nobody writes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_parameter(level: u8, name: *const c_char, value: *const c_char) -> u32 {
    let unlisted = refused(Reason::VALUE_NOT_LISTED);
    if name.is_null() || value.is_null() {
        return unlisted;
    }
    // SAFETY: the caller hands over two texts that end in a zero byte.
    let (name, value) = unsafe { (CStr::from_ptr(name).to_bytes(), CStr::from_ptr(value).to_bytes()) };
    let mut token = [0; xen_text::TOKEN_MAX];
    let mut text = name.iter().chain(b"=").chain(value);
    let mut len: usize = 0;
    for (to, from) in token.iter_mut().zip(text.by_ref()) {
        *to = *from;
        len = len.saturating_add(1);
    }
    // Longer than any option, or several: no rule was made for it.
    if text.next().is_some() || value.contains(&b' ') {
        return unlisted;
    }
    let text = token.get(..len).unwrap_or_default();
    let level = level_or_highest(level);
    let mut answer = refused(Reason::UNKNOWN_OPTION);
    for version in [XenVersion::HEAD, XenVersion::V4_20, XenVersion::V4_17] {
        let mut lockdown = Lockdown::new(&tables::TABLE, version, level);
        for token in lockdown.xen_tokens(Segment::Runtime, text) {
            answer = match token.verdict {
                Verdict::Honoured(_) => 0,
                Verdict::Refused(refusal) => refused(refusal.reason),
            };
            if token.option.is_some() {
                return answer;
            }
        }
    }
    answer
}

/// The id of a reason, a static text; a null pointer for what is none.
#[unsafe(no_mangle)]
pub extern "C" fn lockdown_rs_reason(reason: u32) -> *const c_char {
    ffi::reason_id(reason).map_or(core::ptr::null(), CStr::as_ptr)
}

/// The text of a reason, which completes "refused: "; a null pointer for what is none.
#[unsafe(no_mangle)]
pub extern "C" fn lockdown_rs_reason_text(reason: u32) -> *const c_char {
    ffi::reason_text(reason).map_or(core::ptr::null(), CStr::as_ptr)
}

/// The reason with an id, for what the glue itself refuses; 0xffffffff for what is none.
///
/// # Safety
/// `id` must be a text that ends in a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_reason_index(id: *const c_char) -> u32 {
    if id.is_null() {
        return u32::MAX;
    }
    // SAFETY: the caller hands over a text that ends in a zero byte.
    let id = unsafe { CStr::from_ptr(id) };
    ffi::reason_index(id).unwrap_or(u32::MAX)
}

/// Judges a text for `target` in place. The level after it; nothing if an argument cannot be.
///
/// # Safety
/// `text` must be `size` bytes that nobody else uses during the call, and `records` one record buffer, likewise.
unsafe fn filter(
    target: Target,
    level: u8,
    segment: u8,
    version: u32,
    text: *mut c_char,
    size: usize,
    records: *mut Records,
) -> Option<Option<Level>> {
    // SAFETY: the caller hands over one whole record buffer, which only this call uses.
    let records = unsafe { records.as_mut() }?;
    // SAFETY: the caller hands over `size` bytes of text, which only this call uses.
    let text = unsafe { bytes_mut(text, size) }?;
    let from = segment_of(segment)?;
    let mut lockdown = Lockdown::new(&tables::TABLE, version_of(version), level_of(level)?);
    let mut keep = |token: &Token<'_>| record(records, segment, target, token);
    match target {
        Target::Xen => lockdown.filter_xen(from, text, &mut keep),
        Target::Dom0 => lockdown.filter_dom0(from, text, &mut keep),
    }
    Some(lockdown.level())
}

fn record(records: &mut Records, segment: u8, target: Target, token: &Token<'_>) {
    if let Verdict::Refused(refusal) = &token.verdict {
        records.add(segment, target == Target::Dom0, refusal.reason.index(), token.text);
    }
}

const fn segment_of(segment: u8) -> Option<Segment> {
    match segment {
        0 => Some(Segment::Builtin),
        1 => Some(Segment::Signed),
        2 => Some(Segment::Runtime),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
