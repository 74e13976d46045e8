//! A module taken away, plainly or by force: what the lab looks at is how the machine goes on, or that it does not.

use std::ffi::CString;
use std::fs::{self, File};

use anyhow::{Context as _, Result, bail};

use crate::outcome::{Outcome, broken, works};

/// `attacks unload plain|forced NAME [FILE]`: with FILE, that is held open meanwhile, and with it the module is in use.
pub(crate) fn run(how: &str, name: &str, file: Option<&str>) -> Outcome {
    let flags = match how {
        "plain" => libc::O_NONBLOCK,
        "forced" => libc::O_NONBLOCK | libc::O_TRUNC,
        _ => bail!("a module is unloaded plain or forced, not {how}"),
    };
    let held = file.map(|file| File::open(file).with_context(|| file.to_owned())).transpose()?;
    let before = references(name)?.with_context(|| format!("{name} is not a loaded module"))?;
    let answer = rustix::system::delete_module(&CString::new(name)?, flags);
    let after = references(name)?;
    drop(held);
    let evidence = format!("{before} references; delete_module: {answer:?}; then {after:?}");
    // It works where the module is gone if nobody uses it, and stays otherwise.
    if after.is_none() == (before == 0) { works(evidence) } else { broken(evidence) }
}

/// How many references a module has; nothing: it is not loaded.
fn references(name: &str) -> Result<Option<u64>> {
    let list = fs::read_to_string("/proc/modules").context("/proc/modules")?;
    let line = list.lines().find(|line| line.split(' ').next() == Some(name));
    line.map(|line| Ok(line.split(' ').nth(2).context("/proc/modules has no count")?.parse()?)).transpose()
}
