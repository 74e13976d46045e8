//! A signed image whose hash the firmware was told to refuse is started.

use anyhow::Result;

use super::{Answer, Attack, Stage, refused_or_started, works_as_signed};
use crate::lab::Scenario;

pub(super) const ATTACK: Attack = Attack {
    id: "image-revoked",
    rule: "B2",
    summary: "A signed image whose hash the firmware was told to refuse is started.",
    observed: "dom0 comes up from it; the firmware says that access is denied.",
    harmless: "The same image starts where another hash is revoked.",
    run,
    twin: Some(twin),
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = Scenario::new(ATTACK.id, stage.dom0, stage.image.bytes.clone());
    scenario.revoked = vec![stage.image.digest];
    refused_or_started(&stage.boot(&scenario)?)
}

fn twin(stage: &Stage<'_>) -> Result<Answer> {
    let mut scenario = Scenario::new("image-revoked-twin", stage.dom0, stage.image.bytes.clone());
    let mut other = stage.image.digest;
    other.reverse();
    scenario.revoked = vec![other];
    Ok(works_as_signed(stage, &stage.boot(&scenario)?))
}
