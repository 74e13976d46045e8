//! The old door to the same driver.

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{raw_write, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "procfs-node",
    rule: "B13",
    level: Level::Integrity,
    summary: "the raw write through /proc/xen/privcmd, which shares the driver's operations",
    needs: "xenfs",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || through_node(version_works),
};

const NODE: &str = "/proc/xen/privcmd";

fn run() -> Outcome {
    through_node(|privcmd| match raw_write(privcmd)? {
        Ok(seen) => breached(format!("through {NODE}: {seen}")),
        Err(refused) => held(format!("through {NODE}: {refused}")),
    })
}

fn through_node(act: impl FnOnce(&Privcmd) -> Outcome) -> Outcome {
    match Privcmd::open_at(NODE) {
        Ok(privcmd) => act(&privcmd),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => not_applicable(format!("no {NODE}")),
        Err(error) => held(format!("{NODE}: {error}")),
    }
}
