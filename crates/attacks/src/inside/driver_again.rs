//! A signed driver without a guard, next to one that has it.

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{raw_write, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "driver-again",
    rule: "B13",
    level: Level::Integrity,
    summary: "Debian's own signed xen-privcmd is loaded beside the driver that is there",
    needs: "the module's file",
    observed: "the raw write works afterwards and did not before",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let before = raw_write(&privcmd)?;
    let answer = super::driver_remove::load("xen-privcmd");
    let after = raw_write(&Privcmd::open()?)?;
    match (before, after) {
        (Ok(_), _) => not_applicable(format!("the driver that is loaded has no guard; loading it again: {answer:?}")),
        (Err(before), Ok(seen)) => breached(format!("before: {before}; after: {seen}; loading: {answer:?}")),
        (Err(_), Err(after)) => held(format!("loading: {answer:?}; the raw write: {after}")),
    }
}
