//! What dom0's kernel says of itself.

use std::io;

use lockdown_image::Source;

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// `bzImage`, `ELF`, `gzip` or `unknown`.
    pub format: &'static str,
    /// Its version as a bzImage carries it, with the text behind the release; `None` if it does not tell without being unpacked.
    pub version: Option<String>,
}

impl Kernel {
    /// The release: the first word of the version, which modules are built for.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.version.as_deref()?.split(' ').next()
    }
}

/// Where a bzImage says where its version stands (Linux, Documentation/arch/x86/boot.rst).
const VERSION_AT: usize = 0x20e;
/// What that is counted from.
const VERSION_FROM: u64 = 0x200;
/// As much as is looked at.
const HEAD: u64 = 0x210;
/// Longer than any version.
const LONGEST_VERSION: u64 = 256;

/// Looks at a kernel: less than a kilobyte of it.
///
/// # Errors
/// If it cannot be read.
pub fn look(kernel: &dyn Source) -> io::Result<Kernel> {
    let length = kernel.length()?;
    let head = read(kernel, 0, HEAD, length)?;
    let format = if head.get(0x202..0x206) == Some(b"HdrS") {
        "bzImage"
    } else if head.starts_with(b"\x7fELF") {
        "ELF"
    } else if head.starts_with(b"\x1f\x8b") {
        "gzip"
    } else {
        "unknown"
    };
    let mut version = None;
    if let Some(at) = head.get(VERSION_AT..).and_then(|rest| rest.first_chunk()).filter(|_| format == "bzImage") {
        // Zero: there is none.
        if let Some(at) = Some(u16::from_le_bytes(*at)).filter(|&at| at != 0) {
            let text = read(kernel, VERSION_FROM.saturating_add(u64::from(at)), LONGEST_VERSION, length)?;
            let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
            let is_text = !text.is_empty() && text.iter().all(|byte| matches!(byte, b' '..=b'~'));
            version = is_text.then(|| String::from_utf8_lossy(text).into_owned());
        }
    }
    Ok(Kernel { format, version })
}

/// At most `size` bytes; fewer where the kernel ends.
fn read(kernel: &dyn Source, from: u64, size: u64, length: u64) -> io::Result<Vec<u8>> {
    let size = size.min(length.saturating_sub(from));
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    if !bytes.is_empty() {
        kernel.read_at(from, &mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    fn kernel(version: &[u8], at: u16) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&at.to_le_bytes());
        bytes[0x300..][..version.len()].copy_from_slice(version);
        bytes
    }

    fn of(bytes: &[u8]) -> Kernel {
        look(&bytes).unwrap()
    }

    #[test]
    fn a_bzimage_tells_its_version() {
        let found = of(&kernel(b"6.12.1-amd64 (debian) #1\0", 0x100));
        assert_eq!(found.version.as_deref(), Some("6.12.1-amd64 (debian) #1"));
        assert_eq!((found.format, found.release()), ("bzImage", Some("6.12.1-amd64")));
        assert_eq!(of(&kernel(b"6.12.1\0", 0)).version, None);
        assert_eq!(of(&kernel(b"6.12.1\0", 0xffff)).version, None);
        assert_eq!(of(&kernel(b"\x01\x02\0", 0x100)).version, None);
        assert_eq!(of(b"\x7fELF").format, "ELF");
        assert_eq!(of(b"\x1f\x8b").format, "gzip");
        assert_eq!(of(b""), Kernel { format: "unknown", version: None });
    }
}
