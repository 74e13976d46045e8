//! `xen-lockdown status`: is this running host locked, by what, what was refused.
//!
//! Xen answers through hypfs (`/lockdown`, which `xen/glue/status.c` makes). Where it cannot be asked, the answer says
//! what this host is instead.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use lockdown_core::Reason;
use lockdown_privcmd::hypfs::Hypfs;
use lockdown_privcmd::{DEVICE, Privcmd};
use serde::Serialize;

use crate::arguments::StatusArguments;
use crate::guard::{self, Guard};

/// The one layout of `/lockdown` that is understood.
const FORMAT: u64 = 1;

/// `XENFEAT_dom0`: the bit of Xen's features that says that this is the domain that governs the others.
const FEATURE_DOM0: u32 = 11;

pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let mut status = ask(&arguments.root);
    if !matches!(status.state, State::NotXen | State::NotDom0) {
        let is_vouched_for = status
            .lockdown
            .as_ref()
            .is_some_and(|lockdown| lockdown.level != "none" && lockdown.set_by == "secure-boot");
        status.guard = Some(guard::look(&arguments.root, is_vouched_for));
    }
    // Whoever closes the raw path closes it to this program, too.
    if status.guard.as_ref().and_then(|guard| guard.counters.as_ref()).is_some_and(|counters| counters.strict)
        && status.lockdown.is_none()
    {
        status.state = State::Unknown;
        status.message =
            "Xen cannot be asked: the guard was loaded with strict=1 and closes raw hypercalls".to_owned();
    }
    let mut out = io::stdout().lock();
    if arguments.format == "json" {
        writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        write!(out, "{}", human(&status))?;
    }
    let holds = status.guard.as_ref().is_some_and(|guard| guard.is_boundary);
    if status.state == State::Locked && arguments.with_guard && !holds {
        return Ok(ExitCode::from(1));
    }
    Ok(status.state.exit_code())
}

#[derive(Debug, Serialize)]
struct Status {
    schema: &'static str,
    state: State,
    /// The state in a sentence, with what to do where something can be done.
    message: String,
    /// What Xen said; nothing where it could not be asked.
    lockdown: Option<Answer>,
    /// The guard in dom0's kernel; nothing where this is no dom0.
    guard: Option<Guard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Locked.
    Locked,
    /// This Xen could be locked, and is not.
    Unlocked,
    /// This Xen cannot be locked.
    NoLockdown,
    /// No Xen.
    NotXen,
    /// A domain that Xen does not tell.
    NotDom0,
    /// The caller may not ask.
    NotRoot,
    /// It could not be asked, or the answer could not be understood.
    Unknown,
}

impl State {
    /// 0 locked, 1 not locked, 2 it could not be found out.
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Locked => ExitCode::SUCCESS,
            Self::Unlocked | Self::NoLockdown | Self::NotXen => ExitCode::from(1),
            Self::NotDom0 | Self::NotRoot | Self::Unknown => ExitCode::from(2),
        }
    }
}

/// What stands in `/lockdown`.
#[derive(Debug, Serialize)]
struct Answer {
    /// `none`, `integrity` or `confidentiality`.
    level: String,
    /// `secure-boot`, `command-line`, `build`, or `nothing`.
    set_by: String,
    /// `start`: before the first option was read. `option`: from its place on. Nothing where it is not locked.
    since: Option<&'static str>,
    /// Operations that were refused since the start, by reason; only those that were.
    refused: Vec<Refused>,
    /// Options that were refused at boot, in the order in which they were read.
    tokens: Vec<Token>,
    /// How many more there were than Xen keeps.
    tokens_lost: u64,
}

#[derive(Debug, Serialize)]
struct Refused {
    reason: String,
    count: u64,
    /// What it says; nothing for a reason that this program does not know.
    text: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Token {
    /// `builtin`, `signed` or `runtime`.
    segment: String,
    /// `xen` or `dom0`.
    #[serde(rename = "for")]
    target: String,
    reason: String,
    /// Whether all of it is there.
    whole: bool,
    /// Bytes that are no visible ASCII, and the backslash, are written `\xNN`.
    text: String,
}

/// Finds out what this host says. Everything that is looked at lies below `root`.
fn ask(root: &Path) -> Status {
    let status = |state, message: &str, lockdown| Status {
        schema: "xen-lockdown/status/1",
        state,
        message: message.to_owned(),
        lockdown,
        guard: None,
    };
    let file = |path: &str| root.join(path.trim_start_matches('/'));
    let text = |path: &str| fs::read_to_string(file(path)).unwrap_or_default();
    let device = file(DEVICE);
    if text("/sys/hypervisor/type").trim() != "xen" && !device.exists() {
        return status(State::NotXen, "not locked: this host does not run Xen", None);
    }
    if features(&text("/sys/hypervisor/properties/features")).is_some_and(|bits| bits & (1 << FEATURE_DOM0) == 0) {
        let message = "this domain does not govern the host, and Xen tells only the one that does; ask in dom0";
        return status(State::NotDom0, message, None);
    }
    let privcmd = match Privcmd::open_at(&device) {
        Ok(privcmd) => privcmd,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return status(State::NotRoot, "only root may ask Xen; run this as root", None);
        }
        Err(error) => {
            let message = format!(
                "Xen cannot be asked: {DEVICE}: {error}; load the module xen-privcmd, and see whether this is dom0"
            );
            return status(State::Unknown, &message, None);
        }
    };
    let hypfs = Hypfs::new(privcmd);
    match read(&hypfs) {
        Ok(answer) => {
            let state = if answer.level == "none" { State::Unlocked } else { State::Locked };
            let message = sentence(&answer);
            status(state, &message, Some(answer))
        }
        Err(error) => {
            let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            match code.map(io::Error::from_raw_os_error).map(|error| error.kind()) {
                Some(io::ErrorKind::NotFound) => {
                    status(State::NoLockdown, "not locked: this Xen has no lockdown", None)
                }
                // ENOSYS: a Xen before 4.14, or one that is built without hypfs, and so without lockdown.
                Some(io::ErrorKind::Unsupported) => {
                    let message = "not locked: this Xen has no hypfs, and so no lockdown that could be asked";
                    status(State::NoLockdown, message, None)
                }
                Some(io::ErrorKind::PermissionDenied) => {
                    status(State::NotDom0, "Xen does not tell this domain; ask in dom0", None)
                }
                _ => status(State::Unknown, &format!("Xen's answer is of no use: {error:#}"), None),
            }
        }
    }
}

/// The features that Xen gives this domain, where Linux says them.
fn features(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim(), 16).ok()
}

fn read(hypfs: &Hypfs) -> anyhow::Result<Answer> {
    let number = |path: &str| hypfs.read(path)?.number().with_context(|| format!("hypfs {path} is not a number"));
    let text = |path: &str| hypfs.read(path)?.text().with_context(|| format!("hypfs {path} is not text"));
    let format = number("/lockdown/format")?;
    anyhow::ensure!(
        format == FORMAT,
        "its nodes have format {format}, and this program knows {FORMAT}; use the one that came with this Xen"
    );
    let level = text("/lockdown/level")?;
    let set_by = text("/lockdown/set-by")?;
    let since = match (level.as_str(), set_by.as_str()) {
        ("none", _) => None,
        (_, "command-line") => Some("option"),
        _ => Some("start"),
    };
    let mut refused = Vec::new();
    for reason in hypfs.names("/lockdown/refused")? {
        let count = number(&format!("/lockdown/refused/{reason}"))?;
        if count > 0 {
            let text = Reason::from_id(&reason).map(|reason| reason.info().text);
            refused.push(Refused { reason, count, text });
        }
    }
    let tokens = text("/lockdown/tokens")?;
    let tokens = tokens.lines().map(token).collect::<anyhow::Result<_>>()?;
    Ok(Answer { level, set_by, since, refused, tokens, tokens_lost: number("/lockdown/tokens-lost")? })
}

/// A line of `/lockdown/tokens`.
fn token(line: &str) -> anyhow::Result<Token> {
    let mut words = line.splitn(5, ' ').map(str::to_owned);
    let mut word = || words.next().with_context(|| format!("hypfs /lockdown/tokens has the line {line:?}"));
    Ok(Token { segment: word()?, target: word()?, reason: word()?, whole: word()? == "whole", text: word()? })
}

fn sentence(answer: &Answer) -> String {
    let by = match answer.set_by.as_str() {
        "secure-boot" => "Secure Boot",
        "build" => "the way this Xen was built",
        "command-line" => "the option lockdown",
        other => other,
    };
    match answer.since {
        None => "not locked, although this Xen can be: Secure Boot is off, and nothing else locked it".to_owned(),
        Some("start") => format!("locked ({}) by {by}, before the first option was read", answer.level),
        Some(_) => format!("locked ({}) by {by}, from its place on the command line on", answer.level),
    }
}

fn human(status: &Status) -> String {
    let mut out = format!("{}\n", status.message);
    if let Some(answer) = &status.lockdown {
        lockdown(&mut out, answer);
    }
    if let Some(guard) = &status.guard {
        guard_text(&mut out, guard);
    }
    let answer = status.lockdown.as_ref();
    let guard = status.guard.as_ref().and_then(|guard| guard.counters.as_ref());
    if answer.is_some_and(|answer| !answer.refused.is_empty() || !answer.tokens.is_empty())
        || guard.is_some_and(|guard| !guard.refused.is_empty() || !guard.audited.is_empty())
    {
        let _ = writeln!(out, "`xen-lockdown explain REASON` says more about a reason.");
    }
    out
}

fn guard_text(out: &mut String, guard: &Guard) {
    let says = if guard.is_boundary { "holds root to the rules" } else { "is no boundary" };
    let _ = writeln!(out, "\nThe guard in dom0's kernel {says}");
    for missing in &guard.missing {
        let _ = writeln!(out, "  {missing}");
    }
    let Some(counters) = &guard.counters else { return };
    let strict = if counters.strict { ", raw hypercalls closed" } else { "" };
    let _ = writeln!(out, "  mode {}, begun {}{strict}", counters.mode, counters.begun);
    for (what, counts) in [("refused", &counters.refused), ("would be refused", &counters.audited)] {
        for (reason, count) in counts {
            let text =
                Reason::from_id(reason).map_or("a reason that this program does not know", |r| r.info().text);
            let _ = writeln!(out, "  {count:>8}  {what}, {reason}: {text}");
        }
    }
}

/// What Xen said.
fn lockdown(out: &mut String, answer: &Answer) {
    let operations: u64 = answer.refused.iter().map(|refused| refused.count).fold(0, u64::saturating_add);
    let _ = writeln!(out, "\nOperations refused since the start: {operations}");
    for Refused { reason, count, text } in &answer.refused {
        let _ = writeln!(
            out,
            "  {count:>8}  {reason}: {}",
            text.unwrap_or("a reason of this Xen that this program does not know")
        );
    }
    let tokens = (answer.tokens.len() as u64).saturating_add(answer.tokens_lost);
    let _ = writeln!(out, "Options refused at boot: {tokens}");
    for token in &answer.tokens {
        let cut = if token.whole { "" } else { " (cut)" };
        let _ = writeln!(out, "  {} {:<4}  {}{cut}: {}", token.segment, token.target, token.text, token.reason);
    }
    if answer.tokens_lost > 0 {
        let _ = writeln!(out, "  and {} more, which Xen did not keep; its log has them", answer.tokens_lost);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_token_keeps_the_spaces_of_its_text() {
        let token = token("runtime dom0 dom0-unknown cut a b\\x09c").unwrap();
        assert_eq!((token.target.as_str(), token.text.as_str(), token.whole), ("dom0", "a b\\x09c", false));
        assert!(super::token("runtime xen io-address").is_err());
    }

    #[test]
    fn an_answer_is_told_in_full() {
        let answer = Answer {
            level: "integrity".into(),
            set_by: "secure-boot".into(),
            since: Some("start"),
            refused: vec![Refused {
                reason: "io-address".into(),
                count: 3,
                text: Reason::from_id("io-address").map(|reason| reason.info().text),
            }],
            tokens: vec![token("runtime xen io-address whole com1=1,8n1,0x100000").unwrap()],
            tokens_lost: 2,
        };
        let status = Status {
            schema: "xen-lockdown/status/1",
            state: State::Locked,
            message: sentence(&answer),
            lockdown: Some(answer),
            guard: Some(Guard { is_boundary: false, counters: None, missing: vec!["there is no guard".into()] }),
        };
        let text = human(&status);
        for part in [
            "locked (integrity) by Secure Boot, before the first option was read\n",
            "Operations refused since the start: 3\n",
            "         3  io-address: ",
            "Options refused at boot: 3\n",
            "  runtime xen   com1=1,8n1,0x100000: io-address\n",
            "and 2 more",
            "\nThe guard in dom0's kernel is no boundary\n  there is no guard\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
