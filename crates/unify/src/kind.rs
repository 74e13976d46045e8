//! What a file seems to be, by its first bytes, so that one is not taken for another.

use std::io;

use lockdown_image::HeaderFacts;
use lockdown_image::Source;

/// How much is looked at: all that tells is in it.
const HEAD: u64 = 0x206;

/// What a part of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Xen itself.
    Xen,
    /// dom0's kernel.
    Kernel,
    /// An initramfs archive.
    Ramdisk,
    /// A FLASK policy.
    Xsm,
    /// Microcode.
    Ucode,
    /// SBAT's table.
    Sbat,
}

/// Why a file is not what it is given for.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// It is something else.
    #[error("{0}")]
    Kind(&'static str),
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Sees to it that `file` can be `part`.
///
/// # Errors
/// What is wrong with it.
pub fn check(part: Part, file: &dyn Source) -> Result<(), Wrong> {
    let length = file.length()?;
    if length == 0 {
        return Err(Wrong::Kind("it is empty"));
    }
    let mut head = vec![0; usize::try_from(length.min(HEAD)).unwrap_or_default()];
    file.read_at(0, &mut head)?;
    let fault = fault(part, &head);
    fault.map_or(Ok(()), |fault| Err(Wrong::Kind(fault)))
}

/// Sees to it that an EFI program can be Xen. Xen is linked to run in the upper half of the address space (`XEN_VIRT_START`,
/// `xen/arch/x86/include/asm/config.h`, 4.17 to 4.20: `0xffff82d040000000`); firmware loads programs below,
/// and those that were looked at are linked for there.
///
/// # Errors
/// It is another program.
pub fn check_xen(headers: &HeaderFacts) -> Result<(), Wrong> {
    if headers.image_base < UPPER_HALF {
        return Err(Wrong::Kind("it is an EFI program, and not Xen; Xen's image is called xen.efi"));
    }
    Ok(())
}

/// The first address of a kernel's half.
const UPPER_HALF: u64 = 0xffff_8000_0000_0000;

fn fault(part: Part, head: &[u8]) -> Option<&'static str> {
    let begins = |magics: &[&[u8]]| magics.iter().any(|magic| head.starts_with(magic));
    // The boot protocol's mark (Linux, Documentation/arch/x86/boot.rst).
    let linux = head.get(0x202..0x206) == Some(b"HdrS");
    let image = head.starts_with(b"MZ") && !linux;
    match part {
        Part::Xen if linux => Some("it is a Linux kernel; Xen's image is called xen.efi"),
        // What else is wrong with it is said by who reads its headers.
        Part::Xen => None,
        Part::Kernel if image => Some("it is an EFI image and no Linux kernel"),
        Part::Kernel if linux || begins(&[b"\x7fELF", b"\x1f\x8b"]) => None,
        Part::Kernel => Some("it is no kernel that Xen can start: neither a bzImage nor ELF, plain or gzip"),
        Part::Ramdisk if packing(head).is_some() => None,
        Part::Ramdisk => Some(
            "it is no initramfs: neither a cpio archive (newc) nor packed with gzip, bzip2, lzma, xz, lzo, lz4 or zstd",
        ),
        Part::Xsm if begins(&[FLASK]) => None,
        Part::Xsm => Some("it is no FLASK policy (checkpolicy makes one from Xen's tools/flask/policy)"),
        Part::Ucode if begins(&[b"07070"]) => {
            Some("it is a cpio archive: give it as the first --ramdisk, and let options= say ucode=scan")
        }
        Part::Ucode if begins(&[AMD, INTEL]) => None,
        Part::Ucode => Some("it is no microcode of AMD's or Intel's"),
        Part::Sbat if begins(&[b"sbat,"]) => None,
        Part::Sbat => Some("it is no SBAT table: its first line begins with sbat,"),
    }
}

/// What Linux unpacks, and what it calls it (`usr/Kconfig` and `lib/decompress.c`, 6.12).
const ARCHIVES: &[(&[u8], &str)] = &[
    (b"070701", "none"),
    (b"070702", "none"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9e", "gzip"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x89LZO\0", "lzo"),
    (b"\x02\x21L\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
];

/// How many bytes tell how an archive is packed.
pub(crate) const LONGEST_MAGIC: u64 = 6;

/// How an archive is packed, by its first bytes; `none` if it is not, `None` if it is no archive.
pub(crate) fn packing(head: &[u8]) -> Option<&'static str> {
    ARCHIVES.iter().find_map(|(magic, name)| head.starts_with(magic).then_some(*name))
}

/// `XSM_MAGIC` in Xen's `xen/include/xsm/xsm.h`.
const FLASK: &[u8] = b"\x8c\xff\x7c\xf9";
/// `UCODE_MAGIC` in `xen/arch/x86/cpu/microcode/amd.c`.
const AMD: &[u8] = b"DMA\0";
/// The version of the header in `xen/arch/x86/cpu/microcode/intel.c`.
const INTEL: &[u8] = b"\x01\0\0\0";

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_and_no_other() {
        let mut linux = vec![0; 0x300];
        linux[..2].copy_from_slice(b"MZ");
        linux[0x202..0x206].copy_from_slice(b"HdrS");
        let samples: [(Part, &[u8]); 9] = [
            (Part::Kernel, &linux),
            (Part::Kernel, b"\x7fELF\x02"),
            (Part::Ramdisk, b"070701000"),
            (Part::Ramdisk, b"\x28\xb5\x2f\xfd0"),
            (Part::Xsm, FLASK),
            (Part::Ucode, b"DMA\0\0"),
            (Part::Ucode, b"\x01\0\0\0\x20"),
            (Part::Sbat, b"sbat,1,SBAT"),
            (Part::Xen, b"MZ\0"),
        ];
        let parts = [Part::Xen, Part::Kernel, Part::Ramdisk, Part::Xsm, Part::Ucode, Part::Sbat];
        for (kind, sample) in samples {
            for part in parts.into_iter().filter(|part| *part != Part::Xen || kind == Part::Xen) {
                assert_eq!(check(part, &sample).is_ok(), part == kind, "{sample:?} as {part:?}");
            }
        }
        let linux: &[u8] = &linux;
        assert!(check(Part::Xen, &linux).is_err());
        let empty: &[u8] = b"";
        assert!(check(Part::Ramdisk, &empty).is_err());
        let early: &[u8] = b"070701";
        assert!(check(Part::Ucode, &early).is_err());
    }
}
