//! The policy: what `policy/` says, checked, and what is made of it.
//!
//! [`Policy::load`] reads the folder and finds every mistake in it with file and line. [`Policy::compile`] turns
//! it into the tables of `lockdown-core`; [`render`] writes those, the [`catalogue`] that the command prints
//! from, and the reference documentation. A downstream's [`Overlay`] is merged into compiled tables, so that the
//! generator and the command do it in one way.
//!
//! Errors: every mistake in the policy is a [`Problem`] with its place; [`Problems`] collects them, so that
//! one run shows them all.

pub mod catalogue;
mod check;
mod compile;
pub mod hypercall;
mod model;
mod overlay;
pub mod privcmd;
mod problem;
mod raw;
pub mod render;

pub use check::{XEN_VERSIONS, files_in, parse, read};
pub use compile::Compiled;
pub use hypercall::Hypercall;
pub use model::ShapeRule;
pub use model::{BoundaryRule, ClassName, Domain, Entry, ItemRule, PatternRule, Place, Policy, ReasonEntry};
pub use overlay::Overlay;
pub use problem::{Problem, Problems, line_of};
