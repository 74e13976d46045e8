//! What `cargo xtask bench-parser` counts the instructions of: the engine, locked, over the lines of a file.

use std::hint::black_box;
use std::process::ExitCode;

use lockdown_core::{Level, Lockdown, Segment, XenVersion, tables};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(times)) =
        (arguments.next(), arguments.next().and_then(|times| times.parse::<u32>().ok()))
    else {
        // `cargo test --all-targets` and `cargo bench` start it without a file.
        println!("usage: xen_tokens FILE TIMES; see benches/README.md");
        return ExitCode::SUCCESS;
    };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut lines: Vec<_> = text.split(|&byte| byte == b'\n').collect();
    lines.retain(|line| !line.is_empty());
    for _ in 0..times {
        for line in &lines {
            judge(black_box(line));
        }
    }
    ExitCode::SUCCESS
}

fn judge(line: &[u8]) {
    let mut lockdown = Lockdown::new(&tables::TABLE, XenVersion::V4_20, Some(Level::Integrity));
    for token in lockdown.xen_tokens(Segment::Runtime, line) {
        black_box(token);
    }
}
