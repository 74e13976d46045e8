//! The MTRRs, set by hypercall. The range has no memory, and the register is given back.

use super::{Attack, Level};
use crate::layout::{AddMemtype, ReadMemtype};
use crate::outcome::{Outcome, absent_or_held, breached, broken, held, works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "memory-types",
    rule: "B3",
    level: Level::Integrity,
    summary: "platform_op(add_memtype): the processor's memory type registers are set for a range of root's choice",
    needs: "privcmd",
    observed: "platform_op(read_memtype) shows the range in a register",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

const ADD: u32 = 31;
const DEL: u32 = 32;
const READ: u32 = 33;
/// One mebibyte below the registers of the chipset.
const FRAME: u64 = 0xf_d000;
const FRAMES: u64 = 0x100;

fn run() -> Outcome {
    const WRITE_COMBINING: u32 = 1;
    let privcmd = Privcmd::open()?;
    let request = AddMemtype { frame: FRAME, number: FRAMES, kind: WRITE_COMBINING, handle: 0, register: 0, end: 0 };
    let added = match privcmd.platform(ADD, &request) {
        Ok(added) => added,
        Err(error) => return absent_or_held("add_memtype", Err::<(), _>(error)),
    };
    let seen = read(&privcmd, added.register)?;
    let removed = privcmd.platform(DEL, &[added.handle, added.register]);
    let told = format!(
        "register {}: frame {:#x}, {:#x} frames, type {}; removed: {}",
        added.register,
        seen.frame,
        seen.number,
        seen.kind,
        removed.is_ok()
    );
    if seen.frame == FRAME && seen.number == FRAMES && seen.kind == WRITE_COMBINING {
        breached(told)
    } else {
        held(told)
    }
}

fn read(privcmd: &Privcmd, register: u32) -> anyhow::Result<ReadMemtype> {
    privcmd.platform(READ, &ReadMemtype { register, padding: 0, frame: 0, number: 0, kind: 0, end: 0 })
}

fn twin() -> Outcome {
    match read(&Privcmd::open()?, 0) {
        Ok(seen) => works(format!("register 0: frame {:#x}, {:#x} frames", seen.frame, seen.number)),
        Err(error) => broken(format!("read_memtype: {error:#}")),
    }
}
