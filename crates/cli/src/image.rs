//! `xen-lockdown image`: unified images.

mod build;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::ImageCommand;

pub(crate) fn run(command: &ImageCommand) -> Result<ExitCode> {
    match command {
        ImageCommand::Build(arguments) => build::run(arguments),
    }
}
