//! The hammer's system calls, whose arguments are made up; everything unsafe of it.
//!
//! # What holds it together
//!
//! - The addresses that are made up lie in a [`Window`]: address space that was reserved for them, with room on both
//!   sides where nothing is, so that a length that is too long meets a fault before it meets memory of Rust's. All others
//!   are the kernel's, or belong to nobody.
//! - A window changes only within its own bounds; a part that was given back and that somebody else took is not touched.
//! - It runs in processes of its own. What goes wrong in spite of all this is the end of such a process, which is counted.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// Bytes in a page.
pub(super) const PAGE: u64 = 4096;

/// What nothing is in: more than any length that is usual.
const MARGIN: u64 = 64 << 20;

/// Numbers in a file that several processes share; they outlive each of them.
pub(super) struct Shared {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory belongs to the process, and is reached by atomic operations only.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps `file`, which has at least that many words.
    pub(super) fn map(file: &File, words: usize) -> io::Result<Self> {
        let length = words.saturating_mul(8);
        if file.metadata()?.len() < length as u64 {
            return Err(io::Error::other("the shared file is too short"));
        }
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, words })
    }

    /// One of them; the last for what is beyond.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        // SAFETY: within the mapping, which is aligned to pages and lives as long as this; any bits are a number.
        unsafe { &*self.start.as_ptr().add(index.min(self.words.saturating_sub(1))) }
    }
}

/// Address space that was reserved, and memory in it.
pub(super) struct Window {
    start: u64,
    length: u64,
    /// How much of its beginning is memory, for as long as the window is there.
    memory: u64,
}

impl Window {
    /// Reserves `length` bytes with a margin on both sides; the first `memory` of them can be read and written.
    pub(super) fn new(length: u64, memory: u64) -> io::Result<Self> {
        let whole = length.saturating_add(2 * MARGIN);
        let start = map(0, whole, libc::PROT_NONE, RESERVED, -1, 0)?.saturating_add(MARGIN);
        let usual = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        map(start, memory.min(length), libc::PROT_READ | libc::PROT_WRITE, usual, -1, 0)?;
        Ok(Self { start, length, memory: memory.min(length) })
    }

    /// Where byte `offset` is.
    pub(super) fn at(&self, offset: u64) -> u64 {
        self.start.saturating_add(offset)
    }

    /// Whether all of it lies in the part that changes.
    fn holds(&self, address: u64, length: u64) -> bool {
        let start = self.start.saturating_add(self.memory);
        let inside = address.checked_sub(start).and_then(|offset| offset.checked_add(length));
        inside.is_some_and(|end| end <= self.length - self.memory)
    }

    /// Puts something else into a part: memory, a file, or nothing.
    pub(super) fn map(
        &self,
        address: u64,
        length: u64,
        protection: i32,
        flags: i32,
        file: RawFd,
        offset: i64,
    ) -> io::Result<u64> {
        if !self.holds(address, length) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        map(address, length, protection, flags | libc::MAP_FIXED, file, offset)
    }

    /// Reserves a part again, whatever is in it.
    pub(super) fn clear(&self, address: u64, length: u64) -> io::Result<()> {
        self.map(address, length, libc::PROT_NONE, RESERVED, -1, 0).map(drop)
    }

    /// Gives a part back, then reserves it again. `false`: somebody else has it now.
    pub(super) fn unmap(&self, address: u64, length: u64) -> (i32, bool) {
        if !self.holds(address, length) {
            return (libc::EINVAL, true);
        }
        // SAFETY: a part of our own window, in which no reference points.
        let result = unsafe { libc::munmap(pointer(address), size(length)) };
        if result < 0 {
            return (errno(), true);
        }
        (0, self.reserve(address, length))
    }

    /// Reserves a part in which nothing is any more. `false`: somebody else has it now.
    pub(super) fn reserve(&self, address: u64, length: u64) -> bool {
        let flags = RESERVED | libc::MAP_FIXED_NOREPLACE;
        self.holds(address, length) && map(address, length, libc::PROT_NONE, flags, -1, 0).is_ok()
    }

    /// `mprotect` of a part.
    pub(super) fn protect(&self, address: u64, length: u64, protection: i32) -> i32 {
        if !self.holds(address, length) {
            return libc::EINVAL;
        }
        // SAFETY: a part of our own window, in which no reference points.
        answer(unsafe { libc::mprotect(pointer(address), size(length), protection) }.into())
    }

    /// `mremap` of a part to another.
    pub(super) fn shift(&self, from: u64, old: u64, to: u64, new: u64) -> i32 {
        if !self.holds(from, old) || !self.holds(to, new) {
            return libc::EINVAL;
        }
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: parts of our own window, in which no reference points.
        let result = unsafe { libc::mremap(pointer(from), size(old), size(new), flags, pointer(to)) };
        if result == libc::MAP_FAILED { errno() } else { 0 }
    }

    /// `madvise` of a part.
    pub(super) fn advise(&self, address: u64, length: u64, advice: i32) -> i32 {
        if !self.holds(address, length) {
            return libc::EINVAL;
        }
        // SAFETY: a part of our own window, in which no reference points.
        answer(unsafe { libc::madvise(pointer(address), size(length), advice) }.into())
    }

    /// `mlock` or `munlock` of a part.
    pub(super) fn lock(&self, address: u64, length: u64, lock: bool) -> i32 {
        if !self.holds(address, length) {
            return libc::EINVAL;
        }
        let call = if lock { libc::mlock } else { libc::munlock };
        // SAFETY: a part of our own window; locking changes nothing in it.
        answer(unsafe { call(pointer(address), size(length)) }.into())
    }

    /// Puts `bytes` into the memory, if they lie in it.
    pub(super) fn put(&self, address: u64, bytes: &[u8]) {
        let end = address.checked_sub(self.start).and_then(|offset| offset.checked_add(bytes.len() as u64));
        if end.is_some_and(|end| end <= self.memory) {
            let to: *mut u8 = pointer(address).cast();
            // SAFETY: within memory of our own that stays; no reference points into it.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
    }

    /// Has the kernel read from a part, and write it back where `write` says so.
    pub(super) fn touch(&self, address: u64, write: bool) -> i32 {
        let mut bytes = [0_u8; 64];
        if !self.holds(address, 64) {
            return libc::EINVAL;
        }
        if !copy(address, bytes.as_mut_ptr() as u64, 64, false) {
            return errno();
        }
        if write && !copy(address, bytes.as_ptr() as u64, 64, true) {
            return errno();
        }
        0
    }
}

/// Address space without memory.
const RESERVED: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Copies between a window and memory of ours by way of the kernel.
fn copy(remote: u64, local: u64, length: u64, write: bool) -> bool {
    let piece = |address| libc::iovec { iov_base: pointer(address), iov_len: size(length) };
    let (local, remote) = (piece(local), piece(remote));
    // SAFETY: asks for no rights and has no memory.
    let own = unsafe { libc::getpid() };
    // SAFETY: one piece on each side; the local one is a slice of that length in the callers above, the remote one lies in
    // a window.
    let done = unsafe {
        if write {
            libc::process_vm_writev(own, &raw const local, 1, &raw const remote, 1, 0)
        } else {
            libc::process_vm_readv(own, &raw const local, 1, &raw const remote, 1, 0)
        }
    };
    u64::try_from(done) == Ok(length)
}

/// A room of a size that no window has, made and given back at once around `act`.
pub(super) fn huge(length: u64, file: RawFd, act: impl FnOnce(u64)) -> i32 {
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    match map(0, length, libc::PROT_READ | libc::PROT_WRITE, flags, file, 0) {
        Ok(start) => {
            act(start);
            // SAFETY: our own mapping, unmapped once; no reference points into it.
            answer(unsafe { libc::munmap(pointer(start), size(length)) }.into())
        }
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// An ioctl. What the kernel or Xen answers below zero is an error, anything else 0.
///
/// `argument`, and what addresses stand in there, are as the head of this file says.
pub(super) fn ioctl(file: RawFd, request: u64, argument: u64) -> i32 {
    // SAFETY: what is written goes into a window or nowhere, see the head of this file.
    answer(unsafe { libc::ioctl(file, request, argument) }.into())
}

/// Closes a file that nobody in Rust owns.
pub(super) fn close(file: RawFd) -> i32 {
    // SAFETY: the number comes from open() of this file, and whoever takes it out of the table is the only one to close it.
    answer(unsafe { libc::close(file) }.into())
}

/// Opens a device for reading and writing.
pub(super) fn open(path: &std::ffi::CStr) -> Result<RawFd, i32> {
    // SAFETY: a text that ends in a zero byte.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if file < 0 { Err(errno()) } else { Ok(file) }
}

/// A child that does `act` and ends; 0, or why there is none. Nobody waits for it.
///
/// `act` makes system calls and nothing else: a lock that another thread held stays locked in the child.
pub(super) fn fork(act: impl FnOnce()) -> i32 {
    // SAFETY: the child makes system calls only, and leaves by _exit.
    match unsafe { libc::fork() } {
        0 => {
            act();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) }
        }
        -1 => errno(),
        _ => 0,
    }
}

/// Interrupts this process every so many microseconds, by a signal that does nothing; its children are not waited for.
pub(super) fn interrupt_every(microseconds: i64) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all bytes zero is a valid sigaction; the handler does nothing, and system calls are not restarted.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut());
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
    }
    let every = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: a structure of our own.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
}

fn map(address: u64, length: u64, protection: i32, flags: i32, file: RawFd, offset: i64) -> io::Result<u64> {
    // SAFETY: a new mapping where the kernel chooses, or within a window, as the callers above see to.
    let start = unsafe { libc::mmap(pointer(address), size(length), protection, flags, file, offset) };
    if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(start as u64) }
}

fn pointer(address: u64) -> *mut libc::c_void {
    ptr::with_exposed_provenance_mut(size(address))
}

fn size(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn answer(result: i64) -> i32 {
    if result < 0 { errno() } else { 0 }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
