//! The program itself: where the kernel enters it, and what the compiler wants of a program without libraries. See `lib.rs`.

#![no_std]
#![no_main]
// What follows would otherwise be made into calls of itself.
#![no_builtins]
// As a library these modules are linted; here some of it is used by nobody.
#![allow(dead_code)]

mod line;
mod list;
mod parameters;
mod steps;
mod system;

// The kernel enters here, with the stack pointer as the only register that means something. The stack has to be a multiple of
// sixteen where a function is called.
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

/// # Safety
/// Called once, by what stands above.
unsafe extern "C" fn start(stack: *mut usize) -> ! {
    // SAFETY: it is the stack pointer of the program's start, and only this uses what is there.
    steps::run(unsafe { system::Start::from_stack(stack) })
}

/// Nothing here can panic; if something does, the kernel panics at the end of process 1.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    system::exit(3)
}

/// # Safety
/// `to` and `from` are `length` bytes each and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut at = 0;
    while at < length {
        // SAFETY: both have more than `at` bytes.
        unsafe { *to.add(at) = *from.add(at) };
        at = at.wrapping_add(1);
    }
    to
}

/// # Safety
/// `to` is `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    let [byte, ..] = byte.to_le_bytes();
    let mut at = 0;
    while at < length {
        // SAFETY: it has more than `at` bytes.
        unsafe { *to.add(at) = byte };
        at = at.wrapping_add(1);
    }
    to
}

/// # Safety
/// `left` and `right` are `length` bytes each.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    let mut at = 0;
    while at < length {
        // SAFETY: both have more than `at` bytes.
        let (left, right) = unsafe { (*left.add(at), *right.add(at)) };
        if left != right {
            return i32::from(left).wrapping_sub(i32::from(right));
        }
        at = at.wrapping_add(1);
    }
    0
}

/// # Safety
/// As [`memcmp`].
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { memcmp(left, right, length) }
}
