//! The boot entry tells dom0's kernel not to load the module in whose place the guard is.

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage, breached, held};
use crate::boot::End;

pub(super) const ATTACK: Attack = Attack {
    id: "dom0-module-blacklist",
    rule: "B8",
    summary: "The boot entry tells dom0's kernel not to load the module in whose place the guard is.",
    observed: "dom0's kernel says that the module is blacklisted; in the machine as it is signed it loads.",
    harmless: "The machine as it is signed starts, and the module loads.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    if let Some((_, message)) = stage.base.trouble.iter().find(|(id, _)| id == "modules") {
        bail!("the module does not load in the machine as it is signed: {message}");
    }
    let options = "xen.efi -- -- module_blacklist=xen_privcmd";
    let boot = stage.boot(&stage.with_options(ATTACK.id, options))?;
    match (boot.line("Module xen_privcmd is blacklisted"), &boot.booted, &boot.end) {
        (Some(text), _, _) => Ok(breached(text.to_owned())),
        (None, Some(_), _) => match boot.trouble.iter().find(|(id, _)| id == "modules") {
            Some((_, message)) => Ok(breached(format!("the module was kept out: {message}"))),
            None => Ok(held("the module was loaded".to_owned())),
        },
        (None, None, End::NotStarted(text) | End::XenStopped(text)) => Ok(held(text.clone())),
        (None, None, end) => bail!("dom0 did not come so far: {end:?}"),
    }
}
