//! An old number for a call that a filter may know only by its new one.

use super::{Attack, Level};
use crate::calls::number;
use crate::outcome::{Outcome, absent_or_held, breached};
use crate::witness::{HostName, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "compat-physdev",
    rule: "B3",
    level: Level::Integrity,
    summary: "the old physical device hypercall (19) with its structure in kernel memory: Xen writes its answer there",
    needs: "privcmd",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

/// `PHYSDEVOP_irq_status_query`: command, interrupt, and the flags that Xen fills in.
const STATUS_QUERY: u32 = 5;

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let words = [STATUS_QUERY, 0, 9, u32::MAX];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let name = HostName::set(&bytes)?;
    let answer = privcmd.hypercall(number::PHYSDEV_OP_COMPAT, [name.address, 0, 0, 0, 0]);
    if name.changed()? { breached(name.told()?) } else { absent_or_held("hypercall 19", answer.map_err(Into::into)) }
}
