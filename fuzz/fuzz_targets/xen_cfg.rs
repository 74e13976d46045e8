//! Xen's configuration file: any bytes are read or refused, and what is read stands in the text where it says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_bootconfig::Located;
use lockdown_bootconfig::xen_cfg::{Config, Selection};

fuzz_target!(|text: &[u8]| {
    let config = Config::as_xen(text);
    for name in config.sections() {
        check(text, name);
    }
    for remark in config.remarks() {
        check(text, remark.at);
    }
    check_selection(text, &config.select(None));
    check_selection(text, &config.select(Some(b"xen")));
    check_selection(text, &config.select_chained(None));
    match Config::read(text) {
        Ok(strict) => assert_eq!(strict.select(None), config.select(None)),
        Err(problem) => {
            assert!(problem.offset < text.len() && problem.line >= 1 && problem.column >= 1);
            // What stands before the problem can be read, unless it is there from the first byte on.
            assert!(Config::read(&text[..problem.offset]).is_ok());
        }
    }
});

fn check_selection(text: &[u8], selection: &Selection<'_>) {
    let kernel = selection.kernel;
    let chain = selection.chain;
    let values = [
        selection.default,
        selection.header,
        chain.map(|chain| chain.file),
        kernel.map(|kernel| kernel.file),
        kernel.and_then(|kernel| kernel.arguments),
        selection.ramdisk,
        selection.xsm,
        selection.options,
        selection.video,
        selection.ucode,
    ];
    for value in values.into_iter().flatten() {
        check(text, value);
    }
    if chain.is_some_and(|chain| chain.followed) {
        assert_eq!((kernel, selection.options, selection.ramdisk), (None, None, None));
    }
}

fn check(text: &[u8], value: Located<'_>) {
    assert_eq!(&text[value.offset..][..value.text.len()], value.text);
    assert!(!value.text.iter().any(u8::is_ascii_control));
    let before = &text[..value.offset];
    assert_eq!(value.line, before.split(|&byte| byte == b'\n').count());
    assert_eq!(value.column, before.rsplit(|&byte| byte == b'\n').next().map_or(0, <[u8]>::len) + 1);
}
