//! Parameters of Xen that root may set while the host runs.

use super::{Attack, Level};
use crate::calls::number;
use crate::outcome::{Outcome, absent_or_held, breached, broken, held, works};
use crate::xen::{Buffer, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "hypfs-write",
    rule: "B5",
    level: Level::Integrity,
    summary: "hypfs write: what Xen does when it crashes is set at run time, although the command line decides it",
    needs: "privcmd; a Xen with hypfs",
    observed: "the parameter reads back as it was written",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

const READ: u64 = 1;
const WRITE: u64 = 2;
const PATH: &[u8] = b"/params/crash-debug-panic\0";

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let before = match read(&privcmd) {
        Ok(before) => before,
        Err(error) => return absent_or_held("hypfs read", Err::<(), _>(error.into())),
    };
    let path = Buffer::with(PATH)?;
    let write = |text: &[u8]| -> std::io::Result<i64> {
        let text = Buffer::with(text).map(|buffer| (buffer, text.len() as u64))?;
        let arguments = [WRITE, path.address(), PATH.len() as u64, text.0.address(), text.1];
        privcmd.hypercall(number::HYPFS_OP, arguments)
    };
    let answer = write(b"0+q\0");
    let after = read(&privcmd)?;
    let changed = after != before;
    let mut old = before.clone();
    if old.last() != Some(&0) {
        old.push(0);
    }
    let back = write(&old);
    let told = format!(
        "crash-debug-panic {:?} -> {:?}: {answer:?}; put back: {back:?}",
        String::from_utf8_lossy(&before),
        String::from_utf8_lossy(&after)
    );
    if changed { breached(told) } else { held(told) }
}

fn read(privcmd: &Privcmd) -> std::io::Result<Vec<u8>> {
    let path = Buffer::with(PATH)?;
    let entry = Buffer::new(1)?;
    let arguments = [READ, path.address(), PATH.len() as u64, entry.address(), PAGE as u64];
    privcmd.hypercall(number::HYPFS_OP, arguments)?;
    // struct xen_hypfs_direntry: twelve bytes, the length of what follows in the second word.
    let length = usize::try_from(entry.get::<u32>(4)).unwrap_or(0);
    Ok(entry.read(12, length))
}

fn twin() -> Outcome {
    match read(&Privcmd::open()?) {
        Ok(value) => works(format!("crash-debug-panic is {:?}", String::from_utf8_lossy(&value))),
        Err(error) => broken(format!("hypfs read: {error}")),
    }
}
