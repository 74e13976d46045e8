//! Xen alone is signed; its configuration, the kernel and the initramfs lie on the disk without signatures.

use anyhow::Result;

use super::{Answer, Attack, Stage, taken_or_refused};
use crate::image::{Parts, unsign};
use crate::lab::config;

pub(super) const ATTACK: Attack = Attack {
    id: "bare-xen",
    rule: "B2",
    summary: "Xen alone is signed; its configuration, the kernel and the initramfs lie on the disk without signatures.",
    observed: "dom0 comes up from them.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let lab = stage.lab;
    let mut scenario = stage.with_parts(ATTACK.id, &Parts::default())?;
    scenario.disk = vec![
        ("EFI/xen/xen.cfg".to_owned(), config(stage.dom0, "", "").into_bytes()),
        ("EFI/xen/vmlinuz".to_owned(), unsign(&lab.kernel)?),
        ("EFI/xen/initrd".to_owned(), stage.ramdisk.clone()),
    ];
    taken_or_refused(&stage.boot(&scenario)?, "an unsigned configuration, kernel and initramfs")
}
