//! Archives in cpio's "newc" format, as Linux unpacks them (`Documentation/driver-api/early-userspace/buffer-format.rst`, Linux
//! 6.12).

/// An archive, or a file in it, is longer than the format can say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is too large for a cpio archive, where a file ends at 4 GiB")]
pub struct TooLarge(pub String);

/// What stands in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link; its data is where it leads.
    Link,
    /// A device of characters: its two numbers.
    Device(u32, u32),
}

impl Kind {
    const fn mode(self) -> u32 {
        match self {
            Self::File => 0o100_000,
            Self::Folder => 0o040_000,
            Self::Link => 0o120_000,
            Self::Device(..) => 0o020_000,
        }
    }
}

/// An archive in the making. Everything in it is root's, and has no time.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    /// Adds one thing. `path` has no slash in front, and what is above it comes first.
    ///
    /// # Errors
    /// Where it is too large.
    pub fn add(&mut self, path: &str, kind: Kind, permissions: u32, data: &[u8]) -> Result<(), TooLarge> {
        self.count = self.count.saturating_add(1);
        let device = if let Kind::Device(major, minor) = kind { [major, minor] } else { [0, 0] };
        let links = if kind == Kind::Folder { 2 } else { 1 };
        self.write(path, self.count, kind.mode() | permissions, links, device, data)
    }

    /// The whole archive, a multiple of four bytes long, so that another one can follow.
    ///
    /// # Errors
    /// None in practice.
    pub fn finish(mut self) -> Result<Vec<u8>, TooLarge> {
        self.write("TRAILER!!!", 0, 0, 1, [0, 0], &[])?;
        Ok(self.bytes)
    }

    fn write(
        &mut self,
        path: &str,
        number: u32,
        mode: u32,
        links: u32,
        device: [u32; 2],
        data: &[u8],
    ) -> Result<(), TooLarge> {
        let narrow = |size: usize| u32::try_from(size).map_err(|_| TooLarge(path.to_owned()));
        let size = narrow(data.len())?;
        let name = narrow(path.len().saturating_add(1))?;
        let [major, minor] = device;
        self.bytes.extend_from_slice(b"070701");
        for field in [number, mode, 0, 0, links, 0, size, 0, 0, major, minor, name, 0] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.fill_up();
        self.bytes.extend_from_slice(data);
        self.fill_up();
        Ok(())
    }

    fn fill_up(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::default();
        archive.add("a", Kind::Folder, 0o755, &[]).unwrap();
        archive.add("a/b", Kind::File, 0o755, b"hello").unwrap();
        archive.add("a/c", Kind::Device(1, 11), 0o600, &[]).unwrap();
        let bytes = archive.finish().unwrap();
        // The folder: header, "a", its end, filled up to four.
        assert!(bytes.starts_with(b"07070100000001000041ed"));
        assert_eq!(bytes.len() % 4, 0);
        let second = &bytes[112..];
        assert!(second.starts_with(b"07070100000002000081ed"));
        assert_eq!(&second[54..62], b"00000005");
        assert_eq!(&second[110..114], b"a/b\0");
        assert_eq!(&second[116..121], b"hello");
        let third = &second[124..];
        assert!(third.starts_with(b"07070100000003000021800"), "{:?}", String::from_utf8_lossy(&third[..110]));
        assert_eq!(&third[78..94], b"000000010000000b");
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
