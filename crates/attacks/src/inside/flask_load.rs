//! The access-control policy, replaced by root. The policy is no policy, so nothing is replaced.

use super::{Attack, Level};
use crate::calls::number;
use crate::outcome::{Outcome, absent_or_held, breached};
use crate::witness::version_works;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "flask-load",
    rule: "B6",
    level: Level::Integrity,
    summary: "xsm_op(FLASK_LOAD) of a policy that nobody signed",
    needs: "privcmd; a Xen with XSM",
    observed: "Xen's console tells what its parser found",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const LOAD: u32 = 1;
    const VERSION: u32 = 1;
    let privcmd = Privcmd::open()?;
    let (_, start) = privcmd.console_ring(None)?;
    let policy = Buffer::with(b"no policy at all")?;
    let request = Buffer::new(1)?;
    request.put(0, &LOAD);
    request.put(4, &VERSION);
    request.put(8, &policy.address());
    request.put(16, &16_u32);
    let answer = privcmd.hypercall(number::XSM_OP, [request.address(), 0, 0, 0, 0]);
    let (ring, _) = privcmd.console_ring(Some(start))?;
    match ring.lines().find(|line| line.contains("Flask")) {
        Some(line) => breached(format!("Xen says: {}", line.trim())),
        None => absent_or_held("FLASK_LOAD", answer.map_err(Into::into)),
    }
}
