//! As map-self, with domain 0 named by its number.

use super::{Attack, Level};
use crate::outcome::Outcome;
use crate::witness::guest_page_works;
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "map-dom0",
    rule: "B3",
    level: Level::Integrity,
    summary: "IOCTL_PRIVCMD_MMAPBATCH_V2 with domain 0 on the frame of the kernel's host name",
    needs: "privcmd",
    observed: "the host name that the kernel tells is what was written into the mapping",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    super::map_self::map_own(0)
}
