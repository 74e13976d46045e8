//! An image that Xen would jump to. It is loaded and taken away again, never run.

use zerocopy::IntoBytes as _;

use super::{Attack, Level};
use crate::calls::number;
use crate::layout::{KexecLoad, KexecSegment};
use crate::outcome::{Outcome, absent_or_held, breached, not_applicable};
use crate::witness::version_works;
use crate::xen::{Buffer, PAGE, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "xen-kexec-load",
    rule: "B2",
    level: Level::Integrity,
    summary: "kexec_op(load) of an image that nobody signed, to be run at Xen's privilege",
    needs: "privcmd; a paravirtual domain 0; a Xen with kexec",
    observed: "kexec_op(status) says that an image is loaded",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin: || version_works(&Privcmd::open()?),
};

const LOAD: u64 = 4;
const UNLOAD: u64 = 5;
const STATUS: u64 = 6;
/// `KEXEC_TYPE_DEFAULT`: what `kexec -e` would run.
const DEFAULT: u8 = 0;

fn run() -> Outcome {
    /// `EM_X86_64`.
    const MACHINE: u16 = 62;
    const TARGET: u64 = 0x10_0000;
    let privcmd = Privcmd::open()?;
    let image = Buffer::new(1)?;
    // A halt, should it ever run.
    image.write(0, &[0xfa, 0xf4]);
    let segment = KexecSegment {
        buffer: image.address(),
        size: PAGE as u64,
        target: TARGET,
        target_size: PAGE as u64,
    };
    let list = Buffer::with(segment.as_bytes())?;
    let request = KexecLoad {
        kind: DEFAULT,
        padding: 0,
        arch: MACHINE,
        segments: 1,
        list: list.address(),
        entry: TARGET,
    };
    let request = Buffer::with(request.as_bytes())?;
    if let Ok(1) = status(&privcmd) {
        return not_applicable("an image is loaded already");
    }
    let answer = privcmd.hypercall(number::KEXEC_OP, [LOAD, request.address(), 0, 0, 0]);
    if let Ok(1) = status(&privcmd) {
        let kind = Buffer::with(&[DEFAULT])?;
        let removed = privcmd.hypercall(number::KEXEC_OP, [UNLOAD, kind.address(), 0, 0, 0]);
        return breached(format!("Xen's status says that the image is loaded; unloaded: {removed:?}"));
    }
    absent_or_held("kexec_op load", answer.map_err(Into::into))
}

fn status(privcmd: &Privcmd) -> std::io::Result<i64> {
    let kind = Buffer::with(&[DEFAULT])?;
    privcmd.hypercall(number::KEXEC_OP, [STATUS, kind.address(), 0, 0, 0])
}
