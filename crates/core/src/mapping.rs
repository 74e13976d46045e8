//! Whether dom0's userspace may map frames of a domain while the host is locked.
//!
//! The kernel maps for it, with calls of its own that neither the gate nor the walker of raw hypercalls sees, so this is
//! the one rule for all ways of mapping: only memory of real, remote, unprivileged domains (boundary, B3). Xen checks
//! that the domain has the frame, and is not asked about the caller's own here, because a PV domain may always map those.

use crate::hypercall::{Answer, Relation};
use crate::lockdown::Level;
use crate::reason::Reason;

/// `DOMID_FIRST_RESERVED` of Xen's public headers: no domain has this number or a higher one.
pub const FIRST_RESERVED: u16 = 0x7ff0;
/// `DOMID_SELF`: the domain that calls.
pub const SELF: u16 = 0x7ff0;

/// What the domain with a number is to the domain `own`. Domain 0 is always privileged.
#[must_use]
pub const fn relation(domain: u16, own: u16) -> Relation {
    if domain == own || domain == SELF {
        Relation::OWN
    } else if domain >= FIRST_RESERVED {
        Relation::SPECIAL
    } else if domain == 0 {
        Relation::PRIVILEGED
    } else {
        Relation::OTHER
    }
}

/// Decides about frames of `domain`, to be mapped into a process of the domain `own`.
#[must_use]
pub fn decide(domain: u16, own: u16, level: Option<Level>) -> Answer {
    let reason = match relation(domain, own) {
        Relation::OTHER => return Answer::Admitted,
        Relation::OWN => Reason::OWN_MEMORY,
        Relation::PRIVILEGED => Reason::PRIVILEGED_TARGET,
        _ => Reason::SPECIAL_TARGET,
    };
    match level {
        Some(level) if reason.refuses_at(level) => Answer::Refused(reason),
        _ => Answer::Admitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_remote_domains_are_mapped() {
        let refused = |domain, own| match decide(domain, own, Some(Level::Integrity)) {
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
        assert_eq!(decide(0, 0, None), Answer::Admitted);
    }
}
