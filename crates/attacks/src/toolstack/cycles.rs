//! Guests that come and go: what of them stays.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use super::STATE;
use super::guests::{Guest, PV, PVH, within};
use super::xl::{domain, domains, xl};
use crate::outcome::{Outcome, broken, works};
use crate::state::{KernelLog, State};
use crate::xen::Privcmd;

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
    let listed = domains()?;
    let began = Instant::now();
    for (number, guest) in (1..).zip(kinds.take(CYCLES)) {
        if let Err(message) = cycle(guest, false)? {
            return broken(format!("guest {number}: {message}"));
        }
    }
    let seconds = began.elapsed().as_secs();
    let after = State::settled(&privcmd)?;
    log.read();
    let mut wrong = before.differs(&after);
    let names = |all: &Result<Vec<super::xl::Domain>, String>| -> Vec<String> {
        all.iter().flatten().map(|domain| domain.name.clone()).collect()
    };
    let (listed, now) = (names(&listed), names(&domains()?));
    if listed != now || now.is_empty() {
        wrong.push(format!("listed before {listed:?}, after {now:?}"));
    }
    wrong.append(&mut log.faults);
    let evidence = format!("{CYCLES} guests in {seconds} s; before {before}; after {after}; listed {now:?}");
    if wrong.is_empty() { works(evidence) } else { broken(format!("{}; {evidence}", wrong.join("; "))) }
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
