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
    At, Buffer, Carrier, Count, Direction, Family, Handle, Layout, Layouts, Other, Row, SelectorAt, Short, Target,
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
    /// Copies from it; `false` if that faults. Called for addresses below [`Caller::user_end`] only, and for no byte of
    /// a structure twice. Two structures of one call may overlap.
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
    layout: &'t Layout<'t>,
    /// Where copies come from.
    users: [u64; COPIES],
    /// How long they are; one begins where the other ends.
    lengths: [usize; COPIES],
    count: u8,
    /// The register that holds the address of the first, counted from 0.
    register: u8,
    /// Which pointers of the layout are in use, a bit for each.
    used: u8,
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
    users: [u64; COPIES],
    lengths: [usize; COPIES],
}

/// Bytes that were copied before a walk ended, for whoever tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where they come from.
    pub user: u64,
    /// Where they stand in the space.
    pub at: usize,
    /// How many.
    pub length: usize,
}

impl Refusal<'_> {
    /// What was copied until then.
    pub fn seen(&self) -> impl Iterator<Item = Seen> + use<> {
        let mut at = 0_usize;
        self.users.into_iter().zip(self.lengths).filter(|&(_, length)| length > 0).map(move |(user, length)| {
            let seen = Seen { user, at, length };
            at = at.saturating_add(length);
            seen
        })
    }
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
    let unsure = match short(rules, layouts, caller, registers, memory, space) {
        Ok(plan) => return Ok(plan),
        Err(unsure) => unsure,
    };
    let mut walk = Walk {
        layouts,
        caller,
        registers: &registers.arguments,
        memory,
        space,
        level: caller.level.unwrap_or(Level::Integrity),
        users: [0; COPIES],
        lengths: [0; COPIES],
        count: 0,
        register: 0,
        used: 0,
        unsure,
        found: None,
        why: UNKNOWN,
    };
    match (walk.call(rules, registers.hypercall), walk.found) {
        (Ok(()), Some((operation, Some(layout)))) => Ok(Plan {
            operation,
            layout,
            users: walk.users,
            lengths: walk.lengths,
            count: walk.count,
            register: walk.register,
            used: walk.used,
        }),
        (_, found) => Err(Refusal {
            why: walk.why,
            operation: found.map(|(operation, _)| operation),
            users: walk.users,
            lengths: walk.lengths,
        }),
    }
}

/// What the short way left behind for the long one: what it copied to the start of the space already, so that nothing is
/// copied twice.
#[derive(Clone, Copy)]
struct Unsure {
    bytes: usize,
    /// The copy faulted.
    faulted: bool,
}

impl Unsure {
    const NOTHING: Self = Self { bytes: 0, faulted: false };
}

/// Walks over a usual call in a straight line. It only admits what the long way admits too, and in the same way.
#[inline(always)]
fn short<'t, M: Memory + ?Sized>(
    rules: &Rules<'t>,
    layouts: &Layouts<'t>,
    caller: &Caller,
    registers: &Registers,
    memory: &mut M,
    space: &mut [u8],
) -> Result<Plan<'t>, Unsure> {
    const LONG: Unsure = Unsure::NOTHING;
    let number = usize::try_from(registers.hypercall).map_err(|_| LONG)?;
    let place = usize::from(*rules.numbers.get(number).ok_or(LONG)?).wrapping_sub(1);
    let (rows, family) = (rules.families.get(place).ok_or(LONG)?, layouts.families.get(place).ok_or(LONG)?);
    if caller.version != XenVersion::V4_20 {
        return Err(LONG);
    }
    let mut done = LONG;
    let mut user = 0;
    let operation = match family.at {
        At::Register(register, mask) => {
            let whole = registers.arguments.get(usize::from(register)).copied().ok_or(LONG)?;
            if whole & mask != whole {
                return Err(LONG);
            }
            whole
        }
        At::Carried(_, Carrier::Structure(register, size, false)) if !family.shorts.is_empty() => {
            user = registers.arguments.get(usize::from(register)).copied().ok_or(LONG)?;
            done = take(caller, memory, space, user, usize::from(size))?;
            u64::from(space.first_chunk().copied().map(u32::from_le_bytes).ok_or(done)?)
        }
        _ => return Err(LONG),
    };
    let short = usize::try_from(operation).ok().and_then(|operation| family.shorts.get(operation)).ok_or(done)?;
    let layout = layouts.layouts.get(usize::from(short.layout).wrapping_sub(1)).ok_or(done)?;
    let row = rows.operations.get(usize::from(short.row)).ok_or(done)?;
    let size = usize::from(short.size);
    if size == 0 {
        let (users, lengths) = ([0; COPIES], [0; COPIES]);
        return Ok(Plan { operation: row, layout, users, lengths, count: 0, register: 0, used: 0 });
    }
    if done.bytes == 0 {
        user = registers.arguments.get(usize::from(short.register)).copied().ok_or(LONG)?;
        done = take(caller, memory, space, user, size)?;
    }
    let structure = space.get(..size).ok_or(done)?;
    if eight(structure, 0).ok_or(done)? & short.head_mask != short.head {
        return Err(done);
    }
    if short.target != Short::NONE {
        let domain = eight(structure, short.target).ok_or(done)? & 0xffff;
        let is_other = domain.wrapping_sub(1) < DOMID_FIRST_RESERVED.wrapping_sub(1);
        let is_own = domain == DOMID_SELF || domain == 0 || domain == u64::from(caller.own);
        if is_own && !short.own || !is_own && !is_other {
            return Err(done);
        }
    }
    let mut used = 0;
    if short.pointer != Short::NONE {
        let pointer = eight(structure, short.pointer).ok_or(done)?;
        let counted = eight(structure, short.count).ok_or(done)?.wrapping_shr(u32::from(short.count_shift));
        let number = (counted & short.count_mask).checked_add(short.more);
        let bytes = number.and_then(|number| number.checked_mul(u64::from(short.element))).ok_or(done)?;
        if !caller.owns(pointer, bytes) {
            return Err(done);
        }
        memory.leaf(Leaf { user: pointer, bytes, direction: short.direction });
        used = 1;
    }
    let register = short.register;
    Ok(Plan { operation: row, layout, users: [user, 0], lengths: [size, 0], count: 1, register, used })
}

/// Copies a structure to the start of the space.
#[inline(always)]
fn take<M: Memory + ?Sized>(
    caller: &Caller,
    memory: &mut M,
    space: &mut [u8],
    user: u64,
    size: usize,
) -> Result<Unsure, Unsure> {
    let is_owned = u64::try_from(size).is_ok_and(|bytes| caller.owns(user, bytes));
    let into = space.get_mut(..size).filter(|_| is_owned).ok_or(Unsure::NOTHING)?;
    let fetched = memory.fetch(user, into);
    let done = Unsure { bytes: size, faulted: !fetched };
    if fetched { Ok(done) } else { Err(done) }
}

/// Eight bytes of a structure.
#[inline(always)]
fn eight(structure: &[u8], offset: u16) -> Option<u64> {
    structure.get(usize::from(offset)..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// A walk on its way.
struct Walk<'w, 't, M: ?Sized> {
    layouts: &'w Layouts<'t>,
    caller: &'w Caller,
    registers: &'w [u64; 5],
    memory: &'w mut M,
    space: &'w mut [u8],
    level: Level,
    users: [u64; COPIES],
    lengths: [usize; COPIES],
    count: u8,
    register: u8,
    used: u8,
    /// What was copied before the walk began.
    unsure: Unsure,
    /// The operation, and its layout if that could be used.
    found: Option<(&'t Operation<'t>, Option<&'t Layout<'t>>)>,
    /// Why it stopped.
    why: Why,
}

/// A walk that stopped; it knows why.
struct Stopped;

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
    #[inline(always)]
    fn call(&mut self, rules: &Rules<'t>, hypercall: u64) -> Result<(), Stopped> {
        let number = HypercallNumber(u32::try_from(hypercall).map_err(|_| Stopped)?);
        let place = rules.family(number).ok_or(Stopped)?;
        let rows = rules.families.get(place).ok_or(Stopped)?;
        let family = self.layouts.families.get(place).ok_or(Stopped)?;
        match family.at {
            At::Register(register, mask) => {
                let whole = self.register(register);
                // What is above the mask says where a call goes on that Xen had interrupted.
                match u32::try_from(whole) {
                    Ok(number) if whole & mask == whole => self.known(rows, family, OperationNumber(number)),
                    _ => Err(self.stop(Why::Reason(Reason::BYPASS))),
                }
            }
            At::Carried(field, carrier) => {
                let structures = self.carry(carrier)?;
                self.each(rows, family, structures, field)
            }
            At::Nowhere => self.known(rows, family, OperationNumber::NONE),
            At::Calls(address, number) => {
                self.found = rows.operations.first().map(|operation| (operation, None));
                self.why = self.list(address, number);
                Err(Stopped)
            }
        }
    }

    /// An operation whose number is known before anything is copied.
    #[inline(always)]
    fn known(&mut self, rows: &Rows<'t>, family: &Family<'t>, operation: OperationNumber) -> Result<(), Stopped> {
        let (layout, structures) = match family.selector(operation) {
            None => {
                let layout = self.find(rows, family, operation, Selector::NONE)?;
                (layout, self.carry(layout.carrier)?)
            }
            Some(at) => {
                let structures = self.carry(at.carrier)?;
                let selector = number(at.field, structures.find(self.space, 0).ok_or(Stopped)?)?;
                (self.find(rows, family, operation, Selector(selector))?, structures)
            }
        };
        for index in 0..structures.count {
            self.look(layout, structures.place(index).ok_or(Stopped)?, structures.size)?;
        }
        Ok(())
    }

    /// Structures each of which says itself what it is.
    #[inline(never)]
    fn each(
        &mut self,
        rows: &Rows<'t>,
        family: &Family<'t>,
        structures: Structures,
        field: Field,
    ) -> Result<(), Stopped> {
        for index in 0..structures.count {
            let structure = structures.find(self.space, index).ok_or(Stopped)?;
            let operation = OperationNumber(number(field, structure)?);
            let selector = match family.selector(operation) {
                Some(at) => Selector(number(at.field, structure)?),
                None => Selector::NONE,
            };
            let layout = self.find(rows, family, operation, selector)?;
            self.look(layout, structures.place(index).ok_or(Stopped)?, structures.size)?;
        }
        Ok(())
    }

    /// The layout of an operation that is not refused whatever it holds.
    #[inline(always)]
    fn find(
        &mut self,
        rows: &Rows<'t>,
        family: &Family<'t>,
        number: OperationNumber,
        selector: Selector,
    ) -> Result<&'t Layout<'t>, Stopped> {
        let place = rows.place(number, selector).ok_or(Stopped)?;
        let operation = rows.operations.get(place).ok_or(Stopped)?;
        self.found = Some((operation, None));
        self.refuse(operation.refuses_always(self.level, Door::Guard))?;
        // A table that is not that of these rules says nothing about them.
        let row = family.rows.get(place).filter(|row| (row.number, row.selector) == operation.key());
        let layout = usize::from(row.ok_or(Stopped)?.layout).checked_sub(1).ok_or(Stopped)?;
        let layout = self.layouts.layouts.get(layout).ok_or(Stopped)?;
        if !layout.versions.contains(self.caller.version) {
            return Err(self.stop(Why::Reason(Reason::INTERFACE_VERSION)));
        }
        self.found = Some((operation, Some(layout)));
        Ok(layout)
    }

    /// Holds one structure against its rules, and every buffer that it names against userspace's range.
    fn look(&mut self, layout: &Layout<'t>, at: usize, size: usize) -> Result<(), Stopped> {
        let (operation, _) = self.found.ok_or(Stopped)?;
        let structure = self.space.get(at..).and_then(|rest| rest.get(..size)).ok_or(Stopped)?;
        if layout.version.is_some_and(|version| !version.holds(structure, self.caller.version)) {
            return Err(self.stop(Why::Reason(Reason::INTERFACE_VERSION)));
        }
        let (caller, level) = (self.caller, self.level);
        let aim = |domain: Option<u64>, may_be_own: bool| {
            let Some(relation) = domain.and_then(|domain| caller.relation(domain)) else {
                return Some(Reason::SPECIAL_TARGET);
            };
            let is_own = relation == Relation::OWN || relation == Relation::PRIVILEGED;
            if may_be_own && is_own { None } else { operation.refuses_target(relation, level, Door::Guard) }
        };
        let reason = match layout.target {
            Target::None => None,
            Target::Register(register) => aim(self.registers.get(usize::from(register)).copied(), false),
            Target::Field(field) => aim(field.read(structure), false),
        };
        let named = |other: &Other<'_>| {
            if layout::applies(other.when, structure) { aim(other.field.read(structure), other.own) } else { None }
        };
        let reason = reason.or_else(|| layout.others.iter().find_map(named));
        let reason = reason.or_else(|| operation.refuses_values(structure, level, Door::Guard));
        if reason.is_some() {
            return self.refuse(reason);
        }
        for (register, buffer) in layout.registers {
            let user = self.registers.get(usize::from(*register)).copied();
            match caller.leaf(user, buffer.bytes(structure, self.registers), buffer.direction) {
                Some(leaf) => self.memory.leaf(leaf),
                None => return Err(self.foreign()),
            }
        }
        let mut bit = 1_u8;
        for handle in layout.handles {
            if layout::applies(handle.when, structure) {
                let bytes = handle.buffer.bytes(structure, self.registers);
                match caller.leaf(pointer(structure, handle.offset), bytes, handle.buffer.direction) {
                    Some(leaf) => self.memory.leaf(leaf),
                    None => return Err(self.foreign()),
                }
                self.used |= bit;
            }
            bit = bit.wrapping_shl(1);
        }
        match &layout.tail {
            Some(tail) if !structure.is_empty() => {
                let bytes = tail.buffer.bytes(structure, self.registers);
                self.extend(tail.offset, bytes)
            }
            _ => Ok(()),
        }
    }

    /// Copies what the walk needs to see.
    #[inline(always)]
    fn carry(&mut self, carrier: Carrier) -> Result<Structures, Stopped> {
        match carrier {
            Carrier::None => Ok(Structures::NOTHING),
            Carrier::Structure(register, size, may_be_null) => {
                let (user, size) = (self.register(register), usize::from(size));
                if may_be_null && user == 0 {
                    return Ok(Structures::NOTHING);
                }
                self.register = register;
                let at = self.copy(user, size)?;
                Ok(Structures { at, size, count: 1 })
            }
            Carrier::Elements(register, count, size) => {
                let (count, size) = (self.register(count), usize::from(size));
                let user = self.register(register);
                self.register = register;
                let at = self.array(user, count, size)?;
                Ok(Structures { at, size, count: usize::try_from(count).map_err(|_| Stopped)? })
            }
            Carrier::Buffers(register, count, size) => self.buffers(register, count, usize::from(size)),
        }
    }

    /// Descriptors of buffers: an address and a size each. The first buffer is the structure, of which Xen gets a copy;
    /// the others are held against userspace's range.
    #[inline(never)]
    fn buffers(&mut self, register: u8, count: u8, size: usize) -> Result<Structures, Stopped> {
        const DESCRIPTOR: usize = 16;
        let (user, count) = (self.register(register), self.register(count));
        self.register = register;
        let at = self.array(user, count, DESCRIPTOR)?;
        let [end, _] = self.lengths;
        let mut first = None;
        for descriptor in self.space.get(at..end).unwrap_or_default().chunks_exact(DESCRIPTOR) {
            match self.caller.leaf(pointer(descriptor, 0), pointer(descriptor, 8), Direction::InOut) {
                Some(leaf) if first.is_none() => first = Some(leaf),
                Some(leaf) => self.memory.leaf(leaf),
                None => return Err(self.foreign()),
            }
        }
        let structure = first.ok_or(Stopped)?;
        // Xen is told of no more than what was copied.
        let size = usize::try_from(structure.bytes).unwrap_or(size).min(size);
        let told = self.space.get_mut(at.saturating_add(8)..).and_then(|told| told.first_chunk_mut());
        *told.ok_or(Stopped)? = u64::try_from(size).map_err(|_| Stopped)?.to_le_bytes();
        let at = self.copy(structure.user, size)?;
        Ok(Structures { at, size, count: 1 })
    }

    /// Copies so many structures. None is no operation.
    #[inline(never)]
    fn array(&mut self, user: u64, count: u64, size: usize) -> Result<usize, Stopped> {
        let bytes = u64::try_from(size).ok().and_then(|size| count.checked_mul(size));
        match bytes.map(usize::try_from) {
            Some(Ok(0)) => Err(Stopped),
            Some(Ok(bytes)) => self.copy(user, bytes),
            _ => Err(self.foreign()),
        }
    }

    /// Copies once from userspace to the end of what is taken of the space, and says where to.
    #[inline(always)]
    fn copy(&mut self, user: u64, bytes: usize) -> Result<usize, Stopped> {
        let [first, second] = self.lengths;
        let at = first.saturating_add(second);
        let place = usize::from(self.count);
        self.fetch(user, at, bytes)?;
        if let (Some(from), Some(length)) = (self.users.get_mut(place), self.lengths.get_mut(place)) {
            *from = user;
            *length = bytes;
            self.count = self.count.wrapping_add(1);
        }
        Ok(at)
    }

    /// A list that goes on behind the structure, which is the only copy.
    #[inline(never)]
    fn extend(&mut self, offset: u16, bytes: Option<u64>) -> Result<(), Stopped> {
        let ([user, _], [length, _]) = (self.users, self.lengths);
        let whole = bytes.and_then(|bytes| bytes.checked_add(u64::from(offset))).map(usize::try_from);
        let Some(Ok(whole)) = whole else { return Err(self.foreign()) };
        let more = whole.saturating_sub(length);
        let from = u64::try_from(length).ok().and_then(|length| user.checked_add(length));
        self.fetch(from.ok_or(Stopped)?, length, more)?;
        self.lengths = [length.saturating_add(more), 0];
        Ok(())
    }

    fn fetch(&mut self, user: u64, at: usize, bytes: usize) -> Result<(), Stopped> {
        let end = at.saturating_add(bytes);
        let wide = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        if !self.caller.owns(user, wide(bytes)) {
            return Err(self.foreign());
        }
        let Some(into) = self.space.get_mut(at..end) else { return Err(self.stop(Why::Space(wide(end)))) };
        // What the short way tried stands there already, and is the first that is copied.
        let unsure = core::mem::replace(&mut self.unsure, Unsure::NOTHING);
        let fetched = if unsure.bytes == 0 { self.memory.fetch(user, into) } else { !unsure.faulted };
        if fetched { Ok(()) } else { Err(self.stop(Why::Fault)) }
    }

    /// A list of calls. It is refused as what it is, but whoever asks may take the calls one by one.
    #[inline(never)]
    fn list(&self, address: u8, count: u8) -> Why {
        let user = self.register(address);
        let count = u32::try_from(self.register(count)).ok().filter(|&count| count <= Calls::MOST);
        let Some(count) = count else { return Why::Reason(Reason::BYPASS) };
        let bytes = u64::from(count).saturating_mul(Calls::ENTRY as u64);
        if self.caller.owns(user, bytes) { Why::Calls(Calls { user, count }) } else { FOREIGN }
    }

    fn register(&self, register: u8) -> u64 {
        // A table names registers that there are.
        self.registers.get(usize::from(register)).copied().unwrap_or(u64::MAX)
    }

    fn refuse(&mut self, reason: Option<Reason>) -> Result<(), Stopped> {
        match reason {
            None => Ok(()),
            Some(reason) => Err(self.stop(Why::Reason(reason))),
        }
    }

    #[cold]
    fn foreign(&mut self) -> Stopped {
        self.stop(FOREIGN)
    }

    #[cold]
    fn stop(&mut self, why: Why) -> Stopped {
        self.why = why;
        Stopped
    }
}

/// Where a walk stops without saying why, it met nothing that it knows.
const UNKNOWN: Why = Why::Reason(Reason::UNKNOWN_HYPERCALL);
const FOREIGN: Why = Why::Reason(Reason::KERNEL_ADDRESS);

fn number(field: Field, structure: &[u8]) -> Result<u32, Stopped> {
    field.read(structure).and_then(|wide| u32::try_from(wide).ok()).ok_or(Stopped)
}

fn pointer(structure: &[u8], offset: u16) -> Option<u64> {
    structure.get(usize::from(offset)..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

impl Caller {
    fn leaf(&self, user: Option<u64>, bytes: Option<u64>, direction: Direction) -> Option<Leaf> {
        let leaf = Leaf { user: user?, bytes: bytes?, direction };
        self.owns(leaf.user, leaf.bytes).then_some(leaf)
    }
}

impl Family<'_> {
    fn selector(&self, operation: OperationNumber) -> Option<&SelectorAt> {
        self.selectors.iter().find(|at| u32::from(at.number) == operation.0)
    }
}

impl Structures {
    const NOTHING: Self = Self { at: 0, size: 0, count: 1 };

    fn place(self, index: usize) -> Option<usize> {
        self.at.checked_add(self.size.checked_mul(index)?)
    }

    fn find(self, space: &[u8], index: usize) -> Option<&[u8]> {
        space.get(self.place(index)?..)?.get(..self.size)
    }
}

impl<'t> Plan<'t> {
    /// The copies, in the order in which they were made. Their holders are to be set before the call.
    pub fn copies(&self) -> impl Iterator<Item = Copied> + use<'t> {
        let plan = *self;
        let count = usize::from(plan.count);
        (0..count).filter_map(move |place| {
            let at = if place == 0 { 0 } else { *plan.lengths.first()? };
            // The second is the first that descriptors name.
            let holder = if place == 0 { Holder::Register(plan.register) } else { Holder::Space(0) };
            let is_last = place.checked_add(1) == Some(count);
            Some(Copied {
                user: *plan.users.get(place)?,
                at,
                length: *plan.lengths.get(place)?,
                holder,
                written: is_last && plan.layout.writes,
            })
        })
    }

    /// What is to be copied back after the call, whatever it answered: what Xen may have written, but no pointer that it
    /// used, so that userspace keeps what it wrote there.
    pub fn back(&self) -> impl Iterator<Item = Back> + use<'t> {
        Backs { plan: *self, copied: self.copies().last().filter(|last| last.written), at: 0 }
    }

    /// From a place in a structure on: how far it is to the next pointer in use, and over it.
    fn next(&self, from: usize, end: usize) -> (usize, usize) {
        let mut bits = self.used;
        for handle in self.layout.handles {
            let (offset, is_used) = (usize::from(handle.offset), bits & 1 != 0);
            bits >>= 1;
            if is_used && offset < end && offset.saturating_add(8) > from {
                return (offset.max(from), offset.saturating_add(8).min(end));
            }
        }
        (end, end)
    }
}

struct Backs<'t> {
    plan: Plan<'t>,
    copied: Option<Copied>,
    at: usize,
}

impl Iterator for Backs<'_> {
    type Item = Back;

    fn next(&mut self) -> Option<Back> {
        let copied = self.copied?;
        // Structure by structure, where there are several.
        let stride = match self.plan.layout.carrier {
            Carrier::Elements(_, _, size) => usize::from(size),
            _ => copied.length,
        };
        while self.at < copied.length {
            let from = self.at;
            let within = from.checked_rem(stride)?;
            let (stop, next) = self.plan.next(within, stride);
            self.at = from.saturating_sub(within).saturating_add(next);
            let length = stop.saturating_sub(within);
            if length > 0 {
                let user = copied.user.saturating_add(u64::try_from(from).ok()?);
                return Some(Back { user, at: copied.at.saturating_add(from), length });
            }
        }
        None
    }
}
