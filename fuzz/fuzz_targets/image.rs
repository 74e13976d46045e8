//! PE images: any bytes are read or refused, and a section is no longer than Xen will see it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_image::{Error, Image};

fuzz_target!(|file: &[u8]| {
    let image = match Image::read(file) {
        Ok(image) => image,
        Err(Error::Malformed(problem)) => {
            assert!(!problem.to_string().is_empty());
            return;
        }
        Err(error) => panic!("memory can be read and is a file: {error}"),
    };
    assert!(!image.sections().is_empty());
    for section in image.sections() {
        let contents = image.contents(section).expect("a section that was checked");
        assert!(contents.bytes.len() <= file.len());
        assert_eq!(contents.bytes.len() as u64 + contents.zeros, u64::from(section.virtual_size));
        assert!(file[section.file_range.start as usize..].starts_with(&contents.bytes));
    }
    assert_eq!(image.find(".config").is_some(), image.section(".config").is_ok_and(|found| found.is_some()));
});
