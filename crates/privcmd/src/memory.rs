//! Memory whose address is handed to Xen.

use std::io;
use std::ptr::{self, NonNull};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::PAGE;

/// Locked pages of our own whose address is handed to Xen.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to the process, not to a thread; it is only copied from and to.
unsafe impl Send for Buffer {}
// SAFETY: as above; copies that race give some bytes, and no reference sees them change.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Zeroed pages that stay in memory, at least one.
    ///
    /// # Errors
    /// Where the memory cannot be had or locked.
    pub fn new(pages: usize) -> io::Result<Self> {
        let length = pages.max(1).saturating_mul(PAGE);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE | libc::MAP_LOCKED;
        // SAFETY: a new mapping at an address that the kernel chooses; nothing of ours is replaced.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        let buffer = Self { start, length };
        // A page that was only read is the kernel's shared page of zeros.
        for offset in (0..length).step_by(PAGE) {
            buffer.write(offset, &[0]);
        }
        Ok(buffer)
    }

    /// A buffer that begins with `bytes`.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn with(bytes: &[u8]) -> io::Result<Self> {
        let buffer = Self::new(bytes.len().div_ceil(PAGE))?;
        buffer.write(0, bytes);
        Ok(buffer)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.length
    }

    /// Copies `bytes` in, as far as they fit.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let length = bytes.len().min(self.length.saturating_sub(offset));
        if length > 0 {
            // SAFETY: offset + length is within our own mapping; the source is a slice of that length.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(offset), length) };
        }
    }

    /// Copies `length` bytes out, as far as there are any.
    #[must_use]
    pub fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let length = length.min(self.length.saturating_sub(offset));
        let mut bytes = vec![0; length];
        if length > 0 {
            // SAFETY: offset + length is within our own mapping; the target has that length.
            unsafe { ptr::copy_nonoverlapping(self.start.as_ptr().add(offset), bytes.as_mut_ptr(), length) };
        }
        bytes
    }

    /// Copies a structure in, as far as it fits.
    pub fn put<T: IntoBytes + Immutable>(&self, offset: usize, value: &T) {
        self.write(offset, value.as_bytes());
    }

    /// Copies a structure out; what is beyond the end is zero.
    #[must_use]
    pub fn get<T: FromBytes + IntoBytes>(&self, offset: usize) -> T {
        let mut value = T::new_zeroed();
        let bytes = self.read(offset, size_of::<T>());
        if let Some(target) = value.as_mut_bytes().get_mut(..bytes.len()) {
            target.copy_from_slice(&bytes);
        }
        value
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn copies_stay_inside() {
        let buffer = Buffer::with(b"hello").unwrap();
        assert_eq!(buffer.size(), PAGE);
        assert_eq!(buffer.read(0, 5), b"hello");
        buffer.write(PAGE - 2, b"abc");
        assert_eq!(buffer.read(PAGE - 2, 9), b"ab");
        assert_eq!(buffer.read(PAGE + 1, 1), b"");
        assert_eq!(buffer.get::<u32>(PAGE - 2), u32::from_le_bytes(*b"ab\0\0"));
    }
}
