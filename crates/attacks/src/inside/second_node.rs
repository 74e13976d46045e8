//! A door with another name: a guard that watches one path is walked around.

use std::fs;

use anyhow::Context as _;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, held, not_applicable};
use crate::witness::{raw_write, version_works};
use crate::xen::Privcmd;

pub(super) const ATTACK: Attack = Attack {
    id: "second-node",
    rule: "B13",
    level: Level::Integrity,
    summary: "a second device node for privcmd, made by mknod under another name, and the raw write through it",
    needs: "the misc device xen/privcmd",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || through_node(version_works),
};

const NODE: &str = "/dev/xen-lockdown-lab";

fn run() -> Outcome {
    through_node(|privcmd| match raw_write(privcmd)? {
        Ok(seen) => breached(format!("through {NODE}: {seen}")),
        Err(refused) => held(format!("through {NODE}: {refused}")),
    })
}

fn through_node(act: impl FnOnce(&Privcmd) -> Outcome) -> Outcome {
    let list = fs::read_to_string("/proc/misc").context("/proc/misc")?;
    let minor = list.lines().find_map(|line| line.trim().strip_suffix(" xen/privcmd")?.trim().parse().ok());
    let Some(minor) = minor else { return not_applicable("there is no misc device xen/privcmd") };
    drop(fs::remove_file(NODE));
    mknodat(CWD, NODE, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(10, minor)).context(NODE)?;
    let result = Privcmd::open_at(NODE).context(NODE).and_then(|privcmd| act(&privcmd));
    drop(fs::remove_file(NODE));
    result
}
