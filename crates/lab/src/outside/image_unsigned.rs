//! An image without a signature is started.

use anyhow::Result;

use super::{Answer, Attack, Stage, refused_or_started};
use crate::lab::Scenario;

pub(super) const ATTACK: Attack = Attack {
    id: "image-unsigned",
    rule: "B2",
    summary: "An image without a signature is started.",
    observed: "dom0 comes up from it; the firmware says that access is denied.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let scenario = Scenario::new(ATTACK.id, stage.dom0, stage.plain.clone());
    refused_or_started(&stage.boot(&scenario)?)
}
