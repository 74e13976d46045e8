//! `xen-lockdown hypercall`: what the guard in dom0's kernel makes of the calls of processes.

mod audit;
mod decode;
mod record;

use std::process::ExitCode;

use lockdown_policy::catalogue::{self, IoctlText, OperationText};

use crate::arguments::HypercallCommand;

pub(crate) fn run(command: &HypercallCommand) -> anyhow::Result<ExitCode> {
    match command {
        HypercallCommand::Decode(arguments) => decode::run(arguments),
        HypercallCommand::Audit(arguments) => audit::run(arguments),
    }
}

/// What is known about an operation.
fn operation(name: &str) -> Option<&'static OperationText> {
    catalogue::HYPERCALLS.iter().flat_map(|hypercall| hypercall.operations).find(|text| text.name == name)
}

/// What is known about a request to the driver.
fn request(name: &str) -> Option<&'static IoctlText> {
    catalogue::PRIVCMD.iter().find(|text| text.name == name)
}
