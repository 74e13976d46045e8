//! A signed image in which one byte of the configuration was changed is started.

use anyhow::{Context, Result};

use super::{Answer, Attack, Stage, refused_or_started};
use crate::lab::Scenario;

pub(super) const ATTACK: Attack = Attack {
    id: "image-tampered",
    rule: "B2",
    summary: "A signed image in which one byte of the configuration was changed is started.",
    observed: "dom0 comes up from it; the firmware says that access is denied.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let mut image = stage.image.bytes.clone();
    let wanted = b"[global]";
    let place = image.windows(wanted.len()).position(|window| window == wanted);
    let place = place.context("the signed configuration is not in the image")?;
    let byte = image.get_mut(place.saturating_add(1)).context("the image is cut off")?;
    *byte = byte.to_ascii_uppercase();
    refused_or_started(&stage.boot(&Scenario::new(ATTACK.id, stage.dom0, image))?)
}
