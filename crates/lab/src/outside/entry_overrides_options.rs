//! The boot entry adds an option that keeps dom0 from learning of Secure Boot.

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage, breached, held, works_as_signed};
use crate::boot::End;

pub(super) const ATTACK: Attack = Attack {
    id: "entry-overrides-options",
    rule: "B8",
    summary: "The boot entry adds an option that keeps dom0 from learning of Secure Boot.",
    observed: "dom0's kernel says that it is not locked down, and is where the entry is empty.",
    harmless: "The boot entry adds an option that only makes Xen say more.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let boot = stage.boot(&stage.with_options(ATTACK.id, "xen.efi -- efi=no-rs"))?;
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
    let boot = stage.boot(&stage.with_options("entry-overrides-options-twin", "xen.efi -- loglvl=all"))?;
    Ok(works_as_signed(stage, &boot))
}
