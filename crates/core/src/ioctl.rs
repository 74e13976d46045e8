//! What a process of dom0 may ask of the privcmd driver beside raw hypercalls: the rules of `policy/privcmd.toml`.
//!
//! The kernel maps frames with calls of its own, which neither the gate nor the walk over raw hypercalls sees, so this
//! is where it is decided whose frames a process may have (boundary, B3). Xen checks that a domain has a frame, and has
//! nothing against the caller's own, because a PV domain may always map those.

use core::ffi::CStr;

use crate::guard::Caller;
use crate::hypercall::{Answer, HypercallNumber, Relation};
use crate::lockdown::Level;
use crate::reason::Reason;

const DOMID_IO: u16 = 0x7ff1;
const DOMID_XEN: u16 = 0x7ff2;

/// The number of a request, as it stands in ioctl's second argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IoctlNumber(pub u32);

/// The rules for one request.
#[derive(Clone, Copy, Debug)]
pub struct Ioctl<'t> {
    /// Its number.
    pub number: IoctlNumber,
    /// `privcmd.mmapbatch-v2`.
    pub name: &'t CStr,
    /// The hypercall that it makes, whose rules follow.
    pub hypercall: Option<HypercallNumber>,
    /// Refuses where the guard is strict.
    pub strict: Option<Reason>,
    /// Refuses where the domain that it names is the caller.
    pub own: Option<Reason>,
    /// Refuses where it is another privileged one.
    pub privileged: Option<Reason>,
    /// Refuses where it is `DOMID_IO`.
    pub io: Option<Reason>,
    /// Refuses where it is `DOMID_XEN`.
    pub xen: Option<Reason>,
    /// Refuses where it is another reserved number.
    pub special: Option<Reason>,
}

/// The rules for a request, if there are any.
#[must_use]
pub fn find<'t>(ioctls: &'t [Ioctl<'t>], number: IoctlNumber) -> Option<&'t Ioctl<'t>> {
    ioctls.iter().find(|ioctl| ioctl.number == number)
}

impl Ioctl<'_> {
    /// Decides about a request that names `domain`; where a request names none, it does not matter.
    ///
    /// As in a walk, a level that is `None` is judged as [`Level::Integrity`].
    #[must_use]
    pub fn decide(&self, domain: u16, caller: &Caller, is_strict: bool) -> Answer {
        let about = match caller.relation(u64::from(domain)) {
            Some(Relation::OTHER) => None,
            Some(Relation::OWN) => self.own,
            Some(Relation::PRIVILEGED) => self.privileged,
            _ => match domain {
                DOMID_IO => self.io,
                DOMID_XEN => self.xen,
                _ => self.special,
            },
        };
        let level = caller.level.unwrap_or(Level::Integrity);
        match self.strict.filter(|_| is_strict).or(about) {
            Some(reason) if reason.refuses_at(level) => Answer::Refused(reason),
            _ => Answer::Admitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::XenVersion;
    use crate::tables;

    const MMAP: IoctlNumber = IoctlNumber(0x0010_5002);
    const MMAPBATCH: IoctlNumber = IoctlNumber(0x0018_5003);
    const MMAPBATCH_V2: IoctlNumber = IoctlNumber(0x0020_5004);
    const MMAP_RESOURCE: IoctlNumber = IoctlNumber(0x0020_5007);
    const HYPERCALL: IoctlNumber = IoctlNumber(0x0030_5000);

    fn refused(number: IoctlNumber, domain: u16, own: u16, is_strict: bool) -> Option<&'static str> {
        let caller = Caller { level: Some(Level::Integrity), own, user_end: 0, version: XenVersion::V4_20 };
        match find(tables::PRIVCMD, number).map(|ioctl| ioctl.decide(domain, &caller, is_strict)) {
            Some(Answer::Refused(reason)) => Some(reason.id()),
            Some(Answer::Admitted) => None,
            None => Some("no rule"),
        }
    }

    #[test]
    fn only_frames_of_real_remote_domains_are_mapped() {
        for number in [MMAP, MMAPBATCH, MMAPBATCH_V2, MMAP_RESOURCE] {
            let refused = |domain, own| refused(number, domain, own, false);
            assert_eq!(refused(1, 0), None);
            assert_eq!(refused(0x7fef, 0), None);
            assert_eq!(refused(0, 0), Some("own-memory"));
            assert_eq!(refused(0x7ff0, 0), Some("own-memory"));
            assert_eq!(refused(5, 5), Some("own-memory"));
            assert_eq!(refused(0, 5), Some("privileged-target"));
            assert_eq!(refused(0x7ff1, 0), Some("device-memory"));
            assert_eq!(refused(0x7ff2, 0), Some("xen-memory"));
            for special in [0x7ff3, 0x7ff4, 0x7fff, 0x8000, 0x8001, 0xffff] {
                assert_eq!(refused(special, 0), Some("special-target"), "{special:#x}");
            }
        }
    }

    #[test]
    fn strict_closes_raw_hypercalls_and_nothing_else() {
        assert_eq!(refused(HYPERCALL, 0, 0, false), None);
        assert_eq!(refused(HYPERCALL, 0, 0, true), Some("raw-path"));
        assert_eq!(refused(MMAPBATCH_V2, 1, 0, true), None);
    }

    #[test]
    fn what_the_driver_does_not_know_has_no_rule() {
        assert!(find(tables::PRIVCMD, IoctlNumber(0)).is_none());
        assert!(find(tables::PRIVCMD, IoctlNumber(u32::MAX)).is_none());
    }
}
