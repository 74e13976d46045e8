//! Structures as Xen and Linux lay them out on x86-64. Sizes are asserted; they were taken from the compiled public
//! headers of Xen 4.20 (facts/hypercalls.csv) and from Linux's include/uapi/xen/privcmd.h.
//!
//! Padding is spelled out: what Xen gets has no byte that we did not write.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares structures and asserts the size of each.
macro_rules! layout {
    ($($(#[$meta:meta])* $name:ident = $size:literal { $($field:ident: $kind:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub(crate) struct $name { $(pub(crate) $field: $kind,)* }
        const _: () = assert!(size_of::<$name>() == $size);
    )*};
}

layout! {
    /// struct privcmd_mmapbatch_v2
    MmapBatch = 32 { number: u32, domain: u16, padding: u16, address: u64, frames: u64, errors: u64, }

    /// struct privcmd_mmap_entry
    MmapEntry = 24 { address: u64, frame: u64, pages: u64, }

    /// struct privcmd_mmap
    MmapRanges = 16 { number: u32, domain: u16, padding: u16, entries: u64, }

    /// struct xen_dm_op of the operations on a whole I/O server, as far as they go: an id and what becomes of it, or what
    /// Xen answers
    IoServer = 32 { operation: u32, padding: u32, first: u32, second: u32, rest: [u32; 4], }

    /// struct xen_dm_op with struct xen_dm_op_get_ioreq_server_info
    IoServerInfo = 32 { operation: u32, padding: u32, id: u16, flags: u16, port: u32, frame: u64, buffered: u64, }

    /// struct xen_dm_op with struct xen_dm_op_ioreq_server_range
    IoRange = 32 { operation: u32, padding: u32, id: u16, pad: u16, kind: u32, first: u64, last: u64, }

    /// struct grant_entry_v1
    GrantEntry = 8 { flags: u16, domain: u16, frame: u32, }

    /// struct privcmd_dm_op
    DmOp = 16 { domain: u16, number: u16, padding: u32, buffers: u64, }

    /// struct privcmd_dm_op_buf
    DmOpBuffer = 16 { address: u64, size: u64, }

    /// struct privcmd_mmap_resource
    MmapResource = 32 {
        domain: u16, padding: u16, kind: u32, id: u32, index: u32, number: u64, address: u64,
    }

    /// struct xen_domctl
    Domctl = 144 { command: u32, version: u32, domain: u16, padding: [u16; 3], payload: [u8; 128], }

    /// struct xen_sysctl
    Sysctl = 136 { command: u32, version: u32, payload: [u8; 128], }

    /// struct xen_platform_op
    PlatformOp = 136 { command: u32, version: u32, payload: [u8; 128], }

    /// struct multicall_entry
    MulticallEntry = 64 { op: u64, result: u64, arguments: [u64; 6], }

    /// struct xen_add_to_physmap
    AddToPhysmap = 24 { domain: u16, size: u16, space: u32, index: u64, frame: u64, }

    /// struct xen_remove_from_physmap
    RemoveFromPhysmap = 16 { domain: u16, padding: [u16; 3], frame: u64, }

    /// struct xen_memory_reservation
    Reservation = 32 { extents: u64, number: u64, order: u32, flags: u32, domain: u16, padding: [u16; 3], }

    /// struct xen_memory_exchange
    Exchange = 72 { input: Reservation, output: Reservation, exchanged: u64, }

    /// struct xen_machphys_mfn_list
    MachphysList = 24 { most: u32, padding: u32, extents: u64, number: u32, end: u32, }

    /// struct gnttab_copy
    GrantCopy = 40 {
        source: u64, source_domain: u16, source_offset: u16, source_end: u32,
        target: u64, target_domain: u16, target_offset: u16, target_end: u32,
        length: u16, flags: u16, status: i16, end: u16,
    }

    /// struct xen_domctl_createdomain
    CreateDomain = 68 {
        ssidref: u32, handle: [u8; 16], flags: u32, iommu: u32, vcpus: u32, event_channels: u32,
        grant_frames: i32, maptrack_frames: i32, grant: u32, altp2m: u32, vmtrace: u32, cpupool: u32,
        emulation: u32, misc: u32,
    }

    /// struct xen_domctl_memory_mapping
    MemoryMapping = 32 { frame: u64, machine_frame: u64, number: u64, add: u32, padding: u32, }

    /// struct xen_domctl_iomem_permission
    IomemPermission = 24 { machine_frame: u64, number: u64, allow: u8, padding: [u8; 7], }

    /// struct xen_domctl_gdbsx_memio
    GdbsxMemio = 40 {
        page_directory: u64, guest: u64, user: u64, length: u32, write: u8, padding: [u8; 3], left: u32,
        end: u32,
    }

    /// struct xen_sysctl_readconsole
    ReadConsole = 24 {
        clear: u8, incremental: u8, padding: [u8; 2], index: u32, buffer: u64, count: u32, end: u32,
    }

    /// struct xen_sysctl_debug_keys
    DebugKeys = 16 { keys: u64, number: u32, end: u32, }

    /// struct xenpf_add_memtype
    AddMemtype = 32 { frame: u64, number: u64, kind: u32, handle: u32, register: u32, end: u32, }

    /// struct xenpf_read_memtype
    ReadMemtype = 32 { register: u32, padding: u32, frame: u64, number: u64, kind: u32, end: u32, }

    /// struct xenpf_symdata
    SymbolData = 32 { length: u32, number: u32, name: u64, address: u64, kind: u8, padding: [u8; 7], }

    /// struct xen_mc_msrinject with the head of struct xen_mc
    MsrInject = 152 {
        command: u32, version: u32, cpu: u32, flags: u32, count: u32, domain: u16, padding: u16,
        registers: [[u64; 2]; 8],
    }

    /// struct xen_kexec_load
    KexecLoad = 24 { kind: u8, padding: u8, arch: u16, segments: u32, list: u64, entry: u64, }

    /// struct xen_kexec_segment
    KexecSegment = 32 { buffer: u64, size: u64, target: u64, target_size: u64, }

    /// struct xen_sysctl_physinfo
    PhysicalInfo = 112 {
        numbers: [u32; 10], total: u64, free: u64, scrub: u64, outstanding: u64, most: u64,
        capabilities: [u32; 8],
    }
}
