//! An old number for a call that a filter may know only by its new one.

use super::{Attack, Level};
use crate::calls::{domain, number};
use crate::outcome::{Outcome, absent_or_held, breached, broken, works};
use crate::witness::HostName;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "compat-event-channel",
    rule: "B3",
    level: Level::Integrity,
    summary: "the old event channel hypercall (16) with its structure in kernel memory: Xen writes its answer there",
    needs: "privcmd",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    const STATUS: u32 = 5;
    let privcmd = Privcmd::open()?;
    // struct evtchn_op: command, domain, port; then what Xen is to fill in.
    let words = [STATUS, domain::SELF.into(), 1, u32::MAX, u32::MAX, u32::MAX, u32::MAX];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let name = HostName::set(&bytes)?;
    let answer = privcmd.hypercall(number::EVENT_CHANNEL_OP_COMPAT, [name.address, 0, 0, 0, 0]);
    if name.changed()? { breached(name.told()?) } else { absent_or_held("hypercall 16", answer.map_err(Into::into)) }
}

/// The same question by the new number, with memory of our own.
fn twin() -> Outcome {
    const STATUS: u64 = 5;
    let privcmd = Privcmd::open()?;
    let words = [u32::from(domain::SELF), 1, u32::MAX, 0, 0, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let buffer = Buffer::with(&bytes)?;
    match privcmd.hypercall(number::EVENT_CHANNEL_OP, [STATUS, buffer.address(), 0, 0, 0]) {
        Ok(_) if buffer.get::<u32>(8) != u32::MAX => works(format!("event channel 1 has status {}", buffer.get::<u32>(8))),
        other => broken(format!("event_channel_op status: {other:?}")),
    }
}
