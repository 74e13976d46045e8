//! A page of the kernel's is given back to Xen, with pointers that are all our own.

use anyhow::Result;

use super::{Attack, Level};
use crate::calls::{domain, memory};
use crate::outcome::{Outcome, breached, held};
use crate::witness::{frame_of_image, guest_page_works, is_pv, symbol};
use crate::xen::{Privcmd, ZeroPage};

pub(super) const ATTACK: Attack = Attack {
    id: "reservation-decrease-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "memory_op(decrease_reservation) on oneself takes a page away from under the kernel",
    needs: "privcmd",
    observed: "the kernel's shared page of zeros no longer reads as zeros",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    take_away("decrease_reservation", |privcmd, frame| {
        privcmd.reservation(memory::DECREASE_RESERVATION, domain::SELF, &[frame])
    })
}

/// Lets `act` take the kernel's page of zeros away, looks, and puts a fresh page in its place.
pub(super) fn take_away(name: &str, act: impl FnOnce(&Privcmd, u64) -> Result<i64>) -> Outcome {
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
    let answer = act(&privcmd, frame);
    let first = witness.read().first().copied().unwrap_or_default();
    let gone = first != 0;
    // A paravirtual kernel keeps a page that it has mapped; there is nothing to put back.
    let repaired = if pv {
        "nothing to repair".to_owned()
    } else {
        let filled = privcmd.reservation(memory::POPULATE_PHYSMAP, domain::SELF, &[own]);
        format!("refilled: {filled:?}, zeros again: {}", witness.read().iter().all(|&byte| byte == 0))
    };
    let told = format!("{name} answered {answer:?}; the kernel's page of zeros read {first:#04x}; {repaired}");
    if gone { breached(told) } else { held(told) }
}
