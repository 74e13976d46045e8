//! What `cargo xtask bench-walker` counts the instructions of: the guard's walk over one call, so many times.
//!
//! The copy from userspace is the driver's and costs nothing here: what it would bring stands in the space already.

use std::hint::black_box;
use std::process::ExitCode;

use lockdown_core::guard::{Caller, MOST_SPACE, Memory, Registers, plan};
use lockdown_core::{Level, XenVersion, tables};

/// A call by its name: what stands in the registers, and in the space once it is fetched.
struct Case {
    name: &'static str,
    registers: Registers,
    fields: &'static [(usize, u64, usize)],
}

const AT: u64 = 0x5555_0000_1000;

/// Numbers of Xen 4.20's public headers.
const CASES: &[Case] = &[
    case("version", 17, [0, 0, 0, 0, 0], &[]),
    case("extraversion", 17, [1, AT, 0, 0, 0], &[]),
    case("pausedomain", 36, [AT, 0, 0, 0, 0], &[(0, 3, 4), (4, 0x17, 4), (8, 7, 2)]),
    case("remote_shutdown", 29, [4, AT, 0, 0, 0], &[(0, 7, 2)]),
    case("populate_physmap", 12, [6, AT, 0, 0, 0], &[(0, AT, 8), (8, 512, 8), (24, 7, 2)]),
    case("getdomaininfolist", 35, [AT, 0, 0, 0, 0], &[(0, 6, 4), (4, 0x15, 4), (12, 100, 4), (16, AT, 8)]),
    case("pin", 26, [AT, 1, 0, 7, 0], &[(0, 3, 4), (8, 0x1234, 8)]),
    case(
        "modified_memory",
        41,
        [7, 2, AT, 0, 0],
        &[(0, AT, 8), (8, 32, 8), (16, AT, 8), (24, 32, 8), (32, 11, 4), (40, 2, 4)],
    ),
];

const fn case(
    name: &'static str,
    hypercall: u64,
    arguments: [u64; 5],
    fields: &'static [(usize, u64, usize)],
) -> Case {
    Case { name, registers: Registers { hypercall, arguments }, fields }
}

struct Fetched;

impl Memory for Fetched {
    fn fetch(&mut self, from: u64, into: &mut [u8]) -> bool {
        black_box((from, into.as_ptr()));
        true
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(times)) =
        (arguments.next(), arguments.next().and_then(|times| times.parse::<u32>().ok()))
    else {
        // `cargo test --all-targets` and `cargo bench` start it without a case.
        println!("usage: guard_walk CASE TIMES; see benches/README.md");
        return ExitCode::SUCCESS;
    };
    let Some(case) = CASES.iter().find(|case| case.name == name) else {
        eprintln!("error: no case {name}");
        return ExitCode::FAILURE;
    };
    let mut space = vec![0; MOST_SPACE];
    for &(offset, value, width) in case.fields {
        if let Some(place) = space.get_mut(offset..offset + width) {
            place.copy_from_slice(value.to_le_bytes().get(..width).unwrap_or_default());
        }
    }
    let caller =
        Caller { level: Some(Level::Integrity), own: 0, user_end: 0x7fff_ffff_f000, version: XenVersion::V4_20 };
    for _ in 0..times {
        let registers = black_box(&case.registers);
        let planned = plan(&tables::HYPERCALLS, &tables::LAYOUTS, &caller, registers, &mut Fetched, &mut space);
        if black_box(&planned).is_err() {
            eprintln!("error: {name} is refused");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
