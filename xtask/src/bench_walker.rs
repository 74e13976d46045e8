//! Counts the instructions of the guard's walk over usual calls.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::bench_parser::{build, instructions};
use crate::xen_parser;

/// A run with twice as many is subtracted, which leaves start-up out.
const TIMES: u32 = 1000;

/// Cases of `benches/guard_walk.rs`, what they stand for, and the most instructions each may take.
const CASES: &[(&str, &str, u64)] = &[
    ("version", "nothing in memory", 90),
    ("extraversion", "a structure that is only written", 130),
    ("pausedomain", "a structure with a target and a version", 150),
    ("remote_shutdown", "a structure with a target", 150),
    ("populate_physmap", "the same with a pointer", 180),
    ("getdomaininfolist", "a structure with a version and a pointer", 180),
    // These take the long way.
    ("pin", "an array of one", 620),
    ("modified_memory", "two buffers beside the call", 720),
];

/// Prints the table; fails if a goal is missed.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let folder = xen_parser::temporary_folder(root)?;
    let program = build("guard_walk", root)?;
    let mut missed = false;
    println!("the guard's walk over      instructions    goal");
    for &(name, about, goal) in CASES {
        let count = |times| instructions(&program, OsStr::new(name), times, folder.path());
        let more =
            count(2 * TIMES)?.checked_sub(count(TIMES)?).context("twice the work took fewer instructions")?;
        let each = more.div_ceil(u64::from(TIMES));
        missed |= each > goal;
        println!("{name:<20} {each:>18} {goal:>7}  {about}");
    }
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
