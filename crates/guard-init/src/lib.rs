//! Process 1 of a locked dom0, `/xen-lockdown/init`: it loads the guard, sees that it stands, and becomes the
//! initramfs's own `/init`. If anything fails, it says what, and powers the machine off. There is no shell.
//!
//! The program is made of these modules and of `init.rs`, which `crates/unify` compiles for a machine without any
//! library and puts into images. The modules are a library too, so that they are linted and tested as any other:
//! [`list`] and [`mod@line`] decide and are safe, [`steps`] is what happens in which order, [`system`] is the kernel.
//!
//! It allocates nothing, and nothing else runs beside it: the kernel starts it before any other program.

#![cfg_attr(not(test), no_std)]
#![warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod line;
pub mod list;
pub mod parameters;
#[cfg(target_arch = "x86_64")]
pub mod steps;
#[cfg(target_arch = "x86_64")]
pub mod system;
