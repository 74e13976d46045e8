//! The boot entry names a configuration file on the disk.

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage, breached, held, xen_command_line};
use crate::boot::End;
use crate::lab::config;

pub(super) const ATTACK: Attack = Attack {
    id: "entry-names-config",
    rule: "B8",
    summary: "The boot entry names a configuration file on the disk.",
    observed: "Xen's own word for its command line holds what the file says.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = stage.with_options(ATTACK.id, "xen.efi -cfg=other.cfg");
    let text = config(stage.dom0, "guest_loglvl=none", "");
    scenario.disk.push(("EFI/xen/other.cfg".to_owned(), text.into_bytes()));
    scenario.stop_at.push("(XEN) Command line:".to_owned());
    let boot = stage.boot(&scenario)?;
    match (xen_command_line(&boot), &boot.end) {
        (Some(line), _) if line.contains("guest_loglvl=none") => Ok(breached(format!("Xen's command line is {line:?}"))),
        (Some(line), _) => Ok(held(format!("Xen's command line is {line:?}"))),
        (None, End::NotStarted(text) | End::XenStopped(text)) => Ok(held(text.clone())),
        (None, end) => bail!("Xen did not say what its command line is: {end:?}"),
    }
}
