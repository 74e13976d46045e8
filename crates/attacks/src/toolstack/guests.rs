//! Guests: Debian's kernel with the lab's one program, no device but the console.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::xl::{Domain, domain, last_lines, program, xl};
use super::{SLOWEST, STATE};
use crate::outcome::{Outcome, broken, works};
use crate::witness::marker;

/// Where the lab puts the guests' kernel and initramfs, and xenconsoled what they say.
const KERNEL: &str = "/lab/guest/kernel";
const RAMDISK: &str = "/lab/guest/initrd";
const LOGS: &str = "/var/log/xen/console";

/// Mebibytes that a guest begins with, and that it is to give back at least when told to shrink.
const MEMORY: u64 = 160;
const SMALLER: u64 = 128;

/// A guest of the lab.
pub(super) struct Guest {
    pub(super) name: &'static str,
    /// As the configuration names it.
    kind: &'static str,
    /// As its kernel names it.
    sees: &'static str,
}

pub(super) const PV: Guest = Guest { name: "lab-pv", kind: "pv", sees: "PV" };
pub(super) const PVH: Guest = Guest { name: "lab-pvh", kind: "pvh", sees: "PVH" };

impl Guest {
    pub(super) fn config(&self, id: &str) -> String {
        let Self { name, kind, .. } = self;
        format!(
            "name=\"{name}\"\ntype=\"{kind}\"\nkernel=\"{KERNEL}\"\nramdisk=\"{RAMDISK}\"\n\
             extra=\"console=hvc0 lab.id={id}\"\nmemory={MEMORY}\nvcpus=1\non_crash=\"destroy\"\non_reboot=\"destroy\"\n"
        )
    }

    /// What it said on its console so far; nothing where it said nothing.
    pub(super) fn said(&self) -> String {
        let bytes = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn log(&self) -> PathBuf {
        Path::new(LOGS).join(format!("guest-{}.log", self.name))
    }

    /// How often it told that it runs.
    fn ticks(&self) -> usize {
        self.said().matches("guest: tick ").count()
    }

    /// The memory that it said it has, in kibibytes, the last time.
    fn memory(&self) -> Option<u64> {
        let said = self.said();
        let line = said.lines().rev().find(|line| line.contains("guest: tick ") && line.contains(" memory "))?;
        line.rsplit_once(" memory ")?.1.trim().parse().ok()
    }

    /// It must be there; why it is not is the error.
    fn listed(&self) -> Result<Domain> {
        domain(self.name)?.ok_or_else(|| anyhow!("{} is not listed", self.name))
    }

    /// What is left of a guest for whoever must find out what went wrong.
    fn last_words(&self) -> String {
        let log = format!("/var/log/xen/xl-{}.log", self.name);
        let xl = fs::read_to_string(log).unwrap_or_default();
        format!("console: {}; xl: {}", last_lines(&self.said(), 6), last_lines(&xl, 4))
    }
}

pub(super) fn create(guest: &Guest) -> Outcome {
    let id = marker();
    let config = Path::new(STATE).join(format!("{}.cfg", guest.name));
    fs::write(&config, guest.config(&id)).with_context(|| config.display().to_string())?;
    let started = Instant::now();
    if let Err(message) = xl(&["create", &config.display().to_string()], 60)? {
        return broken(message);
    }
    let created = started.elapsed().as_secs_f64();
    let line = format!("guest: {id} up as {}", guest.sees);
    if !within(80, || Ok(guest.said().contains(&line)))? {
        return broken(format!(
            "{line:?} was not said; listed: {:?}; {}",
            domain(guest.name)?,
            guest.last_words()
        ));
    }
    let up = started.elapsed().as_secs_f64();
    let listed = guest.listed()?;
    let evidence = format!("xl create took {created:.1} s; after {up:.1} s {line:?}; {listed:?}");
    if listed.memory == MEMORY && listed.processors == 1 { works(evidence) } else { broken(evidence) }
}

pub(super) fn console(guest: &Guest) -> Outcome {
    let text = marker();
    let wanted = format!("guest: heard {text}");
    // It hands on what is typed only where it has a terminal.
    let (mut typing, terminal) = terminal()?;
    let mut stdout = typing.try_clone()?;
    let mut child = Command::new(program()?)
        .args(["console", guest.name])
        .stdin(terminal.try_clone()?)
        .stdout(terminal)
        .stderr(Stdio::null())
        .spawn()
        .context("xl console")?;
    let (sender, pieces) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let mut piece = [0; 1024];
        while let Ok(length @ 1..) = stdout.read(&mut piece) {
            if sender.send(piece.get(..length).unwrap_or_default().to_vec()).is_err() {
                return;
            }
        }
    })?;
    let mut heard = Vec::new();
    let mut listen = |wanted: &str| {
        within(20, || {
            heard.extend(pieces.try_iter().flatten());
            Ok(String::from_utf8_lossy(&heard).contains(wanted))
        })
    };
    // Before the guest is heard the terminal is not set up yet.
    let connected = listen("guest: tick ");
    let typed = typing.write_all(format!("{text}\n").as_bytes());
    let answered = listen(&wanted);
    // The key that leaves the console.
    let _ = typing.write_all(b"\x1d");
    let ended = within(5, || Ok(child.try_wait()?.is_some()));
    let _ = child.kill();
    let _ = child.wait();
    let (connected, answered, ended) = (connected?, answered?, ended?);
    let heard = String::from_utf8_lossy(&heard);
    if answered {
        let how = if ended { "the escape key ended it" } else { "the escape key did not end it" };
        works(format!("{text:?} was typed, {wanted:?} was read; {how}"))
    } else {
        broken(format!(
            "connected: {connected}; typed: {typed:?}; {wanted:?} is not in: {}",
            last_lines(&heard, 4)
        ))
    }
}

pub(super) fn pause(guest: &Guest) -> Outcome {
    if let Err(message) = xl(&["pause", guest.name], 20)? {
        return broken(message);
    }
    let listed = guest.listed()?;
    // What it said before is still on its way.
    thread::sleep(Duration::from_secs(1));
    let before = guest.ticks();
    thread::sleep(Duration::from_secs(4));
    let after = guest.ticks();
    let evidence = format!("state {}; {} lines in 4 s", listed.state, after - before);
    if listed.state.contains('p') && before > 0 && after == before { works(evidence) } else { broken(evidence) }
}

pub(super) fn unpause(guest: &Guest) -> Outcome {
    let before = guest.ticks();
    if let Err(message) = xl(&["unpause", guest.name], 20)? {
        return broken(message);
    }
    let listed = guest.listed()?;
    let goes_on = within(20, || Ok(guest.ticks() > before))?;
    let evidence = format!("state {}; {} lines since", listed.state, guest.ticks().saturating_sub(before));
    if goes_on && !listed.state.contains('p') { works(evidence) } else { broken(evidence) }
}

pub(super) fn mem_set(guest: &Guest) -> Outcome {
    let before = guest.listed()?.memory;
    let own_before = guest.memory();
    if let Err(message) = xl(&["mem-set", guest.name, &format!("{SMALLER}m")], 30)? {
        return broken(message);
    }
    let least = (MEMORY - SMALLER) * 1024 / 2;
    let shrank = || {
        let listed = guest.listed()?.memory <= SMALLER;
        let own = own_before.zip(guest.memory()).is_some_and(|(before, now)| now + least <= before);
        Ok(listed && own)
    };
    let shrank = within(40, shrank)?;
    let now = guest.listed()?.memory;
    let own = guest.memory();
    let evidence = format!("listed with {before} MiB, then {now}; it saw {own_before:?} KiB, then {own:?}");
    if shrank { works(evidence) } else { broken(evidence) }
}

pub(super) fn shutdown(guest: &Guest) -> Outcome {
    let id = guest.listed()?.id;
    let started = Instant::now();
    if let Err(message) = xl(&["shutdown", guest.name], 20)? {
        return broken(message);
    }
    let gone = within(60, || Ok(domain(guest.name)?.is_none()))?;
    let seconds = started.elapsed().as_secs_f64();
    let said = guest.said().contains(POWERS_OFF);
    match (gone, said) {
        (true, true) => works(format!("domain {id} said {POWERS_OFF:?}, and was gone after {seconds:.1} s")),
        (true, false) => broken(format!("domain {id} is gone but never said {POWERS_OFF:?}")),
        (false, _) => broken(format!("{:?} after {seconds:.1} s; {}", guest.listed()?, guest.last_words())),
    }
}

pub(super) fn destroy(guest: &Guest) -> Outcome {
    let id = guest.listed()?.id;
    if let Err(message) = xl(&["destroy", guest.name], 30)? {
        return broken(message);
    }
    let gone = within(20, || Ok(domain(guest.name)?.is_none()))?;
    let said = guest.said().contains(POWERS_OFF);
    match (gone, said) {
        (true, false) => works(format!("domain {id} is gone and said nothing of it")),
        (true, true) => broken(format!("domain {id} powered off by itself: it was not destroyed")),
        (false, _) => broken(format!("still listed: {:?}", guest.listed()?)),
    }
}

/// A terminal: the end at which somebody types and reads, and the end for a program.
fn terminal() -> Result<(File, File)> {
    let typing = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("/dev/ptmx")?;
    grantpt(&typing).context("grantpt")?;
    unlockpt(&typing).context("unlockpt")?;
    let name = ptsname(&typing, Vec::new()).context("ptsname")?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let program = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).context("/dev/pts")?;
    Ok((File::from(typing), File::from(program)))
}

/// What the guest says when its kernel runs `poweroff`.
const POWERS_OFF: &str = "guest: poweroff was asked for";

/// Whether `what` comes true within `seconds` of a machine that is not slowed down.
pub(super) fn within(seconds: u64, mut what: impl FnMut() -> Result<bool>) -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(seconds) * SLOWEST;
    loop {
        if what()? {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(200));
    }
}
