//! A line of an interrupt controller that a domain was made without.
//!
//! Xen 4.20 takes the empty state of its first controller for a slave's and writes to a master in front of it
//! (xen/arch/x86/hvm/vpic.c, `vpic_update_int_output`): into a pointer of Xen's own. The lines of the second one go the same
//! way and write into the first, which hurts nobody: these are tried.

use super::{Attack, Level};
use crate::calls::Guest;
use crate::layout::IoServer;
use crate::outcome::{Outcome, breached, held, works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "interrupt-controller",
    rule: "B3",
    level: Level::Integrity,
    summary: "dm_op set_isa_irq_level on a domain without an interrupt controller",
    needs: "privcmd",
    observed: "Xen raises the line",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

const SET_ISA_IRQ_LEVEL: u32 = 9;
/// The first of the second controller's, low.
const LINE: u32 = 8;

fn lower(privcmd: &Privcmd, emulation: u32) -> anyhow::Result<std::io::Result<()>> {
    let guest = Guest::hardware(privcmd, emulation)?;
    let operation = IoServer { operation: SET_ISA_IRQ_LEVEL, padding: 0, first: LINE, second: 0, rest: [0; 4] };
    Ok(privcmd.device_model(guest.id, &operation, &[]).map(drop))
}

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    match lower(&privcmd, Guest::PVH)? {
        Ok(()) => breached("Xen lowered a line of a controller that the domain does not have"),
        Err(error) => held(error.to_string()),
    }
}

fn twin() -> Outcome {
    let privcmd = Privcmd::open()?;
    lower(&privcmd, Guest::HVM)??;
    works("Xen lowered a line of a domain that has the controller")
}
