//! Domctls that are permitted, in known order and number, for somebody outside who counts Xen's instructions.
//!
//! Who counts divides the calls into groups of equal size, in their order; the names of the groups are printed.

use anyhow::{Context as _, Result, ensure};

use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::calls::{Guest, domctl_buffer, number};
use crate::layout::CreateDomain;
use crate::outcome::{Outcome, works};
use crate::xen::{Buffer, Privcmd};

/// No domain ever gets this number here.
const MISSING: u16 = 0x6fff;

const CREATEDOMAIN: u32 = 1;
const PAUSEDOMAIN: u32 = 3;
const UNPAUSEDOMAIN: u32 = 4;
const GETDOMAININFO: u32 = 5;
const MAX_MEM: u32 = 11;

/// Calls of one kind: these, one after the other, again and again.
struct Kind {
    name: &'static str,
    calls: Vec<Buffer>,
    /// What each answers; nothing: it is carried out.
    error: Option<i32>,
}

/// Makes `calls` calls of each kind. The first group also holds what makes a guest.
pub(crate) fn domctls(calls: &str) -> Outcome {
    let calls: usize = calls.parse().ok().filter(|calls| *calls >= 8).context("a number from 8 up is wanted")?;
    let privcmd = Privcmd::open()?;
    // Making the guest takes two calls; the rest of its group is filled up.
    let guest = Guest::create(&privcmd, &[])?;
    let kind = |name, operations: &[(u32, u16)], error| -> Result<Kind> {
        let buffers = operations.iter().map(|(command, domain)| {
            // For max_mem a limit that does not limit, and nothing for the others.
            domctl_buffer(*command, *domain, &4096_u64.to_le_bytes()).map_err(anyhow::Error::from)
        });
        Ok(Kind { name, calls: buffers.collect::<Result<_>>()?, error })
    };
    let fill = kind("preparation", &[(GETDOMAININFO, 0)], None)?;
    repeat(&privcmd, &fill, calls.saturating_sub(2))?;
    let kinds = [
        kind("getdomaininfo of domain 0", &[(GETDOMAININFO, 0)], None)?,
        kind("getdomaininfo of a guest", &[(GETDOMAININFO, guest.id)], None)?,
        kind(
            "pausedomain and unpausedomain of a guest",
            &[(PAUSEDOMAIN, guest.id), (UNPAUSEDOMAIN, guest.id)],
            None,
        )?,
        kind("max_mem of a guest", &[(MAX_MEM, guest.id)], None)?,
        kind("pausedomain of a missing domain", &[(PAUSEDOMAIN, MISSING)], Some(libc::ESRCH))?,
    ];
    // Without a processor: Xen refuses it early, after the lock has looked at its numbers.
    let none = CreateDomain::new_zeroed();
    let createdomain = Kind {
        name: "createdomain without processors",
        calls: vec![domctl_buffer(CREATEDOMAIN, 0, none.as_bytes())?],
        error: Some(libc::EINVAL),
    };
    let kinds = kinds.into_iter().chain([createdomain]).collect::<Vec<_>>();
    for kind in &kinds {
        repeat(&privcmd, kind, calls)?;
    }
    let names: Vec<&str> = std::iter::once(&fill).chain(&kinds).map(|kind| kind.name).collect();
    works(names.join("; "))
}

fn repeat(privcmd: &Privcmd, kind: &Kind, times: usize) -> Result<()> {
    for call in kind.calls.iter().cycle().take(times) {
        let answer = privcmd.hypercall(number::DOMCTL, [call.address(), 0, 0, 0, 0]);
        let error = answer.as_ref().err().map(|error| error.raw_os_error().unwrap_or(libc::EIO));
        ensure!(error == kind.error, "{}: {answer:?}", kind.name);
    }
    Ok(())
}
