//! The process changes its own page tables by hypercall; only registers are handed over.

use super::{Attack, Level};
use crate::calls::{domain, number};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{HostName, frame_of_image, frame_of_own, is_pv, marker, version_works};
use crate::xen::{Buffer, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "va-mapping-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "update_va_mapping puts the kernel's frame behind an address of the process",
    needs: "privcmd; a paravirtual domain 0",
    observed: "the host name that the kernel tells is what was written through the process's own memory; where the kernel's \
               frame cannot be learnt, what is behind the address changed at all",
    healthy: true,
    timeout_s: super::USUAL_S,
    run: || through(Call::Own),
    twin: || version_works(&Privcmd::open()?),
};

/// Which of the two hypercalls.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Own,
    /// The one for page tables that map another domain's frames, told that the other is oneself.
    Other,
}

pub(super) fn through(call: Call) -> Outcome {
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
        Err(error) => return empty(call, &privcmd, &window, &error),
    };
    let answer = set(call, &privcmd, &window, target);
    if let Err(error) = answer {
        return held(format!("the hypercall: {error}"));
    }
    let offset = usize::try_from(name.address % PAGE as u64)?;
    let seen = window.read(offset, name.mark.len()) == name.mark;
    if seen {
        window.write(offset, b"written-by-a-process\0");
    }
    let told = name.told()?;
    let changed = name.changed()?;
    let back = set(call, &privcmd, &window, own);
    if changed { breached(format!("{told}; entry put back: {back:?}")) } else { held(format!("mapped, seen {seen}; {told}")) }
}

/// The call is made all the same where nobody tells the frame: with an entry that maps nothing. The kernel then finds no
/// page where it had put one, and puts an empty one there.
fn empty(call: Call, privcmd: &Privcmd, window: &Buffer, unknown: &anyhow::Error) -> Outcome {
    let mark = marker();
    window.write(0, mark.as_bytes());
    let answer = issue(call, privcmd, window, 0);
    let stays = window.read(0, mark.len()) == mark.as_bytes();
    let told = format!("the machine frame cannot be learnt ({unknown:#}); an entry that maps nothing: {answer:?}");
    if stays { held(told) } else { breached(format!("{told}; the page behind the address is another")) }
}

/// Sets the page table entry of `window`: present, writable, for user mode, accessed, dirty, not executable.
fn set(call: Call, privcmd: &Privcmd, window: &Buffer, frame: u64) -> std::io::Result<i64> {
    const FLAGS: u64 = 0x8000_0000_0000_0067;
    issue(call, privcmd, window, (frame << 12) | FLAGS)
}

fn issue(call: Call, privcmd: &Privcmd, window: &Buffer, entry: u64) -> std::io::Result<i64> {
    const FLUSH_LOCAL: u64 = 2;
    let (number, owner) = match call {
        Call::Own => (number::UPDATE_VA_MAPPING, 0),
        Call::Other => (number::UPDATE_VA_MAPPING_OTHERDOMAIN, domain::SELF),
    };
    privcmd.hypercall(number, [window.address(), entry, FLUSH_LOCAL, owner.into(), 0])
}
