//! Initramfs archives as a distribution's own programs make them, for the lab's kernel.

use std::fs;

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::root::{Contents, Root, SHARED};

/// Shows the kernel's modules where they are looked for: `sh -c MAKE sh RELEASE PROGRAM ARGUMENTS...`.
const MAKE: &str = r#"
set -e
release=$1
shift
mkdir -p "/usr/lib/modules/$release"
mount --bind /mnt/modules "/usr/lib/modules/$release"
cp /mnt/config "/boot/config-$release"
exec "$@"
"#;

/// A program that makes initramfs archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Debian's own, `mkinitramfs`, as it comes: with most modules, and a shell script as `/init`.
    InitramfsTools,
    /// dracut, for any machine: with systemd as `/init`.
    Dracut,
}

impl Maker {
    /// As its package is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
        }
    }

    /// Makes an initramfs for the lab's kernel, in a root of its own.
    ///
    /// # Errors
    /// Where the root cannot be made, or the program fails.
    pub fn make(self, lab: &Lab, say: &(dyn Fn(&str) + Sync)) -> Result<Vec<u8>> {
        let folder = lab.root.folder().parent().context("the root has no parent folder")?;
        let root = Root::with(folder, Contents::Initramfs, say)?;
        let work = tempfile::tempdir_in(folder)?;
        let release = lab.release.as_str();
        let modules = format!("/usr/lib/modules/{release}");
        lab.root.run("cp", &["--archive", &modules, &format!("{SHARED}/modules")], Some(work.path()))?;
        fs::copy(lab.root.file(&format!("/boot/config-{release}"))?, work.path().join("config"))?;
        let output = format!("{SHARED}/initrd");
        let program: &[&str] = match self {
            Self::InitramfsTools => &["mkinitramfs", "-o", &output, release],
            Self::Dracut => &["dracut", "--force", "--no-hostonly", "--kver", release, &output],
        };
        say(&format!("{} makes an initramfs", self.name()));
        root.run("sh", &[&["-c", MAKE, "sh", release], program].concat(), Some(work.path()))?;
        Ok(fs::read(work.path().join("initrd"))?)
    }
}
