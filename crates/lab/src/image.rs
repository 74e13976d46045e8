//! Unified images: Xen with its configuration, dom0's kernel and initramfs in sections, signed.
//!
//! [`unify`] and [`sign`] are the only places that know how an image comes to be.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use object::read::pe::PeFile64;
use object::{Object as _, ObjectSection as _};

use crate::keys::Key;
use crate::root::{Root, SHARED};

/// What goes into an image, beside Xen.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// `.config`: Xen's configuration file.
    pub config: Option<String>,
    /// `.kernel`.
    pub kernel: Option<Vec<u8>>,
    /// `.ramdisk`.
    pub ramdisk: Option<Vec<u8>>,
}

/// `xen` with `parts` appended as sections, unsigned.
///
/// # Errors
/// Where `xen` is no image, or binutils fail.
pub fn unify(root: &Root, xen: &[u8], parts: &Parts) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    open_to_all(work.path())?;
    let place = work.path().join("xen.efi");
    fs::write(&place, xen)?;
    let sections = [
        (".config", parts.config.as_ref().map(|text| text.as_bytes())),
        (".kernel", parts.kernel.as_deref()),
        (".ramdisk", parts.ramdisk.as_deref()),
    ];
    let (base, mut next) = end_of_image(xen)?;
    let mut arguments: Vec<String> = Vec::new();
    for (name, data) in sections {
        let Some(data) = data else { continue };
        ensure!(!data.is_empty(), "section {name} would be empty");
        let file = name.trim_start_matches('.');
        fs::write(work.path().join(file), data)?;
        arguments.push(format!("--add-section={name}={SHARED}/{file}"));
        arguments.push(format!("--set-section-flags={name}=alloc,load,readonly,data"));
        arguments.push(format!("--change-section-vma={name}={:#x}", base.wrapping_add(next)));
        next = next.saturating_add(u64::try_from(data.len())?).next_multiple_of(PAGE);
    }
    arguments.push(format!("{SHARED}/xen.efi"));
    arguments.push(format!("{SHARED}/unified.efi"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    root.run("objcopy", &arguments, Some(work.path()))?;
    Ok(fs::read(work.path().join("unified.efi"))?)
}

/// `image` with `key`'s signature.
///
/// # Errors
/// Where it cannot be signed.
pub fn sign(root: &Root, image: &[u8], key: &Key) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    open_to_all(work.path())?;
    fs::write(work.path().join("image"), image)?;
    fs::write(work.path().join("key"), &key.private)?;
    fs::write(work.path().join("certificate"), &key.certificate)?;
    let inside = |name: &str| format!("{SHARED}/{name}");
    let (key, certificate) = (inside("key"), inside("certificate"));
    let (signed, image) = (inside("signed"), inside("image"));
    let arguments = ["--key", &key, "--cert", &certificate, "--output", &signed, &image];
    root.run("sbsign", &arguments, Some(work.path()))?;
    Ok(fs::read(work.path().join("signed"))?)
}

/// `image` without its signatures.
///
/// # Errors
/// Where it has none, or sbattach fails.
pub fn unsign(root: &Root, image: &[u8]) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    open_to_all(work.path())?;
    fs::write(work.path().join("image"), image)?;
    root.run("sbattach", &["--remove", &format!("{SHARED}/image")], Some(work.path()))?;
    Ok(fs::read(work.path().join("image"))?)
}

/// Debian's xen.efi without its symbols, which no machine needs and firmware would have to read.
///
/// # Errors
/// Where the root has no Xen, or strip fails.
pub fn debian_xen(root: &Root) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    open_to_all(work.path())?;
    let output = format!("{SHARED}/xen.efi");
    root.run("strip", &["-o", &output, "/boot/xen-4.20-amd64.efi"], Some(work.path()))?;
    Ok(fs::read(work.path().join("xen.efi"))?)
}

/// The hash that firmware knows an image by: SHA-256 over what Authenticode covers.
///
/// # Errors
/// Where `image` is no PE image.
pub fn authenticode_hash(image: &[u8]) -> Result<[u8; 32]> {
    use sha2::{Digest as _, Sha256};
    let word = |offset: usize| -> Result<usize> {
        let bytes =
            image.get(offset..).and_then(|rest| rest.first_chunk::<4>()).context("the image is cut off")?;
        Ok(usize::try_from(u32::from_le_bytes(*bytes))?)
    };
    let header = word(0x3c)?;
    ensure!(image.get(header..header.saturating_add(4)) == Some(b"PE\0\0"), "this is no PE image");
    let optional = header.saturating_add(24);
    ensure!(image.get(optional..optional.saturating_add(2)) == Some(&[0x0b, 0x02]), "this is no PE32+ image");
    let checksum = optional.saturating_add(64);
    // The fifth entry of the directory: where the signatures are.
    let directory = optional.saturating_add(112 + 4 * 8);
    let (place, size) = (word(directory)?, word(directory.saturating_add(4))?);
    let end = if size == 0 { image.len() } else { place };
    let mut hasher = Sha256::new();
    let ranges = [
        0..checksum,
        checksum.saturating_add(4)..directory,
        directory.saturating_add(8)..end,
        end.saturating_add(size)..image.len(),
    ];
    for range in ranges {
        hasher.update(image.get(range).context("the image is cut off")?);
    }
    // Firmware and signers fill an unsigned image up to eight bytes.
    if size == 0 {
        hasher.update(vec![0; image.len().next_multiple_of(8).saturating_sub(image.len())]);
    }
    Ok(hasher.finalize().into())
}

const PAGE: u64 = 0x1000;

/// The image's base, and the first page after its last section.
fn end_of_image(image: &[u8]) -> Result<(u64, u64)> {
    let file = PeFile64::parse(image).context("Xen's image cannot be read")?;
    let base = file.relative_address_base();
    let ends = file.sections().map(|section| section.address().wrapping_sub(base).saturating_add(section.size()));
    match ends.max() {
        Some(end) => Ok((base, end.next_multiple_of(PAGE))),
        None => bail!("Xen's image has no sections"),
    }
}

/// Lets the identities of a user namespace read and write a folder of the lab's.
///
/// # Errors
/// Where the folder is not ours.
pub(crate) fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// A PE32+ header with nothing behind it.
    fn image(body: &[u8], signature: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x200];
        image[0x3c] = 0x40;
        image[0x40..0x44].copy_from_slice(b"PE\0\0");
        image[0x58..0x5a].copy_from_slice(&[0x0b, 0x02]);
        image.extend_from_slice(body);
        if !signature.is_empty() {
            let place = u32::try_from(image.len()).unwrap().to_le_bytes();
            let directory = 0x58 + 112 + 32;
            image[directory..directory + 4].copy_from_slice(&place);
            image[directory + 4] = u8::try_from(signature.len()).unwrap();
            image.extend_from_slice(signature);
        }
        image
    }

    #[test]
    fn the_hash_is_the_same_with_and_without_a_signature() {
        let plain = authenticode_hash(&image(&[5; 16], &[])).unwrap();
        assert_eq!(plain, authenticode_hash(&image(&[5; 16], &[9; 24])).unwrap());
        assert_ne!(plain, authenticode_hash(&image(&[6; 16], &[9; 24])).unwrap());
        let mut summed = image(&[5; 16], &[]);
        summed[0x58 + 64] = 77;
        assert_eq!(plain, authenticode_hash(&summed).unwrap());
    }

    #[test]
    fn what_is_no_image_is_an_error() {
        assert!(authenticode_hash(b"MZ").is_err());
        assert!(authenticode_hash(&[0; 0x400]).is_err());
        assert!(end_of_image(b"MZ").is_err());
    }
}
