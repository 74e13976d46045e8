//! What the guard knows of arguments: the types of [`tables::LAYOUTS`](crate::tables::LAYOUTS).

use crate::hypercall::{Condition, Field};
use crate::rule::{XenVersion, XenVersions};

/// Where things stand in the arguments of every operation that the guard admits to some target.
#[derive(Clone, Copy, Debug)]
pub struct Layouts<'t> {
    /// Beside the families of [`HYPERCALLS`](crate::tables::HYPERCALLS), one for each.
    pub families: &'t [Family<'t>],
    /// What operations are laid out like. Operations that look the same share one.
    pub layouts: &'t [Layout<'t>],
}

/// The operations of one hypercall.
#[derive(Clone, Copy, Debug)]
pub struct Family<'t> {
    /// Where the number of the operation stands.
    pub at: At,
    /// Operations that a second number selects within, where the first stands in a register.
    pub selectors: &'t [SelectorAt],
    /// Beside the rows of the hypercall's rules, one for each.
    pub rows: &'t [Row],
    /// By the number of the operation, for those that can be walked over in a straight line.
    pub shorts: &'t [Short],
}

/// An operation with at most one structure, one target and one pointer, and without any other rule: what holds all of
/// this is admitted on Xen 4.20 at every level. It can only admit; what does not hold it takes the long way. All offsets
/// leave eight bytes to the end of the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// The place of its row.
    pub row: u8,
    /// Its layout, counted from 1; 0 where it takes the long way.
    pub layout: u16,
    /// The register with the structure's address, counted from 0.
    pub register: u8,
    /// The bytes of the structure; 0 for none.
    pub size: u16,
    /// What the first eight bytes must be, as far as they count: number and version.
    pub head: u64,
    /// The bits of them that count.
    pub head_mask: u64,
    /// Where the target stands, in two bytes; [`Short::NONE`] for none.
    pub target: u16,
    /// The target may be the caller, or another privileged domain.
    pub own: bool,
    /// Where the pointer stands; [`Short::NONE`] for none.
    pub pointer: u16,
    /// Where the number of elements stands.
    pub count: u16,
    /// How far up in these eight bytes.
    pub count_shift: u8,
    /// The bits of it that count.
    pub count_mask: u64,
    /// Elements beside those.
    pub more: u64,
    /// The bytes of an element.
    pub element: u32,
    /// Which way data goes.
    pub direction: Direction,
}

impl Short {
    /// No such thing in the structure.
    pub const NONE: u16 = u16::MAX;
    /// An operation that takes the long way.
    pub const LONG: Self = Self {
        row: 0,
        layout: 0,
        register: 0,
        size: 0,
        head: 0,
        head_mask: 0,
        target: Self::NONE,
        own: false,
        pointer: Self::NONE,
        count: 0,
        count_shift: 0,
        count_mask: 0,
        more: 0,
        element: 0,
        direction: Direction::In,
    };
}

/// Where the number of an operation stands.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// The hypercall has no operations.
    Nowhere,
    /// In a register, counted from 0; bits that are not in the mask belong to a call that goes on.
    Register(u8, u64),
    /// In what is copied.
    Carried(Field, Carrier),
    /// The hypercall is a list of others: the registers with its address and with how many there are.
    Calls(u8, u8),
}

/// Where the second number stands.
#[derive(Clone, Copy, Debug)]
pub struct SelectorAt {
    /// The number of the operation.
    pub number: u16,
    /// Where in the structure.
    pub field: Field,
    /// The structure, the same for all of its operations.
    pub carrier: Carrier,
}

/// Which layout an operation has.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The operation, as its row in the rules says it.
    pub number: u16,
    /// The same.
    pub selector: u8,
    /// Its layout, counted from 1; 0 where the guard admits it to nobody.
    pub layout: u16,
}

/// What is copied for a call. Registers are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Nothing.
    None,
    /// A structure of so many bytes, at the address in a register; whether a null pointer asks for something else.
    Structure(u8, u16, bool),
    /// An array of such structures: the register with the address, the register with how many, bytes of one.
    Elements(u8, u8, u16),
    /// An array of descriptors of buffers, the first of which is the structure: the register with the address, the
    /// register with how many, the bytes of the structure.
    Buffers(u8, u8, u16),
}

/// What the argument of an operation looks like.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'t> {
    /// The releases where it looks so.
    pub versions: XenVersions,
    /// What is copied.
    pub carrier: Carrier,
    /// Whether Xen writes into what is copied.
    pub writes: bool,
    /// The version of the interface.
    pub version: Option<Version<'t>>,
    /// The domain that it is about.
    pub target: Target,
    /// Further domains that it names.
    pub others: &'t [Other<'t>],
    /// Buffers that registers point to.
    pub registers: &'t [(u8, Buffer)],
    /// Pointers in the structure, sorted by offset; at most [`HANDLES`](super::HANDLES).
    pub handles: &'t [Handle<'t>],
    /// A list that begins inside the structure and goes on behind it.
    pub tail: Option<Handle<'t>>,
}

/// The version of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'t> {
    /// Where it stands.
    pub field: Field,
    /// The number in each release of [`XEN_VERSIONS`](crate::tables::XEN_VERSIONS); 0 where it has none.
    pub numbers: &'t [u32],
}

impl Version<'_> {
    pub(super) fn holds(&self, structure: &[u8], version: XenVersion) -> bool {
        let number = self.numbers.get(usize::from(version.0)).copied().filter(|&number| number != 0);
        number.is_some() && self.field.read(structure) == number.map(u64::from)
    }
}

/// Where the domain stands that an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It names none.
    None,
    /// In a register, counted from 0.
    Register(u8),
    /// In the structure.
    Field(Field),
}

/// A domain that is named beside the target.
#[derive(Clone, Copy, Debug)]
pub struct Other<'t> {
    /// Its number.
    pub field: Field,
    /// Where it counts: all must hold.
    pub when: &'t [Condition<'t>],
    /// Whether it may be the caller, or another privileged domain.
    pub own: bool,
}

/// A pointer in a structure.
#[derive(Clone, Copy, Debug)]
pub struct Handle<'t> {
    /// Bytes from the start of the structure.
    pub offset: u16,
    /// What it points to.
    pub buffer: Buffer,
    /// Where it is used: all must hold.
    pub when: &'t [Condition<'t>],
}

/// What is behind a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The bytes of an element.
    pub size: u32,
    /// How many.
    pub count: Count,
    /// Which way data goes.
    pub direction: Direction,
}

/// How much there is behind a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Always as many.
    Constant(u64),
    /// As many as a register says, counted from 0.
    Register(u8),
    /// As many as a number in the structure says.
    Field(Field),
    /// An element for every eight that the number says, rounded up.
    Bits(Field),
    /// The number times itself.
    Square(Field),
    /// The first number and so many more, less the second.
    Between(Field, Field, u64),
}

/// Which way data goes, seen from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Xen reads.
    In,
    /// Xen writes.
    Out,
    /// Both.
    InOut,
}

impl Buffer {
    /// How many bytes there are; `None` if the numbers make no size.
    pub(super) fn bytes(&self, structure: &[u8], registers: &[u64; 5]) -> Option<u64> {
        let elements = match self.count {
            Count::Constant(number) => number,
            Count::Register(register) => *registers.get(usize::from(register))?,
            Count::Field(field) => field.read(structure)?,
            Count::Bits(field) => field.read(structure)?.div_ceil(8),
            Count::Square(field) => {
                let number = field.read(structure)?;
                number.checked_mul(number)?
            }
            Count::Between(field, minus, plus) => {
                field.read(structure)?.checked_add(plus)?.checked_sub(minus.read(structure)?)?
            }
        };
        elements.checked_mul(u64::from(self.size))
    }
}

/// Whether a pointer is used, or a domain counts.
pub(super) fn applies(when: &[Condition<'_>], structure: &[u8]) -> bool {
    when.iter().all(|condition| condition.holds(structure))
}
