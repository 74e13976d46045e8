//! The symbols of Xen, which other attacks start from.

use anyhow::Result;

use super::{Attack, Level};
use crate::layout::SymbolData;
use crate::outcome::{Outcome, absent_or_held, breached, held};
use crate::witness::version_works;
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "xen-symbols",
    rule: "B10",
    level: Level::Confidentiality,
    summary: "platform_op(get_symbol): Xen tells the addresses of its code and data",
    needs: "privcmd",
    observed: "the address of a known function lies in Xen's half",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    match find(&privcmd, "do_xen_version") {
        Ok(Some(address)) => breached(format!("do_xen_version is at {address:#x}")),
        Ok(None) => held("no symbol of that name"),
        Err(error) => absent_or_held("get_symbol", Err::<(), _>(error)),
    }
}

/// Where Xen has `wanted`.
pub(super) fn find(privcmd: &Privcmd, wanted: &str) -> Result<Option<u64>> {
    const GET_SYMBOL: u32 = 63;
    const LONGEST: u32 = 127;
    let name = Buffer::new(1)?;
    let mut number = 0;
    loop {
        let request =
            SymbolData { length: LONGEST, number, name: name.address(), address: 0, kind: 0, padding: [0; 7] };
        let answer = privcmd.platform(GET_SYMBOL, &request)?;
        // Xen counts the zero at the end.
        let length = usize::try_from(answer.length.clamp(1, LONGEST) - 1)?;
        // What is not global bears its file's name in front.
        let seen = name.read(0, length);
        if seen.rsplit(|&byte| byte == b'#').next() == Some(wanted.as_bytes()) {
            return Ok(Some(answer.address));
        }
        if answer.number == number {
            return Ok(None);
        }
        number = answer.number;
    }
}
