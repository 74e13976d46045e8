//! One build of Xen and of dom0's kernel: what of it decides whether a condition can be met.

use std::collections::BTreeSet;

use crate::kconfig::Kconfig;
use crate::rules::{Condition, Verdict};

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// x86.
    X86,
    /// Arm.
    Arm,
}

impl Arch {
    /// What a `.config` is for.
    #[must_use]
    pub fn of(config: &Kconfig) -> Option<Self> {
        let is_set = |name| config.is_set(name) == Some(true);
        if is_set("X86") {
            Some(Self::X86)
        } else if is_set("ARM") {
            Some(Self::Arm)
        } else {
            None
        }
    }
}

/// What is known of a build. By default nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// How Xen was configured.
    pub xen: Option<Kconfig>,
    /// How dom0's kernel was configured.
    pub linux: Option<Kconfig>,
    /// What the image is for.
    pub arch: Option<Arch>,
    /// Conditions that whoever signs it says cannot be met.
    pub without: BTreeSet<String>,
    /// Whether its Xen refuses what this project's gate refuses.
    pub has_gate: bool,
}

impl Build {
    /// What this build says of a condition; nothing if it does not decide it.
    #[must_use]
    pub fn decides(&self, condition: &Condition) -> Option<(Verdict, String)> {
        if self.without.contains(&condition.name) {
            return Some((Verdict::No, format!("{} is said to be impossible", condition.name)));
        }
        if self.has_gate && !condition.refuses.is_empty() {
            return Some((Verdict::No, format!("the gate refuses {}", condition.refuses.join(", "))));
        }
        if condition.kind == "arm" && self.arch == Some(Arch::X86) {
            return Some((Verdict::No, "it is for x86".to_owned()));
        }
        let option = condition.kconfig.as_deref()?;
        let config = if condition.of.as_deref() == Some("linux") { &self.linux } else { &self.xen };
        let is_set = config.as_ref()?.is_set(option)?;
        let wanted = condition.value.as_deref() != Some("n");
        let verdict = if is_set == wanted { Verdict::Yes } else { Verdict::No };
        Some((verdict, format!("CONFIG_{option} is {}set", if is_set { "" } else { "not " })))
    }
}
