//! Decides what a locked Xen honours.
//!
//! Every door of xen-lockdown asks this crate: Xen at boot, Xen at a hypercall, dom0's kernel, and the
//! `xen-lockdown` command. It holds the latch, reads text exactly as Xen (and, for dom0's part, Linux)
//! reads it, and gives each token a [`Verdict`] by the [`Table`] that is generated from `policy/`.
//!
//! It is `no_std`, has no dependency, no `unsafe`, does not allocate and has no panic path: it becomes part
//! of Xen and of dom0's kernel. `cargo xtask panic-free` checks the object code for the last of these.
//!
//! ```
//! use lockdown_core::{Level, Lockdown, Segment, Verdict, XenVersion, tables};
//!
//! let mut lockdown = Lockdown::new(&tables::TABLE, XenVersion::V4_20, Some(Level::Integrity));
//! let verdicts: Vec<_> = lockdown
//!     .xen_tokens(Segment::Runtime, b"loglvl=all com1=115200,8n1,0x100000")
//!     .map(|token| token.verdict)
//!     .collect();
//! assert!(matches!(verdicts[0], Verdict::Honoured(_)));
//! assert!(matches!(&verdicts[1], Verdict::Refused(refusal) if refusal.reason.id() == "io-address"));
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod dom0_line;
pub mod guard;
pub mod hypercall;
pub mod ioctl;
pub mod linux_text;
mod lockdown;
mod reason;
mod rule;
pub mod tables;
pub mod xen_text;

pub use lockdown::{Dom0Tokens, dom0_lockdown_option};
pub use lockdown::{Ground, Level, Lockdown, Refusal, Segment, Target, Token, Verdict, XenTokens};
pub use reason::{Reason, ReasonInfo};
pub use rule::{
    Class, Declared, Item, Kinds, Number, Opt, Pattern, Polarity, Shape, Table, XenVersion, XenVersions,
};
