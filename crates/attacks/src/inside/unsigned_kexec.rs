//! Control group: another kernel through the kernel's own door. It is never started.

use std::fs;

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, broken, held, works};
use crate::xen::{Buffer, kexec_load, kexec_unload};

pub(super) const ATTACK: Attack = Attack {
    id: "unsigned-kexec",
    rule: "B2",
    level: Level::Control,
    summary: "the system call kexec_load with an image that nobody signed",
    needs: "a kernel with kexec",
    observed: "/sys/kernel/kexec_loaded says 1",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    let image = Buffer::with(&[0xfa, 0xf4])?;
    let answer = kexec_load(&image);
    let loaded = loaded();
    if loaded == "1" {
        let removed = kexec_unload();
        return breached(format!("/sys/kernel/kexec_loaded says 1; unloaded: {removed:?}"));
    }
    held(format!("kexec_load: {answer:?}; kexec_loaded {loaded}"))
}

fn loaded() -> String {
    fs::read_to_string("/sys/kernel/kexec_loaded").unwrap_or_default().trim().to_owned()
}

fn twin() -> Outcome {
    match loaded().as_str() {
        "" => broken("/sys/kernel/kexec_loaded cannot be read"),
        state => works(format!("/sys/kernel/kexec_loaded says {state}")),
    }
}
