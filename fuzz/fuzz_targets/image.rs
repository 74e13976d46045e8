//! PE images: any bytes are read or refused, a section is no longer than Xen will see it, and all that is shown of an image stands in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_image::{Error, Image};
use lockdown_unify::inspect::{Depth, inspect};

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
    check_inspection(&image, file);
});

fn check_inspection(image: &Image<&[u8]>, file: &[u8]) {
    let inspected = match inspect(image, Depth::Hashes) {
        Ok(inspected) => inspected,
        Err(Error::Malformed(problem)) => return assert!(!problem.to_string().is_empty()),
        Err(error) => panic!("memory can be read: {error}"),
    };
    assert_eq!(inspected.length, file.len() as u64);
    assert_eq!(inspected.sections.len(), image.sections().len());
    let mut end = 0;
    for range in &inspected.not_covered {
        assert!(end <= range.start && range.start < range.end && range.end <= inspected.length);
        end = range.end;
    }
    for signature in &inspected.signatures {
        assert!(signature.offset < inspected.length);
    }
    for archive in inspected.ramdisk.iter().flat_map(|ramdisk| &ramdisk.archives) {
        assert!(archive.offset < inspected.length);
    }
    for (_, finding) in &inspected.findings {
        assert!(!finding.message.is_empty() && !finding.advice.is_empty());
    }
}
