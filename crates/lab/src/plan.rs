//! What the guest is to do: `/lab/plan.json` in its initramfs.

use serde::{Deserialize, Serialize};

/// The schema of this file.
pub const SCHEMA: &str = "xen-lockdown/plan/1";

/// A plan for one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whether the guard was loaded before; what it said and counted is told at the end then.
    #[serde(default)]
    pub guard: bool,
    /// Modules to load, with what they need.
    pub modules: Vec<String>,
    /// Xen's daemons to start.
    pub daemons: Vec<String>,
    /// What to run, in this order.
    pub steps: Vec<Step>,
    /// Whether the machine is switched off at the end.
    pub power_off: bool,
}

/// One program to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is known by.
    pub id: String,
    /// The program's path in the initramfs.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub timeout_s: u32,
}

impl Plan {
    /// A plan that loads what Xen's tools need and runs `steps`.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Self {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Self {
            schema: SCHEMA.to_owned(),
            guard: false,
            modules: words(MODULES),
            daemons: words(&["xenstored", "xenconsoled"]),
            steps,
            power_off: true,
        }
    }
}

/// The modules that dom0 needs for Xen's tools, to read the firmware's variables, and for
/// attacks on what Linux holds itself.
pub const MODULES: &[&str] =
    &["efivarfs", "msr", "xen-privcmd", "xenfs", "xen-evtchn", "xen-gntdev", "xen-gntalloc"];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_what_the_guest_expects() {
        let step = Step {
            id: "a".into(),
            program: "/lab/attacks".into(),
            arguments: vec!["run".into(), "a".into()],
            timeout_s: 30,
        };
        let json = serde_json::to_value(Plan::new(vec![step])).unwrap();
        assert_eq!(json["schema"], "xen-lockdown/plan/1");
        assert_eq!(json["steps"][0]["timeout_s"], 30);
        assert_eq!(json["daemons"][0], "xenstored");
        assert_eq!(json["power_off"], true);
    }
}
