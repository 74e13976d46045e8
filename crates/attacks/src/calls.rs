//! Hypercalls by name, as Xen 4.20's public headers number them.

use std::io;

use anyhow::{Context as _, Result, bail};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::layout::{
    AddToPhysmap, CreateDomain, Domctl, MachphysList, PlatformOp, ReadConsole, Reservation, Sysctl,
};
use crate::xen::{Buffer, Mapping, PAGE, Privcmd};

/// Numbers of hypercalls.
pub(crate) mod number {
    pub(crate) const SCHED_OP_COMPAT: u64 = 6;
    pub(crate) const PLATFORM_OP: u64 = 7;
    pub(crate) const MEMORY_OP: u64 = 12;
    pub(crate) const MULTICALL: u64 = 13;
    pub(crate) const UPDATE_VA_MAPPING: u64 = 14;
    pub(crate) const EVENT_CHANNEL_OP_COMPAT: u64 = 16;
    pub(crate) const XEN_VERSION: u64 = 17;
    pub(crate) const CONSOLE_IO: u64 = 18;
    pub(crate) const PHYSDEV_OP_COMPAT: u64 = 19;
    pub(crate) const GRANT_TABLE_OP: u64 = 20;
    pub(crate) const UPDATE_VA_MAPPING_OTHERDOMAIN: u64 = 22;
    pub(crate) const XSM_OP: u64 = 27;
    pub(crate) const EVENT_CHANNEL_OP: u64 = 32;
    pub(crate) const SYSCTL: u64 = 35;
    pub(crate) const DOMCTL: u64 = 36;
    pub(crate) const KEXEC_OP: u64 = 37;
    pub(crate) const HYPFS_OP: u64 = 42;
    pub(crate) const MCA: u64 = 48;
    pub(crate) const PAGING_DOMCTL_CONT: u64 = 49;
}

/// Domains that have a name of their own.
pub(crate) mod domain {
    pub(crate) const SELF: u16 = 0x7ff0;
    pub(crate) const IO: u16 = 0x7ff1;
    pub(crate) const XEN: u16 = 0x7ff2;
}

/// Commands of `xen_version`.
pub(crate) mod version {
    pub(crate) const VERSION: u64 = 0;
    pub(crate) const EXTRAVERSION: u64 = 1;
    pub(crate) const GUEST_HANDLE: u64 = 8;
    pub(crate) const COMMANDLINE: u64 = 9;
}

const DOMCTL_VERSION: u32 = 0x17;
const SYSCTL_VERSION: u32 = 0x15;
const PLATFORM_VERSION: u32 = 0x0300_0001;

impl Privcmd {
    /// `xen_version`, with an address that Xen writes to.
    pub(crate) fn version(&self, command: u64, address: u64) -> io::Result<i64> {
        self.hypercall(number::XEN_VERSION, [command, address, 0, 0, 0])
    }

    /// A `domctl`; gives its payload as Xen left it.
    pub(crate) fn domctl<T>(&self, command: u32, domain: u16, payload: &T) -> Result<T>
    where
        T: IntoBytes + FromBytes + Immutable,
    {
        Ok(self.domctl_whole(command, domain, payload)?.1)
    }

    /// As [`Privcmd::domctl`], with the domain that Xen put into the structure.
    pub(crate) fn domctl_whole<T>(&self, command: u32, domain: u16, payload: &T) -> Result<(u16, T)>
    where
        T: IntoBytes + FromBytes + Immutable,
    {
        let buffer = domctl_buffer(command, domain, payload.as_bytes())?;
        self.hypercall(number::DOMCTL, [buffer.address(), 0, 0, 0, 0])?;
        Ok((buffer.get::<Domctl>(0).domain, buffer.get(16)))
    }

    /// A `sysctl`; gives its payload as Xen left it.
    pub(crate) fn sysctl<T>(&self, command: u32, payload: &T) -> Result<T>
    where
        T: IntoBytes + FromBytes + Immutable,
    {
        let buffer = sysctl_buffer(command, payload)?;
        self.hypercall(number::SYSCTL, [buffer.address(), 0, 0, 0, 0])?;
        Ok(buffer.get(8))
    }

    /// A `platform_op`; gives its payload as Xen left it.
    pub(crate) fn platform<T>(&self, command: u32, payload: &T) -> Result<T>
    where
        T: IntoBytes + FromBytes + Immutable,
    {
        let head = PlatformOp { command, version: PLATFORM_VERSION, payload: [0; 128] };
        let buffer = Buffer::new(1)?;
        buffer.put(0, &head);
        buffer.put(8, payload);
        self.hypercall(number::PLATFORM_OP, [buffer.address(), 0, 0, 0, 0])?;
        Ok(buffer.get(8))
    }

    /// A `memory_op` on a structure.
    pub(crate) fn memory<T: IntoBytes + Immutable>(&self, command: u64, value: &T) -> Result<i64> {
        let buffer = Buffer::with(value.as_bytes())?;
        Ok(self.hypercall(number::MEMORY_OP, [command, buffer.address(), 0, 0, 0])?)
    }

    /// A `memory_op` on one page each of `frames`.
    pub(crate) fn reservation(&self, command: u64, domain: u16, frames: &[u64]) -> Result<i64> {
        let extents = Buffer::with(frames.as_bytes())?;
        self.memory(
            command,
            &Reservation {
                extents: extents.address(),
                number: frames.len() as u64,
                order: 0,
                flags: 0,
                domain,
                padding: [0; 3],
            },
        )
    }

    /// `XENMEM_add_to_physmap` on oneself: the page behind frame `from` comes to stand at frame `to`.
    pub(crate) fn move_own_frame(&self, from: u64, to: u64) -> Result<i64> {
        const GUEST_FRAME: u32 = 2;
        self.memory(
            memory::ADD_TO_PHYSMAP,
            &AddToPhysmap { domain: domain::SELF, size: 0, space: GUEST_FRAME, index: from, frame: to },
        )
    }

    /// What Xen's console ring holds, and the index behind its last byte.
    pub(crate) fn console_ring(&self, since: Option<u32>) -> Result<(String, u32)> {
        const READCONSOLE: u32 = 1;
        let text = Buffer::new(32)?;
        let request = ReadConsole {
            clear: 0,
            incremental: u8::from(since.is_some()),
            padding: [0; 2],
            index: since.unwrap_or(0),
            buffer: text.address(),
            count: 32 * 4096,
            end: 0,
        };
        let answer = self.sysctl(READCONSOLE, &request).context("sysctl readconsole")?;
        let bytes = text.read(0, usize::try_from(answer.count)?);
        Ok((String::from_utf8_lossy(&bytes).into_owned(), answer.index))
    }

    /// The first machine frames of each part of Xen's table from machine frames to a guest's frames.
    pub(crate) fn machine_table(&self) -> Result<Vec<u64>> {
        const MACHPHYS_MFN_LIST: u64 = 5;
        const MOST: u32 = 512;
        let extents = Buffer::new(1)?;
        let request = MachphysList { most: MOST, padding: 0, extents: extents.address(), number: 0, end: 0 };
        let buffer = Buffer::with(request.as_bytes())?;
        self.hypercall(number::MEMORY_OP, [MACHPHYS_MFN_LIST, buffer.address(), 0, 0, 0])?;
        let number = usize::try_from(buffer.get::<MachphysList>(0).number)?;
        Ok((0..number).map(|index| extents.get(index * 8)).collect())
    }

    /// The machine frame in which domain 0, where it is paravirtual, has its frame `wanted`.
    ///
    /// Read from Xen's own table, which every toolstack that migrates guests maps in this way.
    pub(crate) fn machine_frame(&self, wanted: u64) -> Result<u64> {
        const PAGES: u64 = 512;
        for (part, first) in self.machine_table().context("memory_op machphys_mfn_list")?.into_iter().enumerate() {
            let frames: Vec<u64> = (first..first + PAGES).collect();
            let table = self.map_frames(domain::XEN, &frames, false)?;
            for page in 0..frames.len() {
                let Some(bytes) = table.read(page, 0, PAGE) else { continue };
                let found = bytes.chunks_exact(8).position(|entry| entry == wanted.to_le_bytes());
                if let Some(index) = found {
                    let entries = (PAGE / 8) as u64;
                    let candidate = (part as u64 * PAGES + page as u64) * entries + index as u64;
                    return Ok(candidate);
                }
            }
        }
        bail!("no machine frame is known for frame {wanted:#x}")
    }

    /// Domain 0's own handle, which Xen writes where it is told to.
    pub(crate) fn own_handle(&self) -> Result<[u8; 16]> {
        let buffer = Buffer::new(1)?;
        self.version(version::GUEST_HANDLE, buffer.address()).context("xen_version guest_handle")?;
        Ok(buffer.get(0))
    }

    /// Xen's command line as it remembers it.
    pub(crate) fn command_line(&self) -> Result<Vec<u8>> {
        let buffer = Buffer::new(1)?;
        self.version(version::COMMANDLINE, buffer.address()).context("xen_version commandline")?;
        let bytes = buffer.read(0, 1024);
        Ok(bytes.into_iter().take_while(|&byte| byte != 0).collect())
    }
}

/// A `domctl` that is ready to be handed over.
pub(crate) fn domctl_buffer(command: u32, domain: u16, payload: &[u8]) -> io::Result<Buffer> {
    let buffer = Buffer::new(1)?;
    buffer.put(0, &Domctl { command, version: DOMCTL_VERSION, domain, padding: [0; 3], payload: [0; 128] });
    buffer.write(16, payload);
    Ok(buffer)
}

/// A `sysctl` that is ready to be handed over.
pub(crate) fn sysctl_buffer<T: IntoBytes + Immutable>(command: u32, payload: &T) -> io::Result<Buffer> {
    let buffer = Buffer::new(1)?;
    buffer.put(0, &Sysctl { command, version: SYSCTL_VERSION, payload: [0; 128] });
    buffer.put(8, payload);
    Ok(buffer)
}

/// Commands of `memory_op`.
pub(crate) mod memory {
    pub(crate) const DECREASE_RESERVATION: u64 = 1;
    pub(crate) const POPULATE_PHYSMAP: u64 = 6;
    pub(crate) const ADD_TO_PHYSMAP: u64 = 7;
    pub(crate) const EXCHANGE: u64 = 11;
    pub(crate) const REMOVE_FROM_PHYSMAP: u64 = 15;
}

/// An empty paravirtual domain with a little memory: what a toolstack has in its hands while it creates a guest.
/// Destroyed on drop.
pub(crate) struct Guest<'a> {
    privcmd: &'a Privcmd,
    pub(crate) id: u16,
}

impl<'a> Guest<'a> {
    /// Creates the domain and gives it `frames`.
    pub(crate) fn create(privcmd: &'a Privcmd, frames: &[u64]) -> Result<Self> {
        const MAX_MEM: u32 = 11;
        let guest = made_with(privcmd, 4)?;
        privcmd.domctl(MAX_MEM, guest.id, &4096_u64).context("domctl max_mem")?;
        if !frames.is_empty() {
            let done = guest.populate(frames)?;
            if usize::try_from(done) != Ok(frames.len()) {
                bail!("populate_physmap gave the guest {done} of {} pages", frames.len());
            }
        }
        Ok(guest)
    }

    /// Everything that is emulated for a guest with a device model, and what a guest without one gets.
    pub(crate) const HVM: u32 = 0x1ff;
    pub(crate) const PVH: u32 = 1;

    /// As [`Guest::create`], a domain that the processor virtualises, with its one processor.
    pub(crate) fn hardware(privcmd: &'a Privcmd, emulation: u32) -> Result<Self> {
        const MAX_MEM: u32 = 11;
        const MAX_VCPUS: u32 = 15;
        const HVM_HAP: u32 = 3;
        let guest = made(privcmd, CreateDomain { flags: HVM_HAP, emulation, ..usual(4) })?;
        privcmd.domctl(MAX_VCPUS, guest.id, &1_u64).context("domctl max_vcpus")?;
        privcmd.domctl(MAX_MEM, guest.id, &4096_u64).context("domctl max_mem")?;
        Ok(guest)
    }

    /// Gives the domain memory at `frames`; tells where it is: a paravirtual domain has frames of the machine.
    pub(crate) fn fill(&self, frames: &[u64]) -> Result<Vec<u64>> {
        let extents = Buffer::with(frames.as_bytes())?;
        let request = Reservation {
            extents: extents.address(),
            number: frames.len() as u64,
            order: 0,
            flags: 0,
            domain: self.id,
            padding: [0; 3],
        };
        let done =
            self.privcmd.memory(memory::POPULATE_PHYSMAP, &request).context("memory_op populate_physmap")?;
        if usize::try_from(done) != Ok(frames.len()) {
            bail!("populate_physmap gave the guest {done} of {} pages", frames.len());
        }
        Ok((0..frames.len()).map(|index| extents.get(index * 8)).collect())
    }

    fn populate(&self, frames: &[u64]) -> Result<i64> {
        self.privcmd.reservation(memory::POPULATE_PHYSMAP, self.id, frames).context("memory_op populate_physmap")
    }

    /// The machine frames of one page of the guest, and the page mapped.
    pub(crate) fn page(&self) -> Result<(u64, Mapping)> {
        let frame = self.fill(&[7])?.first().copied().context("populate_physmap gave no page")?;
        let mapping = self.privcmd.map_frames(self.id, &[frame], true)?;
        if !mapping.is_mapped(0) {
            bail!("a page of the guest is not mapped: {}", describe(&mapping.errors));
        }
        Ok((frame, mapping))
    }
}

/// A domain of one processor that it does not have yet, with room for so many grant frames.
pub(crate) fn made_with(privcmd: &Privcmd, grant_frames: i32) -> Result<Guest<'_>> {
    made(privcmd, usual(grant_frames))
}

fn usual(grant_frames: i32) -> CreateDomain {
    CreateDomain {
        ssidref: 0,
        handle: *b"xen-lockdown-lab",
        flags: 0,
        iommu: 0,
        vcpus: 1,
        event_channels: 1023,
        grant_frames,
        maptrack_frames: 4,
        grant: 1,
        altp2m: 0,
        vmtrace: 0,
        cpupool: 0,
        emulation: 0,
        misc: 0,
    }
}

fn made(privcmd: &Privcmd, request: CreateDomain) -> Result<Guest<'_>> {
    const CREATEDOMAIN: u32 = 1;
    let (id, _) = privcmd.domctl_whole(CREATEDOMAIN, 0, &request).context("domctl createdomain")?;
    Ok(Guest { privcmd, id })
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        const DESTROYDOMAIN: u32 = 2;
        drop(self.privcmd.domctl(DESTROYDOMAIN, self.id, &0_u64));
    }
}

/// The errors of a mapping, each once.
pub(crate) fn describe(errors: &[i32]) -> String {
    let mut kinds: Vec<i32> = errors.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    let names: Vec<String> = kinds
        .into_iter()
        .map(|code| if code == 0 { "mapped".to_owned() } else { io::Error::from_raw_os_error(-code).to_string() })
        .collect();
    names.join(", ")
}
