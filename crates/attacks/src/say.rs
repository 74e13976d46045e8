//! Puts a file or what a program prints on the machine's console, for somebody outside who reads along. A verdict's evidence
//! is cut; this is not.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::outcome::{Outcome, works};

/// What each line begins with.
const MARK: &str = "@say ";

/// Says a file.
pub(crate) fn file(path: &str) -> Outcome {
    say(&fs::read(path).with_context(|| path.to_owned())?)
}

/// Says what a program prints, whatever its exit status.
pub(crate) fn program(program: &str, arguments: &[&str]) -> Outcome {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    say(&output.with_context(|| program.to_owned())?.stdout)
}

pub(crate) fn say(text: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(text);
    // Each line at once, and the first one on a line of its own.
    let mut said = "\n".to_owned();
    for line in text.lines() {
        said.push_str(MARK);
        said.push_str(line);
        said.push('\n');
    }
    let mut console = OpenOptions::new().write(true).open("/dev/console").context("/dev/console")?;
    console.write_all(said.as_bytes()).context("/dev/console")?;
    works(format!("{} lines", text.lines().count()))
}
