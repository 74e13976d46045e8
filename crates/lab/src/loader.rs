//! GRUB, built from Debian's modules: the one that Debian signs cannot start Xen by multiboot.

use std::fs;

use anyhow::{Context, Result};

use crate::root::{Root, SHARED};

/// A file that GRUB loads, by the name that its configuration uses.
pub type LoaderFile<'a> = (&'static str, &'a [u8]);

/// The modules that it needs; none can be loaded later under Secure Boot.
const EFI_MODULES: &str = "multiboot multiboot2 normal memdisk tar gzio";

/// The same for a PC's BIOS.
const BIOS_MODULES: &[&str] =
    &["biosdisk", "configfile", "fat", "gzio", "multiboot", "multiboot2", "normal", "search"];

/// GRUB as one image for firmware, not signed. `files` are inside it, below `(memdisk)/`: whoever signs it signs them
/// too, and GRUB has nothing left to verify.
///
/// # Errors
/// Where it cannot be built.
pub fn efi(root: &Root, files: &[LoaderFile<'_>], config: &str) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    fs::write(work.path().join("grub.cfg"), config)?;
    let mut arguments: Vec<String> = ["--format=x86_64-efi", "--disable-shim-lock", "--fonts=", "--locales="]
        .iter()
        .map(|argument| (*argument).to_owned())
        .collect();
    arguments.push(format!("--modules={EFI_MODULES}"));
    arguments.push(format!("--install-modules={EFI_MODULES}"));
    arguments.push(format!("--output={SHARED}/grub.efi"));
    arguments.push(format!("boot/grub/grub.cfg={SHARED}/grub.cfg"));
    for (name, bytes) in files {
        fs::write(work.path().join(name), bytes)?;
        arguments.push(format!("{name}={SHARED}/{name}"));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    root.run("grub-mkstandalone", &arguments, Some(work.path())).context("GRUB cannot be built")?;
    Ok(fs::read(work.path().join("grub.efi"))?)
}

/// A disk with GRUB for a PC's BIOS, which looks on the other disks for `grub.cfg`.
///
/// # Errors
/// Where it cannot be built.
pub fn bios(root: &Root) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    let first = "search --no-floppy --file --set=root /grub.cfg\nconfigfile ($root)/grub.cfg\n";
    fs::write(work.path().join("first.cfg"), first)?;
    let output = format!("--output={SHARED}/core.img");
    let config = format!("--config={SHARED}/first.cfg");
    let fixed = ["--format=i386-pc", "--prefix=/", output.as_str(), config.as_str()];
    let arguments = [&fixed[..], BIOS_MODULES].concat();
    root.run("grub-mkimage", &arguments, Some(work.path())).context("GRUB cannot be built")?;
    // The boot sector takes the rest from the sectors behind it.
    let mut disk = fs::read(root.file("/usr/lib/grub/i386-pc/boot.img")?)?;
    disk.extend(fs::read(work.path().join("core.img"))?);
    disk.resize(disk.len().next_multiple_of(1 << 20), 0);
    Ok(disk)
}
