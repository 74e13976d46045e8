//! Hypercalls: for every operation of `policy/hypercalls`, aimed at dom0 itself and at nobody, what the desk says of the
//! call against what a booted machine answered.
//!
//! A call that is refused is harmless, so all of these are made. Of those that are admitted only what changes nothing is
//! made: questions, and what governs a domain that is not there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use lockdown_lab::image::Parts;
use lockdown_lab::lab::{Lab, OTHER_PROGRAM, Scenario, config};
use lockdown_lab::machine::Dom0;
use lockdown_lab::plan::{Plan, Step};
use lockdown_lab::prove;
use lockdown_policy::Policy;
use lockdown_policy::hypercall::{Arg, Field, Hypercall, Operation, Role};
use serde_json::Value;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Xen, in a dom0 with Linux's own driver.
    Gate,
    /// The guard in dom0's kernel.
    Guard,
}

/// A call that is made, and what the desk said of it.
#[derive(Debug)]
pub(crate) struct Call {
    /// The operation and the domain.
    pub(crate) name: String,
    /// As `hypercall decode --log` reads it.
    line: String,
    /// The reason; nothing where it is admitted.
    reason: Option<String>,
}

impl Call {
    pub(crate) fn is_refused(&self) -> bool {
        self.reason.is_some()
    }
}

/// What the machine answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// Nothing where it succeeded.
    error: Option<i32>,
    /// The reasons that were counted.
    counted: Vec<String>,
}

const OWN: u64 = 0x7ff0;
/// No domain ever gets this number here.
const MISSING: u64 = 0x6fff;

/// Where the guest has memory for the calls: `Arena` of the attacks.
const STRUCTURE: u64 = 0x1000_0000;
const DESCRIPTORS: u64 = 0x1000_4000;
const BUFFER: u64 = 0x1000_8000;

const EPERM: i32 = 1;
/// What Xen answers to an operation that it was built without, which nobody has to refuse.
const ENOSYS: i32 = 38;

/// What the desk says and the machine cannot show, by operation, and why.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("hypfs_op.write_contents", "Xen looks for the path before the gate is asked; the attack hypfs-write has one"),
    ("multicall", "a list succeeds, and answers in its entries; the attack multicall-write reads them"),
];

/// All calls that can be made at a door, at a level of the lock.
pub(crate) fn all(door: Door, level: &str) -> Result<Vec<Call>> {
    let policy =
        Policy::load(&prove::project().join("policy")).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let mut rows = Vec::new();
    for hypercall in &policy.hypercalls {
        for operation in &hypercall.operations {
            let has_target = operation.target.is_some();
            for domain in [OWN, 0, MISSING].into_iter().filter(|domain| has_target || *domain == OWN) {
                rows.push((operation, domain, line(hypercall, operation, domain)));
            }
        }
    }
    let desk = decode(level, rows.iter().map(|(.., line)| line.as_str()))?;
    ensure!(desk.len() == rows.len(), "{} calls, and {} answers of the desk's", rows.len(), desk.len());
    let mut calls = Vec::new();
    for ((operation, domain, line), said) in rows.into_iter().zip(desk) {
        let reason = said["reason"].as_str().map(str::to_owned);
        let is_made = match (&reason, door) {
            (None, _) => said["verdict"] == "admitted" && is_harmless(operation, domain),
            (Some(_), Door::Guard) => true,
            (Some(reason), Door::Gate) => is_gates(operation, domain, reason),
        };
        let name = format!(
            "{} of {}",
            operation.name,
            if domain == MISSING { "nobody".into() } else { format!("{domain:#x}") }
        );
        if is_made && !NOT_COMPARED.iter().any(|(not, _)| *not == operation.name) {
            calls.push(Call { name, line, reason });
        }
    }
    Ok(calls)
}

/// Whether it is the gate that refuses for this reason.
fn is_gates(operation: &Operation, domain: u64, reason: &str) -> bool {
    // Xen looks for the domain first: DOMID_SELF is none to most operations, and nobody is none at all.
    if operation.target.is_some() && domain != 0 {
        return false;
    }
    let is = |door: &str, clause: Option<&str>| door == "gate" && clause == Some(reason);
    let own = operation.own_clause.as_ref();
    is(operation.door.name(), operation.reason.as_deref())
        || own.is_some_and(|(door, reason)| is(door.name(), Some(reason)))
}

/// Whether it changes nothing where it is carried out.
fn is_harmless(operation: &Operation, domain: u64) -> bool {
    let governs_nobody = domain == MISSING && operation.class.name() == "control-plane";
    // These make or find a domain where there is none.
    let makes = ["domctl.createdomain", "domctl.getdomaininfo"].contains(&operation.name.as_str());
    (operation.class.name() == "query" || governs_nobody) && !makes
}

/// A call of the operation, with zeros wherever nothing else is to be said.
fn line(hypercall: &Hypercall, operation: &Operation, domain: u64) -> String {
    let size = operation.structure.as_ref().map_or(0, |(_, size)| *size);
    let mut structure = vec![0; usize::try_from(size).unwrap()];
    let mut set = |field: &Field, value: u64| {
        let (offset, width) = (field.offset as usize, usize::from(field.width));
        if let Some(place) = structure.get_mut(offset..offset + width) {
            place.copy_from_slice(&value.to_le_bytes()[..width]);
        }
    };
    if let (Some(Arg::Field(field) | Arg::InElement(field) | Arg::InBuffer(_, field)), Some(number)) =
        (&hypercall.selector, operation.number)
    {
        set(field, number.into());
    }
    if let (Some(field), Some(selector)) = (&operation.selector_at, operation.selector) {
        set(field, selector.into());
    }
    if let Some(version) = &operation.version {
        let number = version.numbers.iter().find(|(xen, _)| xen == "4.20").map_or(0, |(_, number)| *number);
        set(&version.field, number.into());
    }
    if let Some(Arg::Field(field) | Arg::InElement(field) | Arg::InBuffer(_, field)) = &operation.target {
        set(field, domain);
    }
    let mut arguments = [0_u64; 5];
    let mut memory = Vec::new();
    let mut counts = Vec::new();
    for (index, register) in operation.registers.iter().enumerate() {
        arguments[index] = match &register.role {
            Role::Operation(_) => operation.number.unwrap_or_default().into(),
            Role::Structure => STRUCTURE,
            Role::Elements(count) | Role::Calls(count) => {
                counts.push(*count);
                STRUCTURE
            }
            Role::Buffer(_) => BUFFER,
            Role::Buffers(count, _) => {
                counts.push(*count);
                let descriptor = [STRUCTURE.to_le_bytes(), u64::from(size).to_le_bytes()].concat();
                memory.push((DESCRIPTORS, descriptor));
                DESCRIPTORS
            }
            Role::Target => domain,
            Role::Count | Role::Value => 0,
        };
    }
    for count in counts {
        arguments[usize::from(count) - 1] = 1;
    }
    if let Some(Arg::Register { register, .. }) = &operation.target {
        arguments[usize::from(*register) - 1] = domain;
    }
    // A list of calls has one that is a list again.
    if operation.registers.iter().any(|register| matches!(register.role, Role::Calls(_))) {
        let mut entry = vec![0; 64];
        entry[0] = hypercall.number;
        structure = entry;
    }
    if !structure.is_empty() {
        memory.push((STRUCTURE, structure));
    }
    memory.push((BUFFER, vec![0; 16]));
    let mut line = format!("op={}", hypercall.number);
    for argument in arguments {
        let _ = write!(line, " arg={argument:x}");
    }
    for (address, bytes) in memory {
        let _ = write!(line, " memory={address:x}=");
        for byte in bytes {
            let _ = write!(line, "{byte:02x}");
        }
    }
    line
}

/// What the desk says, call by call.
fn decode<'a>(level: &str, lines: impl Iterator<Item = &'a str>) -> Result<Vec<Value>> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xen-lockdown"))
        .args(["hypercall", "decode", "--format", "json", "--level", level, "--log", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let mut input = child.stdin.take().context("a pipe")?;
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer"))??;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    Ok(document["calls"].as_array().context("calls")?.clone())
}

/// What a machine showed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) differences: Vec<String>,
    /// What this Xen was built without.
    pub(crate) not_built: Vec<String>,
}

/// Boots dom0 and lets it make the calls; what differs. A machine whose answers cannot be read is booted once more: Xen's own messages
/// can fall into a line.
pub(crate) fn compare(lab: &Lab, door: Door, level: &str, calls: &[Call]) -> Result<Found> {
    compare_once(lab, door, level, calls).or_else(|error| {
        println!("once more, {door:?}, {level}: {error:#}");
        compare_once(lab, door, level, calls)
    })
}

fn compare_once(lab: &Lab, door: Door, level: &str, calls: &[Call]) -> Result<Found> {
    let column = match door {
        Door::Gate => "locked-xen",
        Door::Guard => "locked",
    };
    let xen = prove::hypervisor(lab, column, &|_| {})?;
    let place = "/lab/calls";
    let step = Step {
        id: "calls".to_owned(),
        program: OTHER_PROGRAM.to_owned(),
        arguments: vec!["calls".to_owned(), place.to_owned()],
        timeout_s: 240,
    };
    let plan = Plan { daemons: Vec::new(), ..Plan::new(vec![step]) };
    let text: String = calls.iter().map(|call| format!("{}\n", call.line)).collect();
    let parts = Parts {
        config: Some(config(Dom0::Pv, &format!("lockdown={level}"), "")),
        kernel: Some(lab.kernel.clone()),
        ramdisk: Some(lab.initramfs_for(&xen, &plan, &[(place.to_owned(), text.into_bytes())])?),
        ..Parts::default()
    };
    let image = lab.signed(&lab.unified(&xen, &parts)?, &lab.keys.trusted)?.bytes;
    let boot =
        lab.boot(&Scenario::new(&format!("calls at the {door:?}, {level}").to_lowercase(), Dom0::Pv, image))?;
    let mut answers = BTreeMap::new();
    for line in boot.lines.iter().filter_map(|heard| Some(heard.text.split_once("@say ")?.1)) {
        let mut words = line.split(' ');
        let mut word = || words.next().context("a line is cut");
        let (index, error): (usize, i32) = (word()?.parse()?, word()?.parse()?);
        let counted = words.map(str::to_owned).collect();
        answers.insert(index, Answer { error: (error != 0).then_some(error), counted });
    }
    ensure!(!answers.is_empty(), "no answer: the machine's end was {:?}", boot.end);
    let mut found = Found::default();
    for (index, call) in calls.iter().enumerate() {
        let agrees = |answer: &Answer| match &call.reason {
            Some(reason) => answer.error == Some(EPERM) && answer.counted == [reason.as_str()],
            None => answer.counted.is_empty(),
        };
        match answers.get(&index) {
            Some(answer) if agrees(answer) => {}
            Some(answer) if door == Door::Gate && answer.error == Some(ENOSYS) && answer.counted.is_empty() => {
                found.not_built.push(call.name.clone());
            }
            other => {
                found.differences.push(format!("{}\n    desk {:?}\n    Xen  {other:?}", call.name, call.reason));
            }
        }
    }
    Ok(found)
}

/// What was not compared, for whoever reads along.
pub(crate) fn not_compared() -> impl Iterator<Item = String> {
    NOT_COMPARED.iter().map(|(what, why)| format!("{what}: {why}"))
}
