//! Operations for guests that are being made or paused, aimed at the domain that runs this.

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, held};
use crate::witness::guest_page_works;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "domctl-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "domctls that set registers, entry points or the state of oneself",
    needs: "privcmd",
    observed: "one of them is carried out",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

/// Name and number. The payload is all zeros, so that nothing useful is set should one be carried out.
const TRIED: [(&str, u32); 6] = [
    ("pausedomain", 3),
    ("setvcpucontext", 12),
    ("sethvmcontext", 34),
    ("set_ext_vcpucontext", 42),
    ("setvcpuextstate", 62),
    ("soft_reset", 79),
];

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    // What a context would be read from, if any were.
    let context = Buffer::new(2)?;
    let mut told = Vec::new();
    let mut done = false;
    for (name, command) in TRIED {
        let payload: [u64; 4] = [0, context.address(), 0, 0];
        match privcmd.domctl(command, 0, &payload) {
            Ok(_) => {
                done = true;
                told.push(format!("{name}: carried out"));
            }
            Err(error) => told.push(format!("{name}: {error:#}")),
        }
    }
    if done { breached(told.join("; ")) } else { held(told.join("; ")) }
}
