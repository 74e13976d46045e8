//! Leave to map frames that are nobody's to map.

use super::{Attack, Level};
use crate::calls::{describe, domain};
use crate::layout::IomemPermission;
use crate::outcome::{Outcome, breached, held};
use crate::witness::guest_page_works;
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "iomem-permission-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "domctl(iomem_permission) gives domain 0 a frame of Xen and the local APIC, then DOMID_IO maps them",
    needs: "privcmd",
    observed: "the kernel says that the frame is mapped writable, where it was refused before",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

const IOMEM_PERMISSION: u32 = 20;
const LOCAL_APIC: u64 = 0xf_ee00;

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let mut frames = vec![("the local APIC", LOCAL_APIC)];
    if let Some(&frame) = privcmd.machine_table().unwrap_or_default().first() {
        frames.push(("a frame of Xen", frame));
    }
    let mut told = Vec::new();
    for (what, frame) in frames {
        let before = privcmd.map_frames(domain::IO, &[frame], true)?;
        let request = IomemPermission { machine_frame: frame, number: 1, allow: 1, padding: [0; 7] };
        let answer = privcmd.domctl(IOMEM_PERMISSION, 0, &request).map(|_| "done");
        let after = privcmd.map_frames(domain::IO, &[frame], true)?;
        let seen = format!(
            "{what} ({frame:#x}): permission {answer:?}, map before {}, after {}",
            describe(&before.errors),
            describe(&after.errors)
        );
        if after.is_mapped(0) {
            return breached(seen);
        }
        told.push(seen);
    }
    held(told.join("; "))
}
