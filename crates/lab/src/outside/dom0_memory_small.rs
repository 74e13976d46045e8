//! The boot entry leaves dom0 too little memory to unpack its ramdisk.

use std::fs;

use anyhow::{Context, Result, bail};
use lockdown_unify::guard;

use super::{Answer, Attack, Stage, breached, held, no_guard, works_as_signed};
use crate::boot::End;
use crate::image::{self, Parts};
use crate::initramfs::Initramfs;
use crate::lab::{Lab, Scenario, config};
use crate::root::SHARED;

pub(super) const ATTACK: Attack = Attack {
    id: "dom0-memory-small",
    rule: "B13",
    summary: "The boot entry leaves dom0 too little memory to unpack its ramdisk, and what is lost is behind the guard only.",
    observed: "Linux says that unpacking failed, and what runs as process 1; the guard's own line, if it stands.",
    harmless: "With the memory that is signed, the same ramdisk is unpacked.",
    run,
    twin: Some(twin),
};

/// What stands in the ramdisk before its `/init`, in bytes. Linux gives its first file system half of the memory.
const FILLER: usize = 128 << 20;

/// Less than twice of that, and more than the kernel takes.
const LITTLE: &str = "xen.efi -- dom0_mem=192M,max:192M";

/// What the guard's process 1 says before the machine goes off.
const SAID: &str = "xen-lockdown: ";

fn run(stage: &Stage<'_>) -> Result<Answer> {
    if stage.xen.guard.is_none() {
        return Ok(no_guard());
    }
    let boot = stage.boot(&Scenario { options: LITTLE.to_owned(), ..scenario(stage, ATTACK.id)? })?;
    let failed = boot.line("Initramfs unpacking failed").or_else(|| boot.line("rootfs image is not initramfs"));
    let failed = failed.context("the ramdisk was unpacked: there was memory enough")?;
    match (&boot.booted, boot.line("lockdown-guard: the guard stands"), boot.line(SAID), &boot.end) {
        (Some(_), None, _, _) => Ok(breached(format!("dom0 came up without the guard: {failed}"))),
        (Some(_), Some(stands), _, _) => Ok(held(format!("{failed}; {stands}"))),
        (None, _, Some(said), End::Off) => Ok(held(format!("{failed}; {said}"))),
        (None, _, _, End::XenStopped(text)) => Ok(held(format!("{failed}; {text}"))),
        (None, _, _, end) => bail!("nobody said what ran as process 1: {end:?}"),
    }
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    Ok(works_as_signed(stage, &stage.boot(&scenario(stage, "dom0-memory-small-twin")?)?))
}

fn scenario(stage: &Stage<'_>, name: &str) -> Result<Scenario> {
    let mut filler = Initramfs::default();
    filler.add_file("/filler", vec![0; FILLER], false);
    let mut ramdisk = image::joined(&packed(stage.lab, &filler.to_bytes()?)?, &stage.ramdisk)?;
    let mut linux = String::new();
    if let Some(module) = &stage.xen.guard {
        ramdisk = image::joined(&guard::archive(module)?, &ramdisk)?;
        linux = guard::OPTIONS.map(|(option, value)| format!("{option}={value}")).join(" ");
    }
    let parts = Parts {
        config: Some(config(stage.dom0, "", &linux)),
        ramdisk: Some(ramdisk),
        ..stage.parts()
    };
    let image = stage.lab.signed(&image::unify(&stage.xen.image, &parts)?, &stage.lab.keys.trusted)?;
    Ok(Scenario::new(name, stage.dom0, image.bytes))
}

fn packed(lab: &Lab, bytes: &[u8]) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(lab.root.folder().parent().context("the root has no parent folder")?)?;
    fs::write(work.path().join("filler"), bytes)?;
    lab.root.run("gzip", &["--no-name", "--fast", &format!("{SHARED}/filler")], Some(work.path()))?;
    Ok(fs::read(work.path().join("filler.gz"))?)
}
