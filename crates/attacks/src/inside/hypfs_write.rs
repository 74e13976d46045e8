//! Parameters of Xen that root may set while the host runs.

use super::{Attack, Level};
use crate::calls::number;
use crate::outcome::{Outcome, absent_or_held, breached, broken, held, works};
use crate::witness::is_guarded;
use crate::xen::{Buffer, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "hypfs-write",
    rule: "B3",
    level: Level::Integrity,
    summary: "hypfs write: the table of grant mappings of new domains gets a limit at which a 32-bit count wraps",
    needs: "privcmd; a Xen with hypfs",
    observed: "the parameter reads back as it was written",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

const READ: u64 = 1;
const WRITE: u64 = 2;
const PATH: &[u8] = b"/params/gnttab_max_maptrack_frames\0";

/// The smallest number of frames, of 256 entries each, whose entries no 32-bit number counts.
const WRAPS: &[u8] = b"16777216\0";

/// A number that the option may be given by anybody.
const HARMLESS: &[u8] = b"1000\0";

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    match set(&privcmd, WRAPS) {
        Ok(told) if told.changed => breached(told.text),
        Ok(told) => held(told.text),
        Err(error) => absent_or_held("hypfs read", Err::<(), _>(error.into())),
    }
}

struct Told {
    changed: bool,
    text: String,
}

/// Writes `value`, looks whether it stands there, and puts back what stood there before.
fn set(privcmd: &Privcmd, value: &[u8]) -> std::io::Result<Told> {
    let before = read(privcmd)?;
    let answer = write(privcmd, value);
    let after = read(privcmd)?;
    // Xen keeps more room than the text takes.
    let changed = text(&after) == text(value) && text(&before) != text(value);
    let mut old = text(&before).as_bytes().to_vec();
    old.push(0);
    let back = if changed { format!("; put back: {:?}", write(privcmd, &old)) } else { String::new() };
    let told =
        format!("gnttab_max_maptrack_frames {} -> {}: {answer:?}{back}", text(&before), text(&after));
    Ok(Told { changed, text: told })
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

fn write(privcmd: &Privcmd, value: &[u8]) -> std::io::Result<i64> {
    let path = Buffer::with(PATH)?;
    let buffer = Buffer::with(value)?;
    let arguments = [WRITE, path.address(), PATH.len() as u64, buffer.address(), value.len() as u64];
    privcmd.hypercall(number::HYPFS_OP, arguments)
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
    if is_guarded() {
        // Writing is refused whole; reading is not.
        let value = read(&Privcmd::open()?)?;
        return works(format!("gnttab_max_maptrack_frames is {}", text(&value)));
    }
    match set(&Privcmd::open()?, HARMLESS) {
        Ok(told) if told.changed => works(told.text),
        Ok(told) => broken(told.text),
        Err(error) => broken(format!("hypfs read: {error}")),
    }
}
