//! The signed image has no .kernel; a kernel without its signature lies on the disk.

use anyhow::Result;

use super::{Answer, Attack, Stage, taken_or_refused};
use crate::image::{Parts, unsign};

pub(super) const ATTACK: Attack = Attack {
    id: "missing-kernel",
    rule: "B2",
    summary: "The signed image has no .kernel; a kernel without its signature lies on the disk.",
    observed: "dom0 comes up from it.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = stage.with_parts(ATTACK.id, &Parts { kernel: None, ..stage.parts() })?;
    let kernel = unsign(&stage.lab.kernel)?;
    scenario.disk.push(("EFI/xen/vmlinuz".to_owned(), kernel));
    taken_or_refused(&stage.boot(&scenario)?, "an unsigned kernel")
}
