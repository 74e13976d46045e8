//! Hypercalls from dom0's userspace through `/dev/xen/privcmd`, and [`hypfs`], which is read through them.
//!
//! # What holds the unsafe code together
//!
//! - Memory that Xen writes to behind our back is only reached through raw pointers and copied byte by byte
//!   ([`Buffer`]); no reference to it exists, so Rust never assumes that it stays the same.
//! - A buffer owns its mapping, is unmapped once, and checks every offset.
//! - A hypercall writes wherever it is told to. [`Privcmd::hypercall`] is unsafe for that; [`hypfs`] is safe, because
//!   every address that it hands over is one of its own buffers, with its length.

pub mod hypfs;
mod memory;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use memory::Buffer;

/// Bytes in a page of x86.
pub const PAGE: usize = 4096;

/// Where everybody expects the device.
pub const DEVICE: &str = "/dev/xen/privcmd";

/// `struct privcmd_hypercall` of Linux's `include/uapi/xen/privcmd.h`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Call {
    /// The number of the hypercall.
    pub number: u64,
    /// What goes into its registers.
    pub arguments: [u64; 5],
}

const _: () = assert!(size_of::<Call>() == 48);

/// The number of one of privcmd's ioctls, by its own number and the size of its structure: `_IOC(_IOC_NONE, 'P', ..)`
/// of Linux's `include/uapi/xen/privcmd.h`.
#[must_use]
pub const fn ioctl_number(number: libc::c_ulong, size: usize) -> libc::c_ulong {
    ((size as libc::c_ulong) << 16) | ((b'P' as libc::c_ulong) << 8) | number
}

/// The ioctl that makes a hypercall.
pub const HYPERCALL: libc::c_ulong = ioctl_number(0, size_of::<Call>());

/// An open privcmd device.
#[derive(Debug)]
pub struct Privcmd {
    file: File,
}

impl Privcmd {
    /// Opens the device at [`DEVICE`].
    ///
    /// # Errors
    /// Where it is not there, or the caller may not open it.
    pub fn open() -> io::Result<Self> {
        Self::open_at(DEVICE)
    }

    /// Opens a device under another name.
    ///
    /// # Errors
    /// As [`Privcmd::open`].
    pub fn open_at(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(path)?;
        Ok(Self { file })
    }

    /// Makes hypercall `number`.
    ///
    /// # Errors
    /// What Linux or Xen answers, where it is negative.
    ///
    /// # Safety
    /// Xen reads and writes what `arguments` point to, and what that points to. All of it must be memory that the
    /// hypercall may read, or write, for as long as it lasts, and to which no reference exists: that of a [`Buffer`].
    pub unsafe fn hypercall(&self, number: u64, arguments: [u64; 5]) -> io::Result<i64> {
        let call = Call { number, arguments };
        // SAFETY: the request is made for a structure of this size, which the kernel only reads; the caller answers for
        // what it points to.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), HYPERCALL, &raw const call) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result.into()) }
    }
}

impl AsFd for Privcmd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
