//! Attacks on a lab's Xen and dom0 kernel, from dom0's userspace.
//!
//! Defensive: they run only inside the virtual machines that the lab starts, and measure which known holes of a
//! stock Xen and Linux a locked build has closed. Each prints one JSON verdict; what that means is in
//! docs/attacks.md.

mod calls;
mod cost;
mod given;
mod hammer;
mod inside;
mod layout;
mod measure;
mod outcome;
mod say;
mod standing;
mod state;
mod toolstack;
mod unload;
mod witness;
mod xen;

use std::process::ExitCode;

use inside::Attack;
use outcome::{Outcome, Verdict};

const USAGE: &str = "usage: attacks list | run ID | twin ID | toolstack list|ID | domctls NUMBER | calls FILE | cost | hammer [--calls N] [--seed N] | guard MODE strict|legacy | unload plain|forced MODULE [FILE] | say file PATH | say run PROGRAM...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            let list: Vec<_> = inside::ALL.iter().map(|attack| attack.describe()).collect();
            println!("{}", serde_json::Value::Array(list));
            ExitCode::SUCCESS
        }
        ["run", id] => with(id, |attack| (attack.run)()),
        ["twin", id] => with(id, |attack| (attack.twin)()),
        ["toolstack", "list"] => {
            let list: Vec<_> = toolstack::ALL.iter().map(toolstack::Step::describe).collect();
            println!("{}", serde_json::Value::Array(list));
            ExitCode::SUCCESS
        }
        ["toolstack", id] => match toolstack::ALL.iter().find(|step| step.id == *id) {
            Some(step) => answer(id, step.carry_out()),
            None => unknown(id, "step; `attacks toolstack list` names them"),
        },
        ["say", "file", path] => answer("say", say::file(path)),
        ["say", "run", program, arguments @ ..] => answer("say", say::program(program, arguments)),
        ["cost"] => answer("cost", cost::tell()),
        ["calls", file] => answer("calls", given::make(file)),
        ["hammer", arguments @ ..] => answer("hammer", hammer::run(arguments)),
        ["hammer-process", seed, number] => ended(hammer::process(seed, number)),
        ["hammer-memory"] => ended(hammer::memory_pressure()),
        ["guard", mode, path] => answer("guard", standing::run(mode, path)),
        ["unload", how, name] => answer("unload", unload::run(how, name, None)),
        ["unload", how, name, file] => answer("unload", unload::run(how, name, Some(file))),
        ["domctls", calls] => answer("domctls", measure::domctls(calls)),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs one attack or its twin and prints the verdict. Without a verdict the exit status is 2.
fn with(id: &str, act: impl FnOnce(&Attack) -> Outcome) -> ExitCode {
    match inside::ALL.iter().find(|attack| attack.id == id) {
        Some(attack) => answer(id, act(attack)),
        None => unknown(id, "attack; `attacks list` names them"),
    }
}

fn unknown(id: &str, what: &str) -> ExitCode {
    eprintln!("{id}: no such {what}");
    ExitCode::from(2)
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hammer: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn answer(id: &str, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Verdict { verdict, evidence }) => {
            println!("{}", serde_json::json!({ "id": id, "verdict": verdict, "evidence": evidence }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{id}: {error:#}");
            ExitCode::from(2)
        }
    }
}
