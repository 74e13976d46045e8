//! One step: a program with a time limit, and the verdict that it prints.

use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::console::{Console, Event, cut};
use crate::plan::Step;

/// How much of a program's output is kept.
const LONGEST_OUTPUT: u64 = 1 << 20;

/// How long the output of a program is waited for after its end: somebody else may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The verdicts that there are.
const VERDICTS: [&str; 5] = ["breached", "held", "works", "broken", "not-applicable"];

/// What a program says about itself on its last line.
#[derive(Debug, Deserialize)]
struct Said {
    verdict: String,
    #[serde(default)]
    evidence: String,
}

/// Runs `step` and tells how it went. A program that is killed, crashes or says nothing is trouble, never a verdict.
pub(crate) fn run(step: &Step, console: &mut Console) {
    console.event(&Event::Step { id: &step.id });
    let begin = Instant::now();
    match verdict_of(step) {
        Ok(said) => console.event(&Event::Result {
            id: &step.id,
            verdict: &said.verdict,
            evidence: cut(&said.evidence),
            seconds: (begin.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        }),
        Err(message) => console.trouble(&step.id, &message),
    }
}

fn verdict_of(step: &Step) -> Result<Said, String> {
    let mut child = Command::new(&step.program)
        .args(&step.arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", step.program))?;
    let group = i32::try_from(child.id()).unwrap_or(0);
    let output = child.stdout.take().map(collect);
    let errors = child.stderr.take().map(collect);

    let end = Instant::now() + Duration::from_secs(step.timeout_s);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() >= end => break None,
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    };
    // What it may have left running goes with it.
    if let Some(group) = rustix::process::Pid::from_raw(group) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let Some(status) = status else {
        // A program that the kernel holds cannot be killed; it is not waited for then.
        let patience = Instant::now() + LAST_WORDS;
        while Instant::now() < patience && !matches!(child.try_wait(), Ok(Some(_))) {
            thread::sleep(Duration::from_millis(10));
        }
        return Err(format!("timeout: killed after {} s", step.timeout_s));
    };
    judge(status, &text(output), &text(errors))
}

/// The verdict in `output`, if the program came to a proper end.
fn judge(status: ExitStatus, output: &str, errors: &str) -> Result<Said, String> {
    let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing on standard error");
    if let Some(signal) = status.signal() {
        return Err(format!("crash: signal {signal}: {last}"));
    }
    if !status.success() {
        return Err(format!("crash: {status}: {last}"));
    }
    let said = output
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Said>(line.trim()).ok())
        .ok_or_else(|| format!("no verdict: {last}"))?;
    if VERDICTS.contains(&said.verdict.as_str()) {
        Ok(said)
    } else {
        Err(format!("no verdict: {:?} is none", said.verdict))
    }
}

/// Reads a program's output beside it, so that it never waits for its reader.
fn collect(from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let reader = move || {
        let mut from = from;
        let mut piece = [0; 4096];
        let mut left = LONGEST_OUTPUT;
        while let Ok(length @ 1..) = from.read(&mut piece) {
            // Read on when nothing more is kept: the program must not be stopped by a full pipe.
            let keep = usize::try_from(left).unwrap_or(0).min(length);
            left -= keep as u64;
            if sender.send(piece.get(..keep).unwrap_or_default().to_vec()).is_err() {
                return;
            }
        }
    };
    // Without a thread the output is empty, which is trouble and not a verdict.
    drop(thread::Builder::new().spawn(reader));
    receiver
}

fn text(pieces: Option<Receiver<Vec<u8>>>) -> String {
    let mut bytes = Vec::new();
    if let Some(pieces) = pieces {
        let end = Instant::now() + LAST_WORDS;
        while let Ok(piece) = pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
            bytes.extend(piece);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn step(script: &str, timeout_s: u64) -> Step {
        serde_json::from_value(serde_json::json!({
            "id": "x", "program": "/bin/sh", "arguments": ["-c", script], "timeout_s": timeout_s,
        }))
        .unwrap()
    }

    #[test]
    fn the_last_line_that_is_a_verdict_counts() {
        let said = verdict_of(&step(
            r#"echo '{"verdict":"held"}'; echo noise; echo '{"id":"x","verdict":"breached","evidence":"e"}'; echo end"#,
            10,
        ))
        .unwrap();
        assert_eq!((said.verdict.as_str(), said.evidence.as_str()), ("breached", "e"));
    }

    #[test]
    fn what_does_not_end_well_is_trouble() {
        let trouble = |script: &str, seconds| verdict_of(&step(script, seconds)).unwrap_err();
        assert!(trouble(r#"echo '{"verdict":"held"}'; sleep 60"#, 1).starts_with("timeout"));
        assert!(trouble(r#"echo '{"verdict":"held"}'; kill -SEGV $$"#, 10).starts_with("crash: signal 11"));
        assert!(trouble(r#"echo '{"verdict":"held"}'; echo why >&2; exit 2"#, 10).ends_with("why"));
        assert!(trouble("true", 10).starts_with("no verdict"));
        assert!(trouble(r#"echo '{"verdict":"fine"}'"#, 10).starts_with("no verdict"));
    }

    #[test]
    fn output_that_floods_does_not_stop_the_program() {
        let said = verdict_of(&step(r#"echo '{"verdict":"held"}'; head -c 3000000 /dev/zero"#, 20)).unwrap();
        assert_eq!(said.verdict, "held");
    }
}
