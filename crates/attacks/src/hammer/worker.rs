//! One process of the hammer: threads that make calls until enough were made, or until somebody kills it.

use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use anyhow::{Context as _, Result};

use super::raw::{self, PAGE, Shared, Window};
use super::shape::{self, Random, Target, World};
use super::{Board, Kind};

const THREADS: u64 = 4;

/// How the address space of a thread is divided: memory that can be written, memory that cannot, and slots for rooms.
const MEMORY: u64 = 64 * PAGE;
const READ_ONLY: u64 = 4 * PAGE;
const SLOT: u64 = 64 << 20;
const SLOTS: u64 = 12;

/// Open files are shared by all threads, so that one closes what another is using.
const FILES: usize = 8;

/// The ioctls of privcmd, with the size of their structures.
mod request {
    use lockdown_privcmd::ioctl_number;

    pub(super) const HYPERCALL: u64 = ioctl_number(0, 48);
    pub(super) const MMAP: u64 = ioctl_number(2, 16);
    pub(super) const MMAPBATCH: u64 = ioctl_number(3, 24);
    pub(super) const MMAPBATCH_V2: u64 = ioctl_number(4, 32);
    pub(super) const DM_OP: u64 = ioctl_number(5, 16);
    pub(super) const RESTRICT: u64 = ioctl_number(6, 2);
    pub(super) const MMAP_RESOURCE: u64 = ioctl_number(7, 32);
    pub(super) const IRQFD: u64 = ioctl_number(8, 24) | WRITES;
    pub(super) const IOEVENTFD: u64 = ioctl_number(9, 48) | WRITES;
    pub(super) const GET_GSI: u64 = ioctl_number(10, 8);
    /// `_IOW`.
    const WRITES: u64 = 1 << 30;
}

/// Runs the process with number `process`, which makes the calls of `seed`.
pub(super) fn run(seed: u64, process: u64) -> Result<()> {
    let board = Arc::new(Board::open()?);
    let files: Arc<[AtomicI32; FILES]> = Arc::new(std::array::from_fn(|_| AtomicI32::new(-1)));
    let mut threads = Vec::new();
    let others = Arc::new(AtomicU64::new(0));
    // A thread's stack is mapped where there is a hole, and what is moved leaves one for a moment: none begins before all
    // have theirs.
    let all = Arc::new(Barrier::new(usize::try_from(THREADS)?));
    for number in 0..THREADS {
        let all = Arc::clone(&all);
        let (board, files, others) = (Arc::clone(&board), Arc::clone(&files), Arc::clone(&others));
        // Far apart, so that no two threads begin with the same numbers.
        let random = Random::new(
            seed ^ (process.wrapping_mul(THREADS).wrapping_add(number)).wrapping_mul(0x5851_f42d_4c95_7f2d),
        );
        let thread = Thread::new(random, board, files, others).context("a thread's memory")?;
        threads.push(thread::Builder::new().stack_size(256 << 10).spawn(move || {
            all.wait();
            thread.work();
        })?);
    }
    raw::interrupt_every(4000 + i64::try_from(process % 8).unwrap_or(0) * 3000);
    for thread in threads {
        drop(thread.join());
    }
    Ok(())
}

/// A room, or memory of `/dev/xen/hypercall`.
#[derive(Clone, Copy)]
struct Room {
    address: u64,
    pages: u64,
    taken: bool,
    lost: bool,
    buffers: bool,
}

struct Thread {
    random: Random,
    board: Arc<Board>,
    files: Arc<[AtomicI32; FILES]>,
    window: Window,
    world: World,
    rooms: Vec<Room>,
    buffers: File,
    /// Whether rooms may be moved. A PV kernel does not bring entries for frames of others along: it
    /// loses them, and warns of a hypercall that failed.
    moves: bool,
}

impl Thread {
    fn new(
        random: Random,
        board: Arc<Board>,
        files: Arc<[AtomicI32; FILES]>,
        others: Arc<AtomicU64>,
    ) -> Result<Self> {
        let first = MEMORY + READ_ONLY + SLOT;
        let window = Window::new(first + SLOTS * SLOT, MEMORY)?;
        let usual = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let memory = window.at(0);
        let read_only = window.map(window.at(MEMORY), READ_ONLY, libc::PROT_READ, usual, -1, 0)?;
        // The last thread to begin is the one that everybody else looks at.
        let other = others.swap(memory, Ordering::Relaxed);
        let world = World {
            memory: (memory + PAGE, MEMORY - PAGE),
            other: if other == 0 { memory + PAGE } else { other + PAGE },
            read_only,
            nothing: window.at(MEMORY + READ_ONLY + PAGE),
            rooms: Vec::new(),
            targets: Vec::new(),
        };
        let room = |slot| Room {
            address: window.at(first + slot * SLOT),
            pages: 0,
            taken: false,
            lost: false,
            buffers: false,
        };
        let rooms = (0..SLOTS).map(room).collect();
        let buffers = File::options().read(true).write(true).open("/dev/xen/hypercall")?;
        Ok(Self { random, board, files, window, world, rooms, buffers, moves: !crate::witness::is_pv()? })
    }

    fn work(mut self) {
        let mut count = 0_u64;
        while !self.board.is_over() {
            if count % 256 == 0 {
                self.look();
            }
            count = count.wrapping_add(1);
            let (kind, answer) = self.one();
            self.board.count(kind, answer);
        }
        for room in self.rooms.clone() {
            let _ = self.window.clear(room.address, SLOT);
        }
    }

    /// Looks which domains there are, and what is mapped.
    fn look(&mut self) {
        self.world.targets = self.board.targets();
        self.world.rooms = self.rooms.iter().filter(|room| room.taken).map(|room| room.address).collect();
        if self.world.rooms.is_empty() {
            self.world.rooms.push(self.world.nothing);
        }
    }

    /// An open file of the table, opened where there is none.
    fn file(&mut self) -> RawFd {
        let index = usize::try_from(self.random.below(FILES as u64)).unwrap_or(0);
        let Some(place) = self.files.get(index) else { return -1 };
        let file = place.load(Ordering::Relaxed);
        if file >= 0 && !self.random.one_in(400) {
            return file;
        }
        let path = if self.random.one_in(8) { c"/proc/xen/privcmd" } else { c"/dev/xen/privcmd" };
        let opened = raw::open(path);
        self.board.count(Kind::Open, opened.err().unwrap_or(0));
        let Ok(opened) = opened else { return file };
        // Sometimes for one domain only, for good.
        if self.random.one_in(4) {
            let domain = self.world.domain(&mut self.random);
            self.put(&domain.to_le_bytes());
            self.board.count(Kind::Restrict, raw::ioctl(opened, request::RESTRICT, self.argument()));
        }
        let before = place.swap(opened, Ordering::Relaxed);
        if before >= 0 {
            self.board.count(Kind::Close, raw::close(before));
        }
        opened
    }

    /// Where the structure of an ioctl is put.
    fn argument(&self) -> u64 {
        self.world.memory.0 - PAGE
    }

    fn put(&self, bytes: &[u8]) {
        self.window.put(self.argument(), bytes);
    }

    /// The ioctl on what was put, or now and then on what is nowhere.
    fn ask(&mut self, request: u64) -> i32 {
        let file = self.file();
        let argument = match self.random.below(64) {
            0 => self.world.nothing,
            1 => 0xffff_ffff_8100_0000,
            2 => self.argument() + PAGE - self.random.below(48),
            _ => self.argument(),
        };
        // Across the end of the page lies what some call left: never the number of one that is left out.
        let argument =
            if request == request::HYPERCALL && argument > self.argument() && argument < self.world.nothing {
                self.world.read_only
            } else {
                argument
            };
        raw::ioctl(file, request, argument)
    }

    fn one(&mut self) -> (Kind, i32) {
        match self.random.below(100) {
            0..=47 => self.hypercall(),
            48..=51 => self.list(),
            52..=63 => self.device_model(),
            64..=67 => self.ranges(),
            68..=72 => self.batch(false),
            73..=79 => self.batch(true),
            80..=86 => self.resource(),
            87 => self.small(),
            88..=91 => self.make_room(),
            92 | 93 => self.end_room(),
            94 => self.protect(),
            95 => self.shift(),
            96 => self.advise(),
            97 | 98 => self.touch(),
            _ => self.rare(),
        }
    }

    fn hypercall(&mut self) -> (Kind, i32) {
        let call = shape::hypercall(&mut self.random, &self.world);
        if let Some((place, bytes)) = &call.structure {
            self.window.put(*place, bytes);
        }
        self.put(&call.registers());
        (Kind::Hypercall, self.ask(request::HYPERCALL))
    }

    /// A list of calls: few, of any kind, or with a count that no memory holds.
    fn list(&mut self) -> (Kind, i32) {
        let (start, length) = self.world.memory;
        // Lists have the end of the memory for themselves.
        let place = start + length / 2 + self.random.below(length / 4);
        let number = 1 + self.random.below(6);
        let mut bytes = Vec::new();
        for _ in 0..number {
            let call = shape::hypercall(&mut self.random, &self.world);
            if let Some((place, structure)) = &call.structure {
                self.window.put(*place, structure);
            }
            // A list in a list, too.
            let hypercall = if self.random.one_in(32) { 13 } else { call.number };
            let words = [hypercall, self.random.next()].into_iter().chain(call.arguments).chain([0]);
            bytes.extend(words.flat_map(u64::to_le_bytes));
        }
        self.window.put(place, &bytes);
        let at = if self.random.one_in(8) { self.world.read_only } else { place };
        let count = if at != place && self.random.one_in(2) { World::count(&mut self.random) } else { number };
        let call = shape::Call { number: 13, arguments: [at, count, 0, 0, 0], structure: None };
        self.put(&call.registers());
        (Kind::List, self.ask(request::HYPERCALL))
    }

    fn device_model(&mut self) -> (Kind, i32) {
        let (start, length) = self.world.memory;
        let (operation, domain) = shape::device_model(&mut self.random, &self.world);
        let place = start + (self.random.below(length / 2) & !7);
        self.window.put(place, &operation);
        let number = if self.random.one_in(8) {
            World::count(&mut self.random) & 0xffff_ffff
        } else {
            1 + self.random.below(3)
        };
        let buffers = self.world.memory.0 + length / 2;
        let mut bytes = Vec::new();
        let (elsewhere, list) = (self.random.one_in(12), self.random.one_in(16));
        for index in 0..number.min(17) {
            let (at, size) = if index == 0 && !elsewhere {
                (place, 32)
            } else {
                (
                    self.world.address(&mut self.random),
                    self.random.pick(&[0, 1, 8, 32, 33, 128, 129, 4095, 4096, 4097, 1 << 32, u64::MAX]),
                )
            };
            bytes.extend(at.to_le_bytes());
            bytes.extend(size.to_le_bytes());
        }
        self.window.put(buffers, &bytes);
        let at = if list { self.world.address(&mut self.random) } else { buffers };
        self.put(&words(&[u64::from(domain) | (number & 0xffff) << 16, at]));
        (Kind::DmOp, self.ask(request::DM_OP))
    }

    /// A room and a part of it: where it begins, and how many pages are asked for.
    fn part(&mut self) -> (u64, u64) {
        let room = self.some_room();
        let within = room.pages.max(1);
        let from = self.random.below(within);
        let address = match self.random.below(16) {
            0 => self.world.address(&mut self.random),
            1 => room.address + from * PAGE + self.random.below(PAGE),
            _ => room.address + from * PAGE,
        };
        let pages = match self.random.below(12) {
            0 => World::count(&mut self.random),
            1 => within,
            2 => within - from + 1,
            _ => 1 + self.random.below((within - from).min(64)),
        };
        (address, pages)
    }

    fn some_room(&mut self) -> Room {
        let taken: Vec<Room> = self.rooms.iter().filter(|room| room.taken).copied().collect();
        let index = usize::try_from(self.random.below(taken.len() as u64)).unwrap_or(0);
        taken.get(index).copied().unwrap_or(Room {
            address: self.world.nothing,
            pages: 1,
            taken: false,
            lost: false,
            buffers: false,
        })
    }

    /// MMAP: ranges of frames.
    fn ranges(&mut self) -> (Kind, i32) {
        let number = if self.random.one_in(8) { World::count(&mut self.random) } else { 1 + self.random.below(3) };
        let list = self.world.memory.0;
        let mut bytes = Vec::new();
        for _ in 0..number.min(4) {
            let (address, pages) = self.part();
            let pages = if self.random.one_in(2) { 1 } else { pages };
            bytes.extend(words(&[address, self.world.frame(&mut self.random), pages]));
        }
        self.window.put(list, &bytes);
        let at = if self.random.one_in(12) { self.world.address(&mut self.random) } else { list };
        let domain = self.world.domain(&mut self.random);
        self.put(&words(&[(number & 0xffff_ffff) | u64::from(domain) << 32, at]));
        (Kind::Mmap, self.ask(request::MMAP))
    }

    fn batch(&mut self, second: bool) -> (Kind, i32) {
        let (address, number) = self.part();
        // Sixteen pages for frames, and eight for errors, behind them.
        let frames = self.world.memory.0;
        let errors = frames + 16 * PAGE;
        let list: Vec<u64> = (0..number.min(600)).map(|_| self.world.frame(&mut self.random)).collect();
        self.window.put(frames, &words(&list));
        let at = if self.random.one_in(12) { self.world.address(&mut self.random) } else { frames };
        let domain = u64::from(self.world.domain(&mut self.random));
        let number = number & 0xffff_ffff;
        if second {
            let errors = if self.random.one_in(12) { self.world.address(&mut self.random) } else { errors };
            self.put(&words(&[number | domain << 32, address, at, errors]));
            (Kind::Batch2, self.ask(request::MMAPBATCH_V2))
        } else {
            self.put(&words(&[number | domain << 32, address, at]));
            (Kind::Batch, self.ask(request::MMAPBATCH))
        }
    }

    fn resource(&mut self) -> (Kind, i32) {
        let (address, pages) = self.part();
        let domain = u64::from(self.world.domain(&mut self.random));
        let kind = if self.random.one_in(8) { self.random.next() & 0xffff_ffff } else { self.random.below(4) };
        let id = if self.random.one_in(8) { self.random.next() & 0xffff_ffff } else { self.random.below(4) };
        let index = if self.random.one_in(4) { World::count(&mut self.random) & 0xffff_ffff } else { 0 };
        let (address, pages) = match self.random.below(6) {
            0 => (0, 0),
            1 => (address, 0),
            2 => (address, pages),
            _ => (address, 1 + self.random.below(2)),
        };
        self.put(&words(&[domain | kind << 32, id | index << 32, pages, address]));
        (Kind::Resource, self.ask(request::MMAP_RESOURCE))
    }

    /// The small ones, and numbers that are none.
    fn small(&mut self) -> (Kind, i32) {
        let bytes: Vec<u64> = (0..6).map(|_| self.random.next()).collect();
        self.put(&words(&bytes));
        match self.random.below(6) {
            0 => {
                let domain = self.world.domain(&mut self.random);
                self.put(&domain.to_le_bytes());
                (Kind::Restrict, self.ask(request::RESTRICT))
            }
            1 => (Kind::Gsi, self.ask(request::GET_GSI)),
            2 => (Kind::Irqfd, self.ask(request::IRQFD)),
            3 => (Kind::Ioeventfd, self.ask(request::IOEVENTFD)),
            4 => {
                let other = self.random.next() & 0xffff_ffff;
                // Not one of a size that the kernel would handle for every file.
                let other =
                    if other >> 8 & 0xff == u64::from(b'P') { other } else { (other & 0xffff_00ff) | 0x5000 };
                let other = if other & 0xff == 0 { other | 1 } else { other };
                (Kind::Unknown, self.ask(other))
            }
            _ => {
                let number = self.random.below(11);
                // With another size: it is no number then.
                (Kind::Unknown, self.ask(number | 0x5000 | 0x1f << 16))
            }
        }
    }

    fn make_room(&mut self) -> (Kind, i32) {
        let Some(index) = self.rooms.iter().position(|room| !room.taken && !room.lost) else {
            return self.end_room();
        };
        let pages = match self.random.below(16) {
            0 => SLOT / PAGE,
            1 | 2 => 256 + self.random.below(700),
            _ => 1 + self.random.below(24),
        };
        let buffers = self.random.one_in(4);
        let (pages, file) =
            if buffers { (pages.min(300), self.buffers.as_raw_fd()) } else { (pages, self.file()) };
        let flags = if self.random.one_in(16) { libc::MAP_PRIVATE } else { libc::MAP_SHARED };
        let protection = self.random.pick(&[READ_WRITE, READ_WRITE, READ_WRITE, libc::PROT_READ, 0]);
        let offset = if self.random.one_in(4) {
            i64::try_from(self.random.pick(&[PAGE, 0x7fff_ffff_f000, 1 << 40])).unwrap_or(0)
        } else {
            0
        };
        let Some(room) = self.rooms.get_mut(index) else { return (Kind::MakeRoom, 0) };
        let answer = self.window.map(room.address, pages * PAGE, protection, flags, file, offset);
        match answer {
            Ok(_) => {
                *room = Room { pages, taken: true, buffers, ..*room };
                (if buffers { Kind::MakeBuffer } else { Kind::MakeRoom }, 0)
            }
            // What was there is gone all the same.
            Err(error) => {
                room.lost = self.window.clear(room.address, SLOT).is_err();
                (Kind::MakeRoom, error.raw_os_error().unwrap_or(libc::EIO))
            }
        }
    }

    /// Takes a room away, whole or in part, and reserves what is free.
    fn end_room(&mut self) -> (Kind, i32) {
        let room = self.some_room();
        if !room.taken {
            return (Kind::EndRoom, 0);
        }
        let from = if self.random.one_in(2) { 0 } else { self.random.below(room.pages) };
        let pages =
            if from == 0 && self.random.one_in(2) { room.pages } else { 1 + self.random.below(room.pages - from) };
        let address = room.address + from * PAGE;
        let whole = pages == room.pages;
        let (answer, kept) = if self.random.one_in(3) {
            self.window.unmap(address, pages * PAGE)
        } else {
            let cleared = self.window.clear(address, if whole { SLOT } else { pages * PAGE });
            (cleared.err().and_then(|error| error.raw_os_error()).unwrap_or(0), true)
        };
        if let Some(known) = self.rooms.iter_mut().find(|known| known.address == room.address) {
            if !kept {
                *known = Room { lost: true, taken: false, ..*known };
            } else if whole && answer == 0 {
                known.taken = false;
            }
        }
        (Kind::EndRoom, answer)
    }

    fn span(&mut self) -> (u64, u64) {
        let room = self.some_room();
        let from = self.random.below(room.pages);
        (room.address + from * PAGE, (1 + self.random.below((room.pages - from).max(1))) * PAGE)
    }

    fn protect(&mut self) -> (Kind, i32) {
        let (address, length) = self.span();
        let protection =
            self.random.pick(&[0, libc::PROT_READ, READ_WRITE, READ_WRITE, libc::PROT_READ | libc::PROT_EXEC]);
        (Kind::Protect, self.window.protect(address, length, protection))
    }

    /// Moves a part of a room into another slot.
    fn shift(&mut self) -> (Kind, i32) {
        let Some(free) = self.rooms.iter().position(|room| !room.taken && !room.lost) else {
            return self.end_room();
        };
        let room = self.some_room();
        if !(room.buffers || self.moves) {
            return self.protect();
        }
        let (buffers, from_room) = (room.buffers, room.address);
        let from = self.random.below(room.pages);
        let address = room.address + from * PAGE;
        let length = (1 + self.random.below((room.pages - from).max(1))) * PAGE;
        let Some(to) = self.rooms.get(free).map(|room| room.address) else { return (Kind::Shift, 0) };
        let new = if self.random.one_in(4) { length + PAGE } else { length };
        let old = if self.random.one_in(16) { 0 } else { length };
        let answer = self.window.shift(address, old, to, new);
        if let (0, Some(room)) = (answer, self.rooms.get_mut(free)) {
            *room = Room { pages: new / PAGE, taken: true, buffers, ..*room };
            // What it left behind is reserved again, if nobody else is there by now.
            if old > 0 && !self.window.reserve(address, length) {
                if let Some(old) = self.rooms.iter_mut().find(|old| old.address == from_room) {
                    *old = Room { lost: true, taken: false, ..*old };
                }
            }
        }
        (Kind::Shift, answer)
    }

    fn advise(&mut self) -> (Kind, i32) {
        let (address, length) = self.span();
        if self.random.one_in(3) {
            let lock = self.random.one_in(2);
            return (Kind::Advise, self.window.lock(address, length, lock));
        }
        let advice = self.random.pick(&[
            libc::MADV_DONTNEED,
            libc::MADV_FREE,
            libc::MADV_COLD,
            libc::MADV_PAGEOUT,
            libc::MADV_DOFORK,
            libc::MADV_DODUMP,
            libc::MADV_WILLNEED,
            libc::MADV_POPULATE_READ,
            libc::MADV_POPULATE_WRITE,
            libc::MADV_MERGEABLE,
            libc::MADV_HUGEPAGE,
            libc::MADV_REMOVE,
        ]);
        (Kind::Advise, self.window.advise(address, length, advice))
    }

    /// Has the kernel look at what is mapped: through the mapping, as another process would, and as a file's content.
    fn touch(&mut self) -> (Kind, i32) {
        let (address, _) = self.span();
        if self.random.one_in(16) {
            drop(std::fs::read("/proc/self/smaps_rollup"));
            return (Kind::Touch, 0);
        }
        let write = self.random.one_in(2);
        (Kind::Touch, self.window.touch(address, write))
    }

    /// A child that goes on with the same rooms, a file that is closed under way, a room that is larger than memory.
    fn rare(&mut self) -> (Kind, i32) {
        match self.random.below(20) {
            0 => {
                let file = self.file();
                let argument = self.argument();
                let (address, length) = self.span();
                let answer = raw::fork(|| {
                    let _ = raw::ioctl(file, request::HYPERCALL, argument);
                    let _ = self.window.protect(address, length, libc::PROT_READ);
                    let _ = self.window.touch(address, true);
                });
                (Kind::Fork, answer)
            }
            1..=4 => {
                let index = usize::try_from(self.random.below(FILES as u64)).unwrap_or(0);
                let file = self.files.get(index).map_or(-1, |place| place.swap(-1, Ordering::Relaxed));
                if file < 0 { (Kind::Close, 0) } else { (Kind::Close, raw::close(file)) }
            }
            5 => {
                let file = self.file();
                // Tables for so much cannot be made, which is to be an answer and not a complaint of the kernel's.
                let length = self.random.pick(&[1_u64 << 41, 1 << 43, 1 << 45]);
                let pages = self.random.pick(&[length / PAGE, 0x7fff_ffff, 0x4000_0000, 0x1000_0001]);
                let frames = self.world.memory.0;
                let domain = u64::from(self.world.domain(&mut self.random));
                let batch = self.random.one_in(2);
                let mut answer = 0;
                let made = raw::huge(length, file, |start| {
                    answer = if batch {
                        self.put(&words(&[8 | domain << 32, start, frames, frames + PAGE]));
                        raw::ioctl(file, request::MMAPBATCH_V2, self.argument())
                    } else {
                        self.put(&words(&[domain | 1 << 32, 0, pages, start]));
                        raw::ioctl(file, request::MMAP_RESOURCE, self.argument())
                    };
                });
                (if batch { Kind::Batch2 } else { Kind::Resource }, if made == 0 { answer } else { made })
            }
            _ => self.touch(),
        }
    }
}

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Board {
    fn targets(&self) -> Vec<Target> {
        let mut found: Vec<Target> = (0..super::TARGETS)
            .map(|index| {
                let at = super::TARGET_WORDS + index * 8;
                let word = |offset: usize| self.word(at + offset).load(Ordering::Relaxed);
                Target {
                    domain: u16::try_from(word(0)).unwrap_or(shape::MISSING[1]),
                    frames: [word(1), word(2), word(3), word(4)],
                }
            })
            .collect();
        // One that is none.
        found.push(Target { domain: shape::MISSING[0], frames: [1; 4] });
        found
    }
}

impl std::ops::Deref for Board {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}
