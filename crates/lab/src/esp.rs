//! The disk that the machine boots from: one FAT volume with files.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use fs4::FileExt;

const MEBIBYTE: u64 = 1 << 20;

/// One file on the disk: its path with slashes, and its bytes.
pub type DiskFile = (String, Vec<u8>);

/// Writes a disk image with `files`, large enough for them.
///
/// # Errors
/// Where the image cannot be written.
pub fn write(place: &Path, files: &[DiskFile]) -> Result<()> {
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let size = u64::try_from(bytes)?.div_ceil(MEBIBYTE).saturating_add(8).saturating_mul(MEBIBYTE);
    let disk = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place)?;
    fill(disk, size, files).with_context(|| format!("the disk image {} cannot be written", place.display()))
}

fn fill(mut disk: File, size: u64, files: &[DiskFile]) -> Result<()> {
    // The disk gets all of its place now: QEMU would stop the machine where it runs out of it.
    FileExt::allocate(&disk, size)?;
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(*b"LAB        "))?;
    disk.seek(SeekFrom::Start(0))?;
    let volume = FileSystem::new(disk, FsOptions::new())?;
    for (path, bytes) in files {
        let mut folder = volume.root_dir();
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let (name, extension) = part.split_once('.').unwrap_or((part, ""));
            ensure!(
                name.len() <= 8 && extension.len() <= 3,
                "{path}: the volume has no names longer than 8 and 3 letters"
            );
            if parts.peek().is_some() {
                folder = folder.create_dir(part)?;
            } else {
                let mut file = folder.create_file(part)?;
                file.truncate()?;
                file.write_all(bytes)?;
            }
        }
    }
    volume.unmount()?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_name_that_firmware_would_not_find_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("disk"), &[("EFI/xen/microcode".into(), vec![1])]).unwrap_err();
        assert!(format!("{error:#}").contains("EFI/xen/microcode"), "{error:#}");
    }

    #[test]
    fn files_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("disk");
        let large = vec![7; 3 << 20];
        write(&place, &[("EFI/xen/xen.efi".into(), large.clone()), ("xen.cfg".into(), b"x".to_vec())]).unwrap();
        let volume = FileSystem::new(File::open(&place).unwrap(), FsOptions::new().update_accessed_date(false));
        // The image is opened for reading only.
        let volume = volume.unwrap();
        let mut read = Vec::new();
        volume.root_dir().open_file("EFI/xen/xen.efi").unwrap().read_to_end(&mut read).unwrap();
        assert!(read == large);
    }
}
