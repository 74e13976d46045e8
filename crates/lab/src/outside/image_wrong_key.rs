//! An image that is signed with a key that the firmware does not know is started.

use anyhow::Result;

use super::{Answer, Attack, Stage, refused_or_started};
use crate::lab::Scenario;

pub(super) const ATTACK: Attack = Attack {
    id: "image-wrong-key",
    rule: "B2",
    summary: "An image that is signed with a key that the firmware does not know is started.",
    observed: "dom0 comes up from it; the firmware says that access is denied.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let image = stage.lab.signed(&stage.plain, &stage.lab.keys.stranger)?;
    refused_or_started(&stage.boot(&Scenario::new(ATTACK.id, stage.dom0, image.bytes))?)
}
