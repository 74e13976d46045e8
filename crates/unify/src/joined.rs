//! Several initramfs archives as one, the way Linux unpacks them one after the other.

use std::io;

use lockdown_image::Source;

/// Where an archive may begin. Between two there are zeros, which Linux skips (`unpack_to_rootfs` in `init/initramfs.c`, 6.12), and
/// so do its and Xen's search for microcode (`find_cpio_data`).
const ALIGNMENT: u64 = 4;

/// Sources, one behind the other, each at a multiple of four bytes.
pub struct Joined<'a> {
    parts: Vec<(u64, u64, &'a dyn Source)>,
    length: u64,
}

impl<'a> Joined<'a> {
    /// Joins `sources`.
    ///
    /// # Errors
    /// Where one does not say how long it is; its number comes with it.
    pub fn new(sources: &[&'a dyn Source]) -> Result<Self, (usize, io::Error)> {
        let mut parts = Vec::new();
        let mut end = 0_u64;
        for (number, source) in sources.iter().enumerate() {
            let start = end.next_multiple_of(ALIGNMENT);
            let length = source.length().map_err(|error| (number, error))?;
            end = start.saturating_add(length);
            parts.push((start, length, *source));
        }
        Ok(Self { parts, length: end })
    }
}

impl Source for Joined<'_> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let size = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let end =
            offset.checked_add(size).filter(|&end| end <= self.length).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.fill(0);
        for &(start, length, source) in &self.parts {
            let from = start.max(offset);
            let to = start.saturating_add(length).min(end);
            if from >= to {
                continue;
            }
            let place = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
            let piece = buffer.get_mut(place(from)..place(to)).ok_or(io::ErrorKind::UnexpectedEof)?;
            source.read_at(from.saturating_sub(start), piece)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_can_be_read_from_any_place() {
        let parts: [&[u8]; 4] = [b"abcde", b"", b"fghi", b"j"];
        let sources: Vec<&dyn Source> = parts.iter().map(|part| part as &dyn Source).collect();
        let joined = Joined::new(&sources).unwrap();
        let whole = b"abcde\0\0\0fghij";
        assert_eq!(joined.length().unwrap(), whole.len() as u64);
        for from in 0..=whole.len() {
            for to in from..=whole.len() {
                let mut buffer = vec![0xff; to - from];
                joined.read_at(from as u64, &mut buffer).unwrap();
                assert_eq!(buffer, whole[from..to], "{from}..{to}");
            }
        }
        assert!(joined.read_at(10, &mut [0; 4]).is_err());
    }
}
