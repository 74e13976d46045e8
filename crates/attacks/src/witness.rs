//! How an effect is seen: things in the kernel that show a write, and where they are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::calls::{Guest, version};
use crate::outcome::{Outcome, broken, works};
use crate::xen::{Buffer, PAGE, Privcmd, host_name};

/// The lowest address of the kernel's half.
pub(crate) const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// The symbols that attacks ask for.
const SYMBOLS: [&str; 5] = ["_text", "init_uts_ns", "empty_zero_page", "kernel_locked_down", "sig_enforce"];

/// What an earlier attack of this boot read: the kernel's list is long, and slow to make on an emulated machine.
const REMEMBERED: &str = "/run/lab-symbols.json";

/// Where the kernel has `name`, as it tells root.
pub(crate) fn symbol(name: &str) -> Result<u64> {
    symbols(name)?.first().copied().with_context(|| format!("/proc/kallsyms has no {name}"))
}

/// Where the kernel has `name`, for each file that has one of that name.
pub(crate) fn symbols(name: &str) -> Result<Vec<u64>> {
    let remembered: Option<BTreeMap<String, Vec<u64>>> =
        fs::read(REMEMBERED).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let symbols = match remembered {
        Some(symbols) => symbols,
        None => {
            let symbols = read_symbols()?;
            // Only time is lost where this cannot be written.
            drop(fs::write(REMEMBERED, serde_json::to_vec(&symbols)?));
            symbols
        }
    };
    let addresses = symbols.get(name).cloned().unwrap_or_default();
    if addresses.iter().any(|&address| address < KERNEL_HALF) {
        bail!("/proc/kallsyms hides addresses");
    }
    Ok(addresses)
}

fn read_symbols() -> Result<BTreeMap<String, Vec<u64>>> {
    let file = fs::File::open("/proc/kallsyms").context("/proc/kallsyms")?;
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in BufReader::with_capacity(1 << 16, file).lines() {
        let line = line.context("/proc/kallsyms")?;
        let mut words = line.split_ascii_whitespace();
        if let (Some(address), Some(name)) = (words.next(), words.nth(1)) {
            if SYMBOLS.contains(&name) {
                found.entry(name.to_owned()).or_default().push(u64::from_str_radix(address, 16)?);
            }
        }
        // Those of modules come last.
        if line.ends_with(']') {
            break;
        }
    }
    Ok(found)
}

/// Bytes at an address of the kernel, read through /proc/kcore, which level integrity leaves open.
pub(crate) fn kernel_bytes(address: u64, length: usize) -> Result<Vec<u8>> {
    const LOAD: u64 = 1;
    let file = fs::File::open("/proc/kcore").context("/proc/kcore")?;
    let number = |offset: u64, width: usize| -> Result<u64> {
        let mut bytes = [0; 8];
        file.read_exact_at(bytes.get_mut(..width).context("width")?, offset).context("/proc/kcore")?;
        Ok(u64::from_le_bytes(bytes))
    };
    // The head of an ELF file of 64 bits: where its program headers are, how long each is, how many.
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for header in (0..count).map(|index| start + index * size) {
        let (kind, offset) = (number(header, 4)?, number(header + 8, 8)?);
        let (first, held) = (number(header + 16, 8)?, number(header + 32, 8)?);
        if kind == LOAD && address >= first && address - first < held {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset + (address - first)).context("/proc/kcore")?;
            return Ok(bytes);
        }
    }
    bail!("/proc/kcore does not hold {address:#x}")
}

/// The frame, as domain 0 counts, of an address in the kernel's image.
pub(crate) fn frame_of_image(address: u64) -> Result<u64> {
    let text = fs::read_to_string("/proc/iomem").context("/proc/iomem")?;
    let line = text.lines().find(|line| line.trim_end().ends_with(": Kernel code")).context("no Kernel code")?;
    let start = line.trim().split('-').next().unwrap_or_default();
    let start = u64::from_str_radix(start, 16)?;
    if start == 0 {
        bail!("/proc/iomem hides addresses");
    }
    Ok((start + address - symbol("_text")?) / PAGE as u64)
}

/// The frame, as domain 0 counts, of one of our own pages.
pub(crate) fn frame_of_own(address: u64) -> Result<u64> {
    let mut file = fs::File::open("/proc/self/pagemap").context("/proc/self/pagemap")?;
    file.seek(SeekFrom::Start(address / PAGE as u64 * 8))?;
    let mut entry = [0; 8];
    file.read_exact(&mut entry)?;
    let entry = u64::from_le_bytes(entry);
    if entry >> 63 == 0 {
        bail!("page {address:#x} is not in memory");
    }
    Ok(entry & ((1 << 55) - 1))
}

/// Whether domain 0 is paravirtual (true) or PVH.
pub(crate) fn is_pv() -> Result<bool> {
    let kind = fs::read_to_string("/sys/hypervisor/guest_type").context("/sys/hypervisor/guest_type")?;
    Ok(kind.trim() == "PV")
}

/// The kernel's own lockdown, as it says.
pub(crate) fn lockdown() -> Result<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").context("/sys/kernel/security/lockdown")?;
    let level = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(level, _)| level);
    Ok(level.context("no level in /sys/kernel/security/lockdown")?.to_owned())
}

/// Text that nobody else writes.
pub(crate) fn marker() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_nanos()).unwrap_or_default();
    format!("lab-{:08x}-{:012x}", std::process::id(), now & 0xffff_ffff_ffff)
}

/// The kernel's host name as a witness: kernel memory at a known address whose content root may set and read through
/// system calls. When it changes without a system call, kernel memory was written. The old name comes back on drop.
pub(crate) struct HostName {
    before: Vec<u8>,
    /// Where the kernel has it.
    pub(crate) address: u64,
    /// What it was set to.
    pub(crate) mark: Vec<u8>,
}

/// Bytes of `struct new_utsname` in front of the host name.
const NODE_NAME: u64 = 65;

impl HostName {
    /// Sets the host name to a marker.
    pub(crate) fn marked() -> Result<Self> {
        Self::set(marker().as_bytes())
    }

    /// Sets the host name to at most 64 bytes of any content.
    pub(crate) fn set(content: &[u8]) -> Result<Self> {
        let address = symbol("init_uts_ns")? + NODE_NAME;
        let before = host_name()?.into_iter().take_while(|&byte| byte != 0).collect();
        rustix::system::sethostname(content).context("sethostname")?;
        Ok(Self { before, address, mark: content.to_vec() })
    }

    /// What the kernel holds now, as many bytes as were set.
    pub(crate) fn now(&self) -> Result<Vec<u8>> {
        let mut name = host_name()?;
        name.truncate(self.mark.len());
        Ok(name)
    }

    /// Whether the name is no longer what it was set to.
    pub(crate) fn changed(&self) -> Result<bool> {
        Ok(self.now()? != self.mark)
    }

    /// What happened to the name, for a verdict.
    pub(crate) fn told(&self) -> Result<String> {
        let now = self.now()?;
        Ok(format!(
            "the kernel's host name, set to {:?}, reads {:?}",
            String::from_utf8_lossy(&self.mark),
            String::from_utf8_lossy(&now)
        ))
    }
}

impl Drop for HostName {
    fn drop(&mut self) {
        let _ = rustix::system::sethostname(&self.before);
    }
}

/// The raw write into kernel memory that most ways round lead to: Xen is told to write domain 0's handle over the
/// kernel's host name. `None`: the name did not change, and what Xen or the driver answered.
pub(crate) fn raw_write(privcmd: &Privcmd) -> Result<Result<String, String>> {
    let name = HostName::marked()?;
    let answer = privcmd.version(version::GUEST_HANDLE, name.address);
    Ok(match (name.changed()?, answer) {
        (true, _) => Ok(name.told()?),
        (false, Ok(value)) => Err(format!("answered {value}, and the kernel's host name is unchanged")),
        (false, Err(error)) => Err(error.to_string()),
    })
}

/// Whether dom0's kernel has the guard, which closes some operations whole: their twins then do what is left of them.
pub(crate) fn is_guarded() -> bool {
    std::path::Path::new("/sys/kernel/xen-lockdown").exists()
}

/// The twin of attacks by raw pointers: the same call with memory of our own.
pub(crate) fn version_works(privcmd: &Privcmd) -> Outcome {
    let buffer = Buffer::new(1)?;
    let answer = match privcmd.version(version::VERSION, 0) {
        Ok(answer) => answer,
        Err(error) => return broken(format!("xen_version: {error}")),
    };
    if let Err(error) = privcmd.version(version::EXTRAVERSION, buffer.address()) {
        return broken(format!("xen_version extraversion: {error}"));
    }
    let extra: Vec<u8> = buffer.read(0, 16).into_iter().take_while(|&byte| byte != 0).collect();
    works(format!("Xen {}.{}{}", answer >> 16, answer & 0xffff, String::from_utf8_lossy(&extra)))
}

/// The twin of attacks on one's own memory: the toolstack maps, writes and reads a page of a guest that it creates.
pub(crate) fn guest_page_works(privcmd: &Privcmd) -> Outcome {
    let guest = match Guest::create(privcmd, &[]) {
        Ok(guest) => guest,
        Err(error) => return broken(format!("{error:#}")),
    };
    let (_, page) = match guest.page() {
        Ok(page) => page,
        Err(error) => return broken(format!("{error:#}")),
    };
    let text = marker();
    if page.write(0, 100, text.as_bytes()) && page.read(0, 100, text.len()).as_deref() == Some(text.as_bytes()) {
        works(format!("a page of the new guest {} was mapped, written and read", guest.id))
    } else {
        broken("a page of a new guest does not keep what is written")
    }
}
