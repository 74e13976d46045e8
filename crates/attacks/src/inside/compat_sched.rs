//! An old number whose arguments are all in registers; tried all the same.

use super::{Attack, Level};
use crate::calls::number;
use crate::outcome::{Outcome, absent_or_held, breached};
use crate::witness::{HostName, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "compat-sched",
    rule: "B3",
    level: Level::Integrity,
    summary: "the old scheduler hypercall (6) with a kernel address as its argument",
    needs: "privcmd",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const YIELD: u64 = 0;
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let answer = privcmd.hypercall(number::SCHED_OP_COMPAT, [YIELD, name.address, 0, 0, 0]);
    if name.changed()? { breached(name.told()?) } else { absent_or_held("hypercall 6", answer.map_err(Into::into)) }
}
