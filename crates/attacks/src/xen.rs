//! Everything unsafe: memory that is shared with Xen, the ioctls of privcmd, and system calls without a safe
//! wrapper.
//!
//! # What holds it together
//!
//! - Memory that Xen or a device may change behind our back is only reached through raw pointers and copied byte by
//!   byte (`Buffer` of `lockdown-privcmd`, [`Mapping`]); no reference to it exists, so Rust never assumes that it
//!   stays the same.
//! - Both own their mapping, are unmapped once, and check every offset.
//! - A page of a [`Mapping`] is only read where the kernel said that it mapped it: any other would be a bus error.
//! - A hypercall can write wherever it is told to. The attacks tell it addresses of a `Buffer` or addresses in the
//!   kernel's half; never an address of Rust's own memory. That cannot be checked here, because addresses also
//!   stand inside of structures, and is the rule for every caller of [`Privcmd::hypercall`].

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::ptr::{self, NonNull};

use zerocopy::{FromBytes, Immutable, IntoBytes};

pub(crate) use lockdown_privcmd::{Buffer, PAGE};
use lockdown_privcmd::{HYPERCALL, ioctl_number};

use crate::layout::{DmOp, DmOpBuffer, MmapBatch, MmapEntry, MmapRanges, MmapResource};

const MMAPBATCH_V2: libc::c_ulong = ioctl_number(4, size_of::<MmapBatch>());
const MMAP: libc::c_ulong = ioctl_number(2, size_of::<MmapRanges>());
const DM_OP: libc::c_ulong = ioctl_number(5, size_of::<DmOp>());
const RESTRICT: libc::c_ulong = ioctl_number(6, size_of::<u16>());
const MMAP_RESOURCE: libc::c_ulong = ioctl_number(7, size_of::<MmapResource>());

/// One page of fresh anonymous memory that was never written to: the kernel shows its shared page of zeros there.
pub(crate) struct ZeroPage {
    start: NonNull<u8>,
}

impl ZeroPage {
    pub(crate) fn new() -> io::Result<Self> {
        let start = map(PAGE, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        Ok(Self { start })
    }

    /// What the kernel's page of zeros holds right now.
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; PAGE];
        // SAFETY: our own mapping of one page, and a target of one page.
        unsafe { ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), PAGE) };
        bytes
    }

    /// Where it is.
    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }
}

impl Drop for ZeroPage {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), PAGE) };
    }
}

/// The processor's clock.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every processor that Xen runs on has it, and Linux does not switch it off.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The processor time of all programs that this one ran and waited for, in nanoseconds.
pub(crate) fn children_time() -> io::Result<u64> {
    // SAFETY: all bytes zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours and the kernel fills it in.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    check(result.into())?;
    let time = |time: libc::timeval| {
        let [seconds, micros] = [time.tv_sec, time.tv_usec].map(|number| u64::try_from(number).unwrap_or(0));
        seconds * 1_000_000_000 + micros * 1_000
    };
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}

/// Memory at addresses that whoever wrote the calls down chose.
pub(crate) struct Arena {
    start: NonNull<u8>,
}

impl Arena {
    /// Where it begins, and how long it is.
    pub(crate) const START: u64 = 0x1000_0000;
    pub(crate) const SIZE: usize = 16 * PAGE;

    /// Fails where something is there already.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE | libc::MAP_POPULATE;
        let place = ptr::without_provenance_mut(usize::try_from(Self::START).map_err(io::Error::other)?);
        // SAFETY: a new mapping, which replaces nothing of ours.
        let start = unsafe { libc::mmap(place, Self::SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start })
    }

    /// Puts bytes at an address of it; `false` where it does not reach so far.
    pub(crate) fn put(&self, address: u64, bytes: &[u8]) -> bool {
        let offset = address.checked_sub(Self::START).and_then(|offset| usize::try_from(offset).ok());
        let fits = |offset: &usize| offset.checked_add(bytes.len()).is_some_and(|end| end <= Self::SIZE);
        let Some(offset) = offset.filter(fits) else { return false };
        // SAFETY: the bytes lie within our own mapping, and no reference to it exists.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(offset), bytes.len()) };
        true
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), Self::SIZE) };
    }
}

/// Frames of a domain, mapped through privcmd.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
    writable: bool,
    /// For each page 0, or why it is not mapped.
    pub(crate) errors: Vec<i32>,
}

impl Mapping {
    /// Whether the kernel mapped page `index`.
    pub(crate) fn is_mapped(&self, index: usize) -> bool {
        self.errors.get(index) == Some(&0)
    }

    /// Bytes of page `index`, where it is mapped.
    pub(crate) fn read(&self, index: usize, offset: usize, length: usize) -> Option<Vec<u8>> {
        let start = self.at(index, offset, length)?;
        let mut bytes = vec![0; length];
        // SAFETY: at() checked that the bytes lie in one page that is mapped.
        unsafe { ptr::copy_nonoverlapping(start, bytes.as_mut_ptr(), length) };
        Some(bytes)
    }

    /// Reads a register of four bytes in one access, as devices want it.
    pub(crate) fn read_register(&self, index: usize, offset: usize) -> Option<u32> {
        let start = self.at(index, offset, 4).filter(|_| offset % 4 == 0)?;
        // SAFETY: at() checked the bytes; pages are aligned and so is the offset.
        Some(unsafe { ptr::read_volatile(start.cast::<u32>()) })
    }

    /// Writes a register of four bytes in one access.
    pub(crate) fn write_register(&self, index: usize, offset: usize, value: u32) {
        let start = self.at(index, offset, 4).filter(|_| offset % 4 == 0 && self.writable);
        if let Some(start) = start {
            // SAFETY: at() checked the bytes; pages are aligned and so is the offset; the mapping is writable.
            unsafe { ptr::write_volatile(start.cast::<u32>(), value) };
        }
    }

    /// Writes into page `index`, where it is mapped and the mapping was asked for as writable.
    pub(crate) fn write(&self, index: usize, offset: usize, bytes: &[u8]) -> bool {
        let Some(start) = self.at(index, offset, bytes.len()).filter(|_| self.writable) else { return false };
        // SAFETY: at() checked that the bytes lie in one page that is mapped; the mapping is writable.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
        true
    }

    fn at(&self, index: usize, offset: usize, length: usize) -> Option<*mut u8> {
        let inside = offset.checked_add(length)? <= PAGE && (index + 1).checked_mul(PAGE)? <= self.length;
        // SAFETY: the offset is within our own mapping.
        (inside && self.is_mapped(index)).then(|| unsafe { self.start.as_ptr().add(index * PAGE + offset) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A device model's operation, ready to be made as often as one likes.
pub(crate) struct DeviceModelCall<'a> {
    domain: u16,
    structure: Buffer,
    buffers: Vec<DmOpBuffer>,
    /// What the buffers beside the structure are.
    more: std::marker::PhantomData<&'a Buffer>,
}

impl<'a> DeviceModelCall<'a> {
    pub(crate) fn new<T: IntoBytes + Immutable>(
        domain: u16,
        operation: &T,
        more: &'a [&'a Buffer],
    ) -> io::Result<Self> {
        let structure = Buffer::with(operation.as_bytes())?;
        let first = DmOpBuffer { address: structure.address(), size: size_of::<T>() as u64 };
        let rest = more.iter().map(|buffer| DmOpBuffer { address: buffer.address(), size: PAGE as u64 });
        let buffers = std::iter::once(first).chain(rest).collect();
        Ok(Self { domain, structure, buffers, more: std::marker::PhantomData })
    }
}

/// An open privcmd device.
pub(crate) struct Privcmd {
    device: lockdown_privcmd::Privcmd,
}

impl Privcmd {
    /// The device where everybody expects it.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_at(lockdown_privcmd::DEVICE)
    }

    /// A device under another name.
    pub(crate) fn open_at(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { device: lockdown_privcmd::Privcmd::open_at(path)? })
    }

    /// Makes hypercall `number`. What is negative becomes an error.
    ///
    /// Addresses in `arguments`, or in what they point to, are those of a `Buffer` or lie in the kernel's half.
    pub(crate) fn hypercall(&self, number: u64, arguments: [u64; 5]) -> io::Result<i64> {
        // SAFETY: what the hypercall writes to is the caller's business, see the head of this file.
        unsafe { self.device.hypercall(number, arguments) }
    }

    /// As [`Privcmd::hypercall`], with the structure of the ioctl itself in a buffer, where another thread may
    /// change it.
    pub(crate) fn hypercall_in(&self, call: &Buffer) -> io::Result<i64> {
        // SAFETY: as above; a Buffer is at least one page.
        let result = unsafe { libc::ioctl(self.file(), HYPERCALL, call.address() as *const c_void) };
        check(result.into())
    }

    /// Maps `frames` of `domain` with `MMAPBATCH_V2`. Each page has an error of its own; an error of the whole call
    /// stands in all of them.
    pub(crate) fn map_frames(&self, domain: u16, frames: &[u64], writable: bool) -> io::Result<Mapping> {
        let mapping = self.window(frames.len(), writable)?;
        let mut errors = vec![0_i32; frames.len()];
        let request = MmapBatch {
            number: u32::try_from(frames.len()).map_err(io::Error::other)?,
            domain,
            padding: 0,
            address: mapping.start.as_ptr() as u64,
            frames: frames.as_ptr() as u64,
            errors: errors.as_mut_ptr() as u64,
        };
        // SAFETY: the window has as many pages as there are frames, and both arrays have that many elements and
        // live until after the call.
        let result = unsafe { libc::ioctl(self.file(), MMAPBATCH_V2, &raw const request) };
        Ok(finish(mapping, result, errors))
    }

    /// Maps `pages` pages of a resource with `MMAP_RESOURCE`.
    pub(crate) fn map_resource(&self, domain: u16, kind: u32, id: u32, pages: usize) -> io::Result<Mapping> {
        self.map_resource_at(domain, kind, id, 0, pages)
    }

    /// As [`Privcmd::map_resource`], from page `index` on.
    pub(crate) fn map_resource_at(
        &self,
        domain: u16,
        kind: u32,
        id: u32,
        index: u32,
        pages: usize,
    ) -> io::Result<Mapping> {
        let mapping = self.window(pages, true)?;
        let request = MmapResource {
            domain,
            padding: 0,
            kind,
            id,
            index,
            number: pages as u64,
            address: mapping.start.as_ptr() as u64,
        };
        // SAFETY: the window has as many pages as are asked for.
        let result = unsafe { libc::ioctl(self.file(), MMAP_RESOURCE, &raw const request) };
        Ok(finish(mapping, result, vec![0; pages]))
    }

    /// How many pages a resource has: `MMAP_RESOURCE` without an address.
    pub(crate) fn resource_size(&self, domain: u16, kind: u32, id: u32) -> io::Result<u64> {
        let mut request = MmapResource { domain, padding: 0, kind, id, index: 0, number: 0, address: 0 };
        // SAFETY: the kernel writes into the structure only, which is of the size that the number says.
        let result = unsafe { libc::ioctl(self.file(), MMAP_RESOURCE, &raw mut request) };
        check(result.into())?;
        Ok(request.number)
    }

    /// Maps one frame of `domain` with `MMAP`, the oldest way.
    pub(crate) fn map_range(&self, domain: u16, frame: u64) -> io::Result<Mapping> {
        let mapping = self.window(1, true)?;
        let entry = MmapEntry { address: mapping.start.as_ptr() as u64, frame, pages: 1 };
        let request = MmapRanges { number: 1, domain, padding: 0, entries: &raw const entry as u64 };
        // SAFETY: the window has one page, and the entry lives until after the call.
        let result = unsafe { libc::ioctl(self.file(), MMAP, &raw const request) };
        Ok(finish(mapping, result, vec![0]))
    }

    /// A device model's operation on `domain`, with further buffers; the structure comes back as Xen left it.
    pub(crate) fn device_model<T>(&self, domain: u16, operation: &T, more: &[&Buffer]) -> io::Result<T>
    where
        T: IntoBytes + FromBytes + Immutable,
    {
        let call = DeviceModelCall::new(domain, operation, more)?;
        self.issue(&call)?;
        Ok(call.structure.get(0))
    }

    /// Makes it.
    pub(crate) fn issue(&self, call: &DeviceModelCall<'_>) -> io::Result<()> {
        let number = u16::try_from(call.buffers.len()).map_err(io::Error::other)?;
        let request = DmOp { domain: call.domain, number, padding: 0, buffers: call.buffers.as_ptr() as u64 };
        // SAFETY: every buffer is a Buffer of at least that size, and they and their list live until after the call.
        let result = unsafe { libc::ioctl(self.file(), DM_OP, &raw const request) };
        check(result.into()).map(drop)
    }

    /// Holds this open file to one domain, for good.
    pub(crate) fn restrict(&self, domain: u16) -> io::Result<()> {
        // SAFETY: the kernel reads one number.
        let result = unsafe { libc::ioctl(self.file(), RESTRICT, &raw const domain) };
        check(result.into()).map(drop)
    }

    /// One of the ioctls that only take a structure of numbers, at most a page of them.
    pub(crate) fn simple(&self, request: libc::c_ulong) -> io::Result<i64> {
        let structure = Buffer::new(1)?;
        // SAFETY: a Buffer of one page, all zeros: no address stands in it.
        let result = unsafe { libc::ioctl(self.file(), request, structure.address() as *const c_void) };
        check(result.into())
    }

    fn file(&self) -> c_int {
        self.device.as_fd().as_raw_fd()
    }

    fn window(&self, pages: usize, writable: bool) -> io::Result<Mapping> {
        let length = pages.max(1).saturating_mul(PAGE);
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let start = map(length, protection, libc::MAP_SHARED, self.file())?;
        Ok(Mapping { start, length, writable, errors: vec![-libc::ENXIO; pages] })
    }
}

fn finish(mut mapping: Mapping, result: libc::c_int, mut errors: Vec<i32>) -> Mapping {
    if result < 0 {
        let error = -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        for each in &mut errors {
            if *each == 0 {
                *each = error;
            }
        }
    }
    mapping.errors = errors;
    mapping
}

/// The host name with every byte, zeros among them.
pub(crate) fn host_name() -> io::Result<Vec<u8>> {
    // SAFETY: all bytes zero is a valid utsname.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours and the kernel fills it in.
    let result = unsafe { libc::uname(&raw mut names) };
    check(result.into())?;
    Ok(names.nodename.iter().map(|byte| byte.to_ne_bytes()[0]).collect())
}

/// The system call kexec_load with one segment that is the start of `image`.
pub(crate) fn kexec_load(image: &Buffer) -> io::Result<i64> {
    let segment = [image.address(), PAGE as u64, 0x10_0000, PAGE as u64];
    // SAFETY: one segment of four words, as the system call expects; the kernel only reads.
    let result = unsafe { libc::syscall(libc::SYS_kexec_load, 0x10_0000_u64, 1_u64, segment.as_ptr(), 0_u64) };
    check(result)
}

/// The system call kexec_load without segments: whatever is loaded goes.
pub(crate) fn kexec_unload() -> io::Result<i64> {
    // SAFETY: no pointers are handed over.
    let result = unsafe { libc::syscall(libc::SYS_kexec_load, 0_u64, 0_u64, ptr::null::<c_void>(), 0_u64) };
    check(result)
}

/// Asks for the right to use I/O ports.
pub(crate) fn io_privilege() -> io::Result<i64> {
    // SAFETY: no pointers; it changes only what this process may do.
    let result = unsafe { libc::iopl(3) };
    check(result.into())
}

fn check(result: libc::c_long) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn map(length: usize, protection: i32, flags: i32, file: i32) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address that the kernel chooses; nothing of ours is replaced.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))
}
