// SPDX-License-Identifier: GPL-2.0-only
//! The engine as dom0's kernel calls it: `lockdown-core` behind the few C functions that `linux/guard.h` declares.
//!
//! Rust decides, C carries: every function takes what the shim copied and gives back what is to be done. Nothing here
//! keeps state, so nothing needs a lock.
//!
//! `xen-lockdown guard build` compiles this crate straight with rustc for a machine without an operating system and
//! holds the object against a list; cargo compiles it for its tests only.

#![cfg_attr(target_os = "none", no_std)]

use core::ffi::c_char;

use lockdown_core::hypercall::{Answer, Call, Door, HypercallNumber, OperationNumber, decide};
use lockdown_core::{Level, Reason, mapping, tables};

/// `__HYPERVISOR_dm_op`.
const DM_OP: HypercallNumber = HypercallNumber(41);

/// May frames of `domain` be mapped into a process of the domain `own`? 0, or the index of the reason and 1. A level
/// that cannot be counts as the highest, here as everywhere.
#[unsafe(no_mangle)]
pub extern "C" fn lockdown_rs_map(level: u8, own: u16, domain: u16) -> u32 {
    number_of(mapping::decide(domain, own, level_of(level)))
}

/// May processes issue raw hypercalls at all?
#[unsafe(no_mangle)]
pub extern "C" fn lockdown_rs_raw(level: u8, strict: u8) -> u32 {
    match level_of(level) {
        Some(_) if strict != 0 => refused(Reason::RAW_PATH),
        _ => 0,
    }
}

/// May a device model ask this of `domain`? `operation` is the shim's copy of the structure, which Xen gets too.
/// `name` becomes the operation's name, a static text that ends in a zero byte.
///
/// # Safety
/// `operation` must be `size` bytes that nobody writes during the call, `name` a place for one pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_dm_op(
    level: u8,
    own: u16,
    domain: u16,
    operation: *const u8,
    size: usize,
    name: *mut *const c_char,
) -> u32 {
    // SAFETY: the caller hands over `size` bytes, which nobody writes, or nothing.
    let argument = unsafe { bytes(operation, size) };
    // What is too short to name an operation names none that has a rule.
    let number = argument.first_chunk().map_or(OperationNumber::NONE, |number| OperationNumber(u32::from_le_bytes(*number)));
    let call = Call { relation: mapping::relation(domain, own), argument, ..Call::new(DM_OP, number) };
    let row = tables::HYPERCALLS.find(call.hypercall, call.operation, call.selector);
    // SAFETY: the caller hands over a place for one pointer, or nothing.
    if let Some(place) = unsafe { name.as_mut() } {
        *place = row.map_or(c"dm_op", |row| row.name).as_ptr();
    }
    number_of(decide(&tables::HYPERCALLS, &call, level_of(level), Door::Guard))
}

/// How many reasons there are.
#[unsafe(no_mangle)]
pub extern "C" fn lockdown_rs_reasons() -> u32 {
    u32::try_from(tables::REASONS.len()).unwrap_or(0)
}

/// The id of a reason, with its length in `length`; empty for what is none.
///
/// # Safety
/// `length` must be a place for one number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_reason(reason: u32, length: *mut usize) -> *const u8 {
    // SAFETY: what the caller promises.
    unsafe { hand_over(info(reason).map_or("", |info| info.id), length) }
}

/// The text of a reason, which completes "refused: "; otherwise as [`lockdown_rs_reason`].
///
/// # Safety
/// `length` must be a place for one number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockdown_rs_reason_text(reason: u32, length: *mut usize) -> *const u8 {
    // SAFETY: what the caller promises.
    unsafe { hand_over(info(reason).map_or("", |info| info.text), length) }
}

fn info(reason: u32) -> Option<&'static lockdown_core::ReasonInfo> {
    tables::REASONS.get(usize::try_from(reason).ok()?)
}

/// # Safety
/// `length` must be null or a place for one number.
unsafe fn hand_over(text: &'static str, length: *mut usize) -> *const u8 {
    // SAFETY: the caller hands over a place for one number, or nothing.
    if let Some(place) = unsafe { length.as_mut() } {
        *place = text.len();
    }
    text.as_ptr()
}

fn number_of(answer: Answer) -> u32 {
    match answer {
        Answer::Admitted => 0,
        Answer::Refused(reason) => refused(reason),
    }
}

fn refused(reason: Reason) -> u32 {
    u32::from(reason.index()).saturating_add(1)
}

const fn level_of(level: u8) -> Option<Level> {
    match level {
        0 => None,
        1 => Some(Level::Integrity),
        _ => Some(Level::Confidentiality),
    }
}

/// # Safety
/// `start` must be null or `size` bytes that nobody writes while the slice lives.
unsafe fn bytes<'a>(start: *const u8, size: usize) -> &'a [u8] {
    if start.is_null() || isize::try_from(size).is_err() {
        return &[];
    }
    // SAFETY: not null, not longer than a slice may be; the rest is what the caller promises.
    unsafe { core::slice::from_raw_parts(start, size) }
}

/// rustc wants one. The object gate refuses an object in which anything reaches it.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_texts_with_a_length() {
        let mut length = 0;
        // SAFETY: a place for one number.
        let text = unsafe { lockdown_rs_reason(0, &raw mut length) };
        assert!(!text.is_null());
        assert_eq!(length, tables::REASONS[0].id.len());
        // SAFETY: as above.
        unsafe { lockdown_rs_reason(lockdown_rs_reasons(), &raw mut length) };
        assert_eq!(length, 0);
    }

    #[test]
    fn strict_closes_the_raw_path_once_locked() {
        assert_eq!(lockdown_rs_raw(0, 1), 0);
        assert_eq!(lockdown_rs_raw(1, 0), 0);
        assert_ne!(lockdown_rs_raw(1, 1), 0);
        assert_ne!(lockdown_rs_raw(9, 1), 0);
    }

    #[test]
    fn a_device_model_governs_other_domains_only() {
        let ask = |domain: u16, operation: &[u8]| {
            let mut name = core::ptr::null();
            // SAFETY: a slice, and a place for one pointer.
            let answer = unsafe {
                lockdown_rs_dm_op(1, 0, domain, operation.as_ptr(), operation.len(), &raw mut name)
            };
            assert!(!name.is_null());
            answer
        };
        assert_eq!(ask(3, &[1, 0, 0, 0]), 0);
        for (domain, operation) in [(0, &[1, 0, 0, 0][..]), (0x7ff0, &[1, 0, 0, 0]), (3, &[1]), (3, &[0xff; 4])] {
            assert_ne!(ask(domain, operation), 0);
        }
    }
}
