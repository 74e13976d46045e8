//! A page of the kernel's is exchanged for another one.

use super::{Attack, Level};
use crate::calls::{domain, memory};
use crate::layout::{Exchange, Reservation};
use crate::outcome::Outcome;
use crate::witness::guest_page_works;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "exchange-self",
    rule: "B3",
    level: Level::Integrity,
    summary: "memory_op(exchange) on oneself puts another page in the place of one of the kernel",
    needs: "privcmd",
    observed: "the kernel's shared page of zeros no longer reads as zeros",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    super::reservation_decrease_self::take_away("exchange", |privcmd, frame| {
        let given = Buffer::with(&frame.to_le_bytes())?;
        let taken = Buffer::with(&frame.to_le_bytes())?;
        let part = |list: &Buffer| Reservation {
            extents: list.address(),
            number: 1,
            order: 0,
            flags: 0,
            domain: domain::SELF,
            padding: [0; 3],
        };
        privcmd.memory(memory::EXCHANGE, &Exchange { input: part(&given), output: part(&taken), exchanged: 0 })
    })
}
