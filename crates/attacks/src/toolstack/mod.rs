//! What must go on working: Debian's own toolstack, one step for each of its commands.
//!
//! The steps belong to one boot and follow each other. Each is judged by what it was to bring about, seen by another
//! door than the command's own status. A step that needs an earlier one which did not work is broken and says so.

mod cycles;
mod device_model;
mod guests;
mod query;
mod xl;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::outcome::{Outcome, broken};

/// Where the steps of one boot leave what later ones need.
const STATE: &str = "/run/lab-toolstack";

/// Limits are written for a machine that has its processor to itself. An emulated one on a busy host is slower, and slow
/// is not broken.
const SLOWEST: u32 = 4;

/// One command of the toolstack.
pub(crate) struct Step {
    pub(crate) id: &'static str,
    /// What must have worked before.
    pub(crate) needs: &'static [&'static str],
    /// How its effect is seen.
    pub(crate) observed: &'static str,
    /// Seconds after which there is no verdict.
    pub(crate) timeout_s: u32,
    pub(crate) run: fn() -> Outcome,
}

/// `xl list` once, for whoever counts.
pub(crate) fn list_once() -> Result<()> {
    xl::xl(&["list"], 30)?.map(drop).map_err(anyhow::Error::msg)
}

/// A guest made once, paused, and destroyed again, for whoever counts.
pub(crate) fn create_once() -> Result<()> {
    let guest = &guests::PV;
    fs::create_dir_all(STATE).context(STATE)?;
    let config = Path::new(STATE).join("counted.cfg");
    fs::write(&config, guest.config("counted"))?;
    let file = config.to_str().context("a name that is no text")?;
    xl::xl(&["create", "-p", file], 120)?.map_err(anyhow::Error::msg)?;
    xl::xl(&["destroy", guest.name], 60)?.map(drop).map_err(anyhow::Error::msg)
}

/// The steps in their order.
pub(crate) const ALL: &[Step] = &[
    Step {
        id: "xl-info",
        needs: &[],
        observed: "Xen's version is the one that sysfs tells, and there is memory",
        timeout_s: 30,
        run: query::info,
    },
    Step {
        id: "xl-list",
        needs: &[],
        observed: "domain 0 is listed as running, with memory and processor time",
        timeout_s: 30,
        run: query::list,
    },
    Step {
        id: "xl-dmesg",
        needs: &[],
        observed: "what Xen prints as it hands over to domain 0 is there",
        timeout_s: 30,
        run: query::dmesg,
    },
    Step {
        id: "xl-create-pv",
        needs: &["xl-list"],
        observed: "the guest's own line on its console names it and says PV; it is listed",
        timeout_s: 150,
        run: || guests::create(&guests::PV),
    },
    Step {
        id: "xl-console",
        needs: &["xl-create-pv"],
        observed: "a line typed at the console comes back from the guest",
        timeout_s: 60,
        run: || guests::console(&guests::PV),
    },
    Step {
        id: "xl-vcpu-list",
        needs: &["xl-create-pv"],
        observed: "the guest's one processor is listed with the time that it ran",
        timeout_s: 30,
        run: || query::vcpu_list(&guests::PV),
    },
    Step {
        id: "xl-pause",
        needs: &["xl-create-pv"],
        observed: "the guest is listed as paused and its console stands still",
        timeout_s: 60,
        run: || guests::pause(&guests::PV),
    },
    Step {
        id: "xl-unpause",
        needs: &["xl-pause"],
        observed: "the guest is no longer listed as paused and its console goes on",
        timeout_s: 60,
        run: || guests::unpause(&guests::PV),
    },
    Step {
        id: "xl-mem-set",
        needs: &["xl-create-pv"],
        observed: "the guest is listed with less memory, and says itself that it has less",
        timeout_s: 90,
        run: || guests::mem_set(&guests::PV),
    },
    Step {
        id: "xl-shutdown",
        needs: &["xl-create-pv"],
        observed: "the guest says that it powers off, and is no longer listed",
        timeout_s: 90,
        run: || guests::shutdown(&guests::PV),
    },
    Step {
        id: "xl-create-pvh",
        needs: &["xl-list"],
        observed: "the guest's own line on its console names it and says PVH; it is listed",
        timeout_s: 150,
        run: || guests::create(&guests::PVH),
    },
    Step {
        id: "xl-destroy",
        needs: &["xl-create-pvh"],
        observed: "the guest is no longer listed, and never said that it powers off",
        timeout_s: 60,
        run: || guests::destroy(&guests::PVH),
    },
    Step {
        id: "xl-cycles",
        needs: &["xl-shutdown", "xl-destroy"],
        observed: "after ten more guests came and went nobody is listed but domain 0, and slabs, page tables, pins, \
                   dom0's memory and Xen's are where they were",
        timeout_s: 300,
        run: cycles::ten,
    },
    Step {
        id: "device-model-operations",
        needs: &[],
        observed: "a guest's I/O server is made, told of, given ports, switched on and destroyed; the same asked of \
                   domain 0 is an error",
        timeout_s: 30,
        run: device_model::operations,
    },
    Step {
        id: "device-model-resource",
        needs: &[],
        observed: "the guest's request page says that nothing is asked; its grant table holds the entry that was \
                   written to it",
        timeout_s: 30,
        run: device_model::resource,
    },
    Step {
        id: "device-model-mmap",
        needs: &[],
        observed: "what was written to a guest's page by MMAPBATCH_V2 is read by MMAP; a PVH kernel has no MMAP",
        timeout_s: 30,
        run: device_model::mmap,
    },
    Step {
        id: "device-model-restrict",
        needs: &[],
        observed: "a file that was restricted to a guest answers for this guest and no other, and makes no hypercall",
        timeout_s: 30,
        run: device_model::restrict,
    },
    Step {
        id: "device-model-events",
        needs: &[],
        observed: "IRQFD, IOEVENTFD and PCIDEV_GET_GSI answer as in Debian's kernel, which has none of them here",
        timeout_s: 30,
        run: device_model::events,
    },
];

impl Step {
    /// What `attacks toolstack list` says about it.
    pub(crate) fn describe(&self) -> Value {
        json!({
            "schema": "xen-lockdown/toolstack/1",
            "id": self.id,
            "needs": self.needs,
            "observed": self.observed,
            "timeout_s": self.timeout_s.saturating_mul(SLOWEST),
        })
    }

    /// Carries the step out, and remembers how it went.
    pub(crate) fn carry_out(&self) -> Outcome {
        self.carry_out_in(Path::new(STATE))
    }

    fn carry_out_in(&self, state: &Path) -> Outcome {
        fs::create_dir_all(state).with_context(|| state.display().to_string())?;
        if let Some(needed) = self.needs.iter().find(|needed| !worked(state, needed)) {
            return broken(format!("not tried: it needs {needed}, which did not work"));
        }
        let outcome = (self.run)();
        if matches!(&outcome, Ok(verdict) if verdict.verdict == "works") {
            remember(state, self.id)?;
        }
        outcome
    }
}

fn worked(state: &Path, id: &str) -> bool {
    state.join(format!("{id}.worked")).is_file()
}

fn remember(state: &Path, id: &str) -> Result<()> {
    let place = state.join(format!("{id}.worked"));
    fs::write(&place, "").with_context(|| place.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::outcome::works;

    #[test]
    fn steps_need_only_earlier_ones() {
        let mut seen = std::collections::BTreeSet::new();
        for step in ALL {
            assert!(step.needs.iter().all(|needed| seen.contains(needed)), "{}", step.id);
            assert!(seen.insert(step.id), "{} stands twice", step.id);
            assert!(!step.observed.is_empty());
        }
    }

    #[test]
    fn what_needs_a_failed_step_is_broken_and_says_so() {
        let step = |id, needs, run| Step { id, needs, observed: "", timeout_s: 1, run };
        let folder = std::env::temp_dir().join(format!("lab-toolstack-{}", std::process::id()));
        let bad = step("bad", &[], || broken("no")).carry_out_in(&folder).unwrap();
        assert_eq!(bad.verdict, "broken");
        let after = step("after", &["bad"], || works("")).carry_out_in(&folder).unwrap();
        assert_eq!((after.verdict, after.evidence.contains("needs bad")), ("broken", true));
        assert_eq!(step("good", &[], || works("")).carry_out_in(&folder).unwrap().verdict, "works");
        assert_eq!(step("next", &["good"], || works("")).carry_out_in(&folder).unwrap().verdict, "works");
        fs::remove_dir_all(folder).unwrap();
    }
}
