//! Forced unload asks neither for references nor for an exit function.

use super::{Attack, Level};
use crate::outcome::Outcome;
use crate::witness::version_works;
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "driver-remove-forced",
    rule: "B13",
    level: Level::Integrity,
    summary: "as driver-remove, by forced unload, which Debian's kernel allows although it is locked down",
    needs: "the module's file; CONFIG_MODULE_FORCE_UNLOAD",
    observed: "the driver leaves /proc/modules, and the raw write works through what was loaded",
    healthy: false,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    super::driver_remove::replace(libc::O_NONBLOCK | libc::O_TRUNC)
}
