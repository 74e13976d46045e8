//! Where things stand in the argument of a hypercall: what a walker of arguments needs.

/// A number in a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As C writes it.
    pub path: String,
    /// Bytes from the start.
    pub offset: u32,
    /// Its bytes.
    pub width: u8,
    /// The bits that count.
    pub mask: Option<u64>,
}

/// Something in a structure that is not a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// As C writes it.
    pub path: String,
    /// Bytes from the start.
    pub offset: u32,
    /// Its bytes.
    pub size: u32,
}

/// A number that comes with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// In a register, counted from 1; the bits that count.
    Register {
        /// Counted from 1.
        register: u8,
        /// The bits that count.
        mask: Option<u64>,
    },
    /// In the structure.
    Field(Field),
    /// In each element of the array.
    InElement(Field),
    /// In a buffer that is handed over beside the call.
    InBuffer(u8, Field),
}

/// The version of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Where it stands.
    pub field: Field,
    /// What Xen's public headers call the number.
    pub constant: Option<String>,
    /// The number in each release.
    pub numbers: Vec<(String, u32)>,
}

/// A condition on a number of the structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The number.
    pub field: Field,
    /// One of these.
    pub is: Vec<u64>,
}

/// A domain that is named beside the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherDomain {
    /// Its id.
    pub field: Field,
    /// Where it counts: all must hold.
    pub when: Vec<Condition>,
    /// It may be the caller, or another privileged domain.
    pub own_allowed: bool,
}

/// An address that does not look like a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Where.
    pub field: Field,
    /// What it is.
    pub is: String,
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
    /// Xen keeps the address and uses it later.
    Retained,
}

impl Direction {
    /// The word for it in the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::InOut => "inout",
            Self::Retained => "retained",
        }
    }
}

/// What a count counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Elements of their size.
    Elements,
    /// Bytes.
    Bytes,
    /// Bits, eight to an element of one byte, rounded up.
    Bits,
}

/// How much there is behind a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// Always as many.
    Constant(u64),
    /// A number says it: (field - minus + plus), times itself where squared.
    Field {
        /// The number.
        field: Field,
        /// What it counts.
        unit: Unit,
        /// Times itself.
        squared: bool,
        /// Taken off.
        minus: Option<Field>,
        /// Added.
        plus: u64,
    },
    /// A register says it.
    Register(u8),
    /// Nothing in the call says it: in words, and the most bytes there can be, if there is a most.
    Implicit(String, Option<u64>),
}

/// A buffer: where it is pointed to from is said beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What it consists of, as C names it; `void` for bytes of any kind.
    pub element: String,
    /// The bytes of one.
    pub size: u32,
    /// How many.
    pub count: Count,
    /// Which way.
    pub direction: Direction,
    /// Pointers in each element.
    pub handles: Vec<Pointer>,
}

/// A pointer in a structure, or elements that begin at a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// As C writes it.
    pub path: String,
    /// Bytes from the start.
    pub offset: u32,
    /// What it points to.
    pub buffer: Buffer,
    /// Where it is used: all must hold.
    pub when: Vec<Condition>,
}

/// One register of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// What it is.
    pub role: Role,
}

/// What a register holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The number of the operation; the bits that count.
    Operation(Option<u64>),
    /// The address of the structure.
    Structure,
    /// The address of an array of the structure; the register with their number.
    Elements(u8),
    /// The address of an array of calls; the register with their number.
    Calls(u8),
    /// The address of a buffer.
    Buffer(Buffer),
    /// The address of an array of descriptors of buffers (`dm_op`); the register with their number, and what is known of them.
    Buffers(u8, Vec<(u8, Buffer)>),
    /// How many of what another register points to.
    Count,
    /// A domain.
    Target,
    /// A number that Xen takes as it is.
    Value,
}
