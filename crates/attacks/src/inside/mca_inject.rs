//! Machine check registers, written by hypercall. The value is zero, and only interposed: Xen itself would read it.

use super::{Attack, Level};
use crate::calls::number;
use crate::layout::{DebugKeys, MsrInject};
use crate::outcome::{Outcome, absent_or_held, breached, held};
use crate::witness::version_works;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "mca-inject",
    rule: "B3",
    level: Level::Integrity,
    summary: "mca(msrinject): a register of the machine check banks is set on a processor of the host",
    needs: "privcmd; a processor with machine check banks that Xen uses",
    observed: "Xen marks itself as tainted by an injected error",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const DEBUG_KEYS: u32 = 7;
    const MSRINJECT: u32 = 4;
    const VERSION: u32 = 0x01ec_c003;
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
    let (_, start) = privcmd.console_ring(None)?;
    if let Err(error) = privcmd.hypercall(number::MCA, [request.address(), 0, 0, 0, 0]) {
        return absent_or_held("msrinject", Err::<(), _>(error.into()));
    }
    // Xen remembers that an error was injected, and says so at the head of every register dump.
    let keys = Buffer::with(b"d")?;
    let dump = privcmd.sysctl(DEBUG_KEYS, &DebugKeys { keys: keys.address(), number: 1, end: 0 }).map(|_| "done");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (ring, _) = privcmd.console_ring(Some(start))?;
    match ring.lines().find(|line| line.contains("Tainted:")) {
        Some(line) if line.split("Tainted:").nth(1).is_some_and(|taints| taints.contains('E')) => {
            breached(format!("register {REGISTER:#x} of processor 0 is interposed; Xen says: {}", line.trim()))
        }
        line => held(format!("taken, but Xen does not say that an error was injected: {line:?}; dump {dump:?}")),
    }
}
