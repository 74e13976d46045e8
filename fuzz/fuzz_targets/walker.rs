//! The guard's walk on any call and any memory: it ends, takes only what is userspace's, and writes nothing back that it
//! did not copy.
//!
//! The input begins with the number of the hypercall and a byte of choices, then five registers; the rest is userspace's
//! memory, which repeats every 4096 bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_core::guard::{Caller, Calls, Holder, Leaf, MOST_SPACE, Memory, Registers, SPACE, Why, plan};
use lockdown_core::{Level, XenVersion, tables};

const USER_END: u64 = 0x7fff_ffff_f000;

struct User<'a> {
    bytes: &'a [u8],
    fetched: usize,
    fetches: usize,
    fails: bool,
    leaves: usize,
}

impl Memory for User<'_> {
    fn fetch(&mut self, from: u64, into: &mut [u8]) -> bool {
        self.fetched += into.len();
        self.fetches += 1;
        let end = from.checked_add(into.len() as u64).unwrap();
        assert!(end <= USER_END, "{from:#x} {}", into.len());
        for (at, byte) in (from..end).zip(into) {
            // Memory changes all the time.
            *byte = self.bytes.get((at % 4096) as usize % self.bytes.len().max(1)).copied().unwrap_or(0);
        }
        !self.fails
    }

    fn leaf(&mut self, leaf: Leaf) {
        assert!(leaf.user.checked_add(leaf.bytes).unwrap() <= USER_END, "{leaf:?}");
        self.leaves += 1;
    }
}

fuzz_target!(|input: &[u8]| {
    let [hypercall, choices, rest @ ..] = input else { return };
    let Some((registers, bytes)) = rest.split_at_checked(40) else { return };
    let mut arguments = [0; 5];
    for (argument, bytes) in arguments.iter_mut().zip(registers.chunks_exact(8)) {
        *argument = u64::from_le_bytes(bytes.try_into().unwrap());
    }
    let caller = Caller {
        level: [None, Some(Level::Integrity), Some(Level::Confidentiality)][usize::from(choices & 3) % 3],
        own: if choices & 4 == 0 { 0 } else { 5 },
        user_end: USER_END,
        version: if choices & 8 == 0 { XenVersion::V4_20 } else { XenVersion::V4_17 },
    };
    let registers = Registers { hypercall: u64::from(*hypercall), arguments };
    let mut user = User { bytes, fetched: 0, fetches: 0, fails: choices & 16 != 0, leaves: 0 };
    let mut space = vec![0; if choices & 32 == 0 { MOST_SPACE } else { SPACE }];
    let outcome = plan(&tables::HYPERCALLS, &tables::LAYOUTS, &caller, &registers, &mut user, &mut space);
    assert!(user.fetched <= space.len());
    assert!(user.fetches <= 3);
    assert!(user.leaves <= space.len() / 8 + 8);
    let plan = match outcome {
        Ok(plan) => plan,
        Err(refusal) => {
            match refusal.why {
                Why::Reason(reason) => assert!(!reason.id().is_empty()),
                Why::Fault => assert!(user.fails),
                Why::Space(bytes) => assert!(bytes > space.len() as u64),
                Why::Calls(Calls { user, count }) => assert!(user + u64::from(count) * 64 <= USER_END),
            }
            return;
        }
    };
    assert!(!user.fails || plan.copies().next().is_none());
    let copies: Vec<_> = plan.copies().collect();
    for copied in &copies {
        assert!(copied.at + copied.length <= space.len());
        assert!(copied.user + copied.length as u64 <= USER_END);
        match copied.holder {
            Holder::Register(register) => assert_eq!(arguments[usize::from(register)], copied.user),
            Holder::Space(at) => {
                let holder = copies.iter().find(|one| (one.at..one.at + one.length).contains(&at)).unwrap();
                assert!(!holder.written);
                assert_eq!(space[at..at + 8], copied.user.to_le_bytes());
            }
        }
    }
    let mut last = 0;
    for back in plan.back() {
        let copied = copies.iter().find(|one| one.written).unwrap();
        assert!(back.at >= copied.at.max(last) && back.at + back.length <= copied.at + copied.length);
        assert_eq!(back.user - copied.user, (back.at - copied.at) as u64);
        assert!(back.length > 0);
        last = back.at + back.length;
    }
});
