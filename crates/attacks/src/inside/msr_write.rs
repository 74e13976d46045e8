//! Control group: model-specific registers through the kernel's own device.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, broken, held, not_applicable, works};

pub(super) const ATTACK: Attack = Attack {
    id: "msr-write",
    rule: "B5",
    level: Level::Control,
    summary: "a model-specific register is written through /dev/cpu/0/msr, with the value that it has",
    needs: "the msr module",
    observed: "the write is taken",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

/// `EFER`: every kind of domain may read it.
const REGISTER: u64 = 0xc000_0080;
const DEVICE: &str = "/dev/cpu/0/msr";

fn run() -> Outcome {
    let mut value = [0; 8];
    let file = match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return not_applicable(format!("no {DEVICE}")),
        Err(error) => return held(format!("{DEVICE}: {error}")),
    };
    drop(file.read_at(&mut value, REGISTER));
    match file.write_at(&value, REGISTER) {
        Ok(8) => breached(format!("register {REGISTER:#x} was written with {value:02x?}")),
        other => held(format!("write: {other:?}")),
    }
}

fn twin() -> Outcome {
    let mut value = [0; 8];
    let file = match OpenOptions::new().read(true).open(DEVICE) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return not_applicable(format!("no {DEVICE}")),
        Err(error) => return broken(format!("{DEVICE}: {error}")),
    };
    match file.read_at(&mut value, REGISTER) {
        Ok(8) => works(format!("register {REGISTER:#x} reads {value:02x?}")),
        other => broken(format!("read: {other:?}")),
    }
}
