//! Whoever can take the driver away can put one without a guard in its place.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::unsigned_module::is_loaded;
use super::{Attack, Level};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{raw_write, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "driver-remove",
    rule: "B13",
    level: Level::Integrity,
    summary: "the privcmd driver is removed by delete_module and Debian's own signed one loaded in its place",
    needs: "the module's file; nobody who matters uses the driver: the attack ends xenstored and xenconsoled",
    observed: "the driver leaves /proc/modules, and the raw write works through what was loaded",
    healthy: false,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

fn run() -> Outcome {
    replace(libc::O_NONBLOCK)
}

/// Takes the driver and its users away with `flags`, loads Debian's, and tries the raw write.
pub(super) fn replace(flags: libc::c_int) -> Outcome {
    if !is_loaded("xen_privcmd") {
        return not_applicable("xen_privcmd is not a loaded module");
    }
    end_users();
    let _ = rustix::mount::unmount("/proc/xen", rustix::mount::UnmountFlags::DETACH);
    let mut told = Vec::new();
    for name in users("xen_privcmd") {
        told.push(format!("remove {name}: {:?}", remove(&name, flags)));
    }
    told.push(format!("remove xen_privcmd: {:?}", remove("xen_privcmd", flags)));
    let gone = !is_loaded("xen_privcmd");
    told.push(format!("load xen-privcmd: {:?}", load("xen-privcmd")));
    let written = Privcmd::open().map_err(anyhow::Error::from).and_then(|privcmd| raw_write(&privcmd))?;
    match (gone, written) {
        (true, Ok(seen)) => breached(format!("{}; {seen}", told.join("; "))),
        (_, written) => held(format!("{}; the raw write: {written:?}", told.join("; "))),
    }
}

/// The modules that use `name`.
fn users(name: &str) -> Vec<String> {
    let list = fs::read_to_string("/proc/modules").unwrap_or_default();
    let line = list.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_default();
    let users = line.split(' ').nth(3).unwrap_or("-");
    users.split(',').filter(|user| !user.is_empty() && *user != "-").map(str::to_owned).collect()
}

fn remove(name: &str, flags: libc::c_int) -> Result<&'static str> {
    rustix::system::delete_module(&CString::new(name)?, flags)?;
    Ok("done")
}

/// Hands the file of module `name`, as Debian signed it, to the kernel.
pub(super) fn load(name: &str) -> Result<&'static str> {
    const COMPRESSED: libc::c_int = 4;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let folder = Path::new("/lib/modules").join(release.trim());
    let list = fs::read_to_string(folder.join("modules.dep"))?;
    let wanted = |file: &&str| file.rsplit('/').next().and_then(|last| last.split('.').next()) == Some(name);
    let file = list.lines().filter_map(|line| line.split(':').next()).find(wanted).context("no file")?;
    let flags = if file.ends_with(".ko") { 0 } else { COMPRESSED };
    rustix::system::finit_module(fs::File::open(folder.join(file))?, c"", flags)?;
    Ok("done")
}

/// Ends whoever holds the device open: root may.
fn end_users() {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let id = entry.file_name().to_string_lossy().parse().ok().and_then(rustix::process::Pid::from_raw);
        if let (true, Some(id)) = (matches!(name.trim(), "xenstored" | "xenconsoled"), id) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
}
