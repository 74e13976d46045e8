//! The line of events that the lab reads.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde::Serialize;

use crate::state::State;

/// What every line for the lab begins with.
const MARK: &str = "@lab ";

/// Evidence is cut here: a line longer than this would be broken up by other writers of the console.
const LONGEST_TEXT: usize = 1500;

/// An event, as the lab reads it.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// Everything that the plan asks for before its first step was tried.
    Booted(State),
    /// A step begins.
    Step { id: &'a str },
    /// A step gave a verdict.
    Result { id: &'a str, verdict: &'a str, evidence: &'a str, seconds: f64 },
    /// Something failed that is not a verdict.
    Trouble { id: &'a str, message: &'a str },
    /// No step is left.
    Done,
}

/// Where events go.
pub(crate) struct Console {
    file: Option<File>,
}

impl Console {
    /// The console as it can be reached before anything is mounted.
    pub(crate) fn open_early() -> Self {
        Self { file: open() }
    }

    /// Opens the console again, now that `/dev` is there.
    pub(crate) fn reopen(&mut self) {
        if let Some(file) = open() {
            self.file = Some(file);
        }
    }

    /// Writes one event as one line. A console that cannot be written to is not an end.
    pub(crate) fn event(&mut self, event: &Event<'_>) {
        let Ok(json) = serde_json::to_string(event) else { return };
        // A line break in front: what was printed before may lack one.
        let line = format!("\n{MARK}{json}\n");
        match &mut self.file {
            Some(file) => drop(file.write_all(line.as_bytes())),
            None => print!("{line}"),
        }
    }

    /// Writes a line for whoever reads the log; it means nothing to the lab.
    pub(crate) fn line(&mut self, text: &str) {
        if let Some(file) = &mut self.file {
            drop(file.write_all(format!("\n{}", cut(text)).as_bytes()));
        }
    }

    /// Tells what failed.
    pub(crate) fn trouble(&mut self, id: &str, message: &str) {
        self.event(&Event::Trouble { id, message: cut(message) });
    }
}

fn open() -> Option<File> {
    // Not the controlling terminal: an interrupt character on the line is for nobody.
    let flags = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap_or(0);
    OpenOptions::new().write(true).custom_flags(flags).open("/dev/console").ok()
}

/// The first part of `text`, short enough for one line of the console.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_the_lab_reads_them() {
        let json = |event: &Event<'_>| serde_json::to_string(event).unwrap();
        assert_eq!(json(&Event::Done), r#"{"event":"done"}"#);
        assert_eq!(json(&Event::Step { id: "a" }), r#"{"event":"step","id":"a"}"#);
        assert_eq!(
            json(&Event::Result { id: "a", verdict: "held", evidence: "x", seconds: 1.5 }),
            r#"{"event":"result","id":"a","verdict":"held","evidence":"x","seconds":1.5}"#
        );
        assert_eq!(
            json(&Event::Trouble { id: "a", message: "timeout" }),
            r#"{"event":"trouble","id":"a","message":"timeout"}"#
        );
        let state = State {
            secure_boot: true,
            kernel_lockdown: "integrity".into(),
            dom0: "pv".into(),
            linux: "6.12".into(),
            xen: "4.20".into(),
        };
        assert_eq!(
            json(&Event::Booted(state)),
            r#"{"event":"booted","secure_boot":true,"kernel_lockdown":"integrity","dom0":"pv","linux":"6.12","xen":"4.20"}"#
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = "ä".repeat(LONGEST_TEXT);
        assert_eq!(cut(&text).len(), LONGEST_TEXT);
        let text = format!("a{text}");
        assert_eq!(cut(&text).len(), LONGEST_TEXT - 1);
    }
}
