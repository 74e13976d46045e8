//! Guests that come and go: what of them stays.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use zerocopy::IntoBytes as _;

use super::STATE;
use super::guests::{Guest, PV, PVH, within};
use super::xl::{domain, domains, xl};
use crate::calls::{self, number};
use crate::outcome::{Outcome, broken, works};
use crate::state::{KernelLog, State};
use crate::xen::{Buffer, Privcmd};

const CYCLES: usize = 10;

/// Makes and destroys guests of both kinds, ten in all, once two were made before anything is measured.
pub(super) fn ten() -> Outcome {
    let privcmd = Privcmd::open()?;
    let mut log = KernelLog::follow()?;
    let kinds = [&PV, &PVH].into_iter().cycle();
    for guest in kinds.clone().take(2) {
        if let Err(message) = cycle(guest, true)? {
            return broken(format!("before anything was measured: {message}"));
        }
    }
    let before = State::settled(&privcmd)?;
    let held = Held::read(&privcmd)?;
    let listed = domains()?;
    let began = Instant::now();
    for (number, guest) in (1..).zip(kinds.take(CYCLES)) {
        if let Err(message) = cycle(guest, false)? {
            return broken(format!("guest {number}: {message}"));
        }
    }
    let seconds = began.elapsed().as_secs();
    let after = State::settled(&privcmd)?;
    let still_held = held.settled_again(&privcmd)?;
    log.read();
    let mut wrong = before.differs(&after);
    wrong.extend(held.grew(&still_held));
    let names = |all: &Result<Vec<super::xl::Domain>, String>| -> Vec<String> {
        all.iter().flatten().map(|domain| domain.name.clone()).collect()
    };
    let (listed, now) = (names(&listed), names(&domains()?));
    if listed != now || now.is_empty() {
        wrong.push(format!("listed before {listed:?}, after {now:?}"));
    }
    wrong.append(&mut log.faults);
    let evidence = format!(
        "{CYCLES} guests in {seconds} s; before {before}, {held}; after {after}, {still_held}; listed {now:?}"
    );
    if wrong.is_empty() { works(evidence) } else { broken(format!("{}; {evidence}", wrong.join("; "))) }
}

/// What dom0 holds towards others, as Xen tells whoever asks about himself.
///
/// A grant of a guest's that dom0 does not let go of keeps the guest in the list; dom0's own stand in its table, whose size
/// alone is told. The table never shrinks, so it shows a leak only once that fills a page.
#[derive(PartialEq, Eq)]
struct Held {
    /// How many event channels there are of each kind, by Xen's number for it.
    ports: BTreeMap<u32, u32>,
    grant_frames: u32,
}

/// Xen's names for kinds of event channels, from its number 1 on.
const KINDS: [&str; 5] = ["unbound", "between domains", "physical", "virtual", "between processors"];

impl Held {
    fn read(privcmd: &Privcmd) -> Result<Self> {
        const STATUS: u64 = 5;
        const QUERY_SIZE: u64 = 6;
        /// No domain has more.
        const MOST: u32 = 1 << 17;
        let mut ports = BTreeMap::new();
        let buffer = Buffer::new(1)?;
        for port in 1..MOST {
            // Whose, the port, and what Xen says of it.
            buffer.write(0, [u32::from(calls::domain::SELF), port, 0, 0, 0, 0].as_bytes());
            match privcmd.hypercall(number::EVENT_CHANNEL_OP, [STATUS, buffer.address(), 0, 0, 0]) {
                Ok(_) => {}
                // Behind the last one that there ever was.
                Err(error) if port > 1 && error.raw_os_error() == Some(libc::EINVAL) => break,
                Err(error) => {
                    return Err(error).with_context(|| format!("event_channel_op status of port {port}"));
                }
            }
            let kind: u32 = buffer.get(8);
            if kind != 0 {
                *ports.entry(kind).or_insert(0) += 1;
            }
        }
        // Whose, how many frames, the most of them, and an answer that says 0.
        buffer.write(0, [u32::from(calls::domain::SELF), 0, 0, 0].as_bytes());
        privcmd
            .hypercall(number::GRANT_TABLE_OP, [QUERY_SIZE, buffer.address(), 1, 0, 0])
            .context("grant_table_op query_size")?;
        let [frames, status] = [buffer.get::<u32>(4), buffer.get::<u32>(12)];
        anyhow::ensure!(status & 0xffff == 0 && frames > 0, "query_size answered {status:#x}, {frames} frames");
        Ok(Self { ports, grant_frames: frames })
    }

    /// Reads it again, until nothing has grown or a quarter of a minute is over: daemons let go when they hear of it.
    fn settled_again(&self, privcmd: &Privcmd) -> Result<Self> {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let now = Self::read(privcmd)?;
            if self.grew(&now).is_empty() || Instant::now() > end {
                return Ok(now);
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn grew(&self, after: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (kind, after) in &after.ports {
            let before = self.ports.get(kind).copied().unwrap_or(0);
            if *after > before {
                found.push(format!("event channels {}: {before} before, {after} after", name(*kind)));
            }
        }
        if after.grant_frames > self.grant_frames {
            found.push(format!("frames of grants: {} before, {} after", self.grant_frames, after.grant_frames));
        }
        found
    }
}

impl fmt::Display for Held {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> =
            self.ports.iter().map(|(kind, count)| format!("{count} {}", name(*kind))).collect();
        write!(text, "event channels {}, {} frames of grants", ports.join(", "), self.grant_frames)
    }
}

fn name(kind: u32) -> String {
    let index = usize::try_from(kind).ok().and_then(|kind| kind.checked_sub(1));
    index.and_then(|index| KINDS.get(index)).map_or_else(|| format!("of kind {kind}"), |name| (*name).to_owned())
}

/// One guest, from its making until its kernel runs, or even speaks, and to its end.
fn cycle(guest: &Guest, speaks: bool) -> anyhow::Result<Result<(), String>> {
    // What an earlier one said is not taken for this one's words.
    match fs::remove_file(guest.log()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(guest.log().display().to_string());
        }
        _ => {}
    }
    let config = Path::new(STATE).join(format!("{}-cycle.cfg", guest.name));
    fs::write(&config, guest.config("cycle")).with_context(|| config.display().to_string())?;
    if let Err(message) = xl(&["create", &config.display().to_string()], 60)? {
        return Ok(Err(message));
    }
    let runs = || domain(guest.name).map(|found| found.is_some_and(|domain| domain.time > 0.0));
    let ran = within(30, || if speaks { Ok(guest.said().contains("Linux version")) } else { runs() })?;
    if let Err(message) = xl(&["destroy", guest.name], 30)? {
        return Ok(Err(message));
    }
    Ok(if ran { Ok(()) } else { Err("its kernel did not run".to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_longer_is_told() {
        let held =
            |ports: &[(u32, u32)], grant_frames| Held { ports: ports.iter().copied().collect(), grant_frames };
        let before = held(&[(1, 2), (2, 7)], 1);
        assert!(before.grew(&before).is_empty());
        assert!(before.grew(&held(&[(1, 2), (2, 6)], 1)).is_empty());
        for after in [held(&[(1, 3), (2, 6)], 1), held(&[(1, 2), (2, 7), (5, 1)], 1), held(&[(1, 2), (2, 7)], 2)] {
            assert_eq!(before.grew(&after).len(), 1, "{after}");
        }
    }
}
