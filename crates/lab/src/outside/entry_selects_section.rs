//! The boot entry names a section that the signed configuration does not have, and brings options of its own.

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage, breached, held, works_as_signed, xen_command_line};
use crate::boot::End;

pub(super) const ATTACK: Attack = Attack {
    id: "entry-selects-section",
    rule: "B8",
    summary: "The boot entry names a section that the signed configuration does not have, and brings options of its own.",
    observed: "Xen's own word for its command line lacks the signed options.",
    harmless: "The boot entry names the section that is signed.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = stage.with_options(ATTACK.id, "xen.efi nosuch -- console=com1 com1=115200,8n1");
    // What comes after it does not matter: dom0's own options are gone too, its console among them.
    scenario.stop_at.push("(XEN) Command line:".to_owned());
    let boot = stage.boot(&scenario)?;
    match (xen_command_line(&boot), &boot.end) {
        (Some(line), _) if line.contains("dom0_mem=") => Ok(held(line.to_owned())),
        (Some(line), _) => Ok(breached(format!("Xen's command line is {line:?}"))),
        (None, End::NotStarted(text) | End::XenStopped(text)) => Ok(held(text.clone())),
        (None, end) => bail!("Xen did not say what its command line is: {end:?}"),
    }
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    let boot = stage.boot(&stage.with_options("entry-selects-section-twin", "xen.efi xen"))?;
    Ok(works_as_signed(stage, &boot))
}
