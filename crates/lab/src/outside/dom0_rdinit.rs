//! The boot entry tells dom0's kernel to run another program as process 1.

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage, breached, held, works_as_signed};
use crate::boot::End;
use crate::lab::OTHER_PROGRAM;

pub(super) const ATTACK: Attack = Attack {
    id: "dom0-rdinit",
    rule: "B8",
    summary: "The boot entry tells dom0's kernel to run another program as process 1.",
    observed: "dom0's kernel says which program it runs.",
    harmless: "The boot entry only makes dom0's kernel say more.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = stage.with_options(ATTACK.id, &format!("xen.efi -- -- loglevel=7 rdinit={OTHER_PROGRAM}"));
    scenario.stop_at.push(format!("Run {OTHER_PROGRAM} as init process"));
    let boot = stage.boot(&scenario)?;
    match (&boot.booted, &boot.end) {
        (None, End::Seen(text)) => Ok(breached(text.clone())),
        (Some(_), _) => Ok(held("dom0's kernel ran the signed process 1".to_owned())),
        (None, End::NotStarted(text) | End::XenStopped(text)) => Ok(held(text.clone())),
        (None, end) => bail!("dom0's kernel did not say what it runs: {end:?}"),
    }
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    let boot = stage.boot(&stage.with_options("dom0-rdinit-twin", "xen.efi -- -- loglevel=7"))?;
    Ok(works_as_signed(stage, &boot))
}
