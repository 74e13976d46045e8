//! The signed image has no .xsm; an access-control policy lies on the disk.

use std::fs;

use anyhow::{Result, bail};

use super::{Answer, Attack, Stage};
use crate::console::Verdict;

pub(super) const ATTACK: Attack = Attack {
    id: "missing-xsm",
    rule: "B6",
    summary: "The signed image has no .xsm; an access-control policy lies on the disk.",
    observed: "Xen says that it loaded the policy.",
    harmless: "The machine as it is signed starts.",
    run,
    twin: None,
};

fn run(stage: &Stage<'_>) -> Result<Answer> {
    let options = fs::read_to_string(stage.lab.root.file("/boot/xen-4.20-amd64.config")?)?;
    if options.lines().any(|line| line == "# CONFIG_XSM is not set") {
        let evidence = "this Xen is built without XSM (its CONFIG_XSM is not set): no policy is ever read".to_owned();
        return Ok(Answer { verdict: Verdict::NotApplicable, evidence });
    }
    bail!("this Xen has XSM, and the lab has no policy to try it with")
}
