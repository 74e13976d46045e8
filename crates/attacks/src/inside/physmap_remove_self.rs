//! A page of the kernel's is unmapped from its physical memory, with pointers that are all our own.

use super::{Attack, Level};
use crate::calls::{domain, memory};
use crate::layout::RemoveFromPhysmap;
use crate::outcome::Outcome;
use crate::witness::guest_page_works;
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "physmap-remove-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "memory_op(remove_from_physmap) on oneself takes a page away from under the kernel",
    needs: "privcmd",
    observed: "the kernel's shared page of zeros no longer reads as zeros",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    super::reservation_decrease_self::take_away("remove_from_physmap", |privcmd, frame| {
        privcmd.memory(
            memory::REMOVE_FROM_PHYSMAP,
            &RemoveFromPhysmap { domain: domain::SELF, padding: [0; 3], frame },
        )
    })
}
