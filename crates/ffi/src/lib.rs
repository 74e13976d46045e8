//! What the objects in Xen (`xen/object`) and in dom0's kernel (`linux/object`) share where they meet C: how levels,
//! releases and answers are written as numbers, texts that end in a zero byte, and slices of what C hands over.

#![cfg_attr(target_os = "none", no_std)]

use core::ffi::c_char;

use lockdown_core::hypercall::Answer;
use lockdown_core::{Level, Reason, XenVersion};

mod names;

pub use names::{reason_id, reason_index, reason_text};

/// Nothing is locked.
pub const UNLOCKED: u8 = 0;

/// The level that a number stands for: 0 for none, 1 integrity, 2 confidentiality.
#[must_use]
pub const fn level_of(level: u8) -> Option<Option<Level>> {
    match level {
        UNLOCKED => Some(None),
        1 => Some(Some(Level::Integrity)),
        2 => Some(Some(Level::Confidentiality)),
        _ => None,
    }
}

/// The same, where a level that cannot be counts as the highest.
#[must_use]
pub const fn level_or_highest(level: u8) -> Option<Level> {
    match level_of(level) {
        Some(level) => level,
        None => Some(Level::Confidentiality),
    }
}

/// The number of a level.
#[must_use]
pub const fn level_number(level: Option<Level>) -> u8 {
    match level {
        None => UNLOCKED,
        Some(Level::Integrity) => 1,
        Some(Level::Confidentiality) => 2,
    }
}

/// The newest release in the tables that is not newer than this Xen (420 for 4.20); the oldest one for what is older still.
#[must_use]
pub const fn version_of(version: u32) -> XenVersion {
    match version {
        0..420 => XenVersion::V4_17,
        420 => XenVersion::V4_20,
        _ => XenVersion::HEAD,
    }
}

/// 0 for what is admitted, otherwise the index of the reason and 1.
#[must_use]
pub fn answer_number(answer: Answer) -> u32 {
    match answer {
        Answer::Admitted => 0,
        Answer::Refused(reason) => refused(reason),
    }
}

/// The number of a refusal.
#[must_use]
pub fn refused(reason: Reason) -> u32 {
    u32::from(reason.index()).saturating_add(1)
}

/// What C hands over as a pointer and a size; nothing for a null pointer or what no slice can be.
///
/// # Safety
/// `start` must be null or `size` bytes that nobody writes while the slice lives.
#[must_use]
pub unsafe fn bytes<'a>(start: *const c_char, size: usize) -> Option<&'a [u8]> {
    if start.is_null() || isize::try_from(size).is_err() {
        return None;
    }
    // SAFETY: not null, not longer than a slice may be; the rest is what the caller promises.
    Some(unsafe { core::slice::from_raw_parts(start.cast::<u8>(), size) })
}

/// As [`bytes`], to be written.
///
/// # Safety
/// `start` must be null or `size` bytes that nobody else uses while the slice lives.
#[must_use]
pub unsafe fn bytes_mut<'a>(start: *mut c_char, size: usize) -> Option<&'a mut [u8]> {
    if start.is_null() || isize::try_from(size).is_err() {
        return None;
    }
    // SAFETY: not null, not longer than a slice may be; the rest is what the caller promises.
    Some(unsafe { core::slice::from_raw_parts_mut(start.cast::<u8>(), size) })
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
    use lockdown_core::tables::REASONS;

    use super::*;

    #[test]
    fn a_level_is_the_number_that_it_was() {
        for level in 0..=2 {
            assert_eq!(level_of(level).map(level_number), Some(level));
        }
        assert_eq!(level_of(3), None);
        assert_eq!(level_or_highest(3), Some(Level::Confidentiality));
        assert_eq!(level_or_highest(0), None);
    }

    #[test]
    fn a_release_between_two_is_the_older_one() {
        assert_eq!(version_of(416), XenVersion::V4_17);
        assert_eq!(version_of(419), XenVersion::V4_17);
        assert_eq!(version_of(420), XenVersion::V4_20);
        assert_eq!(version_of(421), XenVersion::HEAD);
    }

    #[test]
    fn every_reason_has_its_texts() {
        for (index, info) in (0_u32..).zip(REASONS) {
            assert_eq!(reason_id(index).map(core::ffi::CStr::to_bytes), Some(info.id.as_bytes()));
            assert_eq!(reason_text(index).map(core::ffi::CStr::to_bytes), Some(info.text.as_bytes()));
            assert_eq!(reason_id(index).and_then(reason_index), Some(index));
        }
        assert_eq!(reason_id(REASONS.len().try_into().unwrap_or(u32::MAX)), None);
        assert_eq!(reason_index(c"no-reason"), None);
    }

    #[test]
    fn what_cannot_be_a_slice_is_none() {
        let text = c"ab";
        // SAFETY: null, too long, or two bytes of a text that stays.
        unsafe {
            assert_eq!(bytes(core::ptr::null(), 1), None);
            assert_eq!(bytes(text.as_ptr(), usize::MAX), None);
            assert_eq!(bytes(text.as_ptr(), 2), Some(&b"ab"[..]));
            assert!(bytes_mut(core::ptr::null_mut(), 1).is_none());
        }
    }
}
