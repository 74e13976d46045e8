//! `xen-lockdown hypercall decode`: explains a raw hypercall as the guard would judge it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use lockdown_core::guard::{Caller, Calls, Direction, Leaf, MOST_SPACE, Memory, Refusal, Registers, Why, plan};
use lockdown_core::hypercall::{self, Answer, Door, OperationNumber, Relation};
use lockdown_core::ioctl::{self, IoctlNumber};
use lockdown_core::{Level, Reason, XenVersion, tables};
use serde::Serialize;

use super::record::{self, Asked, Record};
use crate::arguments::DecodeArguments;

/// The first address of x86-64 Linux that is no process's.
const USER_END: u64 = 0x7fff_ffff_f000;

pub(super) fn run(arguments: &DecodeArguments) -> anyhow::Result<ExitCode> {
    let records = records(arguments)?;
    let caller = Caller {
        level: Some(if arguments.level == "integrity" { Level::Integrity } else { Level::Confidentiality }),
        own: arguments.own,
        user_end: USER_END,
        version: XenVersion::from_name(&arguments.xen).context("that Xen is not known")?,
    };
    let judge = |record: &Record| match &record.asked {
        Asked::Call(registers) if !arguments.strict => decode(&caller, record, registers),
        Asked::Call(registers) => vec![closed(&caller, registers)],
        Asked::Ioctl { number, domain } => vec![request(&caller, record, *number, *domain, arguments.strict)],
    };
    let calls: Vec<_> = records.iter().flat_map(judge).collect();
    let document = Document { schema: "xen-lockdown/hypercall/1", xen: &arguments.xen, calls };
    let mut out = io::stdout().lock();
    if arguments.format == "json" {
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        let texts: Vec<_> = document.calls.iter().map(human).collect();
        write!(out, "{}", texts.join("\n"))?;
    }
    let worst = document.calls.iter().map(|call| call.verdict).max();
    Ok(match worst {
        Some(Verdict::Admitted) => ExitCode::SUCCESS,
        Some(Verdict::Refused) => ExitCode::from(1),
        Some(Verdict::Unreadable) | None => ExitCode::from(2),
    })
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    xen: &'a str,
    calls: Vec<Call>,
}

#[derive(Serialize)]
struct Call {
    /// Of a raw hypercall.
    hypercall: Option<u64>,
    /// Of a raw hypercall.
    arguments: Option<[Hex; 5]>,
    /// Of another request to the driver.
    ioctl: Option<Hex>,
    /// The domain that the request names.
    domain: Option<u16>,
    /// Whether it is one of a list.
    listed: bool,
    operation: Option<&'static str>,
    class: Option<&'static str>,
    /// What the operation does.
    mechanism: Option<&'static str>,
    verdict: Verdict,
    reason: Option<&'static str>,
    rule: Option<&'static str>,
    /// The verdict in a sentence.
    message: String,
    copied: Vec<Bytes>,
    buffers: Vec<Bytes>,
    written_back: Vec<Bytes>,
}

/// Not all readers of JSON keep 64 bits.
#[derive(Clone, Copy)]
struct Hex(u64);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Admitted,
    Refused,
    Unreadable,
}

#[derive(Serialize)]
struct Bytes {
    address: Hex,
    length: u64,
    /// `in`, `out` or `inout`, of buffers.
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
}

/// Memory as it was recorded. What was not is a fault.
struct Recorded<'a> {
    pieces: &'a [(u64, Vec<u8>)],
    leaves: Vec<Leaf>,
    missing: Option<(u64, usize)>,
}

impl Memory for Recorded<'_> {
    fn fetch(&mut self, from: u64, into: &mut [u8]) -> bool {
        let found = self.pieces.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(from.checked_sub(*start)?).ok()?;
            bytes.get(offset..)?.get(..into.len())
        });
        match found {
            Some(bytes) => into.copy_from_slice(bytes),
            None => self.missing = Some((from, into.len())),
        }
        found.is_some()
    }

    fn leaf(&mut self, leaf: Leaf) {
        self.leaves.push(leaf);
    }
}

/// The verdict on a call, or on each of a list.
fn decode(caller: &Caller, record: &Record, registers: &Registers) -> Vec<Call> {
    let (call, list) = judge(caller, record, registers, false);
    let Some(list) = list else { return vec![call] };
    let mut memory = Recorded { pieces: &record.memory, leaves: vec![], missing: None };
    let mut calls = Vec::new();
    for index in 0..u64::from(list.count) {
        let mut entry = [0; Calls::ENTRY];
        let from = list.user + index * Calls::ENTRY as u64;
        if !memory.fetch(from, &mut entry) {
            let message = missing(from, Calls::ENTRY);
            calls.push(Call { verdict: Verdict::Unreadable, reason: None, rule: None, message, ..call });
            break;
        }
        calls.push(judge(caller, record, &Registers::from_entry(&entry), true).0);
    }
    calls
}

fn missing(from: u64, length: usize) -> String {
    format!("cannot be judged: the {length} bytes at {from:#x} were not recorded; give them with --memory")
}

fn judge(caller: &Caller, record: &Record, registers: &Registers, listed: bool) -> (Call, Option<Calls>) {
    let mut memory = Recorded { pieces: &record.memory, leaves: vec![], missing: None };
    let mut space = vec![0; MOST_SPACE];
    let outcome = plan(&tables::HYPERCALLS, &tables::LAYOUTS, caller, registers, &mut memory, &mut space);
    let operation = match &outcome {
        Ok(plan) => Some(plan.operation),
        Err(refusal) => refusal.operation,
    };
    let mut call = Call { listed, ..Call::raw(registers) };
    call.name(operation.and_then(|operation| operation.name.to_str().ok()).unwrap_or_default());
    let bytes = |address, length: usize| Bytes { address: Hex(address), length: length as u64, direction: None };
    match outcome {
        Ok(plan) => {
            call.copied = plan.copies().map(|copied| bytes(copied.user, copied.length)).collect();
            call.written_back = plan.back().map(|back| bytes(back.user, back.length)).collect();
            let leaves = memory.leaves.iter().map(|leaf| Bytes {
                address: Hex(leaf.user),
                length: leaf.bytes,
                direction: Some(match leaf.direction {
                    Direction::In => "in",
                    Direction::Out => "out",
                    Direction::InOut => "inout",
                }),
            });
            call.buffers = leaves.collect();
            (call, None)
        }
        Err(Refusal { why, .. }) => {
            let list = match why {
                Why::Reason(reason) => {
                    call.refuse(reason);
                    None
                }
                Why::Calls(calls) => {
                    call.refuse(Reason::BYPASS);
                    Some(calls).filter(|_| !listed)
                }
                Why::Space(needed) => {
                    call.verdict = Verdict::Refused;
                    call.message = format!(
                        "refused: {needed} bytes are more than the guard copies for a call ({MOST_SPACE})"
                    );
                    None
                }
                Why::Fault => {
                    let (from, length) = memory.missing.unwrap_or_default();
                    call.verdict = Verdict::Unreadable;
                    call.message = missing(from, length);
                    None
                }
            };
            (call, list)
        }
    }
}

/// A raw hypercall where the guard is strict.
fn closed(caller: &Caller, registers: &Registers) -> Call {
    let mut call = Call::raw(registers);
    let raw = tables::PRIVCMD.iter().find(|request| request.name == c"privcmd.hypercall");
    match raw.map(|request| request.decide(caller.own, caller, true)) {
        Some(Answer::Admitted) => {}
        Some(Answer::Refused(reason)) => call.refuse(reason),
        None => call.refuse(Reason::UNKNOWN_HYPERCALL),
    }
    call
}

/// Another request to the driver; that of a device model is the structure that was recorded.
fn request(caller: &Caller, record: &Record, number: IoctlNumber, domain: u16, is_strict: bool) -> Call {
    let mut call = Call { ioctl: Some(Hex(number.0.into())), domain: Some(domain), ..Call::new() };
    let Some(rules) = ioctl::find(tables::PRIVCMD, number) else {
        call.refuse(Reason::UNKNOWN_HYPERCALL);
        return call;
    };
    call.name(rules.name.to_str().unwrap_or_default());
    let answer = match rules.hypercall {
        None => rules.decide(domain, caller, is_strict),
        Some(hypercall) => {
            let Some((_, argument)) = record.memory.first() else {
                call.verdict = Verdict::Unreadable;
                call.message =
                    "cannot be judged: the structure was not recorded; give it with --memory".to_owned();
                return call;
            };
            let operation =
                argument.first_chunk().map_or(OperationNumber::NONE, |b| OperationNumber(u32::from_le_bytes(*b)));
            let relation = caller.relation(domain.into()).unwrap_or(Relation::SPECIAL);
            let asked = hypercall::Call { relation, argument, ..hypercall::Call::new(hypercall, operation) };
            if let Some(row) = tables::HYPERCALLS.find(hypercall, operation, asked.selector) {
                call.name(row.name.to_str().unwrap_or_default());
            }
            hypercall::decide(&tables::HYPERCALLS, &asked, caller.level, Door::Guard)
        }
    };
    if let Answer::Refused(reason) = answer {
        call.refuse(reason);
    }
    call
}

impl Call {
    /// Something that is admitted, as far as is known.
    fn new() -> Self {
        Self {
            hypercall: None,
            arguments: None,
            ioctl: None,
            domain: None,
            listed: false,
            operation: None,
            class: None,
            mechanism: None,
            verdict: Verdict::Admitted,
            reason: None,
            rule: None,
            message: "admitted: the lock has nothing against it; Xen's own checks follow".to_owned(),
            copied: vec![],
            buffers: vec![],
            written_back: vec![],
        }
    }

    fn raw(registers: &Registers) -> Self {
        let arguments = Some(registers.arguments.map(Hex));
        Self { hypercall: Some(registers.hypercall), arguments, ..Self::new() }
    }

    fn name(&mut self, name: &str) {
        if let Some(text) = super::operation(name) {
            (self.operation, self.class, self.mechanism) =
                (Some(text.name), Some(text.class), Some(text.mechanism));
        } else if let Some(text) = super::request(name) {
            (self.operation, self.mechanism) = (Some(text.name), Some(text.mechanism));
        }
    }

    fn refuse(&mut self, reason: Reason) {
        self.verdict = Verdict::Refused;
        self.reason = Some(reason.id());
        self.rule = Some(reason.info().rule);
        self.message = format!("refused: {}", reason.info().text);
    }
}

fn human(call: &Call) -> String {
    let mut out = String::new();
    let name = call.operation.unwrap_or("an operation that is not known");
    let class = call.class.map_or(String::new(), |class| format!(", {class}"));
    let listed = if call.listed { " of a list" } else { "" };
    let what = match (call.hypercall, call.ioctl) {
        (Some(number), _) => format!("hypercall {number}"),
        (None, Some(number)) => format!("request {number}"),
        (None, None) => String::new(),
    };
    let _ = writeln!(out, "{name} ({what}{listed}{class})");
    let _ = writeln!(out, "  {}", call.message);
    if let (Some(reason), Some(rule)) = (call.reason, call.rule) {
        let _ = writeln!(out, "  reason {reason}, rule {rule} of the boundary");
    }
    if let Some(arguments) = &call.arguments {
        let registers: Vec<_> = arguments.iter().map(Hex::to_string).collect();
        let _ = writeln!(out, "  registers     {}", registers.join(" "));
    }
    if let Some(domain) = call.domain {
        let _ = writeln!(out, "  domain        {domain}");
    }
    for (what, list) in [("copied", &call.copied), ("buffer", &call.buffers), ("written back", &call.written_back)]
    {
        for bytes in list {
            let direction = bytes.direction.map_or(String::new(), |direction| format!(", {direction}"));
            let _ = writeln!(out, "  {what:<13} {} bytes at {}{direction}", bytes.length, bytes.address);
        }
    }
    if let Some(mechanism) = call.mechanism {
        let _ = writeln!(out, "  {mechanism}");
    }
    out
}

/// What is to be decoded: the call on the command line, or one for each line of a log that names one.
fn records(arguments: &DecodeArguments) -> anyhow::Result<Vec<Record>> {
    let Some(file) = &arguments.log else {
        if let Some(number) = &arguments.ioctl {
            let domain = arguments.domain.as_deref().context("say which domain it names with --domain")?;
            return Ok(vec![record::request(number, domain, &arguments.memory)?]);
        }
        let op =
            arguments.op.as_deref().context("give the number of the hypercall with --op, or a log with --log")?;
        return Ok(vec![record::from_words(op, &arguments.arg, &arguments.memory)?]);
    };
    let text = record::read(file)?;
    let mut records = Vec::new();
    for (index, line) in text.lines().enumerate() {
        records.extend(record::from_line(line).with_context(|| format!("{}:{}", file.display(), index + 1))?);
    }
    if records.is_empty() {
        bail!(
            "{}: no line names a call (op=NUMBER arg=HEX... memory=ADDRESS=HEXBYTES..., or ioctl=HEX domain=NUMBER)",
            file.display()
        );
    }
    Ok(records)
}
