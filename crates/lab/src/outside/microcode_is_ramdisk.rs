//! The signed image has no ramdisk and names microcode on the disk; an initramfs lies there.

use anyhow::Result;

use super::{Answer, Attack, Stage, taken_or_refused, works_as_signed};
use crate::image::Parts;
use crate::lab::{Scenario, config};

pub(super) const ATTACK: Attack = Attack {
    id: "microcode-is-ramdisk",
    rule: "B2",
    summary: "The signed image has no ramdisk and names microcode on the disk; an initramfs lies there.",
    observed: "Process 1 of the unsigned initramfs speaks.",
    harmless: "The signed image has its ramdisk, and what lies on the disk as microcode is nothing.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let scenario = scenario(stage, ATTACK.id, None, stage.ramdisk.clone())?;
    taken_or_refused(&stage.boot(&scenario)?, "an unsigned initramfs")
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    let scenario = scenario(stage, "microcode-is-ramdisk-twin", Some(stage.ramdisk.clone()), vec![0x5a; 4096])?;
    Ok(works_as_signed(stage, &stage.boot(&scenario)?))
}

fn scenario(stage: &Stage<'_>, name: &str, ramdisk: Option<Vec<u8>>, microcode: Vec<u8>) -> Result<Scenario> {
    let line = if ramdisk.is_some() { "ramdisk=initrd\nucode=ucode" } else { "ucode=ucode" };
    let config = config(stage.dom0, "", "").replace("ramdisk=initrd", line);
    let mut scenario = stage.with_parts(name, &Parts { config: Some(config), ramdisk, ..stage.parts() })?;
    scenario.disk.push(("EFI/xen/ucode".to_owned(), microcode));
    Ok(scenario)
}
