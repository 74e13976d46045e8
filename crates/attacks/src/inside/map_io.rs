//! Device memory, mapped into a process through privcmd.

use std::fs;
use std::path::Path;

use super::{Attack, Level};
use crate::calls::{describe, domain};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::guest_page_works;
use crate::xen::{Mapping, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "map-io",
    rule: "B4",
    level: Level::Integrity,
    summary: "IOCTL_PRIVCMD_MMAPBATCH_V2 with DOMID_IO on a disk controller, the HPET and PCI configuration space",
    needs: "privcmd; an AHCI controller, a HPET or a memory-mapped PCI configuration space",
    observed: "the address that the controller would read its commands from changes, or registers of the other two \
               read what they must",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

/// What is tried: a name, an address, and what shows that the device is really there.
struct Target {
    name: &'static str,
    address: u64,
    check: fn(&Mapping) -> Result<String, String>,
}

fn run() -> Outcome {
    let targets = [
        controller().map(|address| Target { name: "AHCI controller", address, check: command_list }),
        table_address("HPET").map(|address| Target { name: "HPET", address, check: timer }),
        table_address("MCFG").map(|address| Target { name: "PCI configuration", address, check: configuration }),
    ];
    let privcmd = Privcmd::open()?;
    let mut seen = Vec::new();
    let mut tried = Vec::new();
    for Target { name, address, check } in targets.into_iter().flatten() {
        let mapping = privcmd.map_frames(domain::IO, &[address / PAGE as u64], true)?;
        if !mapping.is_mapped(0) {
            tried.push(format!("{name} at {address:#x}: {}", describe(&mapping.errors)));
            continue;
        }
        match check(&mapping) {
            Ok(told) => seen.push(format!("{name} at {address:#x}: {told}")),
            Err(told) => tried.push(format!("{name} at {address:#x}: mapped, but {told}")),
        }
    }
    if !seen.is_empty() {
        breached(seen.join("; "))
    } else if tried.is_empty() {
        not_applicable("no AHCI controller, no HPET, no PCI configuration space in the ACPI tables")
    } else {
        held(tried.join("; "))
    }
}

/// The registers of the first AHCI controller: its sixth address range.
fn controller() -> Option<u64> {
    const CLASS: &str = "0x0106";
    for entry in fs::read_dir("/sys/bus/pci/devices").ok()?.flatten() {
        let read = |name: &str| fs::read_to_string(Path::new(&entry.path()).join(name)).unwrap_or_default();
        if read("class").starts_with(CLASS) {
            let start = read("resource").lines().nth(5)?.split(' ').next()?.trim_start_matches("0x").to_owned();
            return u64::from_str_radix(&start, 16).ok().filter(|&start| start != 0);
        }
    }
    None
}

/// The address in an ACPI table of one of the two kinds, which both have it at the same place.
fn table_address(table: &str) -> Option<u64> {
    let bytes = fs::read(format!("/sys/firmware/acpi/tables/{table}")).ok()?;
    bytes.get(44..52)?.try_into().ok().map(u64::from_le_bytes)
}

/// Where port 0 of the controller reads commands from: memory access of the device's own. Put back at once.
fn command_list(mapping: &Mapping) -> Result<String, String> {
    const COMMAND_LIST: usize = 0x100;
    let before = mapping.read_register(0, COMMAND_LIST).ok_or("not readable")?;
    if before == u32::MAX {
        return Err("it does not answer".to_owned());
    }
    mapping.write_register(0, COMMAND_LIST, before ^ 0x5a00_0000);
    let after = mapping.read_register(0, COMMAND_LIST).ok_or("not readable")?;
    mapping.write_register(0, COMMAND_LIST, before);
    let told = format!("command list address {before:#x} -> {after:#x}");
    if after == before ^ 0x5a00_0000 { Ok(told) } else { Err(told) }
}

/// Only read: Xen keeps the HPET read-only even where a mapping was asked for as writable, and a write from a
/// process would fault for ever.
fn timer(mapping: &Mapping) -> Result<String, String> {
    let period = mapping.read_register(0, 4).ok_or("not readable")?;
    // Femtoseconds; the specification allows up to 100 ns.
    if (1..=100_000_000).contains(&period) {
        Ok(format!("its period reads {period} fs"))
    } else {
        Err(format!("its period reads {period:#x}"))
    }
}

/// Only read, for the same reason.
fn configuration(mapping: &Mapping) -> Result<String, String> {
    let seen = mapping.read_register(0, 0).ok_or("not readable")?;
    let config = fs::read("/sys/bus/pci/devices/0000:00:00.0/config").unwrap_or_default();
    let known = config.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    if known == Some(seen) { Ok(format!("00:00.0 reads {seen:#010x}")) } else { Err(format!("reads {seen:#010x}")) }
}
