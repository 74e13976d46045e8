//! One boot, watched until it says how it ended.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::console::{self, Booted, Event, Line, StepResult};
use crate::machine::{Heard, Machine, Next};

/// How long a program takes from what it says to where it reads.
const UNTIL_IT_READS: Duration = Duration::from_secs(3);

/// How a boot ended, in words that the machine said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest did all that it was told.
    Done,
    /// The firmware refused the image for its signature.
    Refused(String),
    /// The firmware could not start the image otherwise.
    NotStarted(String),
    /// Xen stopped.
    XenStopped(String),
    /// The machine went off without a word.
    Off,
    /// What was waited for was said.
    Seen(String),
}

/// What a boot gave.
#[derive(Clone, Debug)]
pub struct Boot {
    /// How it ended.
    pub end: End,
    /// How dom0 saw the machine; nothing if it did not come so far.
    pub booted: Option<Booted>,
    /// The answers of the steps.
    pub results: Vec<StepResult>,
    /// Steps that gave none, with what happened.
    pub trouble: Vec<(String, String)>,
    /// Every line.
    pub lines: Vec<Heard>,
    /// When which part began.
    pub times: Times,
    /// The folder with the machine's files, as long as the lab is open.
    pub files: PathBuf,
}

/// When which part of a boot began, counted from the machine's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Xen's first line.
    pub xen: Option<Duration>,
    /// dom0's kernel.
    pub kernel: Option<Duration>,
    /// Process 1 in dom0.
    pub booted: Option<Duration>,
    /// The end.
    pub end: Duration,
}

impl Times {
    /// Seconds in the firmware, in Xen, and in dom0's kernel.
    #[must_use]
    pub fn seconds(&self) -> [Option<f64>; 3] {
        let between = |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?).as_secs_f64());
        let xen = self.xen.map(|xen| xen.as_secs_f64());
        [xen, between(self.xen, self.kernel), between(self.kernel, self.booted)]
    }
}

impl Boot {
    /// Every line, with the seconds after which it came.
    #[must_use]
    pub fn console(&self) -> String {
        let lines = self.lines.iter().map(|heard| format!("{:8.2} {}\n", heard.after.as_secs_f64(), heard.text));
        lines.collect()
    }

    /// The first line that holds `text`.
    #[must_use]
    pub fn line(&self, text: &str) -> Option<&str> {
        self.lines.iter().map(|heard| heard.text.as_str()).find(|line| line.contains(text))
    }
}

/// Limits for one boot.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long until dom0 has started, or something was refused.
    pub boot: Duration,
    /// How long everything may take.
    pub all: Duration,
    /// How long dom0 may say nothing. Its steps have limits of their own, which are shorter.
    pub silence: Duration,
    /// A boot is over where a line holds one of these.
    pub stop_at: Vec<String>,
    /// What is typed when a line holds the first text, once.
    pub types: Vec<(String, String)>,
    /// Where to say what is on (for errors): the folder with the machine's logs.
    pub logs: PathBuf,
}

/// Watches `machine` to its end. `look` sees every line as it comes, with the machine.
///
/// # Errors
/// Where a limit passes, QEMU fails, or the guest says something that cannot be understood.
pub fn watch(
    machine: &mut Machine,
    limits: &Limits,
    look: &mut dyn FnMut(&Line, &Machine) -> Result<()>,
) -> Result<Boot> {
    let started = Instant::now();
    let mut boot = Boot {
        end: End::Off,
        booted: None,
        results: Vec::new(),
        trouble: Vec::new(),
        lines: Vec::new(),
        times: Times::default(),
        files: limits.logs.clone(),
    };
    let mut panicked = false;
    let mut types = limits.types.clone();
    loop {
        let until = if boot.booted.is_some() {
            started.checked_add(limits.all).map(|end| end.min(Instant::now() + limits.silence))
        } else {
            started.checked_add(limits.boot)
        };
        let Next::Line(heard) = machine.next(until.unwrap_or(started))? else { break };
        boot.times.end = heard.after;
        let line = console::read(&heard.text);
        let text = heard.text.clone();
        boot.lines.push(heard);
        look(&line, machine)?;
        if let Some(at) = types.iter().position(|(mark, _)| text.contains(mark.as_str())) {
            // A shell that says that it is there may not be yet.
            thread::sleep(UNTIL_IT_READS);
            machine.types(&types.remove(at).1)?;
        }
        if panicked {
            return Ok(Boot { end: End::XenStopped(text), ..boot });
        }
        let after = boot.times.end;
        match line {
            Line::Event(Event::Booted(booted)) => {
                boot.times.booted.get_or_insert(after);
                boot.booted = Some(booted);
            }
            Line::Event(Event::Result(result)) => boot.results.push(result),
            Line::Event(Event::Trouble { id, message }) => boot.trouble.push((id, message)),
            Line::Event(Event::Done) => boot.end = End::Done,
            Line::Event(Event::Step { .. }) | Line::Text => {}
            Line::Garbled(text) => bail!("the guest's report cannot be understood: {text}"),
            Line::Refused(text) => return Ok(Boot { end: End::Refused(text), ..boot }),
            Line::NotStarted(text) => return Ok(Boot { end: End::NotStarted(text), ..boot }),
            Line::XenStopped(text) => return Ok(Boot { end: End::XenStopped(text), ..boot }),
            Line::XenPanics => panicked = true,
            Line::CameBack => bail!("what the firmware started came back; {}", machine.last_lines()),
            Line::XenStarted(_) => {
                boot.times.xen.get_or_insert(after);
            }
            Line::KernelStarted => {
                boot.times.kernel.get_or_insert(after);
            }
        }
        if boot.end == End::Off && limits.stop_at.iter().any(|stop| text.contains(stop)) {
            boot.end = End::Seen(text);
            return Ok(boot);
        }
    }
    if panicked {
        boot.end = End::XenStopped("Xen's panic, without a reason".to_owned());
    }
    Ok(boot)
}
