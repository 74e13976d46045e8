//! The doors of a device model: what QEMU does to a guest, done to a guest that is being made.
//!
//! The same on every kernel; what only the guard refuses is asked of a guarded kernel only.

use std::io;

use lockdown_privcmd::ioctl_number;
use zerocopy::FromBytes as _;

use crate::calls::{Guest, describe, domain};
use crate::layout::{GrantEntry, IoRange, IoServer, IoServerInfo};
use crate::outcome::{Outcome, broken, works};
use crate::witness::{is_guarded, is_pv, marker};
use crate::xen::{Buffer, Privcmd};

/// Numbers of operations.
const CREATE_SERVER: u32 = 1;
const SERVER_INFO: u32 = 2;
const MAP_RANGE: u32 = 3;
const SERVER_STATE: u32 = 5;
const DESTROY_SERVER: u32 = 6;
const MODIFIED_MEMORY: u32 = 11;
const VCPUS: u32 = 20;

/// Kinds of resources, and the part of an I/O server that has a request for each processor.
const IO_SERVER: u32 = 0;
const GRANT_TABLE: u32 = 1;

fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error()
}

/// An operation whose structure begins with the id of a server, or with a number of its own.
fn operation(operation: u32, id: u16) -> IoServer {
    IoServer { operation, padding: 0, first: id.into(), second: 0, rest: [0; 4] }
}

pub(super) fn operations() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest = Guest::hardware(&privcmd, Guest::HVM)?;
    guest.fill(&[0, 1, 2, 3])?;
    let mut told = Vec::new();

    let vcpus = privcmd.device_model(guest.id, &operation(VCPUS, 0), &[]);
    match vcpus.as_ref().map(|answer| answer.first) {
        Ok(1) => told.push("one processor".to_owned()),
        _ => return broken(format!("nr_vcpus: {vcpus:?}")),
    }
    let id = match create(&privcmd, guest.id) {
        Ok(id) => id,
        Err(error) => return broken(format!("create_ioreq_server: {error}")),
    };
    // Without frames in the guest: as QEMU asks, which maps the resource.
    let info = IoServerInfo { operation: SERVER_INFO, padding: 0, id, flags: 1, port: 0, frame: 0, buffered: 0 };
    let range = IoRange { operation: MAP_RANGE, padding: 0, id, pad: 0, kind: 0, first: 0x1f0, last: 0x1f7 };
    // The id, and behind it a byte that says on.
    let on = IoServer { first: u32::from(id) | 1 << 16, ..operation(SERVER_STATE, 0) };
    if let Err(error) = privcmd.device_model(guest.id, &info, &[]) {
        return broken(format!("get_ioreq_server_info: {error}"));
    }
    if let Err(error) = privcmd.device_model(guest.id, &range, &[]) {
        return broken(format!("map_io_range_to_ioreq_server: {error}"));
    }
    if privcmd.device_model(guest.id, &range, &[]).is_ok() {
        return broken("the same ports were given to the server twice: the first time had no effect");
    }
    if let Err(error) = privcmd.device_model(guest.id, &on, &[]) {
        return broken(format!("set_ioreq_server_state: {error}"));
    }
    // A list of one range in a buffer beside the structure.
    let list = Buffer::with(zerocopy::IntoBytes::as_bytes(&[1_u64, 1]))?;
    if let Err(error) = privcmd.device_model(guest.id, &operation(MODIFIED_MEMORY, 1), &[&list]) {
        return broken(format!("modified_memory: {error}"));
    }
    told.push(format!("server {id}: told of, given ports once, switched on"));
    if let Err(error) = privcmd.device_model(guest.id, &operation(DESTROY_SERVER, id), &[]) {
        return broken(format!("destroy_ioreq_server: {error}"));
    }
    if privcmd.device_model(guest.id, &info, &[]).is_ok() {
        return broken("the server answers after it was destroyed");
    }
    told.push("destroyed".to_owned());
    for own in [0, domain::SELF] {
        match privcmd.device_model(own, &operation(VCPUS, 0), &[]) {
            Err(error) if matches!(errno(&error), Some(libc::EPERM | libc::ESRCH)) => {
                told.push(format!("of domain {own:#x}: {error}"));
            }
            other => return broken(format!("nr_vcpus of domain {own:#x}: {other:?}")),
        }
    }
    works(told.join("; "))
}

/// An I/O server without a page for requests that nobody waits for.
fn create(privcmd: &Privcmd, guest: u16) -> io::Result<u16> {
    let made = privcmd.device_model(guest, &operation(CREATE_SERVER, 0), &[])?;
    // Behind what was asked for, a byte and its padding.
    Ok(u16::try_from(made.second & 0xffff).unwrap_or_default())
}

pub(super) fn resource() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest = Guest::hardware(&privcmd, Guest::HVM)?;
    let id = match create(&privcmd, guest.id) {
        Ok(id) => id,
        Err(error) => return broken(format!("create_ioreq_server: {error}")),
    };
    let mut told = Vec::new();
    for (name, kind, id) in [("I/O server", IO_SERVER, u32::from(id)), ("grant table", GRANT_TABLE, 0)] {
        match privcmd.resource_size(guest.id, kind, id) {
            Ok(pages @ 1..) => told.push(format!("{name}: {pages} pages")),
            other => return broken(format!("{name}: how large it is: {other:?}")),
        }
    }
    // Its first page is for requests that nobody waits for, of which this one has none.
    let requests = privcmd.map_resource_at(guest.id, IO_SERVER, id.into(), 1, 1)?;
    match requests.read(0, 0, 4096) {
        Some(bytes) if bytes.iter().all(|byte| *byte == 0) => told.push("no request waits".to_owned()),
        Some(bytes) => return broken(format!("the page of requests begins {:02x?}", bytes.get(..32))),
        None => return broken(format!("the page of requests: {}", describe(&requests.errors))),
    }
    // An entry that is written here is in the guest's table, where a second mapping finds it.
    let entry = GrantEntry { flags: 1, domain: 0, frame: 0x1234 };
    let first = privcmd.map_resource(guest.id, GRANT_TABLE, 0, 1)?;
    let written = first.write(0, 8 * 8, zerocopy::IntoBytes::as_bytes(&entry));
    let second = privcmd.map_resource(guest.id, GRANT_TABLE, 0, 1)?;
    let seen = second.read(0, 8 * 8, 8).and_then(|bytes| GrantEntry::read_from_bytes(&bytes).ok());
    if !written || seen.map(|entry| entry.frame) != Some(0x1234) {
        return broken(format!("grant table: {}, then {seen:?}", describe(&first.errors)));
    }
    told.push("the grant that was written is read again".to_owned());
    works(told.join("; "))
}

pub(super) fn mmap() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest = Guest::create(&privcmd, &[])?;
    let (frame, page) = guest.page()?;
    let text = marker();
    page.write(0, 64, text.as_bytes());
    let mapping = privcmd.map_range(guest.id, frame)?;
    let seen = mapping.read(0, 64, text.len());
    if !is_pv()? {
        let absent = mapping.errors.first() == Some(&-libc::ENOSYS);
        let told = format!("MMAP in a PVH domain 0: {}", describe(&mapping.errors));
        return if absent { works(told) } else { broken(told) };
    }
    if seen.as_deref() != Some(text.as_bytes()) {
        return broken(format!("MMAP of frame {frame:#x}: {}, {seen:02x?}", describe(&mapping.errors)));
    }
    let mut told = format!("{text:?} was written through one mapping and read through MMAP");
    if is_guarded() {
        for own in [0, domain::SELF] {
            let mapping = privcmd.map_range(own, frame)?;
            if mapping.errors.first() != Some(&-libc::EPERM) {
                return broken(format!("MMAP of domain {own:#x}: {}", describe(&mapping.errors)));
            }
        }
        told.push_str("; of domain 0: EPERM");
    }
    works(told)
}

pub(super) fn restrict() -> Outcome {
    let privcmd = Privcmd::open()?;
    let guest = Guest::hardware(&privcmd, Guest::HVM)?;
    let other = Guest::hardware(&privcmd, Guest::HVM)?;
    let frames = other.fill(&[0])?;
    let held = Privcmd::open()?;
    let works_before = held.device_model(other.id, &operation(VCPUS, 0), &[]).is_ok();
    held.restrict(guest.id)?;
    let refused = |what: &str, answer: io::Result<()>| match answer {
        Err(error) if errno(&error) == Some(libc::EPERM) => None,
        other => Some(format!("{what}: {other:?}")),
    };
    let mapping = held.map_frames(other.id, &frames, false)?;
    let mapped = if mapping.is_mapped(0) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(-mapping.errors.first().copied().unwrap_or_default()))
    };
    let wrong: Vec<String> = [
        refused("HYPERCALL", held.version(0, 0).map(drop)),
        refused("DM_OP of another guest", held.device_model(other.id, &operation(VCPUS, 0), &[]).map(drop)),
        refused("MMAPBATCH_V2 of another guest", mapped),
        held.restrict(guest.id).err().map(|error| format!("the same restriction again: {error}")),
        held.restrict(other.id).is_ok().then(|| "another restriction was taken".to_owned()),
        held.device_model(guest.id, &operation(VCPUS, 0), &[])
            .err()
            .map(|error| format!("DM_OP of the guest: {error}")),
        (!works_before).then(|| "DM_OP did not work before".to_owned()),
        privcmd
            .device_model(other.id, &operation(VCPUS, 0), &[])
            .err()
            .map(|error| format!("another file: {error}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if wrong.is_empty() {
        works(
            "HYPERCALL, DM_OP and MMAPBATCH_V2 of another guest: EPERM; DM_OP of the guest works, and so does another file",
        )
    } else {
        broken(wrong.join("; "))
    }
}

pub(super) fn events() -> Outcome {
    /// `_IOW`.
    const WRITES: u64 = 1 << 30;
    let asked = [
        ("IRQFD", ioctl_number(8, 24) | WRITES, libc::EOPNOTSUPP),
        ("IOEVENTFD", ioctl_number(9, 48) | WRITES, libc::EOPNOTSUPP),
        // Without Xen's driver for devices that are passed through nobody knows the answer.
        ("PCIDEV_GET_GSI", ioctl_number(10, 8), libc::EOPNOTSUPP),
        ("an ioctl that there is not", ioctl_number(11, 8), libc::ENOTTY),
    ];
    let privcmd = Privcmd::open()?;
    let mut told = Vec::new();
    let mut good = true;
    for (name, request, wanted) in asked {
        let answer = privcmd.simple(request);
        good &= answer.as_ref().err().and_then(errno) == Some(wanted);
        told.push(format!("{name}: {}", answer.map_or_else(|error| error.to_string(), |value| value.to_string())));
    }
    if good { works(told.join("; ")) } else { broken(told.join("; ")) }
}
