#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_policy::Overlay;

// Any text is an overlay, or is refused with the place of each mistake. Merging makes tables that live as long as the
// process, so it is left to the tests of crates/policy and crates/cli.
fuzz_target!(|text: &str| {
    let lines = text.matches('\n').count() + 1;
    match Overlay::parse("overlay.toml".as_ref(), text) {
        Ok(overlay) => assert!(overlay.allows.iter().all(|allow| !allow.who.is_empty() && !allow.why.is_empty())),
        Err(problems) => assert!(!problems.0.is_empty() && problems.0.iter().all(|problem| problem.line <= lines)),
    }
});
