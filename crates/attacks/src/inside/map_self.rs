//! The kernel's own memory, mapped into a process through privcmd.

use super::{Attack, Level};
use crate::calls::domain;
use crate::outcome::{Outcome, breached, held};
use crate::witness::{HostName, frame_of_image, guest_page_works, is_pv};
use crate::calls::describe;
use crate::xen::{PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "map-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "IOCTL_PRIVCMD_MMAPBATCH_V2 with DOMID_SELF on the frame of the kernel's host name",
    needs: "privcmd",
    observed: "the host name that the kernel tells is what was written into the mapping",
    healthy: true,
    timeout_s: super::USUAL_S,
    run: || map_own(domain::SELF),
    twin: || guest_page_works(&Privcmd::open()?),
};

/// Maps the frame of the kernel's host name as a frame of `owner`, and writes into it.
pub(super) fn map_own(owner: u16) -> Outcome {
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let frame = frame_of_image(name.address)?;
    // A paravirtual domain names machine frames, any other its own.
    let frame = if is_pv()? {
        match privcmd.machine_frame(frame) {
            Ok(frame) => frame,
            Err(error) => return held(format!("the machine frame cannot be learnt: {error:#}")),
        }
    } else {
        frame
    };
    let mapping = privcmd.map_frames(owner, &[frame], true)?;
    if !mapping.is_mapped(0) {
        return held(format!("frame {frame:#x} of domain {owner:#x}: {}", describe(&mapping.errors)));
    }
    let offset = usize::try_from(name.address % PAGE as u64)?;
    let seen = mapping.read(0, offset, name.mark.len()).unwrap_or_default();
    if seen != name.mark {
        return held(format!("frame {frame:#x} is mapped but does not hold the host name"));
    }
    mapping.write(0, offset, b"written-through-a-mapping\0");
    if name.changed()? {
        breached(format!("frame {frame:#x} mapped read-write; {}", name.told()?))
    } else {
        held(format!("frame {frame:#x} is mapped, but writes do not arrive"))
    }
}
