//! Where the bytes of an image come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::{Error, Part, Problem};

/// Bytes that can be read at any place: a file, or memory.
pub trait Source {
    /// How many there are.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer from `offset` on.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl Source for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let bytes = rest.and_then(|rest| rest.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Reads `size` bytes of the part that begins at `offset`. The file's length is asked before memory is.
pub(crate) fn read(source: &(impl Source + ?Sized), offset: u64, size: u64, part: Part) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Io { offset, source };
    let length = source.length().map_err(io)?;
    let truncated = || Problem::truncated(offset, part, length);
    if offset.checked_add(size).is_none_or(|end| end > length) {
        return Err(truncated().into());
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| truncated())?];
    source.read_at(offset, &mut bytes).map_err(io)?;
    Ok(bytes)
}
