//! `xen-lockdown hypercall decode`: explains a raw hypercall as the guard would judge it.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use lockdown_core::guard::{Caller, Calls, Direction, Leaf, MOST_SPACE, Memory, Refusal, Registers, Why, plan};
use lockdown_core::{Level, Reason, XenVersion, tables};
use lockdown_policy::catalogue::{self, OperationText};
use serde::Serialize;

use crate::arguments::{DecodeArguments, HypercallCommand};

/// The first address of x86-64 Linux that is no process's.
const USER_END: u64 = 0x7fff_ffff_f000;

pub(crate) fn run(command: &HypercallCommand) -> anyhow::Result<ExitCode> {
    let HypercallCommand::Decode(arguments) = command;
    let records = records(arguments)?;
    let caller = Caller {
        level: Some(if arguments.level == "integrity" { Level::Integrity } else { Level::Confidentiality }),
        own: arguments.own,
        user_end: USER_END,
        version: XenVersion::from_name(&arguments.xen).context("that Xen is not known")?,
    };
    let calls: Vec<_> = records.iter().flat_map(|record| decode(&caller, record)).collect();
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

/// A call as it was recorded: registers, and pieces of the process's memory.
#[derive(Debug)]
struct Record {
    registers: Registers,
    memory: Vec<(u64, Vec<u8>)>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    xen: &'a str,
    calls: Vec<Call>,
}

#[derive(Serialize)]
struct Call {
    hypercall: u64,
    arguments: [Hex; 5],
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
fn decode(caller: &Caller, record: &Record) -> Vec<Call> {
    let (call, list) = judge(caller, record, &record.registers, false);
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
    let text = operation.and_then(|operation| text(operation.name.to_str().ok()?));
    let mut call = Call {
        hypercall: registers.hypercall,
        arguments: registers.arguments.map(Hex),
        listed,
        operation: text.map(|text| text.name),
        class: text.map(|text| text.class),
        mechanism: text.map(|text| text.mechanism),
        verdict: Verdict::Admitted,
        reason: None,
        rule: None,
        message: "admitted: the lock has nothing against it; Xen's own checks follow".to_owned(),
        copied: vec![],
        buffers: vec![],
        written_back: vec![],
    };
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
            let mut refuse = |reason: Reason| {
                call.verdict = Verdict::Refused;
                call.reason = Some(reason.id());
                call.rule = Some(reason.info().rule);
                call.message = format!("refused: {}", reason.info().text);
            };
            let list = match why {
                Why::Reason(reason) => {
                    refuse(reason);
                    None
                }
                Why::Calls(calls) => {
                    refuse(Reason::BYPASS);
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

fn text(name: &str) -> Option<&'static OperationText> {
    catalogue::HYPERCALLS.iter().flat_map(|hypercall| hypercall.operations).find(|text| text.name == name)
}

fn human(call: &Call) -> String {
    let mut out = String::new();
    let registers: Vec<_> = call.arguments.iter().map(Hex::to_string).collect();
    let name = call.operation.unwrap_or("an operation that is not known");
    let class = call.class.map_or(String::new(), |class| format!(", {class}"));
    let listed = if call.listed { " of a list" } else { "" };
    let _ = writeln!(out, "{name} (hypercall {}{listed}{class})", call.hypercall);
    let _ = writeln!(out, "  {}", call.message);
    if let (Some(reason), Some(rule)) = (call.reason, call.rule) {
        let _ = writeln!(out, "  reason {reason}, rule {rule} of the boundary");
    }
    let _ = writeln!(out, "  registers     {}", registers.join(" "));
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
        let op =
            arguments.op.as_deref().context("give the number of the hypercall with --op, or a log with --log")?;
        return Ok(vec![record(op, &arguments.arg, &arguments.memory)?]);
    };
    let mut text = String::new();
    if file.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).context("standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    let mut records = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = |key: &str| -> Vec<String> {
            line.split_ascii_whitespace().filter_map(|word| word.strip_prefix(key)).map(str::to_owned).collect()
        };
        if let Some(op) = words("op=").first() {
            let record = record(op, &words("arg="), &words("memory="));
            records.push(record.with_context(|| format!("{}:{}", file.display(), index + 1))?);
        }
    }
    if records.is_empty() {
        bail!("{}: no line names a call (op=NUMBER arg=HEX... memory=ADDRESS=HEXBYTES...)", file.display());
    }
    Ok(records)
}

fn record(op: &str, given: &[String], memory: &[String]) -> anyhow::Result<Record> {
    let mut arguments = [0; 5];
    if given.len() > arguments.len() {
        bail!("a call has at most {} arguments", arguments.len());
    }
    for (argument, text) in arguments.iter_mut().zip(given) {
        *argument = hex(text)?;
    }
    let hypercall = match op.strip_prefix("0x") {
        Some(_) => hex(op)?,
        None => op.parse().with_context(|| format!("{op:?} is no number of a hypercall"))?,
    };
    let memory = memory.iter().map(|piece| {
        let (address, bytes) =
            piece.split_once('=').with_context(|| format!("{piece:?}: write ADDRESS=HEXBYTES"))?;
        Ok((hex(address)?, hex_bytes(bytes)?))
    });
    Ok(Record { registers: Registers { hypercall, arguments }, memory: memory.collect::<anyhow::Result<_>>()? })
}

fn hex(text: &str) -> anyhow::Result<u64> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).with_context(|| format!("{text:?} is no hexadecimal number of 64 bits"))
}

fn hex_bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.with_context(|| format!("{text:?} is no row of hexadecimal bytes"))?;
    let pairs = digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit));
    pairs.map(|byte| u8::try_from(byte).context("a byte")).collect()
}
