//! What the guard in dom0's kernel says of itself, below `/sys/kernel/xen-lockdown`, and whether it is a boundary there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// Where the guard's files are.
pub(crate) const FOLDER: &str = "/sys/kernel/xen-lockdown";

/// The guard's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Counters {
    /// `none`, `integrity`, `confidentiality`.
    pub(crate) mode: String,
    /// Whether raw hypercalls are closed.
    pub(crate) strict: bool,
    /// `built-in`, `first` (in process 1) or `later`.
    pub(crate) begun: String,
    /// How often each reason refused; only those that did.
    pub(crate) refused: BTreeMap<String, u64>,
    /// How often each would have before anything was locked; only those that would.
    pub(crate) audited: BTreeMap<String, u64>,
}

/// Whether the guard keeps root in dom0 from dom0's kernel.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Guard {
    /// Whether it does, as far as can be seen from here.
    pub(crate) is_boundary: bool,
    /// What it says; nothing where there is none.
    pub(crate) counters: Option<Counters>,
    /// What is missing for a boundary, a sentence each.
    pub(crate) missing: Vec<String>,
}

/// `FORCED_RMMOD` of Linux's taint flags.
const FORCED_RMMOD: u64 = 1 << 3;

/// Looks at the guard of this dom0, whose files lie below `root`. `is_vouched_for`: Xen is locked by Secure Boot, so that
/// dom0's command line and initramfs are what was signed.
pub(crate) fn look(root: &Path, is_vouched_for: bool) -> Guard {
    let folder = root.join(FOLDER.trim_start_matches('/'));
    let mut missing = Vec::new();
    let counters = match counters(&folder) {
        Ok(counters) => Some(counters),
        Err(_) if !folder.exists() => {
            missing.push("there is no guard: root in dom0 reaches its kernel through /dev/xen/privcmd".to_owned());
            None
        }
        Err(error) => {
            missing.push(format!("the guard's files are of no use: {error:#}"));
            None
        }
    };
    if let Some(counters) = &counters {
        if counters.mode == "none" {
            missing.push("dom0's kernel is not locked down, so the guard refuses nothing".to_owned());
        }
        if counters.begun != "first" && counters.begun != "built-in" {
            missing.push("it was not loaded by process 1 of a signed initramfs: whoever is root can keep it out at the next start".to_owned());
        }
        let line = fs::read_to_string(root.join("proc/cmdline")).unwrap_or_default();
        if !panics_on_forced_unload(&line) {
            missing.push("dom0's command line has no panic_on_taint=0x8,nousertaint, which ends the host where root unloads a module by force".to_owned());
        }
        if !is_vouched_for {
            missing.push("Secure Boot has not locked Xen, so nothing vouches for dom0's kernel, its command line and its initramfs".to_owned());
        }
    }
    Guard { is_boundary: missing.is_empty(), counters, missing }
}

/// Linux takes the last one of an option; what cannot be read as a number it leaves out.
fn panics_on_forced_unload(line: &str) -> bool {
    let value = line.split_ascii_whitespace().filter_map(|word| word.strip_prefix("panic_on_taint=")).next_back();
    let Some((mask, rest)) = value.map(|value| value.split_once(',').unwrap_or((value, ""))) else { return false };
    let digits = mask.strip_prefix("0x").unwrap_or(mask);
    u64::from_str_radix(digits, 16).is_ok_and(|mask| mask & FORCED_RMMOD != 0) && rest == "nousertaint"
}

/// Reads them.
pub(crate) fn counters(folder: &Path) -> anyhow::Result<Counters> {
    let text = |name: &str| {
        let file = folder.join(name);
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        anyhow::Ok(text.trim().to_owned())
    };
    let counts = |name: &str| {
        let folder = folder.join(name);
        let mut counts = BTreeMap::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be listed", folder.display()))? {
            let reason = entry?.file_name().to_string_lossy().into_owned();
            let count = text(&format!("{name}/{reason}"))?;
            let count: u64 = count.parse().with_context(|| format!("{name}/{reason} is no number: {count:?}"))?;
            if count > 0 {
                counts.insert(reason, count);
            }
        }
        anyhow::Ok(counts)
    };
    Ok(Counters {
        mode: text("mode")?,
        strict: text("strict")? == "1",
        begun: text("begun")?,
        refused: counts("refused")?,
        audited: counts("audited")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn host(mode: &str, begun: &str, line: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("sys/kernel/xen-lockdown/{name}");
        for (name, text) in [
            ("mode", mode),
            ("strict", "0"),
            ("begun", begun),
            ("refused/own-memory", "3"),
            ("refused/bypass", "0"),
            ("audited/bypass", "0"),
        ] {
            write(folder.path(), &at(name), &format!("{text}\n"));
        }
        write(folder.path(), "proc/cmdline", line);
        folder
    }

    const LINE: &str = "root=x panic_on_taint=0x8,nousertaint quiet\n";

    #[test]
    fn a_guard_that_came_first_is_a_boundary() {
        for begun in ["first", "built-in"] {
            let host = host("integrity", begun, LINE);
            let guard = look(host.path(), true);
            assert!(guard.is_boundary, "{:?}", guard.missing);
            let counters = guard.counters.unwrap();
            assert_eq!(counters.refused, BTreeMap::from([("own-memory".to_owned(), 3)]));
            assert!(counters.audited.is_empty());
        }
    }

    #[test]
    fn each_thing_that_is_missing_is_told() {
        for (host, is_vouched_for, says) in [
            (host("none", "first", LINE), true, "not locked down"),
            (host("integrity", "later", LINE), true, "not loaded by process 1"),
            (host("integrity", "first", "quiet"), true, "panic_on_taint"),
            (host("integrity", "first", "panic_on_taint=0x8"), true, "panic_on_taint"),
            (
                host("integrity", "first", "panic_on_taint=0x8,nousertaint panic_on_taint=0x1"),
                true,
                "panic_on_taint",
            ),
            (host("integrity", "first", LINE), false, "nothing vouches"),
            (tempfile::tempdir().unwrap(), true, "there is no guard"),
        ] {
            let guard = look(host.path(), is_vouched_for);
            assert!(!guard.is_boundary);
            assert_eq!(guard.missing.len(), 1, "{:?}", guard.missing);
            assert!(guard.missing.iter().all(|one| one.contains(says)), "{:?}", guard.missing);
        }
    }

    #[test]
    fn files_that_are_not_the_guards_are_told() {
        let host = host("integrity", "first", LINE);
        write(host.path(), "sys/kernel/xen-lockdown/refused/own-memory", "many\n");
        let guard = look(host.path(), true);
        assert!(guard.missing.iter().any(|one| one.contains("refused/own-memory is no number: \"many\"")));
    }
}
