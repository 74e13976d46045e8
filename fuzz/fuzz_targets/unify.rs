//! Unified images: whatever they are built on, the old sections and the new ones can be read back.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use lockdown_image::Image;
use lockdown_image::build::Build;

const DATA: &[u8] = b"[xen]\noptions=console=vga\n";

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (drop_debug, added, file) = input;
    let Ok(before) = Image::read(file) else { return };
    let Ok(build) = Build::on(&before) else { return };
    let names: Vec<_> = (0..added % 16).map(|number| format!(".new{number}")).collect();
    let mut build = build.drop_debug(drop_debug);
    for name in &names {
        let Ok(more) = build.section(name, &DATA) else { return };
        build = more;
    }
    let Ok(unified) = build.finish() else { return };
    let mut out = Cursor::new(Vec::new());
    unified.write(&mut out).expect("memory can be written");
    let out = out.into_inner();
    assert!(out.len() <= file.len() + (before.sections().len() + names.len() + 2) * 0x1_0000);
    assert_eq!(out.len() % 8, 0);
    let after = Image::read(&out[..]).expect("what was built can be read");
    for name in &names {
        assert_eq!(after.section(name).unwrap().unwrap().bytes, DATA);
    }
    if drop_debug {
        assert!(after.sections().len() <= before.sections().len() + names.len());
        return;
    }
    for (old, new) in before.sections().iter().zip(after.sections()) {
        assert_eq!(
            (old.name, old.virtual_address, old.virtual_size),
            (new.name, new.virtual_address, new.virtual_size)
        );
        assert_eq!(old.file_range.end - old.file_range.start, new.file_range.end - new.file_range.start);
    }
});
