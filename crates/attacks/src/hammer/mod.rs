//! The guard under fire: a million random calls of a booted driver, with everything around it going wrong.
//!
//! Several processes of several threads make calls until enough were made. Timers interrupt them, one after the other is
//! killed while it is inside, memory is short, the domains that calls are about come and go. What counts is observed
//! afterwards: what the kernel's log says, whether a task is stuck, and whether memory, pins and Xen's own memory are where
//! they were.
//!
//! It destroys every domain but domain 0, so it runs where there is none that matters.

mod raw;
mod shape;
mod worker;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::raw::Shared;
use self::shape::Random;
use crate::calls::Guest;
use crate::outcome::{Outcome, broken, works};
use crate::state::{KernelLog, State};
use crate::xen::Privcmd;

/// Processes that make calls at the same time.
const PROCESSES: usize = 3;

/// Domains that calls are about.
const TARGETS: usize = 3;

/// Part of the calls is made before anything is measured: pools and caches keep what they got once.
const WARM: u64 = 10;

/// Where the processes meet.
const BOARD: &str = "/run/lab-hammer";

/// What the processes may use together, in bytes: less than they would.
const MEMORY_LIMIT: &str = "16777216";

/// Where their limit is set.
const GROUP: &str = "/sys/fs/cgroup/hammer";

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Kind {
    Hypercall,
    List,
    DmOp,
    Mmap,
    Batch,
    Batch2,
    Resource,
    Restrict,
    Gsi,
    Irqfd,
    Ioeventfd,
    Unknown,
    // What is no ioctl comes behind.
    Open,
    Close,
    MakeRoom,
    MakeBuffer,
    EndRoom,
    Protect,
    Shift,
    Advise,
    Touch,
    Fork,
}

const NAMES: [&str; 22] = [
    "HYPERCALL",
    "HYPERCALL of a list",
    "DM_OP",
    "MMAP",
    "MMAPBATCH",
    "MMAPBATCH_V2",
    "MMAP_RESOURCE",
    "RESTRICT",
    "PCIDEV_GET_GSI",
    "IRQFD",
    "IOEVENTFD",
    "no such ioctl",
    "open",
    "close",
    "mmap of a room",
    "mmap of buffers",
    "munmap",
    "mprotect",
    "mremap",
    "madvise and mlock",
    "access",
    "fork",
];

/// How many of them are ioctls.
const IOCTLS: usize = Kind::Open as usize;

/// What all processes write to, which no death takes away: first how many ioctls are wanted, whether it is over and how
/// many were made; then the domains; then each kind's answers.
struct Board {
    shared: Shared,
}

const WANTED: usize = 0;
const OVER: usize = 1;
const MADE: usize = 2;
const TARGET_WORDS: usize = 16;
const ANSWERS: usize = 64;
const ERRORS: usize = 256;
const WORDS: usize = ANSWERS + NAMES.len() * ERRORS;

impl Board {
    fn open() -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(BOARD).context(BOARD)?;
        Ok(Self { shared: Shared::map(&file, WORDS)? })
    }

    fn create() -> Result<Self> {
        let file = File::create(BOARD).context(BOARD)?;
        file.set_len(WORDS as u64 * 8).context(BOARD)?;
        drop(file);
        Self::open()
    }

    fn count(&self, kind: Kind, answer: i32) {
        let error = usize::try_from(answer).unwrap_or(0).min(ERRORS - 1);
        self.shared.word(ANSWERS + kind as usize * ERRORS + error).fetch_add(1, Ordering::Relaxed);
        if (kind as usize) < IOCTLS {
            self.shared.word(MADE).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn made(&self) -> u64 {
        self.shared.word(MADE).load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.shared.word(OVER).load(Ordering::Relaxed) != 0
            || self.made() >= self.shared.word(WANTED).load(Ordering::Relaxed)
    }

    /// How often each answer came, for each kind.
    fn answers(&self) -> Vec<BTreeMap<usize, u64>> {
        let of = |kind: usize| {
            let count = |error| self.shared.word(ANSWERS + kind * ERRORS + error).load(Ordering::Relaxed);
            (0..ERRORS).map(|error| (error, count(error))).filter(|(_, count)| *count > 0).collect()
        };
        (0..NAMES.len()).map(of).collect()
    }
}

/// What is to be done.
#[derive(Clone, Copy)]
struct Order {
    calls: u64,
    seed: u64,
}

/// `attacks hammer --calls N --seed S`.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let mut order = Order { calls: 1_000_000, seed: 1 };
    for pair in arguments.chunks(2) {
        match pair {
            ["--calls", calls] => order.calls = calls.parse().context("--calls takes a number")?,
            ["--seed", seed] => order.seed = seed.parse().context("--seed takes a number")?,
            _ => bail!("hammer takes --calls NUMBER and --seed NUMBER, not {pair:?}"),
        }
    }
    ensure!(
        crate::witness::is_guarded(),
        "the driver is not the guard: without it these calls write over dom0's kernel"
    );
    hammer(order)
}

/// `attacks hammer-process SEED NUMBER`: one of the processes.
pub(crate) fn process(seed: &str, number: &str) -> Result<()> {
    worker::run(seed.parse().context("a seed")?, number.parse().context("a number")?)
}

/// `attacks hammer-memory`: takes what memory there is, and gives it back, until it is killed.
pub(crate) fn memory_pressure() -> Result<()> {
    loop {
        let free = State::field("MemAvailable").context("/proc/meminfo has no MemAvailable")?;
        // All but a few mebibytes: what the kernel needs to get more is what is tried.
        let take = usize::try_from(free.saturating_sub(12 << 10))?.saturating_mul(1024).min(1 << 30);
        let mut held = Vec::new();
        for _ in 0..take / (1 << 20) {
            held.push(vec![1_u8; 1 << 20]);
        }
        std::hint::black_box(&held);
        drop(held);
        thread::sleep(Duration::from_secs(2));
    }
}

fn hammer(order: Order) -> Outcome {
    let began = Instant::now();
    let log = KernelLog::follow()?;
    // Whoever is killed for memory, it is not who judges.
    fs::write("/proc/self/oom_score_adj", "-1000").context("/proc/self/oom_score_adj")?;
    let group = Group::new()?;
    let board = Board::create()?;
    let privcmd = Privcmd::open()?;
    say(&format!("seed {}, {} ioctls; {}", order.seed, order.calls, debugging()));

    let mut fire = Fire {
        board: &board,
        privcmd: &privcmd,
        killed: 0,
        died: 0,
        next: 0,
        targets: Vec::new(),
        left: Vec::new(),
        log,
    };
    fire.for_calls(order.seed, order.calls / WARM)?;
    let before = State::settled(&privcmd)?;
    fire.for_calls(order.seed.wrapping_add(1), order.calls)?;
    let Fire { killed, died, mut log, left, .. } = fire;
    let seconds = began.elapsed().as_secs();
    let after = State::settled(&privcmd)?;
    log.read();

    let answers = board.answers();
    for (name, answers) in NAMES.iter().zip(&answers) {
        say(&format!("{name}: {}", told(answers)));
    }
    say(&format!("before: {before}"));
    say(&format!("after: {after}"));
    for line in &log.traces {
        say(&format!("kernel: {line}"));
    }
    let made: u64 = answers.iter().take(IOCTLS).flat_map(BTreeMap::values).sum();
    let mut wrong = Vec::new();
    if made < order.calls {
        wrong.push(format!("{made} ioctls were made of {}", order.calls));
    }
    if died > 0 {
        wrong.push(format!("{died} processes died by themselves"));
    }
    if !log.faults.is_empty() {
        wrong.push(format!("the kernel's log: {}", log.faults.join(" | ")));
    }
    if log.lost {
        wrong.push("records of the kernel's log were overwritten before they were read".to_owned());
    }
    wrong.extend(left);
    let stuck = stuck_tasks();
    if !stuck.is_empty() {
        wrong.push(format!("stuck: {}", stuck.join(", ")));
    }
    wrong.extend(before.differs(&after));
    let evidence = format!(
        "seed {}: {made} ioctls and {} other calls in {seconds} s, {killed} processes killed inside, {} for memory; {} stalls without the driver; {}; all: {}; before {before}; after {after}",
        order.seed,
        answers.iter().skip(IOCTLS).flat_map(BTreeMap::values).sum::<u64>(),
        group.killed(),
        log.stalls,
        debugging(),
        told(&sum(answers.iter().take(IOCTLS))),
    );
    if wrong.is_empty() { works(evidence) } else { broken(format!("{}; {evidence}", wrong.join("; "))) }
}

/// Everything that is under way while calls are made.
struct Fire<'a> {
    board: &'a Board,
    privcmd: &'a Privcmd,
    killed: u64,
    died: u64,
    /// The number of the next process.
    next: u64,
    targets: Vec<Guest<'a>>,
    /// Domains that did not go.
    left: Vec<String>,
    log: KernelLog,
}

impl Fire<'_> {
    fn for_calls(&mut self, seed: u64, calls: u64) -> Result<()> {
        let word = |index| self.board.shared.word(index);
        word(OVER).store(0, Ordering::Relaxed);
        word(WANTED).store(self.board.made().saturating_add(calls), Ordering::Relaxed);
        let mut random = Random::new(seed);
        self.renew(&mut random)?;
        let mut pressure = start(&["hammer-memory"], 1000)?;
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            processes.push(self.process(seed)?);
        }
        let mut said = Instant::now();
        while !self.board.is_over() {
            thread::sleep(Duration::from_millis(50 + random.below(700)));
            self.log.read();
            if said.elapsed() > Duration::from_secs(10) {
                said = Instant::now();
                say(&format!("{} ioctls, {} processes killed", self.board.made(), self.killed));
            }
            self.renew(&mut random)?;
            let victim = usize::try_from(random.below(PROCESSES as u64))?;
            for (index, process) in processes.iter_mut().enumerate() {
                // It may have died by itself, or for memory.
                match process.try_wait()? {
                    None if index == victim => {
                        process.kill()?;
                        process.wait()?;
                        self.killed += 1;
                    }
                    None => continue,
                    Some(status) => self.note(status),
                }
                *process = self.process(seed)?;
            }
            if pressure.try_wait()?.is_some() {
                pressure = start(&["hammer-memory"], 1000)?;
            }
        }
        let patience = Instant::now() + Duration::from_secs(60);
        for process in &mut processes {
            let status = loop {
                match process.try_wait()? {
                    Some(status) => break status,
                    None if Instant::now() > patience => bail!("a process does not end: {:?}", stuck_tasks()),
                    None => thread::sleep(Duration::from_millis(20)),
                }
            };
            self.note(status);
        }
        word(OVER).store(1, Ordering::Relaxed);
        pressure.kill()?;
        pressure.wait()?;
        self.targets.clear();
        // What is seen afterwards may tell why.
        self.left.extend(end_domains(self.privcmd)?);
        Ok(())
    }

    /// Killed from outside, or by the kernel for memory, is what is wanted.
    fn note(&mut self, status: std::process::ExitStatus) {
        use std::os::unix::process::ExitStatusExt as _;

        if !status.success() && status.signal() != Some(libc::SIGKILL) {
            say(&format!("a process died by itself: {status}"));
            self.died += 1;
        }
    }

    fn process(&mut self, seed: u64) -> Result<Child> {
        self.next += 1;
        let child = start(&["hammer-process", &seed.to_string(), &self.next.to_string()], 900)?;
        // It may be dead already.
        let _ = fs::write(Path::new(GROUP).join("cgroup.procs"), child.id().to_string());
        Ok(child)
    }

    /// Sees to it that there are domains, and tells the processes of them. Some were destroyed by calls.
    fn renew(&mut self, random: &mut Random) -> Result<()> {
        for index in 0..TARGETS {
            let alive = self.targets.get(index).is_some_and(|guest| is_alive(self.privcmd, guest.id));
            if alive && !random.one_in(24) {
                continue;
            }
            // A domain of each kind: paravirtual, with everything that is emulated, with next to nothing.
            let made = match index {
                0 => Guest::create(self.privcmd, &[]),
                1 => Guest::hardware(self.privcmd, Guest::HVM),
                _ => Guest::hardware(self.privcmd, Guest::PVH),
            };
            // Calls may have taken Xen's memory; they give it back when their domains go.
            let Ok(guest) = made else {
                let left = end_domains(self.privcmd)?;
                ensure!(left.is_empty(), "no domain can be made; {}", left.join(", "));
                continue;
            };
            let frames = guest.fill(&[0, 1, 2, 3]).unwrap_or_default();
            let words = [u64::from(guest.id)].into_iter().chain(frames);
            for (offset, word) in words.enumerate().take(8) {
                self.board.shared.word(TARGET_WORDS + index * 8 + offset).store(word, Ordering::Relaxed);
            }
            match self.targets.get_mut(index) {
                Some(old) => *old = guest,
                None => self.targets.push(guest),
            }
        }
        Ok(())
    }
}

fn is_alive(privcmd: &Privcmd, domain: u16) -> bool {
    const GETDOMAININFO: u32 = 5;
    const DYING: u32 = 1;
    let info = privcmd.domctl::<[u32; 32]>(GETDOMAININFO, domain, &[0; 32]);
    // Behind the number stand flags.
    info.is_ok_and(|info| info.get(1).is_some_and(|flags| flags & DYING == 0))
}

/// Destroys every domain but this one, and waits until none is left; tells of those that do not go: something holds their
/// memory.
fn end_domains(privcmd: &Privcmd) -> Result<Vec<String>> {
    const DESTROYDOMAIN: u32 = 2;
    const GETDOMAININFO: u32 = 5;
    let patience = Instant::now() + Duration::from_secs(60);
    // Numbers go up, so the next one is the end of those that were in use; but a call may have chosen one that is missing.
    let end = Guest::create(privcmd, &[]).map_or(0x1000, |guest| guest.id.saturating_add(8));
    let mut left: Vec<u16> = (1..end).chain(shape::MISSING).collect();
    loop {
        left.retain(|domain| privcmd.domctl::<[u64; 16]>(GETDOMAININFO, *domain, &[0; 16]).is_ok());
        if left.is_empty() {
            return Ok(Vec::new());
        }
        if Instant::now() > patience {
            return Ok(left.into_iter().map(|domain| told_of(privcmd, domain)).collect());
        }
        for domain in &left {
            // One that is on its way already is looked at again.
            let _ = privcmd.domctl(DESTROYDOMAIN, *domain, &0_u64);
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn told_of(privcmd: &Privcmd, domain: u16) -> String {
    const GETDOMAININFO: u32 = 5;
    // Behind the number and flags: pages in all, the most, claimed, shared, paged out, the frame of the shared information.
    match privcmd.domctl::<[u64; 16]>(GETDOMAININFO, domain, &[0; 16]) {
        Ok([first, pages, ..]) => format!("domain {domain} does not go: flags {:#x}, {pages} pages", first >> 32),
        Err(error) => format!("domain {domain} went late: {error:#}"),
    }
}

/// Tasks that wait for something that no signal ends, and still do after some seconds.
fn stuck_tasks() -> Vec<String> {
    let waiting = || -> BTreeMap<String, String> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stat = entries.filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (name, rest) = text.rsplit_once(')')?;
            rest.trim_start()
                .starts_with('D')
                .then(|| (entry.file_name().to_string_lossy().into_owned(), name.to_owned()))
        });
        stat.collect()
    };
    let mut found = waiting();
    for _ in 0..5 {
        if found.is_empty() {
            break;
        }
        thread::sleep(Duration::from_secs(1));
        let now = waiting();
        found.retain(|id, _| now.contains_key(id));
    }
    found.into_values().collect()
}

/// A control group whose members get less memory than they want.
struct Group;

impl Group {
    fn new() -> Result<Self> {
        let _ = fs::create_dir_all("/sys/fs/cgroup");
        match rustix::mount::mount(
            "cgroup2",
            "/sys/fs/cgroup",
            "cgroup2",
            rustix::mount::MountFlags::empty(),
            None,
        ) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => return Err(error).context("cgroup2 cannot be mounted"),
        }
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").context("the control group of memory")?;
        match fs::create_dir(GROUP) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).context(GROUP),
            _ => {}
        }
        fs::write(Path::new(GROUP).join("memory.max"), MEMORY_LIMIT).context("memory.max")?;
        Ok(Self)
    }

    /// How many processes it cost.
    fn killed(&self) -> u64 {
        let events = fs::read_to_string(Path::new(GROUP).join("memory.events")).unwrap_or_default();
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

fn start(arguments: &[&str], gladly: i32) -> Result<Child> {
    let child = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .context("a process of the hammer")?;
    // It may be dead already.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), gladly.to_string());
    Ok(child)
}

/// What of the kernel's own checks is on.
fn debugging() -> String {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let interval = line("/sys/module/kfence/parameters/sample_interval");
    let slab = |what: &str| line(&format!("/sys/kernel/slab/kmalloc-64/{what}"));
    let on = |value: &str| if value == "1" { "on" } else { "off" };
    format!(
        "KFENCE {}, slab poisoning {}, red zones {}, sanity checks {}",
        if matches!(interval.as_str(), "" | "0") { "off".to_owned() } else { format!("every {interval} ms") },
        on(&slab("poison")),
        on(&slab("red_zone")),
        on(&slab("sanity_checks")),
    )
}

fn sum<'a>(all: impl Iterator<Item = &'a BTreeMap<usize, u64>>) -> BTreeMap<usize, u64> {
    let mut sum = BTreeMap::new();
    for (error, count) in all.flatten() {
        *sum.entry(*error).or_insert(0) += count;
    }
    sum
}

/// How often each answer came, the most frequent first.
fn told(answers: &BTreeMap<usize, u64>) -> String {
    let mut list: Vec<(&usize, &u64)> = answers.iter().collect();
    list.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let name = |error: usize| match error {
        0 => "done".to_owned(),
        _ => errno_name(error),
    };
    let told: Vec<String> = list.into_iter().map(|(error, count)| format!("{} {count}", name(*error))).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

fn errno_name(error: usize) -> String {
    const NAMES: [(i32, &str); 24] = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EINTR, "EINTR"),
        (libc::ENXIO, "ENXIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::ENODEV, "ENODEV"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::ERANGE, "ERANGE"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENODATA, "ENODATA"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ENOBUFS, "ENOBUFS"),
    ];
    let found = NAMES.iter().find(|(number, _)| usize::try_from(*number) == Ok(error));
    found.map_or_else(|| format!("errno {error}"), |(_, name)| (*name).to_owned())
}

/// A line on the console, for whoever watches; without one nothing is lost.
fn say(text: &str) {
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        let _ = console.write_all(format!("hammer: {text}\n").as_bytes());
    }
}
