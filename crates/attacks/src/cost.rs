//! What calls through privcmd and commands of the toolstack take, for somebody outside who compares two drivers.
//!
//! The machine's clock counts instructions (QEMU's `-icount`), so the shortest of many calls is a number of instructions,
//! Linux's and Xen's together. A line on the console for each kind: `KIND TICKS`.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use zerocopy::IntoBytes as _;

use crate::calls::{Guest, domctl_buffer, number, sysctl_buffer, version};
use crate::layout::IoServer;
use crate::outcome::Outcome;
use crate::say;
use crate::toolstack;
use crate::xen::{Buffer, DeviceModelCall, Privcmd, children_time, ticks};

/// How many calls of a kind are made.
const CALLS: usize = 500;
/// How often `xl list` is run, and how often a guest is made, which takes more than a minute of such a machine's time.
const LISTS: usize = 10;
const GUESTS: usize = 3;

const GETDOMAININFO: u32 = 5;
const PAUSEDOMAIN: u32 = 3;
const MAX_MEM: u32 = 11;
const GETDOMAININFOLIST: u32 = 6;
const STATUS: u64 = 5;
/// Of dm_op.
const VCPUS: u32 = 20;
/// No domain ever gets this number here.
const MISSING: u16 = 0x6fff;

pub(crate) fn tell() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest = Guest::create(&privcmd, &[])?;
    let buffer = Buffer::new(1)?;
    let info = Buffer::new(1)?;
    // The first domain, the most of them, a place for them, how many there were.
    let list = [1_u64 << 32, info.address(), 0];
    let list = sysctl_buffer(GETDOMAININFOLIST, &list)?;
    let port = Buffer::with([0x7ff0_u32, 1, 0, 0, 0, 0].as_bytes())?;
    let domctl = |command, domain| domctl_buffer(command, domain, &4096_u64.to_le_bytes());
    let (own, limit, missing) =
        (domctl(GETDOMAININFO, 0)?, domctl(MAX_MEM, guest.id)?, domctl(PAUSEDOMAIN, MISSING)?);
    let calls: &[(&str, u64, [u64; 5])] = &[
        ("version", number::XEN_VERSION, [version::VERSION, 0, 0, 0, 0]),
        ("extraversion", number::XEN_VERSION, [version::EXTRAVERSION, buffer.address(), 0, 0, 0]),
        ("status", number::EVENT_CHANNEL_OP, [STATUS, port.address(), 0, 0, 0]),
        ("getdomaininfo", number::DOMCTL, [own.address(), 0, 0, 0, 0]),
        ("max_mem", number::DOMCTL, [limit.address(), 0, 0, 0, 0]),
        ("pausedomain", number::DOMCTL, [missing.address(), 0, 0, 0, 0]),
        ("getdomaininfolist", number::SYSCTL, [list.address(), 0, 0, 0, 0]),
    ];
    let mut said = format!("nothing {}\n", shortest(|| {}));
    for (name, number, arguments) in calls {
        // pausedomain finds no domain; the others must succeed.
        let answer = privcmd.hypercall(*number, *arguments);
        if answer.is_err() && *name != "pausedomain" {
            return Err(anyhow!("{name}: {answer:?}"));
        }
        let ticks = shortest(|| drop(privcmd.hypercall(*number, *arguments)));
        let _ = writeln!(said, "{name} {ticks}");
    }
    drop(guest);
    let guest = Guest::hardware(&privcmd, Guest::HVM)?;
    let vcpus = IoServer { operation: VCPUS, padding: 0, first: 0, second: 0, rest: [0; 4] };
    let call = DeviceModelCall::new(guest.id, &vcpus, &[])?;
    privcmd.issue(&call)?;
    let _ = writeln!(said, "dm_op {}", shortest(|| drop(privcmd.issue(&call))));
    drop(guest);
    let list = least(LISTS, toolstack::list_once)?;
    let _ = writeln!(said, "xl-list {list}");
    let create = least(GUESTS, toolstack::create_once)?;
    let _ = writeln!(said, "xl-create {create}");
    say::say(said.as_bytes())
}

/// The shortest of many calls, in ticks of the clock.
fn shortest(mut call: impl FnMut()) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..CALLS {
        let before = ticks();
        call();
        least = least.min(ticks().wrapping_sub(before));
    }
    least
}

/// The least processor time that a command took, in ticks (nanoseconds).
fn least(runs: usize, mut command: impl FnMut() -> Result<()>) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..runs {
        let before = children_time()?;
        command()?;
        least = least.min(children_time()?.saturating_sub(before));
    }
    Ok(least)
}
