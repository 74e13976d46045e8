//! Shim and Debian's signed GRUB start the signed image, and an unsigned grub.cfg adds an option for Xen.

use std::fs;

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage, breached, held, works_as_signed};
use crate::boot::End;
use crate::lab::{IMAGE, Scenario};

pub(super) const ATTACK: Attack = Attack {
    id: "shim-grub-options",
    rule: "B8",
    summary: "Shim and Debian's signed GRUB start the signed image, and an unsigned grub.cfg adds an option for Xen.",
    observed: "dom0's kernel says that it is not locked down, and is where grub.cfg adds nothing.",
    harmless: "The same with a grub.cfg that adds nothing.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let boot = stage.boot(&scenario(stage, ATTACK.id, " xen.efi -- efi=no-rs")?)?;
    match (&boot.booted, &boot.end) {
        (Some(booted), _) if booted.kernel_lockdown == "none" => {
            Ok(breached("dom0's kernel lockdown is none".to_owned()))
        }
        (Some(booted), _) => Ok(held(format!("dom0's kernel lockdown is {}", booted.kernel_lockdown))),
        (None, End::NotStarted(text) | End::XenStopped(text)) => Ok(held(text.clone())),
        (None, end) => bail!("dom0 did not say how it is locked down: {end:?}"),
    }
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    let boot = stage.boot(&scenario(stage, "shim-grub-options-twin", "")?)?;
    Ok(works_as_signed(stage, &boot))
}

/// Shim in front, signed with the lab's key: Debian's signature needs a key of the firmware vendors.
fn scenario(stage: &Stage<'_>, name: &str, extra: &str) -> Result<Scenario> {
    let lab = stage.lab;
    let shim = fs::read(lab.root.file("/usr/lib/shim/shimx64.efi")?)?;
    let grub = fs::read(lab.root.file("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")?)?;
    let text = format!("search --no-floppy --file --set=root /{IMAGE}\nchainloader /{IMAGE}{extra}\nboot\n");
    let mut scenario = Scenario::new(name, stage.dom0, stage.image.bytes.clone());
    scenario.starts = "EFI/debian/shimx64.efi".to_owned();
    scenario.disk = vec![
        ("EFI/debian/shimx64.efi".to_owned(), lab.signed(&shim, &lab.keys.trusted)?.bytes),
        ("EFI/debian/grubx64.efi".to_owned(), grub),
        ("EFI/debian/grub.cfg".to_owned(), text.into_bytes()),
    ];
    Ok(scenario)
}
