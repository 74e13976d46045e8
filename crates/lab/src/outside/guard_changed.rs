//! The guard in a signed image was changed after it was signed.

use anyhow::Result;

use super::{Answer, Attack, Stage, no_guard, off_or_up, with_guard};

pub(super) const ATTACK: Attack = Attack {
    id: "guard-changed",
    rule: "B13",
    summary: "The guard in a signed image was changed after it was signed.",
    observed: "dom0's own process 1 comes up; the guard's says that there is no guard, and the machine goes off.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let Some(guard) = &stage.xen.guard else { return Ok(no_guard()) };
    let mut guard = guard.clone();
    let middle = guard.len() / 2;
    if let Some(byte) = guard.get_mut(middle) {
        *byte ^= 1;
    }
    off_or_up(&stage.boot(&with_guard(stage, ATTACK.id, Some(&guard), "")?)?)
}
