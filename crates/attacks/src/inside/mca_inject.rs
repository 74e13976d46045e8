//! Machine check registers, written by hypercall. The value is zero, and only interposed: Xen itself would read it.

use super::{Attack, Level};
use crate::calls::number;
use crate::layout::MsrInject;
use crate::outcome::{Outcome, absent_or_held, breached};
use crate::witness::version_works;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "mca-inject",
    rule: "B3",
    level: Level::Integrity,
    summary: "mca(msrinject): a register of the machine check banks is set on a processor of the host",
    needs: "privcmd; a processor with machine check banks that Xen uses",
    observed: "Xen answers only after the processor wrote the register; domain 0 cannot read it back, so the answer is all there is",
    healthy: true,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const MSRINJECT: u32 = 4;
    const VERSION: u32 = 0x03ec_c009;
    const INTERPOSE: u32 = 1;
    /// Bank 1's address register.
    const REGISTER: u64 = 0x406;
    let privcmd = Privcmd::open()?;
    let mut registers = [[0; 2]; 8];
    registers[0] = [REGISTER, 0];
    let request = Buffer::new(1)?;
    request.put(
        0,
        &MsrInject {
            command: MSRINJECT,
            version: VERSION,
            cpu: 0,
            flags: INTERPOSE,
            count: 1,
            domain: 0,
            padding: 0,
            registers,
        },
    );
    match privcmd.hypercall(number::MCA, [request.address(), 0, 0, 0, 0]) {
        Ok(value) => breached(format!("Xen answered {value}: register {REGISTER:#x} of processor 0 is interposed")),
        Err(error) => absent_or_held("msrinject", Err::<(), _>(error.into())),
    }
}
