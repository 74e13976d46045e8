//! The process changes its own page tables by hypercall; only registers are handed over.

use super::{Attack, Level};
use crate::calls::number;
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{HostName, frame_of_image, frame_of_own, is_pv, version_works};
use crate::xen::{Buffer, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "va-mapping-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "update_va_mapping puts the kernel's frame behind an address of the process",
    needs: "privcmd; a paravirtual domain 0",
    observed: "the host name that the kernel tells is what was written through the process's own memory",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    if !is_pv()? {
        return not_applicable("only a paravirtual domain changes its page tables by hypercall");
    }
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let window = Buffer::new(1)?;
    let frames = privcmd
        .machine_frame(frame_of_own(window.address())?)
        .and_then(|own| Ok((own, privcmd.machine_frame(frame_of_image(name.address)?)?)));
    let (own, target) = match frames {
        Ok(frames) => frames,
        Err(error) => return held(format!("the machine frame cannot be learnt: {error:#}")),
    };
    let answer = set(&privcmd, &window, target);
    if let Err(error) = answer {
        return held(format!("update_va_mapping: {error}"));
    }
    let offset = usize::try_from(name.address % PAGE as u64)?;
    let seen = window.read(offset, name.mark.len()) == name.mark;
    if seen {
        window.write(offset, b"written-by-a-process\0");
    }
    let told = name.told()?;
    let changed = name.changed()?;
    let back = set(&privcmd, &window, own);
    if changed { breached(format!("{told}; entry put back: {back:?}")) } else { held(format!("mapped, seen {seen}; {told}")) }
}

/// Sets the page table entry of `window`: present, writable, for user mode, accessed, dirty, not executable.
fn set(privcmd: &Privcmd, window: &Buffer, frame: u64) -> std::io::Result<i64> {
    const FLAGS: u64 = 0x8000_0000_0000_0067;
    const FLUSH_LOCAL: u64 = 2;
    privcmd.hypercall(
        number::UPDATE_VA_MAPPING,
        [window.address(), (frame << 12) | FLAGS, FLUSH_LOCAL, 0, 0],
    )
}
