//! Requests that are random but have a shape: numbers that exist, structures of the right size, arguments at the edges.

use super::raw::PAGE;

/// Numbers from a seed; the same ones from the same seed (`SplitMix64`).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 where there is none.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `list`, which is not empty.
    pub(super) fn pick<T: Copy + Default>(&mut self, list: &[T]) -> T {
        let index = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        list.get(index).copied().unwrap_or_default()
    }
}

/// A domain that calls can be about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub(super) domain: u16,
    /// Frames of it, from the first on.
    pub(super) frames: [u64; 4],
}

/// What there is to name.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Readable and writable memory: address and length.
    pub(super) memory: (u64, u64),
    /// Memory that other threads write to.
    pub(super) other: u64,
    /// Memory that can only be read.
    pub(super) read_only: u64,
    /// Address space with nothing in it.
    pub(super) nothing: u64,
    /// Rooms of privcmd, and memory from `/dev/xen/hypercall`.
    pub(super) rooms: Vec<u64>,
    pub(super) targets: Vec<Target>,
}

/// Addresses that are nobody's, the kernel's, or just at the edge.
const EDGES: [u64; 14] = [
    0,
    1,
    0xfff,
    0x7fff_ffff_e000,
    0x7fff_ffff_efff,
    0x7fff_ffff_f000,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0xffff_7fff_ffff_ffff,
    0xffff_8000_0000_0000,
    0xffff_8880_0000_0000,
    0xffff_ffff_8100_0000,
    0xffff_ffff_ffff_f000,
    u64::MAX,
];

const COUNTS: [u64; 16] =
    [0, 1, 2, 3, 16, 17, 255, 256, 257, 4096, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 52, u64::MAX];

/// Numbers of domains that nobody has, until some call makes one of that number.
pub(super) const MISSING: [u16; 2] = [0x6ffe, 0x6fff];

/// Names of domains that are none's.
const NOBODY: [u16; 10] = [0, 0, 0x7ff0, 0x7ff1, 0x7ff2, 0x7ff3, 0x7ff4, 0x7fff, 0xffff, MISSING[1]];

impl World {
    /// An address.
    pub(super) fn address(&self, random: &mut Random) -> u64 {
        let (start, length) = self.memory;
        match random.below(32) {
            0..=15 => start.wrapping_add(random.below(length) & !7),
            16 | 17 => start.wrapping_add(random.below(length)),
            // Across the end of the memory, and of a page.
            18 => start.wrapping_add(length).wrapping_sub(random.below(64)),
            19 => start.wrapping_add(random.below(length / PAGE) * PAGE).wrapping_sub(random.below(64)),
            20 => self.other.wrapping_add(random.below(PAGE) & !7),
            21 => self.read_only.wrapping_add(random.below(PAGE)),
            22 => self.nothing.wrapping_add(random.below(PAGE)),
            23..=26 => {
                random.pick(&self.rooms).wrapping_add(random.below(4) * PAGE).wrapping_add(random.below(PAGE) & !7)
            }
            27 => random.next(),
            _ => random.pick(&EDGES).wrapping_add(random.pick(&[0, 0, 0, 8, u64::MAX - 7])),
        }
    }

    pub(super) fn domain(&self, random: &mut Random) -> u16 {
        if random.one_in(6) { random.pick(&NOBODY) } else { random.pick(&self.targets).domain }
    }

    /// A frame of a domain's, or of nobody's.
    pub(super) fn frame(&self, random: &mut Random) -> u64 {
        match random.below(8) {
            0 => random.below(0x10_0000),
            1 => random.pick(&COUNTS),
            _ => {
                let target = random.pick(&self.targets);
                random.pick(&target.frames)
            }
        }
    }

    pub(super) fn count(random: &mut Random) -> u64 {
        if random.one_in(3) { random.pick(&COUNTS) } else { random.below(12) }
    }

    /// Eight bytes of a structure.
    fn word(&self, random: &mut Random) -> u64 {
        match random.below(16) {
            0..=3 => 0,
            4..=6 => self.address(random),
            7 | 8 => Self::count(random),
            9 | 10 => self.frame(random),
            11 => u64::from(self.domain(random)),
            12 => u64::from(self.domain(random)) << 32,
            13 => random.below(12) | (random.below(12) << 32),
            14 => random.pick(&COUNTS),
            _ => random.next(),
        }
    }

    /// A structure of so many words.
    fn structure(&self, random: &mut Random, words: usize) -> Vec<u8> {
        (0..words).flat_map(|_| self.word(random).to_le_bytes()).collect()
    }
}

/// What the rules admit to root and what then ends or lames the machine, lawfully; it is left out.
///
/// Hypercall, operation, and how it is called.
pub(super) const LEFT_OUT: &[(u64, u64, &str)] = &[
    // Ends the host when nobody sets it again.
    (29, 6, "sched_op.watchdog"),
    // Xen keeps what it gets for trace buffers for good.
    (35, 2, "sysctl.tbuf_op"),
    // Take processors, memory and time away from the host.
    (35, 11, "sysctl.cpu_hotplug"),
    (35, 12, "sysctl.pm_op"),
    (35, 14, "sysctl.page_offline_op"),
    (35, 18, "sysctl.cpupool_op"),
    (35, 19, "sysctl.scheduler_op"),
    (36, 16, "domctl.scheduler_op"),
    // Give all of Xen's memory to one guest; Xen ends a PVH domain 0 for which it has no page table left (seen).
    (36, 10, "domctl.shadow_op"),
    (36, 11, "domctl.max_mem"),
    (36, 86, "domctl.set_paging_mempool_size"),
    // Xen 4.20 lets go of the page of shared information once too often if that was taken from the guest before, and
    // finds itself broken when the guest is gone (seen).
    (36, 79, "domctl.soft_reset"),
    // Xen 4.20 reaches for what it has already freed of a guest that is being destroyed (seen).
    (36, 12, "domctl.setvcpucontext"),
    // Each of two guests that are made device model of each other holds the other one for good (seen).
    (36, 46, "domctl.set_target"),
    // Programs the host's devices.
    (33, 13, "physdev_op.map_pirq"),
];

/// Domctls that Xen would carry out on domain 0, to its harm: they are aimed at others only.
const NOT_AT_DOM0: [u64; 3] = [9, 24, 68];

/// A hypercall, and the structure that it points to.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) arguments: [u64; 5],
    /// Where the structure goes, below the memory that is the thread's own.
    pub(super) structure: Option<(u64, Vec<u8>)>,
}

impl Call {
    pub(super) fn registers(&self) -> Vec<u8> {
        std::iter::once(&self.number).chain(&self.arguments).flat_map(|word| word.to_le_bytes()).collect()
    }
}

const OPERATIONS: [(u64, u64); 14] = [
    (12, 28),
    (17, 15),
    (18, 2),
    (20, 13),
    (24, 16),
    (26, 20),
    (29, 8),
    (30, 4),
    (32, 15),
    (33, 32),
    (34, 26),
    (37, 7),
    (38, 4),
    (42, 4),
];

/// A hypercall that may do anything but what is left out.
pub(super) fn hypercall(random: &mut Random, world: &World) -> Call {
    let (start, length) = world.memory;
    let place = start.wrapping_add(random.below(length / 2) & !7);
    let mut arguments: [u64; 5] = std::array::from_fn(|_| world.word(random));
    // Mostly where the structure is; sometimes anywhere.
    let at = if random.one_in(8) { world.address(random) } else { place };
    let (number, structure) = match random.below(16) {
        0..=5 => {
            let (command, bytes) = domctl(random, world);
            arguments[0] = at;
            debug_assert!(!is_left_out(36, command));
            (36, bytes)
        }
        6 | 7 => {
            let command = allowed(random, 35, 30);
            arguments[0] = at;
            (35, headed(random, world, command, 0x15, 17))
        }
        8 => {
            arguments[0] = at;
            let command = random.below(70);
            (7, headed(random, world, command, 0x0300_0001, 17))
        }
        9..=14 => {
            let (number, most) = random.pick(&OPERATIONS);
            arguments[0] = allowed(random, number, most);
            arguments[1] = at;
            arguments[2] = World::count(random);
            let mut bytes = world.structure(random, 12);
            // Where most structures of these name their domain.
            let offset = random.pick(&[0_usize, 0, 4, 16, 24]);
            if let Some(field) = bytes.get_mut(offset..offset + 2) {
                field.copy_from_slice(&world.domain(random).to_le_bytes());
            }
            if number == 12 && arguments[0] < 7 {
                reservation(random, world, &mut bytes);
            }
            (number, bytes)
        }
        _ => {
            let number = if random.one_in(4) { world.word(random) } else { random.below(64) };
            if random.one_in(2) {
                arguments[0] = at;
            }
            // The numbers above have their commands where this does not look.
            let number = if matches!(number, 13 | 29 | 33 | 35 | 36) { 17 } else { number };
            (number, world.structure(random, 16))
        }
    };
    Call { number, arguments, structure: Some((place, structure)) }
}

/// A number of an operation below `most`, or now and then another, that is not left out.
fn allowed(random: &mut Random, hypercall: u64, most: u64) -> u64 {
    let number = match random.below(24) {
        0 => random.next(),
        1 => random.below(most) | (1 << 32),
        // Where memory_op keeps how far it got.
        2 => random.below(most) | (random.below(4) << 6),
        _ => random.below(most),
    };
    if is_left_out(hypercall, number) { 0 } else { number }
}

fn is_left_out(hypercall: u64, operation: u64) -> bool {
    LEFT_OUT.iter().any(|(of, number, _)| *of == hypercall && *number == operation & 0xffff_ffff)
}

fn domctl(random: &mut Random, world: &World) -> (u64, Vec<u8>) {
    let command = allowed(random, 36, 92) & 0xffff_ffff;
    let mut bytes = headed(random, world, command, 0x17, 18);
    let mut domain = world.domain(random);
    if NOT_AT_DOM0.contains(&command) {
        domain = random.pick(&world.targets).domain;
    }
    if let Some(field) = bytes.get_mut(8..16) {
        field.fill(0);
    }
    if let Some(field) = bytes.get_mut(8..10) {
        field.copy_from_slice(&domain.to_le_bytes());
    }
    (command, bytes)
}

/// A structure that begins with a command and the version of the interface.
fn headed(random: &mut Random, world: &World, command: u64, version: u32, words: usize) -> Vec<u8> {
    let mut bytes = world.structure(random, words);
    let version = if random.one_in(32) { version.wrapping_add(1) } else { version };
    let head = (command & 0xffff_ffff) | (u64::from(version) << 32);
    if let Some(field) = bytes.get_mut(..8) {
        field.copy_from_slice(&head.to_le_bytes());
    }
    bytes
}

/// `struct xen_memory_reservation`, small enough that there is memory for it, mostly.
fn reservation(random: &mut Random, world: &World, bytes: &mut [u8]) {
    let number = if random.one_in(8) { World::count(random) } else { random.below(4) };
    let order = if random.one_in(16) { random.below(64) } else { 0 };
    let words = [world.address(random), number, order, u64::from(world.domain(random))];
    for (field, word) in bytes.chunks_exact_mut(8).zip(words) {
        field.copy_from_slice(&word.to_le_bytes());
    }
}

/// `struct xen_dm_op`, and the domain that it is for.
pub(super) fn device_model(random: &mut Random, world: &World) -> (Vec<u8>, u16) {
    let mut bytes = world.structure(random, 4);
    let domain = world.domain(random);
    let command = (if random.one_in(24) { random.next() } else { random.below(22) }) & 0xffff_ffff;
    if let Some(field) = bytes.get_mut(..8) {
        field.copy_from_slice(&command.to_le_bytes());
    }
    (bytes, domain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn world() -> World {
        World {
            memory: (0x1000_0000, 64 * PAGE),
            other: 0x2000_0000,
            read_only: 0x3000_0000,
            nothing: 0x4000_0000,
            rooms: vec![0x5000_0000],
            targets: vec![Target { domain: 3, frames: [5; 4] }],
        }
    }

    #[test]
    fn a_seed_gives_the_same_calls_again() {
        let calls = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| format!("{:?}", hypercall(&mut random, &world()))).collect::<Vec<_>>()
        };
        assert_eq!(calls(7), calls(7));
        assert_ne!(calls(7), calls(8));
    }

    #[test]
    fn what_ends_the_machine_is_left_out_and_domain_0_is_spared() {
        let mut random = Random::new(1);
        for _ in 0..200_000 {
            let call = hypercall(&mut random, &world());
            let (_, bytes) = call.structure.as_ref().unwrap();
            let word = |at: usize| u32::from_le_bytes(bytes.get(at..at + 4).unwrap().try_into().unwrap());
            match call.number {
                29 | 33 => assert!(!is_left_out(call.number, call.arguments[0]), "{call:?}"),
                35 | 36 => {
                    assert!(!is_left_out(call.number, word(0).into()), "{call:?}");
                    if call.number == 36 && NOT_AT_DOM0.contains(&word(0).into()) {
                        assert_eq!(word(8), 3, "{call:?}");
                    }
                }
                13 => panic!("{call:?}"),
                _ => {}
            }
        }
    }
}
