//! Control group: I/O ports through the kernel's own call.

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, broken, held, works};
use crate::xen::io_privilege;

pub(super) const ATTACK: Attack = Attack {
    id: "io-ports",
    rule: "B4",
    level: Level::Control,
    summary: "iopl(3): leave to use every I/O port",
    needs: "nothing",
    observed: "the call succeeds, which is all that stands between a process and the ports",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    match io_privilege() {
        Ok(_) => breached("iopl(3) was granted"),
        Err(error) => held(format!("iopl(3): {error}")),
    }
}

fn twin() -> Outcome {
    match std::fs::read_to_string("/proc/ioports") {
        Ok(text) if !text.is_empty() => works("/proc/ioports can be read"),
        other => broken(format!("/proc/ioports: {other:?}")),
    }
}
