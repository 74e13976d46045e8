//! Runs the command.

#![allow(dead_code, clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

/// Runs `xen-lockdown` with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xen-lockdown")).args(arguments).output().unwrap()
}

/// Runs `xen-lockdown lint --format json` and returns the exit status and the document.
pub(crate) fn lint_json(arguments: &[&str]) -> (i32, Value) {
    let output = run(&[&["lint", "--format", "json"], arguments].concat());
    let code = output.status.code().unwrap();
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (code, document)
}
