//! What the guard costs dom0, in instructions: the same calls and commands in two machines with the same locked Xen, one
//! with Linux's own driver and one with the guard.
//!
//! Under `-icount` a machine's clock is the number of its instructions, so that nothing depends on this machine's speed or
//! load. `benches/README.md` has the figures.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;

use crate::boot::{Boot, End};
use crate::count::clock;
use crate::image::Parts;
use crate::lab::{Lab, OTHER_PROGRAM, Scenario, Xen, config};
use crate::machine::{Dom0, Extra};
use crate::plan::{Plan, Step};
use crate::{prove, toolstack};

/// The schema of the report.
pub const SCHEMA: &str = "xen-lockdown/guard-cost/1";

/// What is measured, what it is, and the most that it may take of what Linux's own driver takes; `benches/README.md` has what
/// was aimed at.
const KINDS: &[(&str, &str, f64)] = &[
    ("version", "xen_version.version: no pointer", 1.30),
    ("extraversion", "xen_version.extraversion: a structure that is written", 1.55),
    ("status", "event_channel_op.status: a structure", 1.55),
    ("getdomaininfo", "domctl.getdomaininfo of domain 0: a structure with a target", 1.55),
    ("max_mem", "domctl.max_mem of a guest", 1.55),
    ("pausedomain", "domctl.pausedomain of nobody: Xen has next to nothing to do", 1.55),
    ("getdomaininfolist", "sysctl.getdomaininfolist: a structure with a pointer", 1.55),
    ("dm_op", "dm_op.nr_vcpus of a guest, by its own request", 1.02),
    ("xl-list", "xl list: processor time of the command", 1.01),
    ("xl-create", "xl create and destroy of a PV guest: processor time of the commands", 1.01),
];

const STEP: &str = "cost";
/// What two looks at the clock take.
const NOTHING: &str = "nothing";

/// One kind of call.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is known by.
    pub id: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Instructions with Linux's own driver.
    pub stock: u64,
    /// Instructions with the guard.
    pub guard: u64,
    /// The most that the guard may take of the other.
    pub most: f64,
}

impl Row {
    /// What the guard takes, by what Linux's own driver takes.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "nobody reads so many digits")]
    pub fn ratio(&self) -> f64 {
        self.guard as f64 / self.stock as f64
    }
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// How dom0 runs.
    pub dom0: Dom0,
    /// The kinds.
    pub rows: Vec<Row>,
}

/// Boots both machines and compares them.
///
/// # Errors
/// Where a machine did not do what was to be counted: then there is no answer.
pub fn run(lab: &Lab, dom0: Dom0, say: &(dyn Fn(&str) + Sync)) -> Result<Report> {
    let kinds = ["locked-xen", "locked"].map(|name| prove::hypervisor(lab, name, say));
    let [stock, guard] = kinds;
    let (stock, guard) = (stock?, guard?);
    say(&format!("two machines with a {} dom0", dom0.name()));
    let [stock, guard] = thread::scope(|scope| {
        let running = [&stock, &guard].map(|xen| scope.spawn(|| measure(lab, xen, dom0)));
        running.map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("the thread of a machine panicked"))))
    });
    let (stock, guard) = (stock?, guard?);
    let row = |&(id, what, most): &(&'static str, &'static str, f64)| {
        let of =
            |counts: &BTreeMap<String, u64>| counts.get(id).copied().with_context(|| format!("{id} was not told"));
        Ok(Row { id, what, stock: of(&stock)?, guard: of(&guard)?, most })
    };
    Ok(Report { schema: SCHEMA, dom0, rows: KINDS.iter().map(row).collect::<Result<_>>()? })
}

/// Runs one machine to its end; instructions by kind.
fn measure(lab: &Lab, xen: &Xen, dom0: Dom0) -> Result<BTreeMap<String, u64>> {
    let step = Step {
        id: STEP.to_owned(),
        program: OTHER_PROGRAM.to_owned(),
        arguments: vec![STEP.to_owned()],
        timeout_s: 900,
    };
    let plan = Plan::new(vec![step]);
    let parts = Parts {
        config: Some(config(dom0, "", "")),
        kernel: Some(lab.kernel.clone()),
        ramdisk: Some(lab.initramfs_for(xen, &plan, &toolstack::files(lab)?)?),
        ..Parts::default()
    };
    let image = lab.signed(&lab.unified(xen, &parts)?, &lab.keys.trusted)?;
    let mut scenario = Scenario::new(&format!("cost-{}-{}", xen.name, dom0.name()), dom0, image.bytes);
    let (arguments, shift) = clock(dom0);
    // QEMU counts every round of a repeated string instruction, with which Linux copies where the processor is fast at it.
    let slow = |word: String| if word.contains("-x2apic") { format!("{word},-erms,-fsrm") } else { word };
    scenario.extra = Extra { arguments: arguments.into_iter().map(slow).collect(), files: Vec::new() };
    scenario.patience = 4;
    let boot = lab.boot(&scenario)?;
    read(&boot, shift).with_context(|| format!("the machine with {} and a {} dom0", xen.name, dom0.name()))
}

fn read(boot: &Boot, shift: u32) -> Result<BTreeMap<String, u64>> {
    ensure!(boot.end == End::Done, "it ended otherwise: {:?}", boot.end);
    if let Some((id, message)) = boot.trouble.first() {
        anyhow::bail!("{id} gave no answer: {message}");
    }
    let told = boot.lines.iter().filter_map(|heard| heard.text.split_once("@say ")?.1.split_once(' '));
    let mut counts = BTreeMap::new();
    for (kind, ticks) in told {
        let ticks: u64 = ticks.trim().parse().with_context(|| format!("{kind}: {ticks:?}"))?;
        counts.insert(kind.to_owned(), ticks >> shift);
    }
    let nothing = counts.remove(NOTHING).context("the program told nothing")?;
    for (kind, count) in &mut counts {
        if !kind.starts_with("xl-") {
            *count = count.saturating_sub(nothing);
        }
    }
    Ok(counts)
}

impl Report {
    /// Every limit that was missed.
    pub fn missed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.ratio() > row.most)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{:<78} {:>12} {:>12}   ratio   most",
            format!("instructions, {} dom0", self.dom0.name()),
            "own driver",
            "guard"
        )];
        for row in &self.rows {
            let missed = if row.ratio() > row.most { "  missed" } else { "" };
            lines.push(format!(
                "{:<78} {:>12} {:>12}  {:.4}  {:.2}{missed}",
                row.what,
                row.stock,
                row.guard,
                row.ratio(),
                row.most
            ));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}
