//! A domain with a grant table whose size Xen computes in 32 bits.
//!
//! With 2^23 frames Xen 4.20 crashes while it makes the domain, because it writes past what it allocated. A crash says nothing
//! about who could have gained what, so a smaller number is tried, which Xen should not take either.

use super::{Attack, Level};
use crate::calls::{Guest, made_with};
use crate::outcome::{Outcome, breached, held, works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "grant-table-size",
    rule: "B3",
    level: Level::Integrity,
    summary: "createdomain with more grant frames than Xen can count the entries of",
    needs: "privcmd",
    observed: "Xen makes the domain",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

/// From here on the number of entries does not fit into a number of 32 bits (xen/common/grant_table.c, nr_grant_entries, 4.20).
const FRAMES: i32 = 1 << 20;

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    match made_with(&privcmd, FRAMES) {
        // Nobody grows its table: the domain goes away as it came.
        Ok(guest) => breached(format!("domain {} was made with {FRAMES} grant frames", guest.id)),
        Err(error) => held(format!("{error:#}")),
    }
}

fn twin() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest: Guest<'_> = made_with(&privcmd, 64)?;
    works(format!("domain {} was made with 64 grant frames", guest.id))
}
