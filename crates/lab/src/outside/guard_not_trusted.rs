//! The guard in a signed image has a signature of a key that dom0's kernel does not trust.

use anyhow::{Context, Result};

use super::{Answer, Attack, Stage, no_guard, off_or_up, with_guard};
use crate::guard;

pub(super) const ATTACK: Attack = Attack {
    id: "guard-not-trusted",
    rule: "B13",
    summary: "The guard in a signed image has a signature of a key that dom0's kernel does not trust.",
    observed: "dom0's own process 1 comes up; the guard's says that there is no guard, and the machine goes off.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let Some(guard) = &stage.xen.guard else { return Ok(no_guard()) };
    let lab = stage.lab;
    let folder = lab.root.folder().parent().context("the root has no parent folder")?;
    // A second signature stands behind the first one, and is the only one that the kernel looks at.
    let guard = guard::sign(&lab.root, folder, guard, &lab.keys.stranger)?;
    off_or_up(&stage.boot(&with_guard(stage, ATTACK.id, Some(&guard), "")?)?)
}
