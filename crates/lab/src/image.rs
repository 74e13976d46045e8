//! Unified images: Xen with its configuration, dom0's kernel and initramfs in sections, signed.

use std::io::Cursor;

use anyhow::{Context, Result, anyhow};
use lockdown_image::sign::{self, Certificate, FileKey, Validity};
use lockdown_image::{Image, Source};
use lockdown_unify::Joined;

use crate::keys::Key;

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

/// `xen` with `parts`, as `xen-lockdown image build` makes it; not signed.
///
/// # Errors
/// Where `xen` is no image, or a part is empty.
pub fn unify(xen: &[u8], parts: &Parts) -> Result<Vec<u8>> {
    let xen = Image::read(xen).context("Xen's image")?;
    let config = parts.config.as_ref().map(|text| text.as_bytes());
    let [kernel, ramdisk, xsm] = [&parts.kernel, &parts.ramdisk, &parts.xsm].map(Option::as_deref);
    let parts = lockdown_unify::Parts {
        config: config.as_ref().map(|text| text as &dyn Source),
        kernel: kernel.as_ref().map(|bytes| bytes as &dyn Source),
        ramdisk: ramdisk.as_ref().map(|bytes| bytes as &dyn Source),
        xsm: xsm.as_ref().map(|bytes| bytes as &dyn Source),
        ..lockdown_unify::Parts::default()
    };
    let mut out = Cursor::new(Vec::new());
    lockdown_unify::unify(&xen, &parts)?.write(&mut out)?;
    Ok(out.into_inner())
}

/// `parts` with the guard `module`, as `xen-lockdown image build --guard` puts it there: in front of the ramdisk, and on the
/// line of dom0's kernel. What the image lacks, because an attack wants it so, gets nothing.
///
/// # Errors
/// Where the configuration would keep the guard out.
pub fn guarded(module: &[u8], parts: &Parts) -> Result<Parts> {
    let mut parts = parts.clone();
    if let Some(config) = &mut parts.config {
        let completed = lockdown_unify::config::complete(config.as_bytes());
        let completed = completed.map_err(|findings| {
            let texts: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
            anyhow!("the configuration keeps the guard out: {}", texts.join("; "))
        })?;
        *config = String::from_utf8(completed).context("the configuration is no text")?;
    }
    if let Some(ramdisk) = &mut parts.ramdisk {
        *ramdisk = joined(&lockdown_unify::guard::archive(module)?, ramdisk)?;
    }
    Ok(parts)
}

/// Two archives, one behind the other.
///
/// # Errors
/// None in practice.
pub fn joined(first: &[u8], second: &[u8]) -> Result<Vec<u8>> {
    let joined = Joined::new(&[&first, &second]).map_err(|(_, error)| error)?;
    let mut bytes = vec![0; usize::try_from(joined.length()?)?];
    joined.read_at(0, &mut bytes)?;
    Ok(bytes)
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
    let digest = signed.digest.as_bytes().try_into().context("the digest")?;
    Ok(Signed { bytes: out.into_inner(), digest })
}

/// `image` without its signatures.
///
/// # Errors
/// Where it has none.
pub fn unsign(image: &[u8]) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    sign::unsign(&image, &mut out)?;
    Ok(out.into_inner())
}
