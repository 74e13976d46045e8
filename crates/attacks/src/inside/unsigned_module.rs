//! Control group: a module whose signature was cut off, through the kernel's own door.

use std::fs;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Attack, Level};
use crate::outcome::{Outcome, breached, broken, held, works};
use crate::witness::lockdown;

pub(super) const ATTACK: Attack = Attack {
    id: "unsigned-module",
    rule: "B2",
    level: Level::Control,
    summary: "a module of Debian's without its signature is handed to init_module",
    needs: "a module's file, of a module that nobody uses",
    observed: "the module is in /proc/modules",
    healthy: true,
    timeout_s: super::USUAL_S,
    run,
    twin,
};

fn run() -> Outcome {
    let module = Unsigned::prepare()?;
    let answer = module.load();
    let in_list = module.is_loaded();
    module.unload();
    match answer {
        _ if in_list => breached(format!("the unsigned module {} loaded", module.name)),
        Ok(()) => held("init_module took the module, but it is not listed"),
        Err(error) => held(format!("init_module: {error}; lockdown {}", lockdown()?)),
    }
}

/// The same module with its signature.
fn twin() -> Outcome {
    let module = Unsigned::prepare()?;
    let answer = rustix::system::init_module(&module.signed, c"");
    let in_list = module.is_loaded();
    module.unload();
    match answer {
        Ok(()) if in_list => works(format!("the signed module {} loaded", module.name)),
        Ok(()) => broken("init_module took the signed module, but it is not listed"),
        Err(error) => broken(format!("init_module of the signed module: {error}")),
    }
}

/// A module of the running kernel, with and without its signature.
pub(super) struct Unsigned {
    pub(super) name: String,
    signed: Vec<u8>,
    unsigned: Vec<u8>,
}

/// What stands at the very end of a signed module.
const TRAILER: &[u8] = b"~Module signature appended~\n";

/// Modules that need no other, touch no hardware, and are in every initramfs of the lab or on Debian's disk.
const CANDIDATES: [&str; 4] = ["dummy", "crc-itu-t", "crc7", "libcrc32c"];

impl Unsigned {
    pub(super) fn prepare() -> Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let folder = Path::new("/lib/modules").join(release.trim());
        let list = fs::read_to_string(folder.join("modules.dep")).context("modules.dep")?;
        for name in CANDIDATES {
            for line in list.lines() {
                let Some((file, needs)) = line.split_once(':') else { continue };
                let path = folder.join(file);
                let stem = Path::new(file).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                if stem.split('.').next() == Some(name) && needs.trim().is_empty() && path.is_file() {
                    // A plan may have loaded it to have it in the initramfs.
                    remove(name);
                    if is_loaded(name) {
                        continue;
                    }
                    return Self::read(name, &path);
                }
            }
        }
        bail!("none of the modules {CANDIDATES:?} is in {}", folder.display())
    }

    fn read(name: &str, path: &PathBuf) -> Result<Self> {
        let mut signed = fs::read(path)?;
        if path.extension().is_some_and(|end| end == "xz") {
            let packed = std::mem::take(&mut signed);
            lzma_rs::xz_decompress(&mut BufReader::new(Cursor::new(packed)), &mut signed)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        }
        let unsigned = without_signature(&signed).with_context(|| format!("{} is not signed", path.display()))?;
        Ok(Self { name: name.to_owned(), unsigned: unsigned.to_vec(), signed })
    }

    /// Hands the unsigned module to the kernel.
    pub(super) fn load(&self) -> rustix::io::Result<()> {
        rustix::system::init_module(&self.unsigned, c"")
    }

    pub(super) fn is_loaded(&self) -> bool {
        is_loaded(&self.name)
    }

    pub(super) fn unload(&self) {
        remove(&self.name);
    }
}

/// The module in front of its signature; `None` where there is none.
fn without_signature(module: &[u8]) -> Option<&[u8]> {
    let rest = module.strip_suffix(TRAILER)?;
    // struct module_signature: eight bytes, and the length of the signature in front of it, big endian.
    let (rest, head) = rest.split_at_checked(rest.len().checked_sub(12)?)?;
    let length = head.get(8..).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)?;
    rest.get(..rest.len().checked_sub(usize::try_from(length).ok()?)?)
}

/// Whether the kernel lists the module.
pub(super) fn is_loaded(name: &str) -> bool {
    let name = name.replace('-', "_");
    let list = fs::read_to_string("/proc/modules").unwrap_or_default();
    list.lines().any(|line| line.split(' ').next() == Some(&name))
}

fn remove(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name.replace('-', "_")) {
        // Nothing to remove is what is wanted as well.
        let _ = rustix::system::delete_module(&name, libc::O_NONBLOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_cut_off_exactly() {
        let mut module = b"ELF of a module".to_vec();
        module.extend(b"signature");
        module.extend([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        module.extend(TRAILER);
        assert_eq!(without_signature(&module), Some(&b"ELF of a module"[..]));
        assert_eq!(without_signature(b"no signature at all"), None);
        assert_eq!(without_signature(TRAILER), None);
    }
}
