//! `xen-lockdown image`: unified images.

mod build;
mod inspect;
mod sign;
mod trust;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::ImageCommand;

pub(crate) fn run(command: &ImageCommand) -> Result<ExitCode> {
    match command {
        ImageCommand::Build(arguments) => build::run(arguments),
        ImageCommand::Sign(arguments) => sign::sign(arguments),
        ImageCommand::Prepare(arguments) => sign::prepare(arguments),
        ImageCommand::Attach(arguments) => sign::attach(arguments),
        ImageCommand::Unsign(arguments) => sign::unsign(arguments),
        ImageCommand::Inspect(arguments) => inspect::run(arguments),
        ImageCommand::Verify(arguments) => verify::run(arguments),
    }
}
