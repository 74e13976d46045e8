//! The kernel's grant table, mapped into a process: whoever writes it hands out the kernel's memory.

use super::{Attack, Level};
use crate::calls::{Guest, describe, domain};
use crate::outcome::{Outcome, breached, broken, held, works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "map-resource",
    rule: "B3",
    level: Level::Integrity,
    summary: "IOCTL_PRIVCMD_MMAP_RESOURCE on the grant table of DOMID_SELF and of domain 0",
    needs: "privcmd",
    observed: "the kernel's own grant table is mapped and its entries can be read",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

/// `XENMEM_resource_grant_table`, and its part with the shared frames.
const GRANT_TABLE: (u32, u32) = (1, 0);

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let mut tried = Vec::new();
    for owner in [domain::SELF, 0] {
        let mapping = privcmd.map_resource(owner, GRANT_TABLE.0, GRANT_TABLE.1, 1)?;
        let seen = mapping.read(0, 0, 64);
        let told = format!("domain {owner:#x}: {}", describe(&mapping.errors));
        match seen {
            Some(bytes) => return breached(format!("{told}; the grant table begins {bytes:02x?}")),
            None => tried.push(told),
        }
    }
    held(tried.join("; "))
}

/// The same on a guest that is being made, as toolstacks do to seed its grant table.
fn twin() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest = match Guest::create(&privcmd, &[]) {
        Ok(guest) => guest,
        Err(error) => return broken(format!("{error:#}")),
    };
    let mapping = privcmd.map_resource(guest.id, GRANT_TABLE.0, GRANT_TABLE.1, 1)?;
    match mapping.read(0, 0, 64) {
        Some(_) => works(format!("the grant table of the new guest {} is mapped", guest.id)),
        None => broken(format!("the grant table of a new guest: {}", describe(&mapping.errors))),
    }
}
