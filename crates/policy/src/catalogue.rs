//! What is known about each option, reason and rule, as text: what the command prints.
//!
//! The lists are generated from `policy/` by `cargo xtask generate`.

mod generated;
mod hypercalls;
mod privcmd;

pub use generated::{BOOT, BOUNDARY, DOM0, NOTES, OVERLAYS, REASONS, XEN};
pub use hypercalls::HYPERCALLS;
pub use privcmd::PRIVCMD;

/// The texts of one option.
#[derive(Clone, Copy, Debug)]
pub struct OptionText {
    /// The name.
    pub name: &'static str,
    /// The registrations.
    pub kinds: &'static [&'static str],
    /// The class: `safe`, `values`, `refused`, `latch`, `foreign`.
    pub class: &'static str,
    /// What the handler takes.
    pub syntax: &'static str,
    /// The releases of Xen that have it.
    pub xen: &'static [&'static str],
    /// The architectures that have it.
    pub arch: &'static [&'static str],
    /// Where it is registered.
    pub source: &'static [&'static str],
    /// The releases whose handler was read.
    pub audited: &'static [&'static str],
    /// The reason for what is refused; empty if nothing is.
    pub reason: &'static str,
    /// What the handler does.
    pub mechanism: &'static str,
    /// What to say instead; empty if nothing is refused.
    pub advice: &'static str,
    /// How the value is taken apart, in words.
    pub shape: &'static str,
    /// The items of its rule.
    pub items: &'static [ItemText],
}

/// One item of a rule, in words.
#[derive(Clone, Copy, Debug)]
pub struct ItemText {
    /// What it matches.
    pub pattern: &'static str,
    /// Which of that it allows.
    pub allows: &'static str,
    /// The reason for the rest; empty for the option's own.
    pub reason: &'static str,
    /// The explanation; may be empty.
    pub why: &'static str,
}

/// The texts of one reason.
#[derive(Clone, Copy, Debug)]
pub struct ReasonText {
    /// The id.
    pub id: &'static str,
    /// `integrity` or `confidentiality`.
    pub level: &'static str,
    /// The rule of the boundary.
    pub rule: &'static str,
    /// Completes "refused: it ...".
    pub text: &'static str,
    /// A sentence or two more.
    pub explain: &'static str,
}

/// A downstream's overlay, as answers show it.
#[derive(Clone, Copy, Debug)]
pub struct OverlayText {
    /// Its name.
    pub name: &'static str,
    /// What it declares.
    pub allows: &'static [AllowText],
}

/// What an overlay declares about one option.
#[derive(Clone, Copy, Debug)]
pub struct AllowText {
    /// The option.
    pub option: &'static str,
    /// Who says so.
    pub who: &'static str,
    /// Why it is safe.
    pub why: &'static str,
}

/// One rule of the security boundary.
#[derive(Clone, Copy, Debug)]
pub struct RuleText {
    /// `B1`, `B2`, ...
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The text, as Markdown.
    pub text: &'static str,
}

/// One hypercall.
#[derive(Clone, Copy, Debug)]
pub struct HypercallText {
    /// The name.
    pub name: &'static str,
    /// The number.
    pub number: u8,
    /// What it is.
    pub about: &'static str,
    /// Its operations.
    pub operations: &'static [OperationText],
}

/// The texts of one operation of a hypercall. What is not there is empty.
#[derive(Clone, Copy, Debug)]
pub struct OperationText {
    /// `domctl.createdomain`.
    pub name: &'static str,
    /// The number.
    pub number: Option<u16>,
    /// The number that selects within it.
    pub selector: Option<u8>,
    /// What it is.
    pub class: &'static str,
    /// Who refuses it: `gate`, `guard`, `none`.
    pub door: &'static str,
    /// Why.
    pub reason: &'static str,
    /// What holds where the caller is the target.
    pub self_rule: &'static str,
    /// Who refuses that.
    pub self_door: &'static str,
    /// Why.
    pub self_reason: &'static str,
    /// Who refuses it where the target is not the caller.
    pub other_door: &'static str,
    /// Why.
    pub other_reason: &'static str,
    /// Who refuses it where the target has no processors yet.
    pub bare_door: &'static str,
    /// Why.
    pub bare_reason: &'static str,
    /// Reserved numbers are let through as targets.
    pub special: bool,
    /// The releases of Xen that name it.
    pub xen: &'static [&'static str],
    /// The architectures.
    pub arch: &'static [&'static str],
    /// The releases whose handler was read.
    pub audited: &'static [&'static str],
    /// Where.
    pub source: &'static [&'static str],
    /// Who issues it.
    pub used_by: &'static [&'static str],
    /// For what the toolstack needs it.
    pub sessions: &'static [&'static str],
    /// What it does and what could go wrong.
    pub mechanism: &'static str,
    /// What else a filter must know.
    pub note: &'static str,
    /// What differs in HEAD.
    pub head: &'static str,
    /// The argument, a line for each thing in it.
    pub layout: &'static [&'static str],
    /// Rules for numbers in the structure.
    pub values: &'static [OperationValueText],
}

/// A rule for a number in the structure.
#[derive(Clone, Copy, Debug)]
pub struct OperationValueText {
    /// The number.
    pub path: &'static str,
    /// What it may be.
    pub allows: &'static str,
    /// Who refuses it otherwise.
    pub door: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The explanation.
    pub why: &'static str,
}

/// The texts of one request to privcmd. What is not there is empty.
#[derive(Clone, Copy, Debug)]
pub struct IoctlText {
    /// `privcmd.mmap`.
    pub name: &'static str,
    /// Its number.
    pub command: u32,
    /// The hypercall that it makes.
    pub hypercall: Option<u8>,
    /// The reason that refuses it where the guard is strict.
    pub strict: &'static str,
    /// Where it names dom0 itself.
    pub own: &'static str,
    /// Where it names another privileged domain.
    pub privileged: &'static str,
    /// Where it names `DOMID_IO`.
    pub io: &'static str,
    /// Where it names `DOMID_XEN`.
    pub xen: &'static str,
    /// Where it names another reserved number.
    pub special: &'static str,
    /// What it does and what could go wrong.
    pub mechanism: &'static str,
}
