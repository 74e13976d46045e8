//! Makes hypercalls that were written down elsewhere, a line each: `op=NUMBER arg=HEX... memory=ADDRESS=HEXBYTES...`, and
//! says for each its error (0 for none) and which reasons the guard or Xen counted meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lockdown_privcmd::hypfs::Hypfs;

use crate::outcome::Outcome;
use crate::say;
use crate::xen::{Arena, Privcmd};

/// The guard's counters.
const GUARD: &str = "/sys/kernel/xen-lockdown/refused";
/// Xen's.
const XEN: &str = "/lockdown/refused";

struct Call {
    number: u64,
    arguments: [u64; 5],
    memory: Vec<(u64, Vec<u8>)>,
}

pub(crate) fn make(file: &str) -> Outcome {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let (privcmd, arena, counters) = (Privcmd::open()?, Arena::new()?, Counters::open()?);
    let mut said = String::new();
    let mut before = counters.read()?;
    for (index, line) in text.lines().enumerate() {
        let call = parse(line).with_context(|| format!("{file}:{}", index + 1))?;
        for (address, bytes) in &call.memory {
            ensure!(arena.put(*address, bytes), "{file}:{}: {address:#x} is not in the arena", index + 1);
        }
        let error = match privcmd.hypercall(call.number, call.arguments) {
            Ok(_) => 0,
            Err(error) => error.raw_os_error().unwrap_or(-1),
        };
        let after = counters.read()?;
        let _ = write!(said, "{index} {error}");
        for (reason, count) in &after {
            if before.get(reason) != Some(count) {
                let _ = write!(said, " {reason}");
            }
        }
        said.push('\n');
        before = after;
    }
    say::say(said.as_bytes())
}

/// Who counts refusals here: the guard where there is one, otherwise Xen.
enum Counters {
    Guard,
    Xen(Hypfs, Vec<String>),
}

impl Counters {
    fn open() -> Result<Self> {
        if Path::new(GUARD).is_dir() {
            return Ok(Self::Guard);
        }
        let hypfs = Hypfs::new(lockdown_privcmd::Privcmd::open_at(lockdown_privcmd::DEVICE)?);
        let names = hypfs.names(XEN)?;
        Ok(Self::Xen(hypfs, names))
    }

    fn read(&self) -> Result<BTreeMap<String, u64>> {
        match self {
            Self::Guard => {
                let count = |entry: std::io::Result<fs::DirEntry>| {
                    let entry = entry?;
                    let count = fs::read_to_string(entry.path())?.trim().parse()?;
                    Ok((entry.file_name().to_string_lossy().into_owned(), count))
                };
                fs::read_dir(GUARD)?.map(count).collect()
            }
            Self::Xen(hypfs, names) => {
                let count = |name: &String| {
                    let node = hypfs.read(&format!("{XEN}/{name}"))?;
                    Ok((name.clone(), node.number().context("a counter is no number")?))
                };
                names.iter().map(count).collect()
            }
        }
    }
}

fn parse(line: &str) -> Result<Call> {
    let mut call = Call { number: 0, arguments: [0; 5], memory: Vec::new() };
    let mut next = 0;
    for word in line.split(' ') {
        match word.split_once('=').context("a word without =")? {
            ("op", number) => call.number = number.parse()?,
            ("arg", value) => {
                *call.arguments.get_mut(next).context("too many arguments")? = u64::from_str_radix(value, 16)?;
                next += 1;
            }
            ("memory", piece) => {
                let (address, bytes) = piece.split_once('=').context("memory without bytes")?;
                call.memory.push((u64::from_str_radix(address, 16)?, hex(bytes)?));
            }
            (other, _) => anyhow::bail!("{other}= is not known"),
        }
    }
    Ok(call)
}

fn hex(text: &str) -> Result<Vec<u8>> {
    ensure!(text.len() % 2 == 0 && text.is_ascii(), "an odd number of digits");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
