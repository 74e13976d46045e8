//! The guard under fire: one machine in which a million random calls are made of it, with the kernel's own checks on.
//!
//! What is done in dom0, and what counts as a fault, is the business of the program there (`attacks hammer`).

use std::time::Duration;

use anyhow::{Context, Result};

use crate::boot::{Boot, End};
use crate::console::StepResult;
use crate::image::Parts;
use crate::lab::{Lab, OTHER_PROGRAM, Scenario, Xen, config};
use crate::machine::{Dom0, Extra};
use crate::plan::{Plan, Step};

/// The step's id, and the program's word for it.
pub const ID: &str = "hammer";

/// What dom0's signed command line says: a guarded page behind or before one object of each millisecond's, every other
/// one with red zones, poison and checks of its own; free pages are poisoned, too. Caches are not shared, so that the one
/// that is wrong has a name.
const CHECKS: &str = "kfence.sample_interval=1 slub_debug=FZP slab_nomerge page_poison=1";

/// How many calls an emulated machine makes in a second at least, on a busy host.
const SLOWEST: u64 = 400;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// How dom0 runs.
    pub dom0: Dom0,
    /// How many ioctls.
    pub calls: u64,
    /// What they are made from.
    pub seed: u64,
    /// Processors of the machine.
    pub processors: u32,
}

/// The step that makes so many calls.
#[must_use]
pub fn step(calls: u64, seed: u64) -> Step {
    let words = [ID, "--calls", &calls.to_string(), "--seed", &seed.to_string()];
    Step {
        id: ID.to_owned(),
        program: OTHER_PROGRAM.to_owned(),
        arguments: words.map(str::to_owned).to_vec(),
        timeout_s: u32::try_from(300 + calls / SLOWEST).unwrap_or(u32::MAX),
    }
}

/// Boots `xen` with its guard and hammers on it. `hear` gets what the program said.
///
/// # Errors
/// Where the machine ends without an answer.
pub fn run(lab: &Lab, xen: &Xen, order: &Order, hear: &dyn Fn(&str)) -> Result<StepResult> {
    let step = step(order.calls, order.seed);
    let limit = Duration::from_secs(step.timeout_s.into());
    // No daemons: what they allocate would be mistaken for what the calls leave.
    let plan = Plan { daemons: Vec::new(), ..Plan::new(vec![step]) };
    let parts = Parts {
        config: Some(config(order.dom0, "", CHECKS)),
        kernel: Some(lab.kernel.clone()),
        ramdisk: Some(lab.initramfs_for(xen, &plan, &[])?),
        ..Parts::default()
    };
    let image = lab.signed(&lab.unified(xen, &parts)?, &lab.keys.trusted)?;
    let mut scenario = Scenario::new(ID, order.dom0, image.bytes);
    scenario.silence = Duration::from_secs(300);
    scenario.patience = u32::try_from(limit.as_secs() / 1200).unwrap_or(1).saturating_add(1);
    scenario.extra =
        Extra { arguments: vec!["-smp".to_owned(), order.processors.to_string()], ..Extra::default() };
    let boot = lab.boot(&scenario)?;
    for line in &boot.lines {
        if line.text.starts_with("hammer: ") {
            hear(&line.text);
        }
    }
    Lab::ensure_secure(&boot, order.dom0)?;
    let answer = boot.results.iter().find(|result| result.id == ID).cloned();
    let trouble = || match boot.trouble.iter().find(|(of, _)| of == ID) {
        Some((_, message)) => message.clone(),
        None if boot.end == End::Done => "dom0 was not asked".to_owned(),
        None => format!("the machine ended before it: {:?}; its console:\n{}", boot.end, last(&boot)),
    };
    answer.with_context(trouble)
}

fn last(boot: &Boot) -> String {
    let from = boot.lines.len().saturating_sub(80);
    let lines = boot.lines.get(from..).unwrap_or_default();
    lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}
