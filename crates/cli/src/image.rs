//! `xen-lockdown image`: unified images.

mod build;
mod inspect;
mod trust;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::ImageCommand;

pub(crate) fn run(command: &ImageCommand) -> Result<ExitCode> {
    match command {
        ImageCommand::Build(arguments) => build::run(arguments),
        ImageCommand::Inspect(arguments) => inspect::run(arguments),
        ImageCommand::Verify(arguments) => verify::run(arguments),
    }
}
