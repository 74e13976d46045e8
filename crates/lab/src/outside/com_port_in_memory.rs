//! The boot entry gives a serial port the address of Xen's own image.

use anyhow::{Context, Result, bail};

use super::{Answer, Attack, Stage, breached, held, works_as_signed};
use crate::boot::Boot;
use crate::console::{Event, Line};
use crate::root::hex;

/// The start of Xen's code, from the start of its image: what a multiboot loader would enter, and firmware does not.
const CODE: u64 = 0x20_0000;
/// The registers of a serial port.
const REGISTERS: u64 = 8;

pub(super) const ATTACK: Attack = Attack {
    id: "com-port-in-memory",
    rule: "B3",
    summary: "The boot entry gives a serial port the address of Xen's own image.",
    observed: "The machine's memory at that address, read from outside, differs from what the twin has there.",
    harmless: "The boot entry gives the serial port its usual address.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let usual = base_address(&stage.base)?;
    let place = usual.saturating_add(CODE);
    let (twin, before) = boot(stage, "com-port-in-memory-twin", "0x2f8", place)?;
    let (attacked, after) = boot(stage, ATTACK.id, &format!("{place:#x}"), place)?;
    for boot in [&twin, &attacked] {
        if base_address(boot)? != usual {
            bail!("Xen's image lay elsewhere in another boot: nothing can be compared");
        }
    }
    let seen = format!("at {place:#x}, in Xen's image: {} before, {} after", hex(&before), hex(&after));
    Ok(if before == after { held(seen) } else { breached(seen) })
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    let place = base_address(&stage.base)?.saturating_add(CODE);
    let (boot, _) = boot(stage, "com-port-in-memory-twin", "0x2f8", place)?;
    Ok(works_as_signed(stage, &boot))
}

/// Boots with a second serial port at `address`; gives the memory at `place` while dom0 runs.
fn boot(stage: &Stage<'_>, name: &str, address: &str, place: u64) -> Result<(Boot, Vec<u8>)> {
    let scenario = stage.with_options(name, &format!("xen.efi -- com2=115200,8n1,{address}"));
    let mut memory = None;
    let boot = stage.boot_and_look(&scenario, &mut |line, machine| {
        if let Line::Event(Event::Booted(_)) = line {
            memory = Some(machine.memory(place, REGISTERS)?);
        }
        Ok(())
    })?;
    let end = format!("{:?}", boot.end);
    Ok((boot, memory.with_context(|| format!("dom0 did not come up: {end}"))?))
}

/// Where Xen says that its image lies.
fn base_address(boot: &Boot) -> Result<u64> {
    let line = boot.line("Xen image load base address:").context("Xen does not say where its image lies")?;
    let text = line.rsplit("0x").next().unwrap_or_default().trim();
    u64::from_str_radix(text, 16).with_context(|| format!("{line:?} names no address"))
}
