//! A signed image starts the guard's process 1, and the guard is not in it.

use anyhow::Result;

use super::{Answer, Attack, Stage, no_guard, off_or_up, with_guard, works_as_signed};

pub(super) const ATTACK: Attack = Attack {
    id: "guard-missing",
    rule: "B13",
    summary: "A signed image starts the guard's process 1, and the guard is not in it.",
    observed: "dom0's own process 1 comes up; the guard's says that there is no guard, and the machine goes off.",
    harmless: "The same image, put together by the same hand, with the guard in it.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let Some(_) = &stage.xen.guard else { return Ok(no_guard()) };
    let scenario = with_guard(stage, ATTACK.id, None, "")?;
    off_or_up(&stage.boot(&scenario)?)
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    // Where there is no guard, the machine as it is signed is what is left of it.
    let Some(guard) = &stage.xen.guard else { return Ok(works_as_signed(stage, &stage.base)) };
    let scenario = with_guard(stage, "guard-missing-twin", Some(guard), "")?;
    Ok(works_as_signed(stage, &stage.boot(&scenario)?))
}
