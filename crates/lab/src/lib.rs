//! The lab: real Xen, real firmware that enforces Secure Boot, real attacks.
//!
//! It makes a Debian root, boots Debian's own Xen and kernel in machines of its own, attacks them from outside and
//! from inside, and tells what breached. It attacks nothing but what it started itself.

pub mod boot;
pub mod console;
pub mod cost;
pub mod count;
pub mod distribution;
pub mod esp;
pub mod guard;
pub mod guest;
pub mod hammer;
pub mod hypervisor;
pub mod image;
pub mod initramfs;
pub mod inside;
pub mod kernels;
pub mod keys;
pub mod lab;
pub mod loader;
pub mod machine;
pub mod outside;
pub mod plan;
pub mod prove;
mod queue;
pub mod report;
pub mod root;
pub mod toolstack;
pub mod varstore;
pub mod watch;
