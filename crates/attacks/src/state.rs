//! What a kernel keeps, and what it complains of: whether something was left behind is seen here.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use zerocopy::FromZeros as _;

use crate::layout::PhysicalInfo;
use crate::xen::Privcmd;

/// How many kibibytes may be more than before, for what has no exact number: caches of each processor, folders of sysfs,
/// tables that are freed later.
const SLAB_KB: u64 = 3072;
const TABLES_KB: u64 = 256;
const VMALLOC_KB: u64 = 512;
/// An estimate of the kernel's own, with watermarks in it: it fell by 8048 KiB where nothing else was more. What is left behind is seen
/// in the others.
const AVAILABLE_KB: u64 = 16384;
/// The same for Xen, in pages: its pools of small objects keep a page as long as one object in it lives.
const XEN_PAGES: u64 = 64;

/// How much is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    slab_kb: u64,
    tables_kb: u64,
    vmalloc_kb: u64,
    unevictable_kb: u64,
    available_kb: u64,
    /// Pages that were pinned and are not let go.
    pins: i64,
    /// Pages of the machine that Xen has left.
    xen_free: u64,
    /// Addresses without memory that a PVH kernel keeps for pages of other domains. It gives none back, and has a
    /// description of each page; Xen keeps the tables that they needed.
    scratch_kb: u64,
}

impl State {
    /// Reads it, once caches that can be had again are empty.
    pub(crate) fn read(privcmd: &Privcmd) -> Result<Self> {
        const PHYSINFO: u32 = 3;
        // Only what is told becomes less exact where this fails.
        let _ = fs::write("/proc/sys/vm/drop_caches", "3");
        let field = |name| Self::field(name).with_context(|| format!("/proc/meminfo has no {name}"));
        let info: PhysicalInfo =
            privcmd.sysctl(PHYSINFO, &PhysicalInfo::new_zeroed()).context("sysctl physinfo")?;
        Ok(Self {
            slab_kb: field("Slab")?,
            tables_kb: field("PageTables")?,
            vmalloc_kb: field("VmallocUsed")?,
            unevictable_kb: field("Unevictable")?,
            available_kb: field("MemAvailable")?,
            pins: pins()?,
            xen_free: info.free,
            scratch_kb: scratch()?,
        })
    }

    /// The state once it no longer changes, or after a quarter of a minute.
    pub(crate) fn settled(privcmd: &Privcmd) -> Result<Self> {
        let end = Instant::now() + Duration::from_secs(15);
        let mut last = Self::read(privcmd)?;
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = Self::read(privcmd)?;
            if now == last || Instant::now() > end {
                return Ok(now);
            }
            last = now;
        }
    }

    /// A field of `/proc/meminfo`, in kibibytes.
    pub(crate) fn field(name: &str) -> Option<u64> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    }

    /// What is not where it was.
    pub(crate) fn differs(&self, after: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let scratch = after.scratch_kb.saturating_sub(self.scratch_kb);
        // 64 bytes for each page; two tables, the processor's and the IOMMU's, for each 2 MiB and for each 1 GiB.
        let described = scratch / 64;
        let tables = if scratch == 0 { 0 } else { 2 * (scratch >> 11) + 2 * (scratch >> 20) + 4 } + XEN_PAGES;
        let more = [
            ("Slab", self.slab_kb, after.slab_kb, SLAB_KB),
            ("PageTables", self.tables_kb, after.tables_kb, TABLES_KB),
            ("VmallocUsed", self.vmalloc_kb, after.vmalloc_kb, VMALLOC_KB),
            ("Unevictable", self.unevictable_kb, after.unevictable_kb, 0),
            // Here less is more.
            ("MemAvailable, less", after.available_kb, self.available_kb, AVAILABLE_KB + described),
        ];
        for (name, before, after, most) in more {
            if after > before.saturating_add(most) {
                found.push(format!("{name}: {before} KiB and {after} KiB, more than {most} KiB apart"));
            }
        }
        if self.pins != after.pins {
            found.push(format!("{} pages pinned before, {} after", self.pins, after.pins));
        }
        if after.xen_free.saturating_add(tables) < self.xen_free {
            found.push(format!("Xen had {} free pages and has {}", self.xen_free, after.xen_free));
        }
        found
    }
}

impl fmt::Display for State {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slab_kb, tables_kb, vmalloc_kb, unevictable_kb, available_kb, pins, xen_free, scratch_kb } =
            self;
        write!(
            text,
            "Slab {slab_kb}, PageTables {tables_kb}, VmallocUsed {vmalloc_kb}, Unevictable {unevictable_kb}, \
             MemAvailable {available_kb} KiB, {pins} pins, Xen {xen_free} pages free, {scratch_kb} KiB of addresses for others' pages"
        )
    }
}

/// The addresses that the kernel set aside for pages of other domains, in kibibytes.
fn scratch() -> Result<u64> {
    let text = fs::read_to_string("/proc/iomem").context("/proc/iomem")?;
    let mut sum = 0_u64;
    for line in text.lines().filter(|line| line.trim_end().ends_with(": Xen scratch")) {
        let range = line.trim().split(' ').next().unwrap_or_default();
        let (first, last) = range.split_once('-').with_context(|| format!("/proc/iomem says {line:?}"))?;
        let bytes = u64::from_str_radix(last, 16)?.saturating_sub(u64::from_str_radix(first, 16)?);
        sum = sum.saturating_add(bytes.saturating_add(1) / 1024);
    }
    Ok(sum)
}

/// How many pages were pinned and not let go.
fn pins() -> Result<i64> {
    let text = fs::read_to_string("/proc/vmstat").context("/proc/vmstat")?;
    let count = |name: &str| -> Result<i64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("/proc/vmstat has no {name}"))?.trim().parse()?)
    };
    Ok(count("nr_foll_pin_acquired")? - count("nr_foll_pin_released")?)
}

/// What a kernel says when it finds itself broken.
const FAULTS: [&str; 20] = [
    "WARNING:",
    "BUG",
    "Oops",
    "KFENCE:",
    "refcount_t",
    "general protection",
    "unable to handle",
    "blocked for more than",
    "rcu: INFO",
    "detected stalls",
    "soft lockup",
    "Bad page",
    "bad pte",
    "bad pmd",
    "swap_info_get",
    "Bad rss-counter",
    "non-zero pgtables_bytes",
    "list_add corruption",
    "vmalloc error",
    "page allocation failure",
];

/// Those among them that come from too little time. They are the driver's where the driver is in their trace.
const STALLS: [&str; 4] = ["blocked for more than", "rcu: INFO", "detected stalls", "soft lockup"];

/// The kernel's log from now on.
pub(crate) struct KernelLog {
    file: File,
    /// The lines that tell of a fault, the first ones.
    pub(crate) faults: Vec<String>,
    /// The first fault of each kind with what the kernel says below it, which tells where it was.
    pub(crate) traces: Vec<String>,
    /// How many lines of a trace are still to come.
    tracing: usize,
    /// A stall whose trace is being read.
    stall: Option<String>,
    /// Stalls in which the driver had no part: an emulated machine stands still when its host is busy.
    pub(crate) stalls: u64,
    /// Whether records were overwritten before they were read.
    pub(crate) lost: bool,
}

impl KernelLog {
    /// Begins to follow.
    pub(crate) fn follow() -> Result<Self> {
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0)).context("/dev/kmsg")?;
        Ok(Self { file, faults: Vec::new(), traces: Vec::new(), tracing: 0, stall: None, stalls: 0, lost: false })
    }

    /// Reads what came since.
    pub(crate) fn read(&mut self) {
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => return,
                Ok(length) => {
                    let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned();
                    let said =
                        text.split_once(';').map_or("", |(_, said)| said).lines().next().unwrap_or_default();
                    self.hear(said);
                }
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => self.lost = true,
                Err(_) => return,
            }
        }
    }
}

impl KernelLog {
    fn hear(&mut self, said: &str) {
        /// More faults than anybody reads, and more lines than a call trace has that matter.
        const MOST: usize = 12;
        const TRACE: usize = 64;
        if FAULTS.iter().any(|fault| said.contains(fault)) && self.faults.len() < MOST {
            // Without the processor and the process, which differ each time.
            let kind = said.split_once(" at ").map_or(said, |(_, place)| place);
            if STALLS.iter().any(|stall| said.contains(stall)) {
                self.stall = Some(said.to_owned());
                self.tracing = TRACE;
            } else if !self.faults.iter().any(|known| known.contains(kind)) {
                self.faults.push(said.to_owned());
                self.tracing = TRACE;
            }
        }
        // A process's own fault; whoever waits for it knows.
        if said.contains("segfault at") && self.traces.len() < MOST * TRACE {
            self.traces.push(said.to_owned());
        }
        if self.tracing > 0 {
            self.tracing -= 1;
            self.traces.push(said.to_owned());
            // A function with a question mark was called some time ago.
            if said.contains("[xen_privcmd]") && !said.contains("? ") {
                self.faults.extend(self.stall.take());
            }
        }
        if self.tracing == 0 {
            self.stalls += u64::from(self.stall.take().is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_told() {
        let before = State {
            slab_kb: 100,
            tables_kb: 100,
            vmalloc_kb: 100,
            unevictable_kb: 0,
            available_kb: 100_000,
            pins: 3,
            xen_free: 1000,
            scratch_kb: 0,
        };
        assert!(before.differs(&before).is_empty());
        let inside = State { slab_kb: 101, available_kb: 99_000, xen_free: 1001, ..before.clone() };
        assert!(before.differs(&inside).is_empty());
        for after in [
            State { slab_kb: 100 + SLAB_KB + 1, ..before.clone() },
            State { unevictable_kb: 4, ..before.clone() },
            State { available_kb: 1000, ..before.clone() },
            State { pins: 4, ..before.clone() },
            State { xen_free: 999 - XEN_PAGES, ..before.clone() },
        ] {
            assert_eq!(before.differs(&after).len(), 1, "{after}");
        }
    }

    #[test]
    fn a_stall_is_the_drivers_where_the_driver_is_in_its_trace() {
        let log = |lines: &[&str]| {
            let mut log = KernelLog {
                #[allow(clippy::unwrap_used, reason = "a test may panic")]
                file: File::open("/dev/null").unwrap(),
                faults: Vec::new(),
                traces: Vec::new(),
                tracing: 0,
                stall: None,
                stalls: 0,
                lost: false,
            };
            lines.iter().chain(&["other"; 80]).for_each(|line| log.hear(line));
            (log.faults.len(), log.stalls)
        };
        let stall = "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:";
        assert_eq!(log(&[stall, " exc_page_fault+0x7e/0x180", " ? privcmd_ioctl+0x1/0x2 [xen_privcmd]"]), (0, 1));
        assert_eq!(log(&[stall, " privcmd_ioctl+0x1/0x2 [xen_privcmd]"]), (1, 0));
        assert_eq!(
            log(&["WARNING: CPU: 0 PID: 1 at mm/util.c:1 x", "WARNING: CPU: 0 PID: 2 at mm/util.c:1 x"]),
            (1, 0)
        );
    }
}
