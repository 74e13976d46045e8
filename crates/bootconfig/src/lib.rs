//! Reads what boots Xen, each file as the program that will read it does.
//!
//! A reader hands out pieces of the text with their place ([`Located`]), so that a message can point at any byte
//! of them, and a [`Problem`] where it cannot answer. It judges nothing.

#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod default_grub;
pub mod grub;
mod located;
pub mod xen_cfg;

pub use located::{Located, Problem};
