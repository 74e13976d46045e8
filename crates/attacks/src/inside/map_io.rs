//! Device memory, mapped into a process through privcmd.

use std::fs;

use super::{Attack, Level};
use crate::calls::{describe, domain};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::guest_page_works;
use crate::xen::{PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "map-io",
    rule: "B4",
    level: Level::Integrity,
    summary: "IOCTL_PRIVCMD_MMAPBATCH_V2 with DOMID_IO on the HPET and on PCI configuration space",
    needs: "privcmd; a HPET or a memory-mapped PCI configuration space in the ACPI tables",
    observed: "a register that was written through the mapping reads back changed, and for PCI through sysfs too",
    healthy: true,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let mut tried = Vec::new();
    for (what, base, attack) in [
        ("PCI configuration space", table_address("MCFG", 44), configuration as Check),
        ("HPET", table_address("HPET", 44), timer as Check),
    ] {
        let Some(base) = base else { continue };
        let mapping = privcmd.map_frames(domain::IO, &[base / PAGE as u64], true)?;
        if !mapping.is_mapped(0) {
            tried.push(format!("{what} at {base:#x}: {}", describe(&mapping.errors)));
            continue;
        }
        match attack(&mapping) {
            Ok(seen) => return breached(format!("{what} at {base:#x} mapped read-write: {seen}")),
            Err(seen) => tried.push(format!("{what} at {base:#x}: {seen}")),
        }
    }
    if tried.is_empty() {
        not_applicable("the machine's ACPI tables name neither a HPET nor a PCI configuration space")
    } else {
        held(tried.join("; "))
    }
}

type Check = fn(&crate::xen::Mapping) -> Result<String, String>;

/// An address in an ACPI table.
fn table_address(table: &str, offset: usize) -> Option<u64> {
    let bytes = fs::read(format!("/sys/firmware/acpi/tables/{table}")).ok()?;
    bytes.get(offset..offset + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The interrupt line of device 00:00.0: a byte that no hardware looks at.
fn configuration(mapping: &crate::xen::Mapping) -> Result<String, String> {
    const LINE: usize = 0x3c;
    let config = || fs::read("/sys/bus/pci/devices/0000:00:00.0/config").ok()?.get(LINE).copied();
    let before = mapping.read_register(0, LINE).ok_or("not readable")?;
    let seen_before = config();
    mapping.write_register(0, LINE, before ^ 0x5a);
    let after = mapping.read_register(0, LINE).ok_or("not readable")?;
    let seen_after = config();
    mapping.write_register(0, LINE, before);
    let told = format!("interrupt line of 00:00.0 {before:#x} -> {after:#x}, sysfs {seen_before:?} -> {seen_after:?}");
    if after == before ^ 0x5a && seen_before != seen_after { Ok(told) } else { Err(told) }
}

/// The comparator of the last timer, which is switched off.
fn timer(mapping: &crate::xen::Mapping) -> Result<String, String> {
    const COMPARATOR: usize = 0x148;
    let capabilities = mapping.read_register(0, 0).ok_or("not readable")?;
    let before = mapping.read_register(0, COMPARATOR).ok_or("not readable")?;
    mapping.write_register(0, COMPARATOR, before ^ 0x5a5a);
    let after = mapping.read_register(0, COMPARATOR).ok_or("not readable")?;
    mapping.write_register(0, COMPARATOR, before);
    let told = format!("capabilities {capabilities:#x}, comparator 2 {before:#x} -> {after:#x}");
    if after == before ^ 0x5a5a { Ok(told) } else { Err(told) }
}
