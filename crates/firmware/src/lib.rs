//! What UEFI firmware keeps: variables, in OVMF's flash image ([`varstore`]) or as a running Linux shows them ([`efivarfs`]), and what
//! is in those of Secure Boot ([`signature_list`]) and of the boot entries ([`load_option`]).
//!
//! All of it is read from untrusted bytes; every error says where. Reading never takes more memory than the bytes that
//! are read.

#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod efivarfs;
mod guid;
pub mod load_option;
pub mod signature_list;
mod text;
mod variables;
pub mod varstore;

pub use guid::Guid;
pub use text::utf16;
pub use variables::{Attributes, Variable, Variables};
