//! The same as `va-mapping-self` by the hypercall for frames of another domain, which takes oneself for one.

use super::va_mapping_self::{Call, through};
use super::{Attack, Level};
use crate::witness::version_works;
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "va-mapping-otherdomain",
    rule: "B3",
    level: Level::Integrity,
    summary: "update_va_mapping_otherdomain, for DOMID_SELF, puts the kernel's frame behind an address of the process",
    needs: "privcmd; a paravirtual domain 0",
    observed: super::va_mapping_self::ATTACK.observed,
    healthy: true,
    timeout_s: super::USUAL_S,
    run: || through(Call::Other),
    twin: || version_works(&Privcmd::open()?),
};
