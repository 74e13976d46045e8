//! The structure that the driver copies changes while it is looked at: a filter that reads it twice falls for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Attack, Level};
use crate::calls::{number, version};
use lockdown_privcmd::Call;
use crate::outcome::{Outcome, breached, held};
use crate::witness::{HostName, version_works};
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "race-argument",
    rule: "B3",
    level: Level::Integrity,
    summary: "a second thread flips the address in the ioctl's own structure between ours and the kernel's",
    needs: "privcmd; more than one CPU makes it likelier",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

/// How long the race is run; a filter with a gap is hit within a fraction of this.
const PATIENCE: Duration = Duration::from_secs(4);

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let own = Buffer::new(1)?;
    let call = Buffer::new(1)?;
    call.put(
        0,
        &Call {
            number: number::XEN_VERSION,
            arguments: [version::GUEST_HANDLE, own.address(), 0, 0, 0],
        },
    );
    // The second argument, behind the number and the first.
    race(&name, &call, 16, [own.address(), name.address], || privcmd.hypercall_in(&call).map(drop))
}

/// Makes `act` again and again while another thread changes the address at `offset` of `shared`.
pub(super) fn race(
    name: &HostName,
    shared: &Buffer,
    offset: usize,
    addresses: [u64; 2],
    act: impl Fn() -> std::io::Result<()>,
) -> Outcome {
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    let (mut calls, mut refused) = (0_u64, 0_u64);
    let changed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for address in addresses {
                    shared.write(offset, &address.to_le_bytes());
                    std::hint::spin_loop();
                }
            }
        });
        let mut changed = false;
        while !changed && begin.elapsed() < PATIENCE {
            calls += 1;
            refused += u64::from(act().is_err());
            changed = name.changed().unwrap_or(false);
        }
        stop.store(true, Ordering::Relaxed);
        changed
    });
    let told = format!("{calls} calls, {refused} of them refused");
    if changed { breached(format!("{}; {told}", name.told()?)) } else { held(told) }
}
