//! A domctl that fills a page of a new guest, aimed at the kernel that one runs on. No pointer is involved.

use super::{Attack, Level};
use crate::calls::{Guest, domain, memory};
use crate::outcome::{Outcome, breached, broken, held, works};
use crate::witness::{frame_of_image, frame_of_own, is_pv, symbol};
use crate::xen::{Buffer, PAGE, Privcmd, ZeroPage};

pub(super) const ATTACK: Attack = Attack {
    id: "hypercall-page-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "domctl(hypercall_init) on domain 0: Xen writes its code over a page of the kernel",
    needs: "privcmd",
    observed: "the kernel's shared page of zeros, read through fresh memory, holds code",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

const HYPERCALL_INIT: u32 = 22;

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let own = frame_of_image(symbol("empty_zero_page")?)?;
    let witness = ZeroPage::new()?;
    if witness.read().iter().any(|&byte| byte != 0) {
        anyhow::bail!("fresh memory does not show the kernel's page of zeros");
    }
    let pv = is_pv()?;
    let frame = if pv {
        match privcmd.machine_frame(own) {
            Ok(frame) => frame,
            Err(error) => return held(format!("the machine frame cannot be learnt: {error:#}")),
        }
    } else {
        own
    };
    let clean = Buffer::new(1)?;
    let clean_frame = frame_of_own(clean.address())?;

    let answer = privcmd.domctl(HYPERCALL_INIT, 0, &frame);
    let seen = witness.read();
    let changed = seen.iter().any(|&byte| byte != 0);
    if !changed {
        return held(format!("hypercall_init: {answer:?}"));
    }
    let repaired = if pv {
        let mapping = privcmd.map_frames(domain::SELF, &[frame], true)?;
        format!("zeros through a mapping: {}", mapping.write(0, 0, &[0; PAGE]))
    } else {
        let moved = privcmd.move_own_frame(clean_frame, own);
        let filled = privcmd.reservation(memory::POPULATE_PHYSMAP, domain::SELF, &[clean_frame]);
        format!("replaced: {moved:?}, refilled: {filled:?}")
    };
    let zeros = witness.read().iter().all(|&byte| byte == 0);
    let code = seen.get(..16).unwrap_or_default();
    breached(format!("the kernel's page of zeros held {code:02x?}; {repaired}, zeros again: {zeros}"))
}

/// The same on a page of a guest that is being made.
fn twin() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest = match Guest::create(&privcmd, &[]) {
        Ok(guest) => guest,
        Err(error) => return broken(format!("{error:#}")),
    };
    let (frame, page) = match guest.page() {
        Ok(page) => page,
        Err(error) => return broken(format!("{error:#}")),
    };
    let before = page.read(0, 0, PAGE);
    match privcmd.domctl(HYPERCALL_INIT, guest.id, &frame) {
        Ok(_) if page.read(0, 0, PAGE) != before => works(format!("the new guest {} has its hypercall page", guest.id)),
        Ok(_) => broken("hypercall_init changed nothing"),
        Err(error) => broken(format!("hypercall_init: {error:#}")),
    }
}
