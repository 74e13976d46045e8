//! Whether dom0's userspace may map frames of a domain while the host is locked.
//!
//! The kernel maps for it, with calls of its own that neither the gate nor the walker of raw hypercalls sees, so this is
//! the one rule for all ways of mapping: only memory of real, remote, unprivileged domains (boundary, B3). Xen checks
//! that the domain has the frame, and is not asked about the caller's own here, because a PV domain may always map those.

use crate::guard::Caller;
use crate::hypercall::{Answer, Relation};
use crate::reason::Reason;

/// Decides about frames of `domain`, to be mapped into a process of the caller's.
#[must_use]
pub fn decide(domain: u16, caller: &Caller) -> Answer {
    let reason = match caller.relation(u64::from(domain)) {
        Some(Relation::OTHER) => return Answer::Admitted,
        Some(Relation::OWN) => Reason::OWN_MEMORY,
        Some(Relation::PRIVILEGED) => Reason::PRIVILEGED_TARGET,
        _ => Reason::SPECIAL_TARGET,
    };
    match caller.level {
        Some(level) if reason.refuses_at(level) => Answer::Refused(reason),
        _ => Answer::Admitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockdown::Level;
    use crate::rule::XenVersion;

    #[test]
    fn only_real_remote_domains_are_mapped() {
        let caller = |own| Caller { level: Some(Level::Integrity), own, user_end: 0, version: XenVersion::V4_20 };
        let refused = |domain, own| match decide(domain, &caller(own)) {
            Answer::Refused(reason) => Some(reason.id()),
            Answer::Admitted => None,
        };
        assert_eq!(refused(1, 0), None);
        assert_eq!(refused(0x7fef, 0), None);
        assert_eq!(refused(0, 0), Some("own-memory"));
        assert_eq!(refused(0x7ff0, 0), Some("own-memory"));
        assert_eq!(refused(5, 5), Some("own-memory"));
        assert_eq!(refused(0, 5), Some("privileged-target"));
        for special in [0x7ff1, 0x7ff2, 0x7ff3, 0x7ff4, 0x7fff, 0x8000, 0x8001, 0xffff] {
            assert_eq!(refused(special, 0), Some("special-target"), "{special:#x}");
        }
        assert_eq!(decide(0, &Caller { level: None, ..caller(0) }), Answer::Admitted);
    }
}
