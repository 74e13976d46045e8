//! Attacks from outside: what somebody can change who has the keyboard and the disk, and no key.
//!
//! One file each. Each says what it tries and how success is seen, and has a harmless twin that differs in one thing
//! and must work. Where a machine says neither that it breached nor that it held, there is no answer but an error.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use lockdown_unify::guard;

use crate::boot::{Boot, End};
use crate::console::{Line, Verdict};
use crate::image::{self, Parts, Signed};
use crate::lab::{Lab, Scenario, Xen, config};
use crate::machine::{Dom0, Machine};

/// What the guard's process 1 says before the machine goes off.
const NO_GUARD: &str = "xen-lockdown: no guard: ";

/// An attack from outside.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name, everywhere.
    pub id: &'static str,
    /// The rule of `policy/boundary.md` that it breaks.
    pub rule: &'static str,
    /// What it tries, in one sentence.
    pub summary: &'static str,
    /// How success is seen.
    pub observed: &'static str,
    /// What the twin does.
    pub harmless: &'static str,
    /// Tries it.
    pub run: fn(&Stage<'_>) -> Result<Answer>,
    /// Does what is harmless; nothing: the machine as it is signed, which every attack changes in one thing.
    pub twin: Option<fn(&Stage<'_>) -> Result<Answer>>,
}

/// What came of an attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The answer.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
}

/// What all attacks of a column begin with: the machine as it is signed, seen to start under Secure Boot.
pub struct Stage<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The Xen that is tried.
    pub xen: &'a Xen,
    /// The kind of dom0.
    pub dom0: Dom0,
    /// The initramfs.
    pub ramdisk: Vec<u8>,
    /// The unified image, not signed.
    pub plain: Vec<u8>,
    /// The same, signed with the key that firmware trusts.
    pub image: Signed,
    /// Its boot.
    pub base: Boot,
    consoles: Mutex<Vec<(String, String)>>,
}

impl<'a> Stage<'a> {
    /// Builds the image, boots it, and sees to it that Secure Boot is on.
    ///
    /// # Errors
    /// Where that fails: then nothing that follows would count.
    pub fn new(lab: &'a Lab, xen: &'a Xen, dom0: Dom0) -> Result<Self> {
        let ramdisk = lab.small_initramfs(xen)?;
        let parts = Parts {
            config: Some(config(dom0, "", "")),
            kernel: Some(lab.kernel.clone()),
            ramdisk: Some(ramdisk.clone()),
            ..Parts::default()
        };
        let plain = lab.unified(xen, &parts)?;
        let image = lab.signed(&plain, &lab.keys.trusted)?;
        let base = lab.boot(&Scenario::new("as-signed", dom0, image.bytes.clone()))?;
        Lab::ensure_secure(&base, dom0)?;
        ensure!(base.end == End::Done, "dom0 did not come to its end: {:?}", base.end);
        let consoles = Mutex::new(vec![("as-signed".to_owned(), base.console())]);
        Ok(Self { lab, xen, dom0, ramdisk, plain, image, base, consoles })
    }

    /// The consoles of all machines that came to an end, by name.
    pub fn consoles(&self) -> Vec<(String, String)> {
        self.consoles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A machine with the signed image and `options` in its boot entry.
    fn with_options(&self, name: &str, options: &str) -> Scenario {
        Scenario { options: options.to_owned(), ..Scenario::new(name, self.dom0, self.image.bytes.clone()) }
    }

    /// A machine with an image of `parts`, signed with the key that firmware trusts.
    fn with_parts(&self, name: &str, parts: &Parts) -> Result<Scenario> {
        let image = self.lab.signed(&self.lab.unified(self.xen, parts)?, &self.lab.keys.trusted)?;
        Ok(Scenario::new(name, self.dom0, image.bytes))
    }

    fn parts(&self) -> Parts {
        Parts {
            config: Some(config(self.dom0, "", "")),
            kernel: Some(self.lab.kernel.clone()),
            ramdisk: Some(self.ramdisk.clone()),
            ..Parts::default()
        }
    }

    fn boot(&self, scenario: &Scenario) -> Result<Boot> {
        self.boot_and_look(scenario, &mut |_, _| Ok(()))
    }

    fn boot_and_look(
        &self,
        scenario: &Scenario,
        look: &mut dyn FnMut(&Line, &Machine) -> Result<()>,
    ) -> Result<Boot> {
        let boot = self.lab.boot_and_look(scenario, look)?;
        let mut consoles = self.consoles.lock().unwrap_or_else(PoisonError::into_inner);
        consoles.push((scenario.name.clone(), boot.console()));
        drop(consoles);
        Ok(boot)
    }
}

const fn breached(evidence: String) -> Answer {
    Answer { verdict: Verdict::Breached, evidence }
}

const fn held(evidence: String) -> Answer {
    Answer { verdict: Verdict::Held, evidence }
}

/// For an image that firmware is to refuse: only its own word for it counts as a refusal.
fn refused_or_started(boot: &Boot) -> Result<Answer> {
    match (&boot.booted, &boot.end) {
        (Some(booted), _) => Ok(breached(format!("dom0 came up from it: Linux {}", booted.linux))),
        (None, End::Refused(text)) => Ok(held(text.clone())),
        (None, end) => bail!("the firmware neither refused nor started it: {end:?}"),
    }
}

/// For unsigned files that Xen is to refuse: dom0 came up with them, or Xen or firmware said no.
fn taken_or_refused(boot: &Boot, what: &str) -> Result<Answer> {
    match (&boot.booted, &boot.end) {
        (Some(booted), _) => Ok(breached(format!(
            "dom0 came up with {what}: Linux {}, Secure Boot {}",
            booted.linux, booted.secure_boot
        ))),
        (None, End::Refused(text) | End::NotStarted(text) | End::XenStopped(text)) => Ok(held(text.clone())),
        (None, end) => bail!("neither was {what} taken nor refused: {end:?}"),
    }
}

/// For a harmless change: dom0 came up, with its kernel locked down as in the machine as it is signed.
fn works_as_signed(stage: &Stage<'_>, boot: &Boot) -> Answer {
    let level = stage.base.booted.as_ref().map(|booted| booted.kernel_lockdown.as_str());
    match &boot.booted {
        Some(booted) if booted.secure_boot && Some(booted.kernel_lockdown.as_str()) == level => Answer {
            verdict: Verdict::Works,
            evidence: format!("dom0 came up, kernel lockdown {}", booted.kernel_lockdown),
        },
        Some(booted) => {
            Answer { verdict: Verdict::Broken, evidence: format!("dom0 came up otherwise: {booted:?}") }
        }
        None => Answer { verdict: Verdict::Broken, evidence: format!("dom0 did not come up: {:?}", boot.end) },
    }
}

/// For a column without the guard.
fn no_guard() -> Answer {
    Answer { verdict: Verdict::NotApplicable, evidence: "this dom0 has no guard".to_owned() }
}

/// A machine with the guard's process 1 and `module`, put together by hand: `image build` would refuse most of it. `linux` goes onto
/// the signed line of dom0's kernel.
fn with_guard(stage: &Stage<'_>, name: &str, module: Option<&[u8]>, linux: &str) -> Result<Scenario> {
    let needed: Vec<String> = guard::OPTIONS.iter().map(|(option, value)| format!("{option}={value}")).collect();
    let parts = Parts {
        config: Some(config(stage.dom0, "", format!("{} {linux}", needed.join(" ")).trim())),
        ramdisk: Some(image::joined(&guard::archive_of(module)?, &stage.ramdisk)?),
        ..stage.parts()
    };
    let image = stage.lab.signed(&image::unify(&stage.xen.image, &parts)?, &stage.lab.keys.trusted)?;
    Ok(Scenario::new(name, stage.dom0, image.bytes))
}

/// For a machine whose guard cannot stand: the ramdisk's own process 1 came up, or the guard's said so and the machine went off.
fn off_or_up(boot: &Boot) -> Result<Answer> {
    match (&boot.booted, boot.line(NO_GUARD), &boot.end) {
        (Some(booted), _, _) => Ok(breached(format!("dom0 came up without the guard: Linux {}", booted.linux))),
        (None, Some(text), End::Off) => Ok(held(text.to_owned())),
        (None, _, end) => bail!("the guard's process 1 did not say why the machine ends: {end:?}"),
    }
}

/// What Xen says its command line is.
fn xen_command_line(boot: &Boot) -> Option<&str> {
    boot.line("(XEN) Command line:")?.split_once("Command line:").map(|(_, text)| text.trim())
}

/// Names the modules and the list of their attacks at once, so that none is left out.
macro_rules! attacks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// All attacks from outside.
        pub const ALL: &[Attack] = &[$($module::ATTACK,)*];
    };
}

attacks! {
    image_unsigned,
    image_tampered,
    image_wrong_key,
    image_revoked,
    entry_overrides_options,
    entry_selects_section,
    entry_names_config,
    chain_to_unsigned,
    missing_ramdisk,
    missing_kernel,
    missing_xsm,
    microcode_is_ramdisk,
    bare_xen,
    dom0_rdinit,
    dom0_module_blacklist,
    dom0_memory_small,
    guard_missing,
    guard_not_trusted,
    guard_changed,
    guard_blacklisted,
    com_port_in_memory,
    shim_grub_options,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_rules_exist() {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policy/boundary.md");
        let boundary = std::fs::read_to_string(place).unwrap();
        let mut seen = BTreeSet::new();
        for attack in ALL {
            assert!(seen.insert(attack.id), "{} stands twice", attack.id);
            assert!(boundary.contains(&format!("## {}:", attack.rule)), "{}: no rule {}", attack.id, attack.rule);
            for text in [attack.summary, attack.observed, attack.harmless] {
                assert!(text.ends_with('.'), "{}: {text}", attack.id);
            }
        }
    }

    #[test]
    fn silence_is_no_answer() {
        let boot = |end| Boot {
            end,
            booted: None,
            results: Vec::new(),
            trouble: Vec::new(),
            lines: Vec::new(),
            times: crate::boot::Times::default(),
            files: std::path::PathBuf::new(),
        };
        assert!(refused_or_started(&boot(End::Off)).is_err());
        assert!(refused_or_started(&boot(End::NotStarted("Not Found".into()))).is_err());
        let refused = refused_or_started(&boot(End::Refused("Access Denied".into()))).unwrap();
        assert_eq!(refused.verdict, Verdict::Held);
        assert!(taken_or_refused(&boot(End::Off), "x").is_err());
        assert!(off_or_up(&boot(End::Off)).is_err());
    }
}
