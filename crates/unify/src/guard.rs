//! The guard's part of an image: an archive that stands in front of the ramdisk, and what dom0's command line says with it.

use object::elf::{EM_X86_64, ET_REL};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Endianness, Object as _, ObjectSection as _};

use crate::cpio::{Archive, Kind, TooLarge};

/// The program that dom0's kernel starts first. It is linked statically and needs nothing.
pub const LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Options of dom0's kernel: the program that it starts first; and that a forced unload of any module ends the host, with no way
/// for a process to set the mark that this looks at.
pub const OPTIONS: [(&str, &str); 2] = [("rdinit", "/xen-lockdown/init"), ("panic_on_taint", "0x8,nousertaint")];

/// The module's name in the kernel.
pub const NAME: &str = "xen_privcmd";

/// What the kernel can be told not to call: the module's initialisation, by its two names.
pub const INITIALISATIONS: [&str; 2] = ["privcmd_init", "init_module"];

/// What Linux puts behind a module's signature (`include/linux/module_signature.h`).
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// Why a file is not the guard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTheGuard {
    /// It is packed, and the loader does not unpack.
    #[error("it is compressed: unpack it first (xz -d, zstd -d, gunzip), and sign it unpacked")]
    Compressed,
    /// No module for this machine.
    #[error("it is no kernel module for x86-64")]
    NotAModule,
    /// Another module.
    #[error("it is the module {0:?}, and the guard is {NAME:?}: build it from linux/")]
    Other(String),
    /// Nobody signed it.
    #[error("it is not signed: a locked kernel does not load it; sign it with the kernel's scripts/sign-file")]
    NotSigned,
}

/// Sees to it that `module` can be the guard. Whether the kernel trusts its signature, only the kernel knows.
///
/// # Errors
/// Why it is not.
pub fn check(module: &[u8]) -> Result<(), NotTheGuard> {
    const PACKED: [&[u8]; 3] = [b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    if PACKED.iter().any(|magic| module.starts_with(magic)) {
        return Err(NotTheGuard::Compressed);
    }
    let file = ElfFile64::<Endianness>::parse(module).map_err(|_| NotTheGuard::NotAModule)?;
    let header = file.elf_header();
    if (header.e_type(file.endian()), header.e_machine(file.endian())) != (ET_REL, EM_X86_64) {
        return Err(NotTheGuard::NotAModule);
    }
    match information(module, b"name=").ok_or(NotTheGuard::NotAModule)? {
        name if name == NAME => {}
        name => return Err(NotTheGuard::Other(name)),
    }
    if module.ends_with(SIGNED) { Ok(()) } else { Err(NotTheGuard::NotSigned) }
}

/// The release of the kernel that a module was built for, if it says so.
#[must_use]
pub fn kernel_of(module: &[u8]) -> Option<String> {
    let magic = information(module, b"vermagic=")?;
    magic.split(' ').next().map(str::to_owned)
}

/// What a module says of itself.
fn information(module: &[u8], field: &[u8]) -> Option<String> {
    let file = ElfFile64::<Endianness>::parse(module).ok()?;
    let information = file.section_by_name(".modinfo")?.data().ok()?;
    let value = information.split(|&byte| byte == 0).find_map(|line| line.strip_prefix(field))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The archive that stands in front of a ramdisk. It is not compressed, so that the search for microcode, Xen's and
/// Linux's, finds its way through it; and it is the first, so that it is unpacked before memory can run out or anything else is.
///
/// # Errors
/// Where the module is too large.
pub fn archive(module: &[u8]) -> Result<Vec<u8>, TooLarge> {
    archive_of(Some(module))
}

/// As [`archive`], and without the module where there is none: nothing boots from that, which is what it is for.
///
/// # Errors
/// Where the module is too large.
pub fn archive_of(module: Option<&[u8]>) -> Result<Vec<u8>, TooLarge> {
    let mut archive = Archive::default();
    archive.add("xen-lockdown", Kind::Folder, 0o755, &[])?;
    archive.add("xen-lockdown/init", Kind::File, 0o755, LOADER)?;
    // What the loader says goes to the kernel's log, before there is a /dev.
    archive.add("xen-lockdown/kmsg", Kind::Device(1, 11), 0o600, &[])?;
    archive.add("xen-lockdown/proc", Kind::Folder, 0o555, &[])?;
    if let Some(module) = module {
        archive.add("xen-lockdown/xen-privcmd.ko", Kind::File, 0o644, module)?;
    }
    archive.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use object::elf;
    use object::read::elf::ProgramHeader as _;

    use super::*;

    #[test]
    fn the_loader_needs_nothing_and_is_small() {
        let file = ElfFile64::<Endianness>::parse(LOADER).unwrap();
        let endian = file.endian();
        assert_eq!(file.elf_header().e_type(endian), elf::ET_EXEC);
        for segment in file.elf_program_headers() {
            assert_ne!(segment.p_type(endian), elf::PT_INTERP, "it wants another program to load it");
            assert_ne!(segment.p_type(endian), elf::PT_DYNAMIC, "it wants libraries");
            let both = elf::PF_W | elf::PF_X;
            assert_ne!(segment.p_flags(endian) & both, both, "memory that can be written can be executed");
        }
        assert!(LOADER.len() < 16 << 10, "{}", LOADER.len());
    }

    #[test]
    fn the_loader_does_nothing_where_it_is_not_process_1() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("init");
        std::fs::write(&place, LOADER).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o700)).unwrap();
        let output = std::process::Command::new(&place).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("as process 1"));
    }

    #[test]
    fn the_archive_has_what_the_command_line_names() {
        let bytes = archive(b"module").unwrap();
        let [(_, program), _] = OPTIONS;
        let name = [program.trim_start_matches('/').as_bytes(), b"\0"].concat();
        assert!(bytes.windows(name.len()).any(|window| window == name));
        assert!(bytes.starts_with(b"070701"));
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(archive(b"module").unwrap(), bytes);
    }
}
