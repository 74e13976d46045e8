//! One build of Xen and of dom0's kernel: what of it decides whether a condition can be met.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::kconfig::Kconfig;
use crate::rules::{Condition, Verdict};

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// x86.
    X86,
    /// Arm.
    Arm,
}

impl Arch {
    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Arm => "Arm",
        }
    }

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
        if let (Some(only), Some(arch)) = (condition.arch, self.arch) {
            if only != arch {
                return Some((Verdict::No, format!("it is for {}", arch.name())));
            }
        }
        let option = condition.kconfig.as_deref()?;
        let config = if condition.is_of_linux() { &self.linux } else { &self.xen };
        let is_set = config.as_ref()?.is_set(option)?;
        let verdict = if is_set == condition.wants_option() { Verdict::Yes } else { Verdict::No };
        Some((verdict, format!("CONFIG_{option} is {}set", if is_set { "" } else { "not " })))
    }
}
