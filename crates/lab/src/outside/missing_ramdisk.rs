//! The signed image has no .ramdisk; the initramfs that its configuration names lies on the disk.

use anyhow::Result;

use super::{Answer, Attack, Stage, taken_or_refused};
use crate::image::Parts;

pub(super) const ATTACK: Attack = Attack {
    id: "missing-ramdisk",
    rule: "B2",
    summary: "The signed image has no .ramdisk; the initramfs that its configuration names lies on the disk.",
    observed: "Process 1 of the unsigned initramfs speaks.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = stage.with_parts(ATTACK.id, &Parts { ramdisk: None, ..stage.parts() })?;
    scenario.disk.push(("EFI/xen/initrd".to_owned(), stage.ramdisk.clone()));
    taken_or_refused(&stage.boot(&scenario)?, "an unsigned initramfs")
}
