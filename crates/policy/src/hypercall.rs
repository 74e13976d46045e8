//! The rules for hypercalls: `policy/hypercalls/*.toml`.

mod check;
mod compile;
mod layout;
mod raw;

use lockdown_core::hypercall::OperationClass;

use crate::model::Place;
use crate::problem::Problem;

pub(crate) use check::{check_unique, load};
pub(crate) use compile::rules;
pub use layout::{
    Arg, Buffer, Condition, Count, Direction, Element, Field, Hidden, OtherDomain, Pointer, Register, Role, Unit,
    Version,
};

/// One hypercall: a file of `policy/hypercalls/`.
#[derive(Clone, Debug)]
pub struct Hypercall {
    /// Where it stands.
    pub place: Place,
    /// The number.
    pub number: u8,
    /// The name.
    pub name: String,
    /// What Xen's public headers call it.
    pub constant: String,
    /// What the first line of the file says of it.
    pub about: String,
    /// The header, below `xen/include/public`, that names its operations.
    pub header: Option<String>,
    /// What the names of its operations begin with there.
    pub prefix: String,
    /// Constants of that header that begin so and are no operations.
    pub beside: Vec<String>,
    /// Where the number of the operation stands.
    pub selector: Option<Arg>,
    /// The operations, sorted by number and selector.
    pub operations: Vec<Operation>,
}

/// One operation of a hypercall.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Where it stands.
    pub place: Place,
    /// The number; `None` where the hypercall has no operations.
    pub number: Option<u16>,
    /// The number that selects within it.
    pub selector: Option<u8>,
    /// Where that stands.
    pub selector_at: Option<Field>,
    /// `domctl.createdomain`; for a hypercall without operations its name.
    pub name: String,
    /// What Xen's public headers call the number, or the selector.
    pub constant: String,
    /// What they call the number of an operation that has selectors.
    pub family_constant: Option<String>,
    /// The releases that name it.
    pub xen: Vec<String>,
    /// The architectures.
    pub arch: Vec<String>,
    /// What it is.
    pub class: OperationClass,
    /// Who refuses it, whatever its target.
    pub door: DoorName,
    /// Why.
    pub reason: Option<String>,
    /// What holds where the target is the caller.
    pub own: SelfRule,
    /// Who refuses that, and why.
    pub own_clause: Option<(DoorName, String)>,
    /// Reserved numbers are let through as targets.
    pub special: bool,
    /// Who refuses it where the target is not the caller, and why.
    pub other_clause: Option<(DoorName, String)>,
    /// Who refuses it where the target is another domain that has no processors yet (for `dm_op`: no interrupt controller), and why.
    pub bare_clause: Option<(DoorName, String)>,
    /// The releases whose handler was read.
    pub audited: Vec<String>,
    /// Where, as `file:function`.
    pub source: Vec<String>,
    /// Who issues it: `kernel`, `toolstack`.
    pub used_by: Vec<String>,
    /// For what the toolstack needs it.
    pub sessions: Vec<String>,
    /// What it does and what could go wrong.
    pub mechanism: String,
    /// What else a filter must know.
    pub note: Option<String>,
    /// What differs in HEAD.
    pub head: Option<String>,
    /// The releases whose structures are laid out so.
    pub layout: Vec<String>,
    /// The registers of the call.
    pub registers: Vec<Register>,
    /// The structure that a register points to, as C names it, and its bytes.
    pub structure: Option<(String, u32)>,
    /// A null pointer instead of the structure asks Xen for something that needs none.
    pub null: bool,
    /// Xen writes into the structure.
    pub writes: bool,
    /// The part of the structure that belongs to the operation.
    pub payload: Option<Element>,
    /// The domain that it is about.
    pub target: Option<Arg>,
    /// Further domains that it names.
    pub others: Vec<OtherDomain>,
    /// The version of the interface.
    pub version: Option<Version>,
    /// The pointers in the structure.
    pub handles: Vec<Pointer>,
    /// Elements that follow the structure.
    pub tail: Option<Pointer>,
    /// Addresses that do not look like pointers.
    pub hidden: Vec<Hidden>,
    /// Rules for numbers in the structure.
    pub values: Vec<ValueEntry>,
}

/// A rule for a number in the structure.
#[derive(Clone, Debug)]
pub struct ValueEntry {
    /// Where it applies.
    pub when: Vec<Condition>,
    /// The number.
    pub field: Field,
    /// What it may be.
    pub ranges: Vec<(u64, u64)>,
    /// The same as it is written.
    pub written: Vec<String>,
    /// Who refuses it otherwise.
    pub door: DoorName,
    /// The reason.
    pub reason: String,
    /// The explanation.
    pub why: String,
}

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DoorName {
    None,
    Gate,
    Guard,
}

impl DoorName {
    /// The word for it in the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gate => "gate",
            Self::Guard => "guard",
        }
    }
}

/// What holds for an operation that is aimed at the domain that issues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum SelfRule {
    /// It names no domain.
    None,
    /// It is always about the caller.
    Implicit,
    Allowed,
    Refused,
    /// Xen refuses it, locked or not; and so does the door.
    RefusedByXen,
}

impl SelfRule {
    /// The word for it in the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Implicit => "implicit",
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::RefusedByXen => "refused-by-xen",
        }
    }
}

impl Hypercall {
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(&self.place.file, self.place.line, message)
    }
}

impl Operation {
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(&self.place.file, self.place.line, message)
    }

    /// Nobody read its handler.
    #[must_use]
    pub fn is_unaudited(&self) -> bool {
        self.audited.is_empty() && self.class != OperationClass::Absent
    }

    /// Whether the guard lets it through at level integrity, to a domain that is not privileged.
    #[must_use]
    pub fn is_for_userspace(&self) -> bool {
        self.door == DoorName::None || self.class == OperationClass::ReadLeak
    }
}
