#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_bootconfig::grub::{self, Environment};

// Any bytes are read; every word stands in the text, and what is handed over is made of the words.
fuzz_target!(|text: &[u8]| {
    let config = grub::read(text, &Environment::default());
    let lines = text.iter().filter(|&&byte| byte == b'\n').count() + 1;
    for entry in &config.entries {
        for command in &entry.commands {
            assert!(command.line <= lines);
            for word in &command.arguments {
                assert!(word.line <= lines);
            }
            let handed: usize = command.handed_over().iter().map(|piece| piece.text.len()).sum();
            let words: usize = command.arguments.iter().map(|word| word.text.len()).sum();
            assert!(handed >= words);
        }
    }
    for problem in config.problems.iter().chain(config.entries.iter().flat_map(|entry| &entry.problems)) {
        assert!(problem.line <= lines);
    }
});
