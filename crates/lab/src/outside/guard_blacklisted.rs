//! The signed line of dom0's kernel has the guard on `module_blacklist=`, which `image build` would refuse.

use anyhow::Result;

use super::{Answer, Attack, Stage, no_guard, off_or_up, with_guard, works_as_signed};

pub(super) const ATTACK: Attack = Attack {
    id: "guard-blacklisted",
    rule: "B13",
    summary: "The signed line of dom0's kernel has the guard on module_blacklist=.",
    observed: "dom0's own process 1 comes up; the guard's says that there is no guard, and the machine goes off.",
    harmless: "The same image, with another module on the list.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let Some(guard) = &stage.xen.guard else { return Ok(no_guard()) };
    let scenario = with_guard(stage, ATTACK.id, Some(guard), "module_blacklist=xen_privcmd")?;
    off_or_up(&stage.boot(&scenario)?)
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    // Where there is no guard, the machine as it is signed is what is left of it.
    let Some(guard) = &stage.xen.guard else { return Ok(works_as_signed(stage, &stage.base)) };
    let scenario = with_guard(stage, "guard-blacklisted-twin", Some(guard), "module_blacklist=dummy")?;
    Ok(works_as_signed(stage, &stage.boot(&scenario)?))
}
