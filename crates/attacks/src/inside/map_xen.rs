//! Frames of Xen's own, mapped into a process through privcmd.

use super::{Attack, Level};
use crate::calls::{describe, domain};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::guest_page_works;
use crate::xen::{PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "map-xen",
    rule: "B3",
    level: Level::Integrity,
    summary: "IOCTL_PRIVCMD_MMAPBATCH_V2 with DOMID_XEN, writable, on Xen's table of machine frames",
    needs: "privcmd",
    observed: "the kernel says that a frame of Xen is mapped, and it can be written to",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let table = match privcmd.machine_table() {
        Ok(table) => table,
        Err(error) => return held(format!("the frames of the table cannot be learnt: {error:#}")),
    };
    let Some(&first) = table.first() else { return not_applicable("Xen names no frame of its own") };
    // The end of the table's first part: entries for memory that hardly anybody uses.
    let frame = first + 511;
    let writable = privcmd.map_frames(domain::XEN, &[frame], true)?;
    let readable = privcmd.map_frames(domain::XEN, &[frame], false)?;
    let told = format!(
        "frame {frame:#x} of Xen: writable: {}; readable: {}",
        describe(&writable.errors),
        describe(&readable.errors)
    );
    if !writable.is_mapped(0) {
        return held(told);
    }
    let before = writable.read_register(0, PAGE - 8).unwrap_or_default();
    writable.write_register(0, PAGE - 8, before ^ 1);
    let after = writable.read_register(0, PAGE - 8).unwrap_or_default();
    writable.write_register(0, PAGE - 8, before);
    if after == before ^ 1 { breached(told) } else { held(format!("{told}; writes do not arrive")) }
}
