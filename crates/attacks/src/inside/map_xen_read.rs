//! Xen's table from machine frames to frames of guests, read by a process.

use super::{Attack, Level};
use crate::calls::{describe, domain};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::guest_page_works;
use crate::xen::{PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "map-xen-read",
    rule: "B10",
    level: Level::Confidentiality,
    summary: "IOCTL_PRIVCMD_MMAPBATCH_V2 with DOMID_XEN, read-only, on Xen's table of machine frames",
    needs: "privcmd",
    observed: "entries of the table can be read and name frames of domain 0",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || guest_page_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let table = match privcmd.machine_table() {
        Ok(table) => table,
        Err(error) => return held(format!("the frames of the table cannot be learnt: {error:#}")),
    };
    if table.is_empty() {
        return not_applicable("Xen names no frame of its own");
    }
    let mut valid = 0_usize;
    let mut errors = Vec::new();
    for first in table {
        let frames: Vec<u64> = (first..first + 512).collect();
        let mapping = privcmd.map_frames(domain::XEN, &frames, false)?;
        for page in 0..frames.len() {
            let Some(bytes) = mapping.read(page, 0, PAGE) else { continue };
            let entries = bytes.chunks_exact(8);
            valid += entries.filter(|entry| entry.iter().any(|&byte| byte != 0 && byte != 0xff)).count();
        }
        errors.extend(&mapping.errors);
    }
    let told = format!("{}; {valid} entries name a frame", describe(&errors));
    if valid > 1000 { breached(told) } else { held(told) }
}
