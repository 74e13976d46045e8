//! What kind of machine this turned out to be.

use std::fs;

use serde::Serialize;

/// What the lab checks before it believes any verdict.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    /// The firmware's variable says that Secure Boot is enforced.
    pub(crate) secure_boot: bool,
    /// The kernel's own lockdown: `none`, `integrity` or `confidentiality`.
    pub(crate) kernel_lockdown: String,
    /// `pv` or `pvh`.
    pub(crate) dom0: String,
    /// The kernel's release.
    pub(crate) linux: String,
    /// Xen's version.
    pub(crate) xen: String,
}

/// Reads the state from what the kernel tells.
pub(crate) fn read() -> State {
    let version = |part: &str| line(&format!("/sys/hypervisor/version/{part}"));
    State {
        secure_boot: secure_boot(),
        kernel_lockdown: chosen(&line("/sys/kernel/security/lockdown")),
        dom0: line("/sys/hypervisor/guest_type").to_lowercase(),
        linux: line("/proc/sys/kernel/osrelease"),
        xen: format!("{}.{}{}", version("major"), version("minor"), version("extra")),
    }
}

fn secure_boot() -> bool {
    // Four bytes of attributes come first.
    fs::read("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
        .is_ok_and(|bytes| bytes.get(4) == Some(&1))
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The word in brackets.
fn chosen(text: &str) -> String {
    let inner = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inner, _)| inner);
    inner.unwrap_or("none").to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_one_in_brackets() {
        assert_eq!(chosen("none [integrity] confidentiality"), "integrity");
        assert_eq!(chosen(""), "none");
    }
}
