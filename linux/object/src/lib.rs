// SPDX-License-Identifier: GPL-2.0-only
//! The engine as dom0's kernel calls it: `lockdown-core` behind the few C functions that `linux/guard.h` declares.
//!
//! Rust decides, C carries: every function takes what the shim copied and gives back what is to be done. Nothing here
//! keeps state, so nothing needs a lock.
//!
//! `xen-lockdown guard source` compiles this crate straight with rustc for a machine without an operating system and
//! holds the object against a list; cargo compiles it for its tests only.

#![cfg_attr(target_os = "none", no_std)]

use core::ffi::{CStr, c_char};

use lockdown_core::guard::{self, Calls, Holder, Memory, Refusal, Registers, Why};
use lockdown_core::hypercall::{Call, Door, OperationNumber, Relation, decide};
use lockdown_core::ioctl::{self, Ioctl, IoctlNumber};
use lockdown_core::{Reason, tables};
use lockdown_ffi::{self as ffi, answer_number, bytes, level_or_highest, refused, version_of};

/// Who asks: `struct guard_caller`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Caller {
    level: u8,
    strict: u8,
    own: u16,
    version: u32,
    user_end: u64,
}

/// A hypercall: `struct guard_registers`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Raw {
    hypercall: u64,
    arguments: [u64; 5],
}

/// What came of a call: `struct guard_outcome`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Outcome {
    end: u32,
    reason: u32,
    value: u64,
    count: u32,
    operation: *const c_char,
    seen: [Piece; guard::COPIES],
}

/// Bytes of the process that were copied into the space: `struct guard_piece`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Piece {
    user: u64,
    at: u32,
    length: u32,
}

const NO_PIECE: Piece = Piece { user: 0, at: 0, length: 0 };

/// The names of `enum guard_end`.
mod end {
    pub(crate) const DONE: u32 = 0;
    pub(crate) const REFUSED: u32 = 1;
    pub(crate) const FAULT: u32 = 2;
    pub(crate) const SPACE: u32 = 3;
    pub(crate) const CALLS: u32 = 4;
}

unsafe extern "C" {
    fn guard_fetch(into: *mut u8, from: u64, length: usize) -> bool;
    fn guard_store(to: u64, from: *const u8, length: usize);
    fn guard_issue(registers: *const Raw) -> u64;
}

/// May a process ask the driver for `command`, about `domain` where it names one? 0, or the index of the reason and 1.
/// `name` becomes the request's name, a static text that ends in a zero byte.
///
/// # Safety
/// `caller` must be one that nobody writes during the call, here as everywhere; `name` a place for one pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_ioctl(
    caller: *const Caller,
    command: u32,
    domain: u16,
    name: *mut *const c_char,
) -> u32 {
    // SAFETY: what the caller promises.
    let (who, strict) = unsafe { (who(caller), caller.as_ref().is_none_or(|caller| caller.strict != 0)) };
    let rules = ioctl::find(tables::PRIVCMD, IoctlNumber(command));
    // SAFETY: the caller hands over a place for one pointer, or nothing.
    if let Some(place) = unsafe { name.as_mut() } {
        *place = name_of(rules);
    }
    // What has no rule is refused, and what makes a hypercall is decided as that.
    match rules.filter(|rules| rules.hypercall.is_none()) {
        Some(rules) => answer_number(rules.decide(domain, &who, strict)),
        None => refused(Reason::UNKNOWN_HYPERCALL),
    }
}

fn name_of(rules: Option<&Ioctl<'static>>) -> *const c_char {
    rules.map_or(c"privcmd", |rules| rules.name).as_ptr()
}

/// May a device model ask this of `domain`? `operation` is the shim's copy of the structure, which Xen gets too.
/// `name` becomes the operation's name, a static text that ends in a zero byte.
///
/// # Safety
/// As [`lockdown_rs_ioctl`]; `operation` must be `size` bytes that nobody writes during the call, `name` a place for one
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_dm_op(
    caller: *const Caller,
    command: u32,
    domain: u16,
    operation: *const u8,
    size: usize,
    name: *mut *const c_char,
) -> u32 {
    // SAFETY: what the caller promises.
    let caller = unsafe { who(caller) };
    // SAFETY: the caller hands over `size` bytes, which nobody writes, or nothing.
    let argument = unsafe { bytes(operation.cast(), size) }.unwrap_or_default();
    let rules = ioctl::find(tables::PRIVCMD, IoctlNumber(command));
    // What is too short to name an operation names none that has a rule.
    let number =
        argument.first_chunk().map_or(OperationNumber::NONE, |bytes| OperationNumber(u32::from_le_bytes(*bytes)));
    let relation = caller.relation(u64::from(domain)).unwrap_or(Relation::SPECIAL);
    let call = rules.and_then(|rules| rules.hypercall).map(|hypercall| Call {
        relation,
        argument,
        ..Call::new(hypercall, number)
    });
    let row = call.and_then(|call| tables::HYPERCALLS.find(call.hypercall, call.operation, call.selector));
    // SAFETY: the caller hands over a place for one pointer, or nothing.
    if let Some(place) = unsafe { name.as_mut() } {
        *place = row.map_or_else(|| name_of(rules), |row| row.name.as_ptr());
    }
    match call {
        Some(call) => answer_number(decide(&tables::HYPERCALLS, &call, caller.level, Door::Guard)),
        None => refused(Reason::UNKNOWN_HYPERCALL),
    }
}

/// Walks over a hypercall of a process and, where nothing is against it, makes it: with the kernel's copies of what was
/// decided on, and copies back what Xen may have written into them. `space` is for the copies.
///
/// # Safety
/// As [`lockdown_rs_ioctl`]; `registers` likewise; `space` must be `size` bytes, and `outcome` one place, that nobody else
/// uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_call(
    caller: *const Caller,
    registers: *const Raw,
    space: *mut u8,
    size: usize,
    outcome: *mut Outcome,
) {
    // SAFETY: what the caller promises; no slice is longer than half of all addresses.
    let (registers, outcome) = unsafe { (registers.as_ref(), outcome.as_mut()) };
    let (Some(registers), Some(outcome)) = (registers, outcome) else { return };
    // What is not said otherwise is a refusal.
    *outcome = Outcome {
        end: end::REFUSED,
        reason: u32::from(Reason::UNKNOWN_HYPERCALL.index()),
        value: 0,
        count: 0,
        operation: c"hypercall".as_ptr(),
        seen: [NO_PIECE; guard::COPIES],
    };
    if space.is_null() || isize::try_from(size).is_err() {
        return;
    }
    // SAFETY: what the caller promises.
    let (caller, space) = unsafe { (who(caller), core::slice::from_raw_parts_mut(space, size)) };
    let asked = Registers { hypercall: registers.hypercall, arguments: registers.arguments };
    match guard::plan(&tables::HYPERCALLS, &tables::LAYOUTS, &caller, &asked, &mut Process, space) {
        Ok(plan) => {
            outcome.operation = plan.operation.name.as_ptr();
            let mut issued = *registers;
            if point(&plan, &mut issued, space).is_none() {
                return;
            }
            // SAFETY: every address in it is one of the copies or lies, as far as Xen will go from there, in userspace.
            outcome.value = unsafe { guard_issue(&raw const issued) };
            outcome.end = end::DONE;
            for back in plan.back() {
                if let Some(from) = space.get(back.at..).and_then(|rest| rest.get(..back.length)) {
                    // SAFETY: that many bytes; the shim checks where they go.
                    unsafe { guard_store(back.user, from.as_ptr(), from.len()) };
                }
            }
        }
        Err(refusal) => tell(&refusal, outcome),
    }
}

/// Lets registers and lists point to the copies.
fn point(plan: &guard::Plan<'_>, registers: &mut Raw, space: &mut [u8]) -> Option<()> {
    let start = space.as_ptr().expose_provenance();
    for copied in plan.copies() {
        let address = u64::try_from(start.checked_add(copied.at)?).ok()?;
        match copied.holder {
            Holder::Register(number) => *registers.arguments.get_mut(usize::from(number))? = address,
            Holder::Space(at) => *space.get_mut(at..)?.first_chunk_mut()? = address.to_le_bytes(),
        }
    }
    Some(())
}

fn tell(refusal: &Refusal<'_>, outcome: &mut Outcome) {
    if let Some(operation) = refusal.operation {
        outcome.operation = operation.name.as_ptr();
    }
    for (piece, seen) in outcome.seen.iter_mut().zip(refusal.seen()) {
        // The space is smaller than 4 GiB.
        let [at, length] = [seen.at, seen.length].map(|number| u32::try_from(number).unwrap_or(0));
        *piece = Piece { user: seen.user, at, length };
    }
    match refusal.why {
        Why::Reason(reason) => outcome.reason = u32::from(reason.index()),
        Why::Fault => outcome.end = end::FAULT,
        Why::Space(needed) => {
            outcome.end = end::SPACE;
            outcome.value = needed;
        }
        Why::Calls(Calls { user, count }) => {
            outcome.end = end::CALLS;
            outcome.value = user;
            outcome.count = count;
            // For a list in a list.
            outcome.reason = u32::from(Reason::BYPASS.index());
        }
    }
}

/// The memory of the process that calls.
struct Process;

impl Memory for Process {
    fn fetch(&mut self, from: u64, into: &mut [u8]) -> bool {
        // SAFETY: as many bytes as there are; the shim checks where they come from.
        unsafe { guard_fetch(into.as_mut_ptr(), from, into.len()) }
    }
}

/// How many reasons there are.
#[unsafe(no_mangle)]
pub extern "C" fn lockdown_rs_reasons() -> u32 {
    u32::try_from(tables::REASONS.len()).unwrap_or(0)
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

/// A caller that is none, and a level that cannot be, count as the most restricted.
///
/// # Safety
/// `caller` must be null or one that nobody writes during the call.
unsafe fn who(caller: *const Caller) -> guard::Caller {
    const NOBODY: Caller = Caller { level: u8::MAX, strict: 1, own: 0, version: 0, user_end: 0 };
    // SAFETY: what the caller promises.
    let caller = unsafe { caller.as_ref() }.unwrap_or(&NOBODY);
    guard::Caller {
        level: level_or_highest(caller.level),
        own: caller.own,
        user_end: caller.user_end,
        version: version_of(caller.version),
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_is_none_has_no_text() {
        assert!(!lockdown_rs_reason(0).is_null());
        assert!(lockdown_rs_reason(lockdown_rs_reasons()).is_null());
        assert!(lockdown_rs_reason_text(u32::MAX).is_null());
    }

    const DOM0: Caller = Caller { level: 1, strict: 0, own: 0, version: 420, user_end: 1 << 47 };

    const HYPERCALL: u32 = 0x30_5000;
    const MMAPBATCH_V2: u32 = 0x20_5004;
    const DM_OP: u32 = 0x10_5005;

    fn asks(caller: *const Caller, command: u32, domain: u16) -> u32 {
        let mut name = core::ptr::null();
        // SAFETY: a caller of our own or none, and a place for one pointer.
        let answer = unsafe { lockdown_rs_ioctl(caller, command, domain, &raw mut name) };
        assert!(!name.is_null());
        answer
    }

    #[test]
    fn strict_closes_the_raw_path() {
        assert_eq!(asks(&DOM0, HYPERCALL, 0), 0);
        assert_ne!(asks(&Caller { strict: 1, ..DOM0 }, HYPERCALL, 0), 0);
        assert_ne!(asks(core::ptr::null(), HYPERCALL, 0), 0);
    }

    #[test]
    fn what_has_no_rule_is_refused() {
        assert_eq!(asks(&DOM0, MMAPBATCH_V2, 1), 0);
        assert_ne!(asks(&DOM0, MMAPBATCH_V2, 0), 0);
        assert_ne!(asks(&DOM0, 0, 1), 0);
        // It is decided as the hypercall that it makes, and not here.
        assert_ne!(asks(&DOM0, DM_OP, 1), 0);
    }

    #[test]
    fn a_device_model_governs_other_domains_only() {
        let ask = |domain: u16, operation: &[u8]| {
            let mut name = core::ptr::null();
            // SAFETY: a caller, a slice, and a place for one pointer.
            let answer = unsafe {
                lockdown_rs_dm_op(&DOM0, DM_OP, domain, operation.as_ptr(), operation.len(), &raw mut name)
            };
            assert!(!name.is_null());
            answer
        };
        assert_eq!(ask(3, &[1, 0, 0, 0]), 0);
        for (domain, operation) in [(0, &[1, 0, 0, 0][..]), (0x7ff0, &[1, 0, 0, 0]), (3, &[1]), (3, &[0xff; 4])] {
            assert_ne!(ask(domain, operation), 0);
        }
    }

    /// The shim's side: the process is this one, and Xen doubles the first word of the structure that it gets.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn guard_fetch(into: *mut u8, from: u64, length: usize) -> bool {
        let from = core::ptr::with_exposed_provenance::<u8>(usize::try_from(from).unwrap_or(0));
        // SAFETY: the tests name memory of their own.
        unsafe { core::ptr::copy_nonoverlapping(from, into, length) };
        true
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn guard_store(to: u64, from: *const u8, length: usize) {
        let to = core::ptr::with_exposed_provenance_mut::<u8>(usize::try_from(to).unwrap_or(0));
        // SAFETY: the tests name memory of their own.
        unsafe { core::ptr::copy_nonoverlapping(from, to, length) };
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn guard_issue(registers: *const Raw) -> u64 {
        // SAFETY: registers of the object, and the copy of a structure that begins with a word.
        unsafe {
            let word = (*registers).arguments[1];
            let word = core::ptr::with_exposed_provenance_mut::<u32>(usize::try_from(word).unwrap_or(0));
            word.write(word.read().wrapping_mul(2));
        }
        7
    }

    fn call(arguments: [u64; 5], hypercall: u64) -> Outcome {
        let raw = Raw { hypercall, arguments };
        let mut space = [0_u64; 160];
        let mut outcome =
            Outcome { end: 9, reason: 0, value: 0, count: 0, operation: core::ptr::null(), seen: [NO_PIECE; 2] };
        // SAFETY: a caller, registers, a space and an outcome of our own.
        unsafe { lockdown_rs_call(&DOM0, &raw, space.as_mut_ptr().cast(), 1280, &raw mut outcome) };
        assert!(!outcome.operation.is_null());
        outcome
    }

    #[test]
    fn xen_gets_a_copy_and_its_answer_comes_back() {
        // event_channel_op(status): the domain, then the port.
        let mut structure = [3_u32, 5, 0, 0, 0, 0, 0, 0];
        let outcome = call([5, structure.as_mut_ptr().expose_provenance() as u64, 0, 0, 0], 32);
        assert_eq!((outcome.end, outcome.value), (end::DONE, 7));
        assert_eq!(structure[0], 6);
    }

    #[test]
    fn what_was_looked_at_is_told_with_a_refusal() {
        // domctl(pausedomain) of dom0 itself: the number, the version, the domain.
        let mut structure = [0_u32; 36];
        structure[..3].copy_from_slice(&[3, 0x17, 0]);
        let user = structure.as_ptr().expose_provenance() as u64;
        let outcome = call([user, 0, 0, 0, 0], 36);
        assert_eq!((outcome.end, outcome.reason), (end::REFUSED, u32::from(Reason::OWN_TARGET.index())));
        let [seen, none] = outcome.seen;
        assert_eq!((seen.user, seen.at, seen.length, none.length), (user, 0, 144, 0));
    }

    #[test]
    fn what_is_against_a_call_is_told() {
        let outcome = call([5, 0xffff_8000_0000_0000, 0, 0, 0], 32);
        assert_eq!((outcome.end, outcome.reason), (end::REFUSED, u32::from(Reason::KERNEL_ADDRESS.index())));
        assert_eq!(outcome.seen.map(|piece| piece.length), [0, 0]);
        let outcome = call([4096, 3, 0, 0, 0], 13);
        assert_eq!((outcome.end, outcome.value, outcome.count), (end::CALLS, 4096, 3));
    }
}
