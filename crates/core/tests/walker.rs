//! The guard's walk over arguments, held against another reading of the same policy: this file reads
//! `policy/hypercalls/` itself and restates what a filter has to do, without the tables.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod policy_text;

use std::collections::{BTreeMap, BTreeSet};

use lockdown_core::guard::{
    Back, Caller, Calls, Direction, Holder, Leaf, MOST_SPACE, Memory, Plan, Refusal, Registers, SPACE, Why, plan,
};
use lockdown_core::{Level, XenVersion, tables};
use policy_text::{Operation, Value, operations, reason_levels};

const USER_END: u64 = 0x7fff_ffff_f000;
const KERNEL: u64 = 0xffff_8881_0000_0000;
const OWN: u64 = 0x7ff0;

/// Userspace's memory: what was put there, and something else everywhere else. A byte that is read twice has changed.
#[derive(Default)]
struct User {
    bytes: BTreeMap<u64, u8>,
    read: BTreeSet<u64>,
    twice: bool,
    outside: bool,
    fetches: usize,
    fails_at: Option<usize>,
    leaves: Vec<Leaf>,
}

impl User {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes.extend((0..).zip(bytes).map(|(index, &byte)| (at.wrapping_add(index), byte)));
    }

    fn peek(&self, at: u64) -> u8 {
        self.bytes.get(&at).copied().unwrap_or((at.wrapping_mul(0x9e37_79b9) >> 13) as u8)
    }

    fn all(&self, at: u64, length: u64) -> Vec<u8> {
        (0..length).map(|index| self.peek(at.wrapping_add(index))).collect()
    }
}

impl Memory for User {
    fn fetch(&mut self, from: u64, into: &mut [u8]) -> bool {
        self.fetches += 1;
        if self.fails_at == Some(self.fetches) {
            return false;
        }
        for (index, byte) in (0..).zip(into) {
            let at = from + index;
            self.outside |= at >= USER_END;
            let again = !self.read.insert(at);
            self.twice |= again;
            *byte = if again { !self.peek(at) } else { self.peek(at) };
        }
        true
    }

    fn leaf(&mut self, leaf: Leaf) {
        self.leaves.push(leaf);
    }
}

fn caller(own: u16) -> Caller {
    Caller {
        level: Some(Level::Integrity),
        own,
        user_end: USER_END,
        version: XenVersion::from_name("4.20").unwrap(),
    }
}

fn walk<'t>(
    caller: &Caller,
    registers: &Registers,
    user: &mut User,
    space: &mut [u8],
) -> Result<Plan<'t>, Refusal<'t>> {
    plan(&tables::HYPERCALLS, &tables::LAYOUTS, caller, registers, user, space)
}

/// Numbers that look like chance and are the same at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.roll() % most
    }

    fn of(&mut self, choices: &[u64]) -> u64 {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A call, and which operation each of its structures is.
struct Built<'a> {
    registers: Registers,
    user: User,
    elements: Vec<&'a Operation>,
}

fn number(bytes: &[u8], field: &Value) -> Option<u64> {
    let (offset, width) = (field.number("offset")? as usize, field.number("width")? as usize);
    let mut whole = [0; 8];
    whole[..width].copy_from_slice(bytes.get(offset..offset + width)?);
    Some(u64::from_le_bytes(whole) & field.number("mask").unwrap_or(u64::MAX))
}

fn set(bytes: &mut [u8], field: &Value, value: u64) {
    let (offset, width) = (field.number("offset").unwrap() as usize, field.number("width").unwrap() as usize);
    bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

/// What a filter has to find out about a call, from the policy's text alone.
#[derive(Debug, Default)]
struct Wanted {
    /// Everything that is against it.
    against: BTreeSet<String>,
    /// Where the structures are, and how long.
    copies: Vec<(u64, u64)>,
    leaves: BTreeSet<(u64, u64)>,
    /// Addresses that are written after the call.
    back: BTreeSet<u64>,
}

struct Oracle {
    levels: BTreeMap<String, bool>,
    own: u64,
    level: Level,
}

impl Oracle {
    fn refuses(&self, door: Option<&str>, reason: Option<&str>) -> Option<String> {
        let reason = reason.filter(|_| matches!(door, Some("gate" | "guard")))?;
        (self.levels[reason] || self.level == Level::Confidentiality).then(|| reason.to_owned())
    }

    fn in_range(from: u64, bytes: Option<u64>) -> bool {
        let end = bytes.and_then(|bytes| u128::from(from).checked_add(u128::from(bytes)));
        end.is_some_and(|end| end <= u128::from(USER_END))
    }

    fn aim(&self, operation: &Operation, domain: Option<u64>, may_be_own: bool) -> Option<String> {
        let Some(domain) = domain.filter(|&domain| domain <= 0xffff) else { return Some("special-target".into()) };
        let own = self.refuses(operation.text("self-door"), operation.text("self-reason"));
        let other = self.refuses(operation.text("other-door"), operation.text("other-reason"));
        let has_target = !matches!(operation.text("self"), Some("none" | "implicit"));
        if domain == OWN || domain == self.own {
            return own.filter(|_| !may_be_own);
        }
        if domain == 0 {
            let privileged = own.map(|reason| match reason.as_str() {
                "own-target" | "own-memory" => "privileged-target".to_owned(),
                _ => reason,
            });
            return privileged.or(other).filter(|_| !may_be_own);
        }
        let may = operation.text("class") == Some("query") || operation.text("special").is_some();
        if domain >= 0x7ff0 && has_target && !may {
            return Some("special-target".into());
        }
        other
    }

    fn bytes(count: &Value, size: u64, structure: &[u8], registers: &Registers) -> Option<u64> {
        let register = |number: u64| registers.arguments[number as usize - 1];
        if let Some(most) = count.number("most") {
            return Some(most);
        }
        let elements = if let Some(constant) = count.number("constant") {
            u128::from(constant)
        } else if let Some(number) = count.number("register") {
            u128::from(register(number))
        } else {
            let mut elements = i128::from(number(structure, count)?);
            if let Some(minus) = count.get("minus") {
                elements -= i128::from(number(structure, minus)?);
            }
            elements += i128::from(count.number("plus").unwrap_or(0));
            let elements = u128::try_from(elements).ok()?;
            match (count.text("unit"), count.get("squared")) {
                (Some("bits"), _) => elements.div_ceil(8),
                (Some("bytes"), _) => return u64::try_from(elements).ok(),
                (_, Some(_)) => elements * elements,
                _ => elements,
            }
        };
        u64::try_from(elements.checked_mul(u128::from(size))?).ok()
    }

    fn holds(when: &Value, structure: &[u8]) -> bool {
        when.list("when").iter().all(|one| {
            let is: Vec<_> = one.list("is").iter().map(Value::as_number).collect();
            number(structure, one).is_none_or(|value| is.contains(&value))
        })
    }

    fn want(&self, built: &Built<'_>) -> Wanted {
        let mut wanted = Wanted::default();
        let (registers, user) = (&built.registers, &built.user);
        let first = built.elements[0];
        wanted.against.extend(self.refuses(first.text("door"), first.text("reason")));
        let size = first.number("size");
        // Where the structures are: in what a register points to, or behind the first of many descriptors.
        let mut at = None;
        for (index, register) in first.list("registers").iter().enumerate() {
            let value = registers.arguments[index];
            match register.text("role").unwrap() {
                "operation" => {
                    let mask = register.number("mask").unwrap_or(u64::from(u32::MAX));
                    if value & !mask != 0 {
                        wanted.against.insert("bypass".into());
                    } else if Some(value) != first.number("number") {
                        wanted.against.insert("unknown-hypercall".into());
                    }
                }
                "structure" if value == 0 && first.text("null").is_some() => {}
                "structure" => at = Some((value, size.unwrap(), 1)),
                "elements" => {
                    let count = registers.arguments[register.number("number").unwrap() as usize - 1];
                    if count == 0 {
                        wanted.against.insert("unknown-hypercall".into());
                        return wanted;
                    }
                    at = Some((value, size.unwrap(), count));
                }
                "buffers" => {
                    let count = registers.arguments[register.number("number").unwrap() as usize - 1];
                    if count == 0 {
                        wanted.against.insert("unknown-hypercall".into());
                        return wanted;
                    }
                    let whole = count.checked_mul(16);
                    if !Self::in_range(value, whole) {
                        wanted.against.insert("kernel-address".into());
                        return wanted;
                    }
                    wanted.copies.push((value, whole.unwrap()));
                    if whole > Some(MOST_SPACE as u64) {
                        return wanted;
                    }
                    for index in 0..count {
                        let words = user.all(value + index * 16, 16);
                        let from = u64::from_le_bytes(words[..8].try_into().unwrap());
                        let bytes = u64::from_le_bytes(words[8..].try_into().unwrap());
                        if !Self::in_range(from, Some(bytes)) {
                            wanted.against.insert("kernel-address".into());
                        }
                        if index == 0 {
                            at = Some((from, bytes.min(size.unwrap()), 1));
                        } else {
                            wanted.leaves.insert((from, bytes));
                        }
                    }
                }
                _ => {}
            }
        }
        if let Some((from, size, count)) = at {
            let whole = size.checked_mul(count);
            if !Self::in_range(from, whole) {
                wanted.against.insert("kernel-address".into());
                return wanted;
            }
            wanted.copies.push((from, whole.unwrap()));
        }
        let mut pointers = BTreeSet::new();
        for (index, operation) in built.elements.iter().enumerate() {
            let structure = at.map_or(vec![], |(from, size, _)| user.all(from + size * index as u64, size));
            self.element(&mut wanted, operation, &structure, registers, &mut pointers);
            if let (Some(tail), Some((from, ..))) = (operation.get("tail"), at) {
                let bytes =
                    Self::bytes(tail.get("count").unwrap(), tail.number("size").unwrap(), &structure, registers);
                let whole = bytes.and_then(|bytes| bytes.checked_add(tail.number("offset").unwrap()));
                if Self::in_range(from, whole) {
                    let last = wanted.copies.last_mut().unwrap();
                    last.1 = last.1.max(whole.unwrap());
                } else {
                    wanted.against.insert("kernel-address".into());
                }
            }
        }
        let written = wanted.copies.last().filter(|(_, bytes)| *bytes <= MOST_SPACE as u64);
        if let (Some(&(from, bytes)), true) = (written, first.text("output").is_none()) {
            let size = if first.get("tail").is_some() { bytes } else { size.unwrap_or(1) };
            for offset in 0..bytes {
                let within = offset % size.max(1);
                if !pointers.iter().any(|&pointer| (pointer..pointer + 8).contains(&within)) {
                    wanted.back.insert(from + offset);
                }
            }
        }
        wanted
    }

    fn element(
        &self,
        wanted: &mut Wanted,
        operation: &Operation,
        structure: &[u8],
        registers: &Registers,
        pointers: &mut BTreeSet<u64>,
    ) {
        wanted.against.extend(self.refuses(operation.text("door"), operation.text("reason")));
        if operation.selector.iter().any(|at| at.get("path").is_some() && number(structure, at).is_none()) {
            wanted.against.insert("unknown-hypercall".into());
            return;
        }
        if let Some(version) = operation.get("version") {
            if number(structure, version) != version.number("4.20") {
                wanted.against.insert("interface-version".into());
            }
        }
        if !matches!(operation.text("self"), Some("none" | "implicit")) {
            let target = operation.get("target").unwrap();
            let domain = match target.number("register") {
                Some(register) => Some(registers.arguments[register as usize - 1]),
                None => number(structure, target),
            };
            wanted.against.extend(self.aim(operation, domain, false));
        }
        for other in operation.list("others") {
            if Self::holds(other, structure) {
                let own = other.text("self").is_some();
                wanted.against.extend(self.aim(operation, number(structure, other), own));
            }
        }
        for value in operation.list("values") {
            let allowed = |number: u64| {
                value.list("allow").iter().any(|range| match range.as_text().split_once("..=") {
                    Some((low, high)) => (policy_text::number(low)..=policy_text::number(high)).contains(&number),
                    None => policy_text::number(range.as_text()) == number,
                })
            };
            if Self::holds(value, structure) && !number(structure, value).is_some_and(allowed) {
                wanted.against.extend(self.refuses(value.text("door"), value.text("reason")));
            }
        }
        let mut buffer = |from: u64, buffer: &Value| {
            let bytes =
                Self::bytes(buffer.get("count").unwrap(), buffer.number("size").unwrap(), structure, registers);
            if Self::in_range(from, bytes) {
                wanted.leaves.insert((from, bytes.unwrap()));
            } else {
                wanted.against.insert("kernel-address".into());
            }
        };
        for (index, register) in operation.list("registers").iter().enumerate() {
            if register.text("role") == Some("buffer") {
                buffer(registers.arguments[index], register);
            }
        }
        for handle in operation.list("handles") {
            if Self::holds(handle, structure) {
                let offset = handle.number("offset").unwrap();
                pointers.insert(offset);
                let bytes = structure[offset as usize..][..8].try_into().unwrap();
                buffer(u64::from_le_bytes(bytes), handle);
            }
        }
    }
}

/// Makes up a call of an operation: mostly what is fine, often at an edge.
fn build<'a>(dice: &mut Dice, operation: &'a Operation, all: &'a [Operation], own: u16) -> Built<'a> {
    let mut user = User::default();
    let mut registers = Registers { hypercall: operation.hypercall, arguments: [0; 5] };
    let is_fine = dice.below(2) == 0;
    let list = operation.list("registers");
    let role = |role: &str| list.iter().position(|register| register.text("role") == Some(role));
    let mut elements = vec![operation];
    if role("elements").is_some() {
        let more = if dice.below(4) == 0 { dice.below(5) } else { 0 };
        for _ in 0..more {
            // Where each element says what it is, they may differ.
            let same: Vec<_> = all.iter().filter(|one| one.hypercall == operation.hypercall).collect();
            let differ = operation.selector.as_ref().is_some_and(|selector| selector.get("element").is_some());
            elements.push(if differ { same[dice.below(same.len() as u64) as usize] } else { operation });
        }
    }
    let structures: Vec<_> = elements.iter().map(|one| structure(dice, one, own, is_fine)).collect();
    let bytes = structures.concat();
    let at = address(dice, bytes.len() as u64, is_fine);
    user.put(at, &bytes);
    for (index, register) in list.iter().enumerate() {
        let domain = domain(dice, own, is_fine);
        registers.arguments[index] = match register.text("role").unwrap() {
            "operation" => {
                let more = if !is_fine && dice.below(12) == 0 { 1 << dice.of(&[6, 32, 63]) } else { 0 };
                operation.number("number").unwrap_or(0) | more
            }
            "structure" if operation.text("null").is_some() && dice.below(8) == 0 => 0,
            "structure" | "elements" => at,
            "target" => domain,
            "buffer" => address(dice, 64, is_fine),
            _ => dice.below(64),
        };
    }
    if let Some(place) = role("elements") {
        let count = list[place].number("number").unwrap() as usize - 1;
        let wild = !is_fine && dice.below(12) == 0;
        registers.arguments[count] = if wild { dice.of(&[0, 1 << 31, u64::MAX]) } else { elements.len() as u64 };
        if wild {
            elements.truncate(1);
        }
    }
    if let Some(place) = role("buffers") {
        let count = if is_fine { 1 + dice.below(2) } else { dice.of(&[0, 1, 2, 3, 1 << 40, u64::MAX]) };
        let size = if is_fine { bytes.len() as u64 } else { dice.of(&[32, 32, 33, 31, 8, 3, 0, 1 << 33]) };
        let mut descriptors = [at.to_le_bytes(), size.to_le_bytes()].concat();
        for _ in 1..count.min(4) {
            let size = if is_fine { dice.below(100) } else { dice.of(&[0, 1, 100, 1 << 33, u64::MAX]) };
            descriptors.extend(address(dice, size, is_fine).to_le_bytes());
            descriptors.extend(size.to_le_bytes());
        }
        let at = address(dice, descriptors.len() as u64, is_fine);
        user.put(at, &descriptors);
        registers.arguments[place] = at;
        registers.arguments[list[place].number("number").unwrap() as usize - 1] = count;
    }
    Built { registers, user, elements }
}

/// An address for so many bytes. Each comes from another part of memory.
fn address(dice: &mut Dice, bytes: u64, is_fine: bool) -> u64 {
    let fine = 0x1000 + (dice.below(0xffff) << 24);
    if is_fine || dice.below(3) > 0 {
        return fine;
    }
    let last = USER_END.wrapping_sub(bytes);
    let edges = [0, last, last.wrapping_add(1), last.wrapping_sub(1), USER_END, KERNEL, u64::MAX, u64::MAX - 7];
    dice.of(&edges)
}

fn domain(dice: &mut Dice, own: u16, is_fine: bool) -> u64 {
    let own = u64::from(own);
    if is_fine { 7 } else { dice.of(&[7, 7, 7, 0, own, OWN, 0x7ff1, 0x7ff4, 0xffff, 0x1_0007, 0x1_0000, 1 << 40]) }
}

fn structure(dice: &mut Dice, operation: &Operation, own: u16, is_fine: bool) -> Vec<u8> {
    let size = operation.number("size").unwrap_or(0) as usize;
    let fill = dice.below(3);
    let mut bytes: Vec<u8> = (0..size).map(|_| if fill == 0 { dice.roll() as u8 } else { 0 }).collect();
    // Conditions first: what follows may stand in the same places, and what stands there in the end counts.
    let lists = ["handles", "others", "values"];
    for one in lists.iter().flat_map(|key| operation.list(key)) {
        for condition in one.list("when") {
            if dice.below(3) > 0 {
                let is: Vec<_> = condition.list("is").iter().map(Value::as_number).collect();
                let value = dice.of(&is);
                set(&mut bytes, condition, value);
            }
        }
    }
    for value in operation.list("values") {
        let range = &value.list("allow")[dice.below(value.list("allow").len() as u64) as usize];
        let (low, high) = range.as_text().split_once("..=").unwrap_or((range.as_text(), range.as_text()));
        let (low, high) = (policy_text::number(low), policy_text::number(high));
        let wild = !is_fine && dice.below(4) == 0;
        let value_is = if wild {
            dice.of(&[high.wrapping_add(1), low.wrapping_sub(1), u64::MAX])
        } else {
            dice.of(&[low, high])
        };
        set(&mut bytes, value, value_is);
    }
    let pointers = operation.list("handles").iter().chain(operation.get("tail"));
    for handle in pointers {
        let count = handle.get("count").unwrap();
        if count.get("path").is_some() {
            let many = [0, 1, 2, 7, 8, 9, 1000, 0x7fff_ffff, 0xffff_ffff, 1 << 47, u64::MAX];
            let number = if is_fine { dice.below(9) } else { dice.of(&many) };
            set(&mut bytes, count, number);
            if let Some(minus) = count.get("minus") {
                let less = if is_fine { number / 2 } else { dice.below(9) };
                set(&mut bytes, minus, less);
            }
        }
        if handle.number("offset").unwrap() as usize + 8 <= size {
            let at = address(dice, 8, is_fine);
            bytes[handle.number("offset").unwrap() as usize..][..8].copy_from_slice(&at.to_le_bytes());
        }
    }
    for other in operation.list("others") {
        let domain = domain(dice, own, is_fine);
        set(&mut bytes, other, domain);
    }
    if let Some(target) = operation.get("target").filter(|target| target.get("path").is_some()) {
        let domain = domain(dice, own, is_fine);
        set(&mut bytes, target, domain);
    }
    if let Some(version) = operation.get("version") {
        let wrong = u64::from(!is_fine && dice.below(10) == 0);
        set(&mut bytes, version, version.number("4.20").unwrap() + wrong);
    }
    if let Some(selector) = operation.selector.as_ref().filter(|selector| selector.get("path").is_some()) {
        set(&mut bytes, selector, operation.number("number").unwrap());
    }
    if let Some(at) = operation.get("selector-at") {
        set(&mut bytes, at, operation.number("selector").unwrap());
    }
    bytes
}

/// Everything that can be said of one walk.
fn compare(built: &mut Built<'_>, oracle: &Oracle, caller: &Caller, space: &mut [u8]) -> bool {
    let name = built.elements[0].name.clone();
    let wanted = oracle.want(built);
    let needed: u64 =
        wanted.copies.iter().map(|(_, bytes)| bytes).fold(0, |sum, &bytes| sum.saturating_add(bytes));
    let outcome = walk(caller, &built.registers, &mut built.user, space);
    let user = &built.user;
    let overlap = match *wanted.copies {
        [first, second] => first.0 < second.0 + second.1 && second.0 < first.0 + first.1,
        _ => false,
    };
    assert!(!user.twice || overlap, "{name}: a byte is fetched twice");
    assert!(!user.outside, "{name}: fetches what is not userspace's");
    assert!(user.read.len() <= space.len(), "{name}: fetches more than there is space for");
    assert!(user.leaves.len() <= space.len() / 8 + 8, "{name}: does too much");
    if overlap {
        return false;
    }
    let plan = match outcome {
        Err(refusal) => {
            match refusal.why {
                Why::Reason(reason) => {
                    let against = &wanted.against;
                    assert!(against.contains(reason.id()), "{name}: {} is not in {against:?}", reason.id());
                }
                Why::Space(bytes) => {
                    assert!(bytes > space.len() as u64 && needed >= bytes, "{name}: {bytes}, {needed}");
                }
                Why::Fault => assert!(user.fails_at.is_some(), "{name}: a fault"),
                Why::Calls(_) => panic!("{name}: is no list"),
            }
            return false;
        }
        Ok(plan) => plan,
    };
    assert!(wanted.against.is_empty(), "{name}: admitted against {:?}\n{:x?}", wanted.against, built.registers);
    assert!(plan.operation.name.to_str().unwrap() == built.elements.last().unwrap().name);
    // What is copied is what was there, and each copy has who points to it.
    let copies: Vec<_> = plan.copies().map(|copy| (copy.user, copy.length as u64)).collect();
    assert_eq!(copies, wanted.copies, "{name}");
    for copy in plan.copies() {
        let mut there = user.all(copy.user, copy.length as u64);
        match copy.holder {
            Holder::Register(register) => {
                assert_eq!(built.registers.arguments[usize::from(register)], copy.user, "{name}");
            }
            Holder::Space(at) => {
                let first = plan.copies().next().unwrap();
                assert!(!first.written && at >= first.at && at + 8 <= first.at + first.length);
                assert_eq!(space[at..at + 8], copy.user.to_le_bytes());
                assert_eq!(space[at + 8..at + 16], (copy.length as u64).to_le_bytes());
            }
        }
        if plan.copies().count() == 2 && copy.at == 0 {
            there[8..16].copy_from_slice(&(plan.copies().last().unwrap().length as u64).to_le_bytes());
        }
        assert_eq!(space[copy.at..copy.at + copy.length], there, "{name}");
    }
    // Every buffer was looked at, and nothing else is admitted.
    let leaves: BTreeSet<_> = user.leaves.iter().map(|leaf| (leaf.user, leaf.bytes)).collect();
    assert_eq!(leaves, wanted.leaves, "{name}");
    // What is written back is what Xen may have written, byte for byte, and no pointer.
    let mut back = BTreeSet::new();
    for Back { user: to, at, length } in plan.back() {
        let copy = plan.copies().find(|copy| (copy.at..copy.at + copy.length).contains(&at)).unwrap();
        assert!(copy.written && at + length <= copy.at + copy.length && to - copy.user == (at - copy.at) as u64);
        for offset in 0..length as u64 {
            assert!(back.insert(to + offset), "{name}: written twice");
        }
    }
    assert_eq!(back, wanted.back, "{name}");
    true
}

#[test]
fn every_admitted_operation_is_walked_as_the_policy_says() {
    let all = operations();
    let levels = reason_levels();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut space = vec![0; MOST_SPACE];
    let mut operations = 0;
    for operation in all.iter().filter(|one| one.is_for_userspace()) {
        let mut admitted = 0;
        for round in 0..200 {
            let own = [0, 5][round % 2];
            let level = if round % 5 == 0 { Level::Confidentiality } else { Level::Integrity };
            let oracle = Oracle { levels: levels.clone(), own: u64::from(own), level };
            let caller = Caller { level: Some(level), ..caller(own) };
            let mut built = build(&mut dice, operation, &all, own);
            if round % 7 == 0 {
                built.user.fails_at = Some(1 + dice.below(3) as usize);
            }
            let most = if round % 11 == 0 { dice.below(200) as usize } else { MOST_SPACE };
            admitted += usize::from(compare(&mut built, &oracle, &caller, &mut space[..most]));
        }
        let is_refused = operation.text("other-door").is_some() && operation.text("self-door").is_some();
        assert!(is_refused || admitted > 10, "{}: {admitted} of 200 were admitted", operation.name);
        operations += 1;
    }
    assert_eq!(operations, 203);
}

/// Without a lock the walk says what it would say at level integrity.
#[test]
fn without_a_lock_it_tells_what_it_would_refuse() {
    let all = operations();
    let mut dice = Dice(77);
    for operation in all.iter().filter(|one| one.is_for_userspace()) {
        for _ in 0..10 {
            let mut built = build(&mut dice, operation, &all, 0);
            let (mut first, mut second) = (vec![0; MOST_SPACE], vec![0; MOST_SPACE]);
            let locked = walk(&caller(0), &built.registers, &mut built.user, &mut first);
            built.user.read.clear();
            let open = Caller { level: None, ..caller(0) };
            let open = walk(&open, &built.registers, &mut built.user, &mut second);
            assert_eq!(locked.map_err(|refusal| refusal.why).err(), open.map_err(|refusal| refusal.why).err());
            assert_eq!(first, second);
        }
    }
}

#[test]
fn what_userspace_may_not_issue_is_refused_for_its_own_reason() {
    let all = operations();
    let mut dice = Dice(5);
    for operation in all.iter().filter(|one| !one.is_for_userspace() && one.name != "multicall") {
        let mut built = build(&mut dice, operation, &all, 0);
        let is_in_memory = operation.selector.as_ref().is_some_and(|one| one.get("path").is_some());
        if let (Some(register), Some(number)) =
            (operation.selector.as_ref().and_then(|one| one.number("register")), operation.number("number"))
        {
            // What is known by its register is refused before anything is fetched.
            built.registers.arguments = [KERNEL; 5];
            built.registers.arguments[register as usize - 1] = number;
        }
        let refused = walk(&caller(0), &built.registers, &mut built.user, &mut [0; MOST_SPACE]).unwrap_err();
        let Why::Reason(reason) = refused.why else { panic!("{}: {:?}", operation.name, refused.why) };
        let mut reasons = vec![operation.text("reason").unwrap()];
        if is_in_memory || operation.number("selector").is_some() {
            reasons.extend(["kernel-address", "unknown-hypercall"]);
        }
        if built.elements.len() > 1
            || operation.list("registers").iter().any(|one| one.text("role") == Some("buffers"))
        {
            continue;
        }
        assert!(reasons.contains(&reason.id()), "{}: {}", operation.name, reason.id());
    }
}

#[test]
fn a_layout_belongs_to_each_row() {
    let (rules, layouts) = (&tables::HYPERCALLS, &tables::LAYOUTS);
    assert_eq!(rules.families.len(), layouts.families.len());
    for (rules, family) in rules.families.iter().zip(layouts.families) {
        let keys = |number: u16, selector: u8| (number, selector);
        let rows: Vec<_> = family.rows.iter().map(|row| keys(row.number, row.selector)).collect();
        let operations: Vec<_> = rules.operations.iter().map(|row| keys(row.number, row.selector)).collect();
        assert_eq!(rows, operations);
    }
    // What belongs to other rules is not used.
    let registers = Registers { hypercall: 32, arguments: [0x1000, 0, 0, 0, 0] };
    let mut user = User::default();
    user.put(0x1000, &[5, 0, 0, 0]);
    let wrong = plan(&tables::GATE, layouts, &caller(0), &registers, &mut user, &mut [0; SPACE]);
    assert!(matches!(wrong, Err(Refusal { why: Why::Reason(_), .. })));
}

/// A call by hand: numbers of Xen's public headers, as a toolstack or an attacker writes them.
struct Hand {
    registers: Registers,
    user: User,
}

impl Hand {
    fn new(hypercall: u64, arguments: &[u64]) -> Self {
        let mut registers = Registers { hypercall, arguments: [0; 5] };
        registers.arguments[..arguments.len()].copy_from_slice(arguments);
        Self { registers, user: User::default() }
    }

    fn with(mut self, at: u64, length: usize, fields: &[(usize, u64, usize)]) -> Self {
        let mut bytes = vec![0; length];
        for &(offset, value, width) in fields {
            bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        self.user.put(at, &bytes);
        self
    }

    fn admitted(mut self) -> (Plan<'static>, Vec<u8>, User) {
        let mut space = vec![0; MOST_SPACE];
        match walk(&caller(0), &self.registers, &mut self.user, &mut space) {
            Ok(plan) => (plan, space, self.user),
            Err(refusal) => panic!("{:x?}: {:?}", self.registers, refusal.why),
        }
    }

    fn refused(mut self) -> &'static str {
        match walk(&caller(0), &self.registers, &mut self.user, &mut [0; MOST_SPACE]) {
            Err(Refusal { why: Why::Reason(reason), .. }) => reason.id(),
            other => panic!("{:x?}: {other:?}", self.registers),
        }
    }
}

const AT: u64 = 0x5555_0000_1000;
const LIST: u64 = 0x5555_0001_0000;

/// What was done to a dom0 that runs unlocked, each with its twin that a toolstack needs.
mod attacks {
    use super::*;

    #[test]
    fn xen_version_writes_to_the_kernel() {
        assert_eq!(Hand::new(17, &[8, KERNEL]).refused(), "kernel-address");
        assert_eq!(Hand::new(17, &[8, USER_END - 15]).refused(), "kernel-address");
        assert_eq!(Hand::new(17, &[8, u64::MAX - 3]).refused(), "kernel-address");
        let (plan, ..) = Hand::new(17, &[8, USER_END - 16]).admitted();
        let back: Vec<_> = plan.back().collect();
        assert_eq!(back, [Back { user: USER_END - 16, at: 0, length: 16 }]);
    }

    #[test]
    fn console_io_prints_the_kernel() {
        assert_eq!(Hand::new(18, &[0, 4096, KERNEL]).refused(), "mediated");
        assert_eq!(Hand::new(18, &[0, 16, AT]).refused(), "mediated");
    }

    #[test]
    fn a_page_of_the_kernel_is_replaced() {
        let physmap = |domain: u64| Hand::new(12, &[7, AT]).with(AT, 24, &[(0, domain, 2), (4, 1, 4), (16, 9, 8)]);
        assert_eq!(physmap(0).refused(), "own-memory");
        assert_eq!(physmap(OWN).refused(), "own-memory");
        assert_eq!(physmap(0x7ff1).refused(), "special-target");
        let (plan, ..) = physmap(7).admitted();
        assert_eq!(plan.back().count(), 0, "Xen writes nothing there");
    }

    #[test]
    fn a_list_of_extents_lies_in_the_kernel() {
        let populate =
            |list: u64, many: u64| Hand::new(12, &[6, AT]).with(AT, 32, &[(0, list, 8), (8, many, 8), (24, 7, 2)]);
        assert_eq!(populate(KERNEL, 1).refused(), "kernel-address");
        assert_eq!(populate(LIST, 1 << 61).refused(), "kernel-address");
        assert_eq!(populate(LIST, u64::MAX).refused(), "kernel-address");
        assert_eq!(populate(USER_END - 8, 2).refused(), "kernel-address");
        let (_, space, user) = populate(USER_END - 8, 1).admitted();
        assert_eq!(user.leaves, [Leaf { user: USER_END - 8, bytes: 8, direction: Direction::InOut }]);
        assert_eq!(space[..8], (USER_END - 8).to_le_bytes(), "a buffer without pointers stays where it is");
    }

    #[test]
    fn other_ways_to_the_same() {
        // Old numbers, the number under which Xen goes on, a call that is said to go on already.
        assert_eq!(Hand::new(16, &[AT]).refused(), "bypass");
        assert_eq!(Hand::new(6, &[2]).refused(), "bypass");
        assert_eq!(Hand::new(49, &[AT]).refused(), "bypass");
        assert_eq!(Hand::new(12, &[6 | 1 << 6, AT]).refused(), "bypass");
        assert_eq!(Hand::new(12, &[6 | 1 << 32, AT]).refused(), "bypass");
        assert_eq!(Hand::new(17, &[1 << 32, AT]).refused(), "bypass");
        // A number of a hypercall that is cut to another one.
        assert_eq!(Hand::new(1 << 32 | 17, &[0]).refused(), "unknown-hypercall");
        assert_eq!(Hand::new(63, &[0]).refused(), "unknown-hypercall");
        // As many page tables as Xen had left.
        let pin = Hand::new(26, &[AT, 1 << 31 | 1, 0, 7]).with(AT, 24, &[(0, 3, 4)]);
        let mut pin = (pin.registers, pin.user);
        let why = walk(&caller(0), &pin.0, &mut pin.1, &mut [0; MOST_SPACE]).unwrap_err().why;
        assert!(matches!(why, Why::Space(bytes) if bytes > MOST_SPACE as u64));
    }

    #[test]
    fn a_domain_that_xen_would_cut_to_another() {
        let pin = |domain: u64| Hand::new(26, &[AT, 1, 0, domain]).with(AT, 24, &[(0, 3, 4), (8, 0x1234, 8)]);
        assert_eq!(pin(0x1_0000).refused(), "special-target");
        assert_eq!(pin(0x7_0000_0000_0007).refused(), "special-target");
        assert_eq!(pin(0).refused(), "own-memory");
        pin(7).admitted();
    }

    #[test]
    fn one_bad_element_among_good_ones() {
        let mut call = Hand::new(26, &[AT, 3, 0, 7]);
        for (index, operation) in [3, 4, 13].into_iter().enumerate() {
            call = call.with(AT + 24 * index as u64, 24, &[(0, operation, 4)]);
        }
        let reason = call.refused();
        assert_ne!(reason, "kernel-address");
        // Of two tables that are asked for at once, the second is one's own.
        let query = |second: u64| {
            let call = Hand::new(20, &[2, AT, 2]).with(AT, 24, &[(0, 7, 2), (4, 1, 4), (16, LIST, 8)]);
            call.with(AT + 24, 24, &[(0, second, 2), (4, 1, 4), (16, LIST, 8)])
        };
        assert_ne!(query(0).refused(), "kernel-address");
        let (plan, ..) = query(8).admitted();
        let back: Vec<_> = plan.back().map(|back| (back.at, back.length)).collect();
        assert_eq!(back, [(0, 16), (24, 16)], "each without its pointer");
    }

    #[test]
    fn the_structure_is_for_another_version() {
        let info = |version: u64| Hand::new(36, &[AT]).with(AT, 144, &[(0, 5, 4), (4, version, 4), (8, 7, 2)]);
        assert_eq!(info(0x15).refused(), "interface-version");
        assert_eq!(info(0x18).refused(), "interface-version");
        info(0x17).admitted();
        let mut old = info(0x15);
        let old_xen = Caller { version: XenVersion::from_name("4.17").unwrap(), ..caller(0) };
        assert!(walk(&old_xen, &old.registers, &mut old.user, &mut [0; SPACE]).is_ok());
        // Of a release whose structures nobody has measured, nothing that has one is admitted.
        let mut new = info(0x18);
        let new_xen = Caller { version: XenVersion::from_name("HEAD").unwrap(), ..caller(0) };
        let refused = walk(&new_xen, &new.registers, &mut new.user, &mut [0; SPACE]).unwrap_err();
        assert!(matches!(refused.why, Why::Reason(reason) if reason.id() == "interface-version"));
    }

    #[test]
    fn another_domain_gets_a_page_of_ones_own() {
        let map = |space: u64, foreign: u64| {
            let fields =
                [(0, 7, 2), (2, space, 2), (4, 1, 2), (6, foreign, 2), (8, LIST, 8), (16, LIST, 8), (24, LIST, 8)];
            Hand::new(12, &[23, AT]).with(AT, 32, &fields)
        };
        assert_eq!(map(4, 0).refused(), "own-memory");
        assert_eq!(map(4, OWN).refused(), "own-memory");
        map(4, 8).admitted();
        // In another space the same bytes are no domain.
        map(1, 0).admitted();
    }
}

/// What a toolstack does all day.
mod toolstack {
    use super::*;

    #[test]
    fn lists_of_one_call() {
        // libxc issues every memory_op so.
        let mut call = Hand::new(13, &[LIST, 1]).with(LIST, 64, &[(0, 12, 8), (16, 6, 8), (24, AT, 8)]);
        let refused = walk(&caller(0), &call.registers, &mut call.user, &mut [0; SPACE]).unwrap_err();
        assert_eq!(refused.operation.unwrap().name, c"multicall");
        let Why::Calls(calls) = refused.why else { panic!("{:?}", refused.why) };
        assert_eq!(calls, Calls { user: LIST, count: 1 });
        let entry = call.user.all(calls.user, 64);
        let registers = Registers::from_entry(entry.as_slice().try_into().unwrap());
        assert_eq!(registers, Registers { hypercall: 12, arguments: [6, AT, 0, 0, 0] });
        assert_eq!(Hand::new(13, &[KERNEL, 1]).refused(), "kernel-address");
        assert_eq!(Hand::new(13, &[USER_END - 63, 1]).refused(), "kernel-address");
        assert_eq!(Hand::new(13, &[LIST, 1 << 40]).refused(), "bypass");
    }

    #[test]
    fn makes_event_channels_to_itself() {
        let call =
            |domain: u64, remote: u64| Hand::new(32, &[6, AT]).with(AT, 8, &[(0, domain, 2), (2, remote, 2)]);
        call(7, 0).admitted();
        call(7, OWN).admitted();
        call(7, 8).admitted();
        assert_eq!(call(0, 7).refused(), "own-target");
        assert_eq!(call(7, 0x7ff4).refused(), "special-target");
    }

    #[test]
    fn pins_page_tables_in_batches() {
        let mut call = Hand::new(26, &[AT, 1024, 0, 7]);
        for index in 0..1024 {
            call = call.with(AT + 24 * index, 24, &[(0, index & 3, 4), (8, index, 8)]);
        }
        let (plan, ..) = call.admitted();
        assert_eq!(plan.copies().count(), 1);
        assert_eq!(plan.copies().next().unwrap().length, 24 * 1024);
    }

    #[test]
    fn asks_for_sizes() {
        for operation in [10, 11, 12, 13, 14] {
            let (plan, ..) = Hand::new(17, &[operation, 0]).admitted();
            assert_eq!(plan.copies().count(), 0, "the null pointer is handed on");
            let (plan, ..) = Hand::new(17, &[operation, AT]).with(AT, 4, &[(0, 20, 4)]).admitted();
            assert_eq!(plan.copies().next().unwrap().length, 24);
            let back: Vec<_> = plan.back().collect();
            assert_eq!(back, [Back { user: AT, at: 0, length: 24 }]);
        }
        assert_eq!(
            Hand::new(17, &[10, USER_END - 10]).with(USER_END - 10, 4, &[(0, 20, 4)]).refused(),
            "kernel-address"
        );
        let sizes = [(0, 3, 4), (4, 0x15, 4), (8, 0, 4)];
        Hand::new(35, &[AT]).with(AT, 136, &sizes).admitted();
    }

    #[test]
    fn lists_domains() {
        let fields = [(0, 6, 4), (4, 0x15, 4), (8, 0, 2), (12, 100, 4), (16, LIST, 8)];
        let (plan, _, user) = Hand::new(35, &[AT]).with(AT, 136, &fields).admitted();
        assert_eq!(plan.operation.name, c"sysctl.getdomaininfolist");
        assert_eq!(user.leaves.len(), 1);
        assert_eq!(user.leaves[0].bytes % 100, 0);
        let back: Vec<_> = plan.back().map(|back| (back.at, back.length)).collect();
        assert_eq!(back, [(0, 16), (24, 112)]);
    }

    #[test]
    fn is_a_device_model() {
        // Two frames that a guest wrote to: the operation, and a list of extents beside it.
        let call = Hand::new(41, &[7, 2, LIST]);
        let call = call.with(LIST, 32, &[(0, AT, 8), (8, 40, 8), (16, AT + 0x100, 8), (24, 32, 8)]);
        let (plan, space, user) = call.with(AT, 32, &[(0, 11, 4), (8, 2, 4)]).admitted();
        assert_eq!(plan.operation.name, c"dm_op.modified_memory");
        let copies: Vec<_> = plan.copies().map(|copy| (copy.user, copy.length, copy.holder)).collect();
        assert_eq!(copies, [(LIST, 32, Holder::Register(2)), (AT, 32, Holder::Space(0))]);
        assert_eq!(space[8..16], 32u64.to_le_bytes(), "no more than was copied");
        assert_eq!(user.leaves, [Leaf { user: AT + 0x100, bytes: 32, direction: Direction::InOut }]);
        assert!(plan.back().all(|back| back.at >= 32), "descriptors hold the kernel's addresses");
        let beside = Hand::new(41, &[7, 2, LIST]);
        let beside = beside.with(LIST, 32, &[(0, AT, 8), (8, 32, 8), (16, KERNEL, 8), (24, 32, 8)]);
        assert_eq!(beside.with(AT, 32, &[(0, 11, 4)]).refused(), "kernel-address");
        let own = Hand::new(41, &[0, 1, LIST]).with(LIST, 16, &[(0, AT, 8), (8, 32, 8)]);
        assert_eq!(own.with(AT, 32, &[(0, 11, 4)]).refused(), "own-target");
    }

    /// Every operation that a session needs, aimed at a guest, is admitted.
    #[test]
    fn gets_what_its_sessions_need() {
        let all = operations();
        let mut dice = Dice(99);
        let mut needed = 0;
        for operation in all.iter().filter(|one| !one.list("sessions").is_empty() && one.is_for_userspace()) {
            let closed = operation.text("other-door").is_some();
            let found = (0..200).any(|_| {
                let mut built = build(&mut dice, operation, &all, 0);
                walk(&caller(0), &built.registers, &mut built.user, &mut vec![0; MOST_SPACE]).is_ok()
            });
            assert!(found || closed, "{}", operation.name);
            needed += usize::from(found);
        }
        assert!(needed > 90, "{needed}");
    }
}

/// However late a fetch fails, the walk ends there.
#[test]
fn a_fetch_that_fails_ends_the_walk() {
    let all = operations();
    let mut dice = Dice(3);
    for operation in all.iter().filter(|one| one.is_for_userspace()) {
        for at in 1..4 {
            let mut built = build(&mut dice, operation, &all, 0);
            built.user.fails_at = Some(at);
            let _ = walk(&caller(0), &built.registers, &mut built.user, &mut vec![0; MOST_SPACE]);
            assert!(built.user.fetches <= at, "{}", operation.name);
        }
    }
}
