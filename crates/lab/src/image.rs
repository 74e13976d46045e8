//! Unified images: Xen with its configuration, dom0's kernel and initramfs in sections, signed.

use std::fs;
use std::io::Cursor;

use anyhow::{Context, Result};
use lockdown_image::Image;
use lockdown_image::build::Build;
use lockdown_image::sign::{self, Certificate, FileKey, Validity};

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
    /// `.xsm`: the access-control policy.
    pub xsm: Option<Vec<u8>>,
}

/// A signed image.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What firmware knows it by: SHA-256 over what Authenticode covers.
    pub digest: [u8; 32],
}

/// `xen` with `parts` appended as sections, without its debug sections, which no machine needs; not signed.
///
/// # Errors
/// Where `xen` is no image, or a part is empty.
pub fn unify(xen: &[u8], parts: &Parts) -> Result<Vec<u8>> {
    let xen = Image::read(xen).context("Xen's image")?;
    let sections = [
        (".config", parts.config.as_ref().map(|text| text.as_bytes())),
        (".kernel", parts.kernel.as_deref()),
        (".ramdisk", parts.ramdisk.as_deref()),
        (".xsm", parts.xsm.as_deref()),
    ];
    let sections: Vec<_> =
        sections.into_iter().filter_map(|(name, bytes)| bytes.map(|bytes| (name, bytes))).collect();
    let mut build = Build::on(&xen)?.drop_debug(true);
    for (name, bytes) in &sections {
        build = build.section(name, bytes)?;
    }
    let mut out = Cursor::new(Vec::new());
    build.finish()?.write(&mut out)?;
    Ok(out.into_inner())
}

/// `image` with `key`'s signature.
///
/// # Errors
/// Where it cannot be signed.
pub fn sign(image: &[u8], key: &Key) -> Result<Signed> {
    let file = FileKey::read(&key.private, None).context("the lab's key")?;
    let certificate = Certificate::read(&key.certificate).context("the lab's certificate")?;
    let mut out = Cursor::new(Vec::new());
    // The lab's keys are made once and used for years; firmware does not look at their time.
    let signed = sign::sign(&image, &file, &certificate, Validity::Ignored, &mut out)?;
    Ok(Signed { bytes: out.into_inner(), digest: signed.digest })
}

/// `image` without its signatures.
///
/// # Errors
/// Where it has none, or sbattach fails.
pub fn unsign(root: &Root, image: &[u8]) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    fs::write(work.path().join("image"), image)?;
    root.run("sbattach", &["--remove", &format!("{SHARED}/image")], Some(work.path()))?;
    Ok(fs::read(work.path().join("image"))?)
}
