//! The toolstack scenario: Debian's own `xl` makes, asks and ends guests inside the lab's dom0.
//!
//! What is tried is known by the program that tries it (`attacks toolstack list`); here is what it needs around it.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::initramfs::Initramfs;
use crate::lab::{Lab, OTHER_PROGRAM};
use crate::plan::{Plan, Step};

/// What the lab says to `xl` beside Debian's own settings: dom0 keeps its memory, and there are no scripts to run.
const SETTINGS: &str = "\nautoballoon=\"off\"\nrun_hotplug_scripts=0\n";

#[derive(Deserialize)]
struct Described {
    id: String,
    timeout_s: u32,
}

/// The plan that tries every command of the toolstack, in the order in which they depend on each other.
///
/// # Errors
/// Where the program of the attacks does not name its steps.
pub fn plan(lab: &Lab) -> Result<Plan> {
    let output = Command::new(&lab.guest.attacks)
        .args(["toolstack", "list"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} cannot be run", lab.guest.attacks.display()))?;
    ensure!(output.status.success(), "the toolstack's steps: {}", String::from_utf8_lossy(&output.stderr).trim());
    let steps: Vec<Described> = serde_json::from_slice(&output.stdout).context("the toolstack's steps")?;
    let step = |described: Described| Step {
        arguments: vec!["toolstack".to_owned(), described.id.clone()],
        id: described.id,
        program: OTHER_PROGRAM.to_owned(),
        timeout_s: described.timeout_s,
    };
    Ok(Plan::new(steps.into_iter().map(step).collect()))
}

/// What dom0's initramfs must hold for it: the guests' kernel and initramfs, and `xl`'s settings.
///
/// # Errors
/// Where the root lacks something.
pub fn files(lab: &Lab) -> Result<Vec<(String, Vec<u8>)>> {
    let mut guest = Initramfs::new();
    guest.add_file("/init", fs::read(&lab.guest.domain)?, true);
    // The kernel runs this when the toolstack asks it to shut down.
    guest.add_link("/sbin/poweroff", "/init");
    let mut settings = fs::read(lab.root.file("/etc/xen/xl.conf")?)?;
    settings.extend_from_slice(SETTINGS.as_bytes());
    Ok(vec![
        ("/lab/guest/kernel".to_owned(), lab.kernel.clone()),
        ("/lab/guest/initrd".to_owned(), guest.to_bytes()?),
        ("/etc/xen/xl.conf".to_owned(), settings),
    ])
}
