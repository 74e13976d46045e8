//! The signed configuration has chain=, and the boot entry names a section that only the unsigned file has.

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage, breached, held, works_as_signed, xen_command_line};
use crate::boot::End;
use crate::image::Parts;
use crate::lab::{Scenario, config};

pub(super) const ATTACK: Attack = Attack {
    id: "chain-to-unsigned",
    rule: "B8",
    summary: "The signed configuration has chain=, and the boot entry names a section that only the unsigned file has.",
    observed: "Xen's own word for its command line holds what the unsigned file says.",
    harmless: "The same image and disk without that entry start as signed.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = scenario(stage, ATTACK.id)?;
    scenario.options = "xen.efi other".to_owned();
    scenario.stop_at.push("(XEN) Command line:".to_owned());
    let boot = stage.boot(&scenario)?;
    match (xen_command_line(&boot), &boot.end) {
        (Some(line), _) if line.contains("guest_loglvl=none") => Ok(breached(format!("Xen's command line is {line:?}"))),
        (Some(line), _) => Ok(held(format!("Xen's command line is {line:?}"))),
        (None, End::NotStarted(text) | End::XenStopped(text)) => Ok(held(text.clone())),
        (None, end) => bail!("Xen did not say what its command line is: {end:?}"),
    }
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    let scenario = scenario(stage, "chain-to-unsigned-twin")?;
    Ok(works_as_signed(stage, &stage.boot(&scenario)?))
}

fn scenario(stage: &Stage<'_>, name: &str) -> Result<Scenario> {
    let signed = config(stage.dom0, "", "").replace("default=xen", "default=xen\nchain=more.cfg");
    let mut scenario = stage.with_parts(name, &Parts { config: Some(signed), ..stage.parts() })?;
    let other = config(stage.dom0, "guest_loglvl=none", "").replace("[xen]", "[other]");
    scenario.disk.push(("EFI/xen/more.cfg".to_owned(), other.into_bytes()));
    Ok(scenario)
}
