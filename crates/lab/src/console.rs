//! What a machine says: lines of text, among them the guest's own reports and the firmware's refusals.

use serde::{Deserialize, Serialize};

/// What every line of the guest's begins with; the rest of it is JSON.
const PREFIX: &str = "@lab ";

/// What the guest reports.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// Process 1 of dom0 runs.
    Booted(Booted),
    /// A step begins.
    Step {
        /// Which.
        id: String,
    },
    /// A step ended with an answer.
    Result(StepResult),
    /// A step ended without one.
    Trouble {
        /// Which; empty where it is not about a step.
        #[serde(default)]
        id: String,
        /// What happened.
        message: String,
    },
    /// There are no more steps.
    Done,
}

/// How dom0 sees the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// What the firmware's variable says.
    pub secure_boot: bool,
    /// What dom0's kernel says of its own lockdown.
    #[serde(default)]
    pub kernel_lockdown: String,
    /// `pv` or `pvh`.
    #[serde(default)]
    pub dom0: String,
    /// The kernel's release.
    #[serde(default)]
    pub linux: String,
    /// Xen's version.
    #[serde(default)]
    pub xen: String,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StepResult {
    /// Which.
    pub id: String,
    /// The answer.
    pub verdict: Verdict,
    /// What was seen.
    #[serde(default)]
    pub evidence: String,
    /// How long it took.
    #[serde(default)]
    pub seconds: f64,
}

/// An answer. Silence, a crash and a time-out are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The attack did what it set out to do.
    Breached,
    /// It was seen not to.
    Held,
    /// What is harmless works.
    Works,
    /// What is harmless does not work.
    Broken,
    /// It cannot be tried here.
    NotApplicable,
}

impl Verdict {
    /// As it stands in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breached => "breached",
            Self::Held => "held",
            Self::Works => "works",
            Self::Broken => "broken",
            Self::NotApplicable => "not-applicable",
        }
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The guest's report.
    Event(Event),
    /// A line that claims to be one and is not.
    Garbled(String),
    /// The firmware did not start the image because of its signature.
    Refused(String),
    /// The firmware could not start the image, for another reason.
    NotStarted(String),
    /// What the firmware started came back, and did not say why in words that are known: its menu comes up.
    CameBack,
    /// Xen stops: nothing will come of this boot.
    XenStopped(String),
    /// Xen stops, and its next line says why.
    XenPanics,
    /// Xen's own first line, with its version.
    XenStarted(String),
    /// dom0's kernel begins.
    KernelStarted,
    /// Anything else.
    Text,
}

/// Reads one line of the console.
#[must_use]
pub fn read(line: &str) -> Line {
    let line = line.trim_end();
    // Something else may have left its line unfinished.
    if let Some((_, json)) = line.split_once(PREFIX) {
        return match serde_json::from_str(json) {
            Ok(event) => Line::Event(event),
            Err(error) => Line::Garbled(format!("{json}: {error}")),
        };
    }
    if line.contains("BdsDxe: failed to load Boot") {
        // The firmware says the same for an unsigned, a changed and a revoked image.
        return if line.contains("Access Denied") || line.contains("Security Violation") {
            Line::Refused(line.to_owned())
        } else {
            Line::NotStarted(line.to_owned())
        };
    }
    if line.contains("BdsDxe: failed to start Boot") || line.contains("BdsDxe: No bootable option") {
        return Line::NotStarted(line.to_owned());
    }
    if line.contains("BdsDxe: loading Boot") && line.contains("\"UiApp\"") {
        return Line::CameBack;
    }
    if line.contains("Panic on CPU") {
        return Line::XenPanics;
    }
    if line.contains("Hardware Dom0 ") || line.contains("Reboot in five seconds") {
        return Line::XenStopped(line.to_owned());
    }
    // A locked Xen's loader, before it has a console of its own: it says why, and stops.
    if line.starts_with("lockdown: refused ") {
        return Line::XenStopped(line.to_owned());
    }
    if let Some((_, version)) = line.split_once("Xen version ") {
        return Line::XenStarted(version.to_owned());
    }
    // Xen's last line before it hands over; the kernel's own first one may be too quiet to be seen.
    if line.contains("*** Serial input to DOM0") {
        return Line::KernelStarted;
    }
    Line::Text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn reports_of_the_guest_are_read() {
        let line = r#"@lab {"event":"result","id":"a","verdict":"not-applicable","evidence":"x","seconds":1.5}"#;
        let Line::Event(Event::Result(result)) = read(line) else { panic!("no result") };
        assert_eq!((result.verdict, result.seconds), (Verdict::NotApplicable, 1.5));
        assert_eq!(read("[ 1.2] half a line@lab {\"event\":\"done\"}\r"), Line::Event(Event::Done));
        let booted =
            r#"@lab {"event":"booted","secure_boot":true,"kernel_lockdown":"none [integrity]","dom0":"pv"}"#;
        let Line::Event(Event::Booted(booted)) = read(booted) else { panic!("no start") };
        assert!(booted.secure_boot);
    }

    #[test]
    fn what_only_looks_like_a_report_is_none() {
        assert!(matches!(read("@lab {\"event\":\"result\",\"id\":\"a\"}"), Line::Garbled(_)));
        assert!(matches!(read("@lab {\"event\":\"nosuch\"}"), Line::Garbled(_)));
        let unknown = "@lab {\"event\":\"result\",\"id\":\"a\",\"verdict\":\"passed\",\"seconds\":1}";
        assert!(matches!(read(unknown), Line::Garbled(_)));
        assert_eq!(read("done"), Line::Text);
    }

    #[test]
    fn a_refusal_is_known_by_its_text() {
        let denied = "BdsDxe: failed to load Boot0001 \"xen\" from \\xen.efi: Access Denied";
        assert!(matches!(read(denied), Line::Refused(_)));
        let missing = "BdsDxe: failed to load Boot0001 \"xen\" from \\xen.efi: Not Found";
        assert!(matches!(read(missing), Line::NotStarted(_)));
        let loading = "BdsDxe: loading Boot0001 \"xen\" from \\xen.efi";
        assert_eq!(read(loading), Line::Text);
        let menu = "BdsDxe: loading Boot0000 \"UiApp\" from Fv(7CB8BDC9)/FvFile(462CAA21)";
        assert_eq!(read(menu), Line::CameBack);
        let stopped = "lockdown: refused the file initrd: unsigned-file: embed it in the signed image";
        assert!(matches!(read(stopped), Line::XenStopped(_)));
        let logged =
            "(XEN) lockdown: refused \"efi=no-rs\" (runtime): dom0-lock: keeps dom0's kernel from being locked";
        assert_eq!(read(logged), Line::Text);
        assert_eq!(read("lockdown: ignored -cfg: signed-selection"), Line::Text);
        assert_eq!(read("(XEN) Panic on CPU 0:"), Line::XenPanics);
    }
}
