#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_bootconfig::default_grub;

// Any bytes are read; every value stands in the text, and every byte of a command line comes from somewhere in order.
fuzz_target!(|text: &[u8]| {
    let settings = default_grub::read(text);
    let lines = text.iter().filter(|&&byte| byte == b'\n').count() + 1;
    for assignment in &settings.assignments {
        assert!(assignment.line <= lines);
    }
    let made = default_grub::command_lines(&settings.assignments);
    for line in [&made.xen_normal, &made.dom0_normal, &made.xen_recovery, &made.dom0_recovery] {
        assert!(line.origins.windows(2).all(|pair| pair[0].at <= pair[1].at));
        assert!(line.origins.iter().all(|origin| origin.at <= line.text.len()));
    }
});
