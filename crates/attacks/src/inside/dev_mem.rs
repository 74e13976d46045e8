//! Control group: physical memory through the kernel's own device.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, broken, held, not_applicable, works};
use crate::witness::{frame_of_image, symbol};
use crate::xen::PAGE;

pub(super) const ATTACK: Attack = Attack {
    id: "dev-mem",
    rule: "B3",
    level: Level::Control,
    summary: "/dev/mem is opened for writing and read where the kernel's code is",
    needs: "/dev/mem",
    observed: "the read gives bytes of the kernel",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    let address = frame_of_image(symbol("_text")?)? * PAGE as u64;
    let mut file = match OpenOptions::new().read(true).write(true).open("/dev/mem") {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return not_applicable("no /dev/mem"),
        Err(error) => return held(format!("/dev/mem: {error}")),
    };
    let mut bytes = [0; 16];
    match file.seek(SeekFrom::Start(address)).and_then(|_| file.read_exact(&mut bytes)) {
        Ok(()) if bytes != [0; 16] => breached(format!("at {address:#x}: {bytes:02x?}")),
        Ok(()) => held(format!("at {address:#x} there are only zeros")),
        Err(error) => held(format!("/dev/mem opens, but: {error}")),
    }
}

fn twin() -> Outcome {
    match frame_of_image(symbol("_text")?) {
        Ok(frame) => works(format!("/proc/iomem tells where the kernel is: frame {frame:#x}")),
        Err(error) => broken(format!("{error:#}")),
    }
}
