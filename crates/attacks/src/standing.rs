//! How a booted guard stands: what it says of itself, and whether it does so.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::calls::version;
use crate::layout::IoServer;
use crate::outcome::{Outcome, broken, works};
use crate::xen::Privcmd;

/// No domain ever gets this number here.
const MISSING: u16 = 0x6fff;

/// `attacks guard MODE strict|legacy`: the mode that the kernel's lock is to have given it, and whether raw hypercalls are
/// to be closed.
pub(crate) fn run(mode: &str, path: &str) -> Outcome {
    let strict = match path {
        "strict" => true,
        "legacy" => false,
        _ => bail!("the raw path is strict or legacy, not {path}"),
    };
    let said = (told("mode")?, told("strict")?);
    let before = told("refused/raw-path")?;
    let privcmd = Privcmd::open()?;
    let raw = privcmd.version(version::VERSION, 0).map_err(|error| error.raw_os_error());
    let after = told("refused/raw-path")?;
    // A device model's call gets to Xen, which knows no such domain; of this domain it does not.
    let vcpus = IoServer { operation: 20, padding: 0, first: 0, second: 0, rest: [0; 4] };
    let [missing, own] = [MISSING, 0]
        .map(|domain| privcmd.device_model(domain, &vcpus, &[]).err().and_then(|error| error.raw_os_error()));
    let evidence = format!(
        "mode {}, strict {}; xen_version: {raw:?}; raw-path refused {before} times, then {after}; DM_OP of a missing domain: \
         errno {missing:?}, of this one {own:?}",
        said.0, said.1
    );
    let refused = raw == Err(Some(libc::EPERM));
    let good = said.0 == mode
        && (said.1 == "1") == strict
        && refused == strict
        && (before != after) == strict
        && missing == Some(libc::ESRCH)
        && own == Some(libc::EPERM);
    if good { works(evidence) } else { broken(evidence) }
}

fn told(file: &str) -> Result<String> {
    let path = format!("/sys/kernel/xen-lockdown/{file}");
    Ok(fs::read_to_string(&path).context(path)?.trim().to_owned())
}
