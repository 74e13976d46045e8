//! Whether a hypercall may be issued while the host is locked.
//!
//! Two doors ask: the gate in Xen, which refuses to everybody, and the guard in dom0's kernel, which keeps dom0's
//! userspace from what only a kernel needs. Both give [`decide`] the same facts about a call; what the gate refuses
//! the guard refuses too. The rules are [`tables::HYPERCALLS`](crate::tables::HYPERCALLS); Xen links the much smaller
//! [`tables::GATE`](crate::tables::GATE), which holds the rows that the gate can refuse and nothing else.
//!
//! ```
//! use lockdown_core::hypercall::{Answer, Call, Door, HypercallNumber, OperationNumber, Relation, decide};
//! use lockdown_core::{Level, tables};
//!
//! let mut call = Call::new(HypercallNumber(36), OperationNumber(22));
//! call.relation = Relation::OTHER;
//! assert_eq!(decide(&tables::GATE, &call, Some(Level::Integrity), Door::Gate), Answer::Admitted);
//! call.relation = Relation::OWN;
//! let answer = decide(&tables::GATE, &call, Some(Level::Integrity), Door::Gate);
//! assert!(matches!(answer, Answer::Refused(reason) if reason.id() == "own-target"));
//! assert_eq!(decide(&tables::GATE, &call, None, Door::Gate), Answer::Admitted);
//! ```

use core::ffi::CStr;

use crate::lockdown::Level;
use crate::reason::Reason;

/// The number of a hypercall, as it stands in the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HypercallNumber(pub u32);

/// The number of an operation of a hypercall. Continuation bits (those of `memory_op` above the low six) are masked off
/// by whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationNumber(pub u32);

/// The number that selects within an operation, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector(pub u32);

/// What the domain that a call names is to the domain that issues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relation(pub u8);

impl OperationNumber {
    /// The hypercall has no operations.
    pub const NONE: Self = Self(u32::MAX);
}

impl Selector {
    /// The operation has no selector.
    pub const NONE: Self = Self(u32::MAX);
}

impl Relation {
    /// The call names no domain.
    pub const NONE: Self = Self(0);
    /// The domain itself, by its number or by `DOMID_SELF`.
    pub const OWN: Self = Self(1);
    /// Another domain, which is not privileged; also a number that no domain has.
    pub const OTHER: Self = Self(2);
    /// Another domain, which is privileged.
    pub const PRIVILEGED: Self = Self(3);
    /// A number that is reserved and stands for no domain of its own, other than `DOMID_SELF`.
    pub const SPECIAL: Self = Self(4);
    /// Another domain, which is not privileged and has no processors yet or, for `dm_op`, no interrupt controller. Only Xen
    /// can tell.
    pub const BARE: Self = Self(5);
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// Xen, for every caller.
    Gate,
    /// dom0's kernel, for its userspace.
    Guard,
}

/// What is known about a call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The hypercall.
    pub hypercall: HypercallNumber,
    /// The operation.
    pub operation: OperationNumber,
    /// What selects within the operation.
    pub selector: Selector,
    /// What the domain that it names is to the caller.
    pub relation: Relation,
    /// The copied structure, from its first byte. What is not in it counts as absent, and a rule about an absent
    /// value does not hold.
    pub argument: &'a [u8],
}

impl Call<'_> {
    /// A call that names no domain and has no structure.
    #[must_use]
    pub const fn new(hypercall: HypercallNumber, operation: OperationNumber) -> Self {
        Self { hypercall, operation, selector: Selector::NONE, relation: Relation::NONE, argument: &[] }
    }
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The lock has nothing against it. Xen's own checks still follow.
    Admitted,
    /// It is not to act.
    Refused(Reason),
}

/// The rules for hypercalls.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'t> {
    /// For each number of a hypercall, the place of its family counted from 1; 0 for none.
    pub numbers: &'t [u8],
    /// The families.
    pub families: &'t [Family<'t>],
}

/// The operations of one hypercall.
#[derive(Clone, Copy, Debug)]
pub struct Family<'t> {
    /// For each small operation number, the place of its first row counted from 1; 0 for none.
    pub places: &'t [u8],
    /// For each small operation number, the relations for which a row of it can refuse, a bit for the number of each:
    /// at the gate most calls are done after a look at it.
    pub concerns: &'t [u8],
    /// The rows, sorted by number and selector.
    pub operations: &'t [Operation<'t>],
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'t> {
    /// The number; [`Operation::ANY`] where the hypercall has no operations.
    pub number: u16,
    /// The selector; [`Operation::ANY_SELECTOR`] where the operation has none.
    pub selector: u8,
    /// What it is.
    pub class: OperationClass,
    /// Refuses whatever the target.
    pub always: Option<Clause>,
    /// Refuses where the target is the caller, or is privileged as the caller is.
    pub own: Option<Clause>,
    /// Refuses where the target is a reserved number.
    pub special: Option<Clause>,
    /// Refuses where the target is anything but the caller.
    pub other: Option<Clause>,
    /// Refuses where the target is another domain that has no processors yet.
    pub bare: Option<Clause>,
    /// `domctl.createdomain`.
    pub name: &'t CStr,
    /// Refuse by what stands in the structure.
    pub values: &'t [ValueRule<'t>],
    /// Enough for no value to be refused: where all of these hold, every rule of `values` is kept. Empty where there
    /// is no such short cut.
    pub quick: &'t [Quick],
}

impl Operation<'_> {
    /// The number of the one row of a hypercall without operations.
    pub const ANY: u16 = u16::MAX;
    /// The selector of the one row of an operation without a selector.
    pub const ANY_SELECTOR: u8 = u8::MAX;
}

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OperationClass {
    /// A kernel issues it for itself.
    KernelOnly,
    /// Userspace gets what it does through a device of the kernel.
    Mediated,
    /// The toolstack governs domains or the host with it.
    ControlPlane,
    /// It answers and changes nothing.
    Query,
    /// It shows what is to be kept secret at level confidentiality.
    ReadLeak,
    /// It breaks the boundary.
    Breach,
    /// Xen has no handler for it.
    Absent,
}

impl OperationClass {
    /// All of them, in the order of documents.
    pub const ALL: [Self; 7] = [
        Self::Query,
        Self::ControlPlane,
        Self::ReadLeak,
        Self::Mediated,
        Self::KernelOnly,
        Self::Breach,
        Self::Absent,
    ];

    /// The word for it in `policy/`.
    #[must_use]
    #[inline]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KernelOnly => "kernel-only",
            Self::Mediated => "mediated",
            Self::ControlPlane => "control-plane",
            Self::Query => "query",
            Self::ReadLeak => "read-leak",
            Self::Breach => "breach",
            Self::Absent => "absent",
        }
    }

    /// What it means.
    #[must_use]
    #[inline]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::KernelOnly => "a kernel issues it, about itself",
            Self::Mediated => "userspace gets what it does through a device of its kernel",
            Self::ControlPlane => "the toolstack governs domains or the host with it",
            Self::Query => "it answers and changes nothing",
            Self::ReadLeak => "it shows what is kept secret at level confidentiality",
            Self::Breach => "it breaks the boundary",
            Self::Absent => "Xen has no handler for it",
        }
    }
}

/// Who refuses, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The outermost door: the gate refuses for the guard too.
    pub door: Door,
    /// The reason.
    pub reason: Reason,
}

impl Clause {
    /// Whether it refuses at that door and level.
    #[must_use]
    pub fn refuses(&self, door: Door, level: Level) -> bool {
        self.door <= door && self.reason.refuses_at(level)
    }

    /// What protects the caller from itself protects whoever is privileged as it is; the reason says which.
    fn for_privileged(self) -> Self {
        let about_itself = [Reason::OWN_TARGET, Reason::OWN_MEMORY].contains(&self.reason);
        Self { reason: if about_itself { Reason::PRIVILEGED_TARGET } else { self.reason }, ..self }
    }
}

/// A rule for a number in the copied structure.
#[derive(Clone, Copy, Debug)]
pub struct ValueRule<'t> {
    /// Where it applies: all of these must hold.
    pub when: &'t [Condition<'t>],
    /// The number.
    pub field: Field,
    /// What it may be: inclusive ranges.
    pub ranges: &'t [(u64, u64)],
    /// Who refuses it otherwise, and why.
    pub clause: Clause,
}

/// A condition on a number in the copied structure. One that cannot be read holds: rules are not walked around by
/// handing over less.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'t> {
    /// The number.
    pub field: Field,
    /// What it must be.
    pub is: &'t [u64],
}

/// A little-endian number in a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the structure.
    pub offset: u16,
    /// Its bytes: 1, 2, 4 or 8.
    pub width: u8,
    /// The bits that count.
    pub mask: u64,
}

impl Field {
    /// The number, unless the structure ends before it does.
    #[must_use]
    pub fn read(self, structure: &[u8]) -> Option<u64> {
        let bytes = structure.get(usize::from(self.offset)..)?;
        let value = match self.width {
            1 => u64::from(*bytes.first()?),
            2 => u64::from(u16::from_le_bytes(*bytes.first_chunk()?)),
            4 => u64::from(u32::from_le_bytes(*bytes.first_chunk()?)),
            8 => u64::from_le_bytes(*bytes.first_chunk()?),
            _ => return None,
        };
        Some(value & self.mask)
    }
}

impl Condition<'_> {
    pub(crate) fn holds(&self, structure: &[u8]) -> bool {
        self.field.read(structure).is_none_or(|value| self.is.contains(&value))
    }
}

impl ValueRule<'_> {
    /// Whether the rule is kept.
    #[must_use]
    pub fn holds(&self, structure: &[u8]) -> bool {
        let applies = self.when.iter().all(|condition| condition.holds(structure));
        let kept = |value: u64| self.ranges.iter().any(|&(low, high)| low <= value && value <= high);
        !applies || self.field.read(structure).is_some_and(kept)
    }
}

/// A test of eight bytes at once, for whoever has to be fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quick {
    /// Bytes from the start of the structure; all eight lie in it.
    pub offset: u16,
    /// The bits that count.
    pub mask: u64,
    /// The least that they may be.
    pub low: u64,
    /// How much more they may be.
    pub span: u64,
}

impl Quick {
    /// Whether the structure passes the test; not where it ends before the eight bytes do.
    #[must_use]
    pub fn holds(&self, structure: &[u8]) -> bool {
        let value = Field { offset: self.offset, width: 8, mask: self.mask }.read(structure);
        value.is_some_and(|value| value.wrapping_sub(self.low) <= self.span)
    }
}

impl<'t> Rules<'t> {
    /// Certainly nothing here refuses that call, whatever its structure holds, unless it is for being unknown.
    fn is_unconcerned(&self, call: &Call<'_>) -> bool {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let place = self.numbers.get(number(call.hypercall.0)).copied().unwrap_or(0);
        let Some(index) = usize::from(place).checked_sub(1) else { return true };
        let Some(family) = self.families.get(index) else { return false };
        let Some(&concerns) = family.concerns.get(number(call.operation.0)) else { return false };
        concerns.checked_shr(u32::from(call.relation.0)).is_some_and(|bits| bits & 1 == 0)
    }

    /// The row for a call, if a rule speaks of it.
    #[must_use]
    pub fn find(
        &self,
        hypercall: HypercallNumber,
        operation: OperationNumber,
        selector: Selector,
    ) -> Option<&'t Operation<'t>> {
        let family = self.families.get(self.family(hypercall)?)?;
        family.operations.get(family.place(operation, selector)?)
    }

    /// The place of a hypercall's family.
    pub(crate) fn family(&self, hypercall: HypercallNumber) -> Option<usize> {
        let place = *self.numbers.get(usize::try_from(hypercall.0).ok()?)?;
        usize::from(place).checked_sub(1)
    }
}

impl Family<'_> {
    /// The place of a row.
    pub(crate) fn place(&self, operation: OperationNumber, selector: Selector) -> Option<usize> {
        if self.operations.first()?.number == Operation::ANY {
            return Some(0);
        }
        let same = |row: &Operation<'_>| u32::from(row.number) == operation.0;
        let start = match self.places.get(usize::try_from(operation.0).ok()?) {
            Some(&place) => usize::from(place).checked_sub(1)?,
            None => self.operations.iter().position(same)?,
        };
        let first = self.operations.get(start)?;
        if first.selector == Operation::ANY_SELECTOR {
            return same(first).then_some(start);
        }
        let mut rows = self.operations.get(start..)?.iter().take_while(|row| same(row));
        let selects =
            |row: &Operation<'_>| row.selector == Operation::ANY_SELECTOR || u32::from(row.selector) == selector.0;
        start.checked_add(rows.position(selects)?)
    }
}

/// Decides about a call.
///
/// `level` is `None` while the host is not locked: everything is admitted. A call that no rule speaks of is admitted
/// by the gate, where Xen's own answer follows, and refused by the guard.
#[must_use]
pub fn decide(rules: &Rules<'_>, call: &Call<'_>, level: Option<Level>, door: Door) -> Answer {
    let Some(level) = level else { return Answer::Admitted };
    if door == Door::Gate && rules.is_unconcerned(call) {
        return Answer::Admitted;
    }
    judge(rules, call, level, door)
}

/// The long way. Out of line, so that the short one saves no registers.
#[inline(never)]
fn judge(rules: &Rules<'_>, call: &Call<'_>, level: Level, door: Door) -> Answer {
    let Some(row) = rules.find(call.hypercall, call.operation, call.selector) else {
        return match door {
            Door::Gate => Answer::Admitted,
            Door::Guard => Answer::Refused(Reason::UNKNOWN_HYPERCALL),
        };
    };
    let refusal = row
        .refuses_always(level, door)
        .or_else(|| row.refuses_target(call.relation, level, door))
        .or_else(|| row.refuses_values(call.argument, level, door));
    refusal.map_or(Answer::Admitted, Answer::Refused)
}

/// What a row refuses for, in this order.
impl Operation<'_> {
    /// What identifies a row.
    pub(crate) fn key(&self) -> (u16, u8) {
        (self.number, self.selector)
    }

    /// Whatever the target.
    pub(crate) fn refuses_always(&self, level: Level, door: Door) -> Option<Reason> {
        self.always.filter(|clause| clause.refuses(door, level)).map(|clause| clause.reason)
    }

    /// A domain that is named.
    pub(crate) fn refuses_target(&self, relation: Relation, level: Level, door: Door) -> Option<Reason> {
        let refuses = |clause: &Clause| clause.refuses(door, level);
        let (first, second) = match relation {
            Relation::NONE => (None, None),
            Relation::OTHER => (self.other, None),
            Relation::SPECIAL => (self.special, self.other),
            Relation::BARE => (self.bare, self.other),
            Relation::PRIVILEGED => (self.own.map(Clause::for_privileged), self.other),
            Relation::OWN => (self.own, None),
            // A number that is none of ours counts as the worst.
            _ => (self.own, self.other),
        };
        first.filter(refuses).or(second.filter(refuses)).map(|clause| clause.reason)
    }

    /// A number in the structure.
    pub(crate) fn refuses_values(&self, argument: &[u8], level: Level, door: Door) -> Option<Reason> {
        let refuses = |rule: &&ValueRule<'_>| rule.clause.refuses(door, level) && !rule.holds(argument);
        self.values.iter().find(refuses).map(|rule| rule.clause.reason)
    }
}
