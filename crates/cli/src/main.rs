//! The command `xen-lockdown`.
//!
//! Exit status: 0 nothing found, 1 findings, 2 could not judge. Only this crate prints.

mod arguments;
mod explain;
mod files;
mod findings;
mod guard;
mod hypercall;
mod image;
mod judge;
mod lint;
mod module;
mod prove;
mod sbat;
mod status;
mod xen;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {}", sentence(&error));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Prove(arguments) => prove::run(&arguments),
        Command::Xen(command) => xen::run(&command),
        Command::Image(command) => image::run(&command),
        Command::Sbat(command) => sbat::run(&command),
        Command::Judge(arguments) => judge::run(&arguments),
        Command::Guard(command) => module::run(&command),
        Command::Hypercall(command) => hypercall::run(&command),
        Command::Status(arguments) => status::run(&arguments),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "xen-lockdown", &mut text);
            std::io::stdout().write_all(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Manual { folder } => {
            let pages = std::fs::create_dir_all(&folder)
                .and_then(|()| clap_mangen::generate_to(Arguments::command(), &folder));
            pages.with_context(|| format!("the manual cannot be written to {}", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// An error and its causes. Some say their cause themselves, and once is enough.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Whoever read our output has enough: that is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(broken))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::sentence;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow!("no PEM").context("the file cannot be used: no PEM").context("db.crt");
        assert_eq!(sentence(&error), "db.crt: the file cannot be used: no PEM");
        assert_eq!(sentence(&anyhow!("low").context("high")), "high: low");
    }
}
