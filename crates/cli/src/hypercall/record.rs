//! Calls as they were recorded: on the command line, in a log of one's own, or in the kernel's log by the guard.

use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use lockdown_core::guard::Registers;
use lockdown_core::ioctl::IoctlNumber;
use lockdown_policy::catalogue;

/// What a process asked for, and pieces of its memory.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) asked: Asked,
    pub(super) memory: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// A raw hypercall.
    Call(Registers),
    /// Another request of the driver, about a domain.
    Ioctl { number: IoctlNumber, domain: u16 },
}

/// The lines of a file; `-` is standard input.
pub(super) fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes).context("standard input")?;
    } else {
        bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    }
    // A log holds what processes wrote; what is not text in it is no line of ours.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The call that a line names; nothing where it names none.
pub(super) fn from_line(line: &str) -> anyhow::Result<Option<Record>> {
    let words = |key: &str| -> Vec<String> {
        line.split_ascii_whitespace().filter_map(|word| word.strip_prefix(key)).map(str::to_owned).collect()
    };
    if let Some(op) = words("op=").first() {
        return from_words(op, &words("arg="), &words("memory=")).map(Some);
    }
    match (words("ioctl=").first(), words("domain=").first()) {
        (Some(number), Some(domain)) => request(number, domain, &words("memory=")).map(Some),
        _ => Ok(None),
    }
}

/// A raw hypercall.
pub(super) fn from_words(op: &str, given: &[String], memory: &[String]) -> anyhow::Result<Record> {
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
    Ok(Record { asked: Asked::Call(Registers { hypercall, arguments }), memory: pieces(memory)? })
}

/// A request of the driver, by its number or its name.
pub(super) fn request(number: &str, domain: &str, memory: &[String]) -> anyhow::Result<Record> {
    let named = catalogue::PRIVCMD.iter().find(|text| {
        let name = text.name.strip_prefix("privcmd.").unwrap_or(text.name);
        name == number || text.name == number
    });
    let number = match named {
        Some(text) => text.command,
        None => hex(number).ok().and_then(|number| u32::try_from(number).ok()).with_context(|| {
            let names: Vec<_> = catalogue::PRIVCMD.iter().map(|text| text.name).collect();
            let names = names.join(", ");
            format!("{number:?} is neither a request to privcmd nor its number in hexadecimal; there are {names}")
        })?,
    };
    let domain = domain.parse().with_context(|| format!("{domain:?} is no number of a domain"))?;
    Ok(Record { asked: Asked::Ioctl { number: IoctlNumber(number), domain }, memory: pieces(memory)? })
}

fn pieces(memory: &[String]) -> anyhow::Result<Vec<(u64, Vec<u8>)>> {
    let piece = |piece: &String| {
        let (address, bytes) =
            piece.split_once('=').with_context(|| format!("{piece:?}: write ADDRESS=HEXBYTES"))?;
        anyhow::Ok((hex(address)?, hex_bytes(bytes)?))
    };
    memory.iter().map(piece).collect()
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

/// What the guard wrote into the kernel's log about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Whether it was refused, or would have been.
    pub(super) refused: bool,
    /// `domctl.pausedomain`.
    pub(super) operation: String,
    /// The name of the process, with what is not printable escaped.
    pub(super) process: String,
    /// The reason's id.
    pub(super) reason: String,
}

impl Told {
    /// What a line of the kernel's log says, whatever stands in front.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let (_, said) = line.split_once("lockdown-guard: ")?;
        let (refused, rest) = match said.strip_prefix("refused ") {
            Some(rest) => (true, rest),
            None => (false, said.strip_prefix("would refuse ")?),
        };
        let (operation, rest) = rest.split_once(" (")?;
        // A process may be called anything; the guard's own words begin behind its number.
        let (process, rest) = rest.split_once("]): ")?;
        let (process, _pid) = process.rsplit_once('[')?;
        let (reason, _) = rest.split_once(": ")?;
        Some(Self {
            refused,
            operation: operation.to_owned(),
            process: process.to_owned(),
            reason: reason.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_of_the_guards_is_read() {
        let line = "[   12.345678] lockdown-guard: refused xen_version.guest_handle (a b[c][139]): kernel-address: hands \
                    Xen an address that is not userspace's; op=17 arg=8 arg=ffffffff838896fc arg=0 arg=0 arg=0";
        let told = Told::from_line(line).unwrap();
        assert_eq!(
            (told.refused, &*told.operation, &*told.process, &*told.reason),
            (true, "xen_version.guest_handle", "a b[c]", "kernel-address")
        );
        assert!(matches!(from_line(line).unwrap().unwrap().asked, Asked::Call(call) if call.hypercall == 17));
        let line =
            "lockdown-guard: would refuse privcmd.mmapbatch-v2 (xl[9]): own-memory: x; ioctl=205004 domain=32752";
        assert!(!Told::from_line(line).unwrap().refused);
        let asked = from_line(line).unwrap().unwrap().asked;
        assert!(matches!(asked, Asked::Ioctl { number: IoctlNumber(0x20_5004), domain: 0x7ff0 }));
        assert_eq!(Told::from_line("lockdown-guard: the guard stands in domain 0 on Xen 4.20, level 1"), None);
        assert!(from_line("usb 1-1: new device").unwrap().is_none());
    }

    #[test]
    fn a_request_is_named_in_three_ways() {
        for name in ["mmap", "privcmd.mmap", "105002", "0x105002"] {
            let asked = request(name, "3", &[]).unwrap().asked;
            assert!(matches!(asked, Asked::Ioctl { number: IoctlNumber(0x10_5002), domain: 3 }), "{name}");
        }
        assert!(request("nosuch", "3", &[]).is_err());
        assert!(request("mmap", "70000", &[]).is_err());
    }
}
