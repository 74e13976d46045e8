//! The guard's walk over a call that dom0's userspace makes: what to copy, what to check, what to copy back.
//!
//! A raw hypercall hands Xen addresses, and Xen writes wherever a kernel may. So [`plan`] copies the structure into the
//! kernel, once, and decides on the copy: who it is aimed at, which numbers it holds, and for every pointer in it
//! whether all that Xen may touch behind it is userspace's. Xen then gets the copy, so that nothing changes after the
//! look at it. Buffers without pointers stay where they are. What no layout describes is refused.
//!
//! The walk allocates nothing and follows no more than what fits into the space that it is given.

mod layout;

use crate::hypercall::{
    self, Door, Field, HypercallNumber, Operation, OperationNumber, Relation, Rules, Selector,
};
use crate::lockdown::Level;
use crate::reason::Reason;
use crate::rule::XenVersion;

pub use layout::{
    At, Buffer, Carrier, Count, Direction, Family, Handle, Layout, Layouts, Other, Row, SelectorAt, Target,
    Version,
};

/// The space that is enough for every call without an array.
pub const SPACE: usize = 1280;

/// The most space that a guard should give: a call that needs more is refused. It is what the toolstack's largest
/// array takes twice: a batch of 1024 page tables.
pub const MOST_SPACE: usize = 64 * 1024;

/// The most pointers in one structure.
pub const HANDLES: usize = 8;

/// The most copies of a plan.
pub const COPIES: usize = 2;

const DOMID_FIRST_RESERVED: u64 = 0x7ff0;
const DOMID_SELF: u64 = 0x7ff0;

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The level of the lock. `None` is judged as [`Level::Integrity`] is, so that it can be told what would be refused.
    pub level: Option<Level>,
    /// The number of the domain that calls.
    pub own: u16,
    /// The first address that is not userspace's.
    pub user_end: u64,
    /// The release of Xen.
    pub version: XenVersion,
}

/// A call as it comes: its number, and up to five arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The number of the hypercall.
    pub hypercall: u64,
    /// The arguments.
    pub arguments: [u64; 5],
}

/// Userspace's memory.
pub trait Memory {
    /// Copies from it; `false` if that faults. Called for addresses below [`Caller::user_end`] only, and for no byte
    /// twice.
    fn fetch(&mut self, from: u64, into: &mut [u8]) -> bool;

    /// Is told of every buffer that stays where it is, checked already.
    fn leaf(&mut self, _leaf: Leaf) {}
}

/// A buffer that Xen reads or writes where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its address.
    pub user: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Which way data goes.
    pub direction: Direction,
}

/// How to make a call that is admitted.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'t> {
    /// The operation; for an array, that of the last element.
    pub operation: &'t Operation<'t>,
    copies: [Copied; COPIES],
    count: u8,
    /// Bytes of one structure in the copy that is written.
    stride: usize,
    skipped: Skipped,
}

/// Bytes of userspace that stand in the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where they come from.
    pub user: u64,
    /// Where they stand in the space.
    pub at: usize,
    /// How many.
    pub length: usize,
    /// What has to point to the copy before the call.
    pub holder: Holder,
    /// Whether Xen writes into them: [`Plan::back`] has what is to be copied back.
    pub written: bool,
}

/// What points to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A register, counted from 0.
    Register(u8),
    /// Eight bytes in the space, in a copy that is never copied back.
    Space(usize),
}

/// Bytes that are to be copied back after the call, whatever it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Back {
    /// Where to.
    pub user: u64,
    /// Where they stand in the space.
    pub at: usize,
    /// How many.
    pub length: usize,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'t> {
    /// Why.
    pub why: Why,
    /// The operation, if it is known.
    pub operation: Option<&'t Operation<'t>>,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule refuses.
    Reason(Reason),
    /// Userspace's memory cannot be read there.
    Fault,
    /// The space is too small: so many bytes are needed. Nothing has been decided; with more the walk begins anew.
    Space(u64),
    /// The hypercall is a list of calls, and is refused as what it is ([`Reason::BYPASS`]); but each call of it may be
    /// taken by itself. One that is a list again may not.
    Calls(Calls),
}

/// A list of calls in userspace, which is checked to lie there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Its address.
    pub user: u64,
    /// How many.
    pub count: u32,
}

impl Calls {
    /// The bytes of one.
    pub const ENTRY: usize = 64;
    /// Where the result of one stands, eight bytes: all that is copied back.
    pub const RESULT: usize = 8;
    /// The most that are taken.
    pub const MOST: u32 = 64;
}

impl Registers {
    /// The call that an entry of a list describes. Its sixth argument is no operation's.
    #[must_use]
    pub fn from_entry(entry: &[u8; Calls::ENTRY]) -> Self {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(entry.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        let [hypercall, _result, first, second, third, fourth, fifth, _sixth] = words;
        Self { hypercall, arguments: [first, second, third, fourth, fifth] }
    }
}

impl Caller {
    /// Whether all of these bytes are userspace's.
    #[must_use]
    pub fn owns(&self, from: u64, bytes: u64) -> bool {
        from.checked_add(bytes).is_some_and(|end| end <= self.user_end)
    }

    /// What a domain is to the caller; `None` for what is too large for a number of a domain, which Xen would cut.
    #[must_use]
    pub fn relation(&self, domain: u64) -> Option<Relation> {
        match domain {
            DOMID_SELF => Some(Relation::OWN),
            own if own == u64::from(self.own) => Some(Relation::OWN),
            0 => Some(Relation::PRIVILEGED),
            1..DOMID_FIRST_RESERVED => Some(Relation::OTHER),
            _ => u16::try_from(domain).is_ok().then_some(Relation::SPECIAL),
        }
    }
}

/// Walks over a call and says how to make it.
///
/// `layouts` belongs to `rules`: [`tables::LAYOUTS`](crate::tables::LAYOUTS) to
/// [`tables::HYPERCALLS`](crate::tables::HYPERCALLS). What is copied stands in `space`, which should be aligned to eight
/// bytes; [`SPACE`] bytes are enough at first.
///
/// # Errors
/// The first thing that is against the call. It is the same whether the host is locked or not; where it is not, the
/// call may be made as it came.
pub fn plan<'t, M: Memory + ?Sized>(
    rules: &Rules<'t>,
    layouts: &Layouts<'t>,
    caller: &Caller,
    registers: &Registers,
    memory: &mut M,
    space: &mut [u8],
) -> Result<Plan<'t>, Refusal<'t>> {
    let mut walk = Walk {
        layouts,
        caller,
        registers: &registers.arguments,
        memory,
        space,
        level: caller.level.unwrap_or(Level::Integrity),
        used: 0,
        copies: [Copied::NONE; COPIES],
        count: 0,
        stride: 0,
        skipped: Skipped::NONE,
        operation: None,
    };
    let outcome = walk.call(rules, registers.hypercall);
    match (outcome, walk.operation) {
        (Ok(()), Some(operation)) => Ok(Plan {
            operation,
            copies: walk.copies,
            count: walk.count,
            stride: walk.stride,
            skipped: walk.skipped,
        }),
        // A walk that ends well has met an operation.
        (Ok(()), None) => Err(Refusal { why: Why::Reason(Reason::UNKNOWN_HYPERCALL), operation: None }),
        (Err(why), operation) => Err(Refusal { why, operation }),
    }
}

/// A walk on its way.
struct Walk<'w, 't, M: ?Sized> {
    layouts: &'w Layouts<'t>,
    caller: &'w Caller,
    registers: &'w [u64; 5],
    memory: &'w mut M,
    space: &'w mut [u8],
    level: Level,
    /// Bytes of the space that are taken.
    used: usize,
    copies: [Copied; COPIES],
    count: u8,
    stride: usize,
    skipped: Skipped,
    operation: Option<&'t Operation<'t>>,
}

/// The structures of a call, as they stand in the space.
#[derive(Clone, Copy)]
struct Structures {
    at: usize,
    /// Bytes of one.
    size: usize,
    count: usize,
}

type Rows<'t> = hypercall::Family<'t>;

impl<'t, M: Memory + ?Sized> Walk<'_, 't, M> {
    fn call(&mut self, rules: &Rules<'t>, hypercall: u64) -> Result<(), Why> {
        let number = HypercallNumber(u32::try_from(hypercall).map_err(|_| UNKNOWN)?);
        let place = rules.family(number).ok_or(UNKNOWN)?;
        let rows = rules.families.get(place).ok_or(UNKNOWN)?;
        let family = self.layouts.families.get(place).ok_or(UNKNOWN)?;
        match family.at {
            At::Nowhere => self.known(rows, family, OperationNumber::NONE),
            At::Register(register, mask) => {
                let whole = self.register(register);
                // What is above the mask says where a call goes on that Xen had interrupted.
                let number = u32::try_from(whole).ok().filter(|_| whole & mask == whole);
                self.known(rows, family, OperationNumber(number.ok_or(Why::Reason(Reason::BYPASS))?))
            }
            At::Carried(field, carrier) => {
                let structures = self.carry(carrier)?;
                self.each(rows, family, structures, field)
            }
            At::Calls(address, number) => {
                self.operation = rows.operations.first();
                Err(self.list(address, number))
            }
        }
    }

    /// An operation whose number is known before anything is copied.
    fn known(&mut self, rows: &Rows<'t>, family: &Family<'t>, operation: OperationNumber) -> Result<(), Why> {
        let selects = family.selectors.iter().find(|at| u32::from(at.number) == operation.0);
        let (layout, structures) = match selects {
            None => {
                let layout = self.find(rows, family, operation, Selector::NONE)?;
                (layout, self.carry(layout.carrier)?)
            }
            Some(at) => {
                let structures = self.carry(at.carrier)?;
                let selector = number(at.field, structures.find(self.space, 0).ok_or(UNKNOWN)?)?;
                (self.find(rows, family, operation, Selector(selector))?, structures)
            }
        };
        for index in 0..structures.count {
            self.look(layout, structures, index)?;
        }
        Ok(())
    }

    /// Structures each of which says itself what it is.
    fn each(
        &mut self,
        rows: &Rows<'t>,
        family: &Family<'t>,
        structures: Structures,
        field: Field,
    ) -> Result<(), Why> {
        for index in 0..structures.count {
            let structure = structures.find(self.space, index).ok_or(UNKNOWN)?;
            let operation = number(field, structure)?;
            let selector = match family.selectors.iter().find(|at| u32::from(at.number) == operation) {
                Some(at) => Selector(number(at.field, structure)?),
                None => Selector::NONE,
            };
            let layout = self.find(rows, family, OperationNumber(operation), selector)?;
            self.look(layout, structures, index)?;
        }
        Ok(())
    }

    /// The layout of an operation that is not refused whatever it holds.
    fn find(
        &mut self,
        rows: &Rows<'t>,
        family: &Family<'t>,
        number: OperationNumber,
        selector: Selector,
    ) -> Result<&'t Layout<'t>, Why> {
        let place = rows.place(number, selector).ok_or(UNKNOWN)?;
        let operation = rows.operations.get(place).ok_or(UNKNOWN)?;
        self.operation = Some(operation);
        refuse(operation.refuses_always(self.level, Door::Guard))?;
        // A table that is not that of these rules says nothing about them.
        let row =
            family.rows.get(place).filter(|row| (row.number, row.selector) == operation.key()).ok_or(UNKNOWN)?;
        let layout = usize::from(row.layout).checked_sub(1).and_then(|place| self.layouts.layouts.get(place));
        let layout = layout.ok_or(UNKNOWN)?;
        if !layout.versions.contains(self.caller.version) {
            return Err(Why::Reason(Reason::INTERFACE_VERSION));
        }
        Ok(layout)
    }

    /// Holds one structure against its rules, and every buffer that it names against userspace's range.
    fn look(&mut self, layout: &Layout<'t>, structures: Structures, index: usize) -> Result<(), Why> {
        let operation = self.operation.ok_or(UNKNOWN)?;
        let (caller, level, registers) = (self.caller, self.level, self.registers);
        let structure = structures.find(self.space, index).ok_or(UNKNOWN)?;
        if layout.version.is_some_and(|version| !version.holds(structure, caller.version)) {
            return Err(Why::Reason(Reason::INTERFACE_VERSION));
        }
        let aim = |domain: Option<u64>, may_be_own: bool| {
            let relation = domain.and_then(|domain| caller.relation(domain));
            let relation = relation.ok_or(Why::Reason(Reason::SPECIAL_TARGET))?;
            if may_be_own && [Relation::OWN, Relation::PRIVILEGED].contains(&relation) {
                return Ok(());
            }
            refuse(operation.refuses_target(relation, level, Door::Guard))
        };
        match layout.target {
            Target::None => {}
            Target::Register(register) => aim(registers.get(usize::from(register)).copied(), false)?,
            Target::Field(field) => aim(field.read(structure), false)?,
        }
        for other in layout.others {
            if layout::applies(other.when, structure) {
                aim(other.field.read(structure), other.own)?;
            }
        }
        refuse(operation.refuses_values(structure, level, Door::Guard))?;
        for (register, buffer) in layout.registers {
            let user = registers.get(usize::from(*register)).copied();
            let leaf = caller.leaf(user, buffer.bytes(structure, registers), buffer.direction)?;
            self.memory.leaf(leaf);
        }
        for handle in layout.handles {
            if layout::applies(handle.when, structure) {
                let bytes = handle.buffer.bytes(structure, registers);
                let leaf = caller.leaf(pointer(structure, handle.offset), bytes, handle.buffer.direction)?;
                self.memory.leaf(leaf);
                self.skipped.add(handle.offset)?;
            }
        }
        let tail = match &layout.tail {
            Some(tail) if !structure.is_empty() => Some((tail.offset, tail.buffer.bytes(structure, registers))),
            _ => None,
        };
        let last = usize::from(self.count).checked_sub(1).and_then(|last| self.copies.get_mut(last));
        if let Some(last) = last.filter(|_| layout.writes) {
            last.written = true;
        }
        tail.map_or(Ok(()), |(offset, bytes)| self.extend(offset, bytes.ok_or(FOREIGN)?))
    }

    /// Copies what the walk needs to see.
    fn carry(&mut self, carrier: Carrier) -> Result<Structures, Why> {
        match carrier {
            Carrier::None => Ok(Structures::NOTHING),
            Carrier::Structure(register, _, true) if self.register(register) == 0 => Ok(Structures::NOTHING),
            Carrier::Structure(register, size, _) => {
                let at = self.copy(self.register(register), u64::from(size), Holder::Register(register))?;
                self.stride = usize::from(size);
                Ok(Structures { at, size: self.stride, count: 1 })
            }
            Carrier::Elements(register, number, size) => {
                let count = self.register(number);
                // No element is no operation.
                let bytes = count.checked_mul(u64::from(size)).filter(|&bytes| bytes > 0).ok_or(UNKNOWN)?;
                let at = self.copy(self.register(register), bytes, Holder::Register(register))?;
                self.stride = usize::from(size);
                Ok(Structures { at, size: self.stride, count: usize::try_from(count).map_err(|_| UNKNOWN)? })
            }
            Carrier::Buffers(register, number, size) => self.buffers(register, number, size),
        }
    }

    /// Descriptors of buffers: an address and a size each. The first buffer is the structure, of which Xen gets a copy;
    /// the others are held against userspace's range.
    fn buffers(&mut self, register: u8, number: u8, size: u16) -> Result<Structures, Why> {
        const DESCRIPTOR: usize = 16;
        let bytes = self.register(number).checked_mul(DESCRIPTOR as u64).ok_or(UNKNOWN)?;
        let at = self.copy(self.register(register), bytes, Holder::Register(register))?;
        let descriptors = self.space.get(at..self.used).unwrap_or_default();
        let mut first = None;
        for descriptor in descriptors.chunks_exact(DESCRIPTOR) {
            let leaf = self.caller.leaf(pointer(descriptor, 0), pointer(descriptor, 8), Direction::InOut)?;
            if first.is_none() {
                first = Some(leaf);
            } else {
                self.memory.leaf(leaf);
            }
        }
        let structure = first.ok_or(UNKNOWN)?;
        // Xen is told of no more than what was copied.
        let bytes = structure.bytes.min(u64::from(size));
        let told = at.checked_add(8).and_then(|told| self.space.get_mut(told..)?.first_chunk_mut());
        *told.ok_or(UNKNOWN)? = bytes.to_le_bytes();
        let at = self.copy(structure.user, bytes, Holder::Space(at))?;
        self.stride = usize::from(size);
        Ok(Structures { at, size: self.used.saturating_sub(at), count: 1 })
    }

    /// Copies once from userspace, and says where to.
    fn copy(&mut self, user: u64, bytes: u64, holder: Holder) -> Result<usize, Why> {
        if !self.caller.owns(user, bytes) {
            return Err(FOREIGN);
        }
        let at = self.used;
        let length = self.take(user, bytes)?;
        let place = self.copies.get_mut(usize::from(self.count)).ok_or(UNKNOWN)?;
        *place = Copied { user, at, length, holder, written: false };
        self.count = self.count.saturating_add(1);
        Ok(at)
    }

    /// A list that goes on behind the structure, which is the last copy.
    fn extend(&mut self, offset: u16, bytes: u64) -> Result<(), Why> {
        let last = usize::from(self.count).checked_sub(1).ok_or(UNKNOWN)?;
        let Copied { user, length, .. } = *self.copies.get(last).ok_or(UNKNOWN)?;
        let whole = bytes.checked_add(u64::from(offset)).filter(|&whole| self.caller.owns(user, whole));
        let length = u64::try_from(length).map_err(|_| UNKNOWN)?;
        let Some(more) = whole.ok_or(FOREIGN)?.checked_sub(length) else { return Ok(()) };
        let more = self.take(user.saturating_add(length), more)?;
        let last = self.copies.get_mut(last).ok_or(UNKNOWN)?;
        last.length = last.length.saturating_add(more);
        self.stride = last.length;
        Ok(())
    }

    /// Fetches to the end of what is taken of the space.
    fn take(&mut self, user: u64, bytes: u64) -> Result<usize, Why> {
        let needed = bytes.saturating_add(u64::try_from(self.used).unwrap_or(u64::MAX));
        let end = usize::try_from(needed).map_err(|_| Why::Space(needed))?;
        let into = self.space.get_mut(self.used..end).ok_or(Why::Space(needed))?;
        let length = into.len();
        if !self.memory.fetch(user, into) {
            return Err(Why::Fault);
        }
        self.used = end;
        Ok(length)
    }

    /// A list of calls. It is refused as what it is, but whoever asks may take the calls one by one.
    fn list(&self, address: u8, number: u8) -> Why {
        let user = self.register(address);
        let count = u32::try_from(self.register(number)).ok().filter(|&count| count <= Calls::MOST);
        let Some(count) = count else { return Why::Reason(Reason::BYPASS) };
        let bytes = u64::from(count).saturating_mul(Calls::ENTRY as u64);
        if self.caller.owns(user, bytes) { Why::Calls(Calls { user, count }) } else { FOREIGN }
    }

    fn register(&self, register: u8) -> u64 {
        // A table names registers that there are.
        self.registers.get(usize::from(register)).copied().unwrap_or(u64::MAX)
    }
}

const UNKNOWN: Why = Why::Reason(Reason::UNKNOWN_HYPERCALL);
const FOREIGN: Why = Why::Reason(Reason::KERNEL_ADDRESS);

fn refuse(reason: Option<Reason>) -> Result<(), Why> {
    reason.map_or(Ok(()), |reason| Err(Why::Reason(reason)))
}

fn number(field: Field, structure: &[u8]) -> Result<u32, Why> {
    field.read(structure).and_then(|wide| u32::try_from(wide).ok()).ok_or(UNKNOWN)
}

fn pointer(structure: &[u8], offset: u16) -> Option<u64> {
    structure.get(usize::from(offset)..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

impl Caller {
    fn leaf(&self, user: Option<u64>, bytes: Option<u64>, direction: Direction) -> Result<Leaf, Why> {
        match (user, bytes) {
            (Some(user), Some(bytes)) if self.owns(user, bytes) => Ok(Leaf { user, bytes, direction }),
            _ => Err(FOREIGN),
        }
    }
}

impl Copied {
    const NONE: Self = Self { user: 0, at: 0, length: 0, holder: Holder::Register(0), written: false };
}

impl Structures {
    const NOTHING: Self = Self { at: 0, size: 0, count: 1 };

    fn find(self, space: &[u8], index: usize) -> Option<&[u8]> {
        space.get(self.at.checked_add(self.size.checked_mul(index)?)?..)?.get(..self.size)
    }
}

/// The pointers of a structure that are in use: they are not copied back, so that userspace keeps what it wrote.
#[derive(Clone, Copy, Debug)]
struct Skipped([u16; HANDLES]);

impl Skipped {
    const NONE: Self = Self([u16::MAX; HANDLES]);

    fn add(&mut self, offset: u16) -> Result<(), Why> {
        let place = self.0.iter_mut().find(|place| **place == u16::MAX || **place == offset);
        *place.ok_or(UNKNOWN)? = offset;
        Ok(())
    }

    /// From a place in a structure on: how far it is to the next pointer, and over it.
    fn next(&self, from: usize, end: usize) -> (usize, usize) {
        let pointers = self.0.iter().filter(|&&offset| offset != u16::MAX).map(|&offset| usize::from(offset));
        let next = pointers.filter(|offset| offset.saturating_add(8) > from).min().filter(|&offset| offset < end);
        match next {
            Some(offset) => (offset.max(from), offset.saturating_add(8).min(end)),
            None => (end, end),
        }
    }
}

impl<'t> Plan<'t> {
    /// The copies, in the order in which they were made. Their holders are to be set before the call.
    #[must_use]
    pub fn copies(&self) -> &[Copied] {
        self.copies.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// What is to be copied back after the call, whatever it answered.
    pub fn back(&self) -> impl Iterator<Item = Back> + use<'t> {
        Backs { plan: *self, copy: 0, at: 0 }
    }
}

struct Backs<'t> {
    plan: Plan<'t>,
    copy: usize,
    at: usize,
}

impl Iterator for Backs<'_> {
    type Item = Back;

    fn next(&mut self) -> Option<Back> {
        loop {
            let copied = self.plan.copies().get(self.copy)?;
            if !copied.written || self.at >= copied.length {
                self.copy = self.copy.saturating_add(1);
                self.at = 0;
                continue;
            }
            // Structure by structure; what is shorter than one ends where the copy ends.
            let within = self.at.checked_rem(self.plan.stride)?;
            let start = self.at.saturating_sub(within);
            let end = self.plan.stride.min(copied.length.saturating_sub(start));
            let (stop, next) = self.plan.skipped.next(within, end);
            let from = self.at;
            self.at = start.saturating_add(next);
            let length = stop.saturating_sub(within);
            if length > 0 {
                let offset = u64::try_from(from).ok()?;
                return Some(Back {
                    user: copied.user.saturating_add(offset),
                    at: copied.at.saturating_add(from),
                    length,
                });
            }
        }
    }
}
