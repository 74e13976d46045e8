//! Code for Xen, handed over by root. The payload is no ELF file, so nothing is applied.

use super::{Attack, Level};
use crate::outcome::{Outcome, absent_or_held, breached, broken, works};
use crate::witness::{is_guarded, marker};
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "livepatch-upload",
    rule: "B2",
    level: Level::Integrity,
    summary: "sysctl(livepatch upload) of bytes that nobody signed: they reach the ELF parser inside of Xen",
    needs: "privcmd; a Xen with livepatching",
    observed: "Xen's console tells what its parser found in the payload of that name",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

const LIVEPATCH: u32 = 27;

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let mark = marker();
    let (_, start) = privcmd.console_ring(None)?;
    let name = Buffer::with(format!("{mark}\0").as_bytes())?;
    let payload = Buffer::with(b"\x7fELF and nothing that an ELF file needs")?;
    // struct xen_sysctl_livepatch_op: upload, with name, size of the name, size of the payload, payload.
    let request: [u64; 6] = [0, name.address(), mark.len() as u64 + 1, 1024, payload.address(), 0];
    let answer = privcmd.sysctl(LIVEPATCH, &request);
    let (ring, _) = privcmd.console_ring(Some(start))?;
    match ring.lines().find(|line| line.contains(&mark)) {
        Some(line) => breached(format!("Xen says: {}; the call: {answer:?}", line.trim())),
        None => absent_or_held("livepatch upload", answer),
    }
}

/// The list of what is loaded.
fn twin() -> Outcome {
    let privcmd = Privcmd::open()?;
    if is_guarded() {
        // The list says nothing of the size of its buffers; the state of one livepatch does.
        let name = Buffer::with(b"none\0")?;
        let request: [u64; 5] = [1, name.address(), 5, 0, 0];
        return match privcmd.sysctl(LIVEPATCH, &request) {
            Err(error) if error.to_string().contains("os error 2)") => works("there is no livepatch of that name"),
            answer => broken(format!("livepatch get: {answer:?}")),
        };
    }
    let request: [u64; 12] = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match privcmd.sysctl(LIVEPATCH, &request) {
        Ok(_) => works("the list of livepatches can be asked for"),
        Err(error) => broken(format!("livepatch list: {error:#}")),
    }
}
