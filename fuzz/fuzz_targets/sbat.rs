//! SBAT's tables and revocations: any bytes are read or refused, and what is read is the same when it is written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_image::sbat::{Level, Levels, Table, compare, revoked};

fuzz_target!(|text: &[u8]| {
    let (table, mistakes) = Table::examine(text);
    for mistake in &mistakes {
        assert!(mistake.line >= 1 && mistake.column >= 1 && !mistake.fault.advice().is_empty());
        assert!(!mistake.to_string().is_empty());
    }
    if mistakes.is_empty() {
        let again = Table::read(table.to_string().as_bytes()).expect("what was good");
        assert!(compare(&table, &again).is_empty());
    }
    let mut levels = Vec::new();
    levels.extend(Level::read(text));
    levels.extend(Level::read_variable(text));
    if let Ok(Levels { automatic, latest }) = Levels::read(text) {
        levels.extend([automatic, latest]);
    }
    for level in &levels {
        assert_eq!(level.date().to_string().len(), 10);
        assert!(level.requirements().all(|wanted| wanted.generation >= 1));
        for revoked in revoked(&table, level) {
            assert!(revoked.row.generation < revoked.wanted.generation);
        }
    }
});
