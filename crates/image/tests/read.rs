//! Images that are read, and images that are refused: each refusal has a twin that differs in that point alone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod builder;

use builder::{HEADERS, OPTIONAL, PE_AT, Pe, ROW, TABLE, name_of};
use lockdown_image::{Area, Characteristics, Contents, Error, Fault, Image, Name, Part, Problem, Section};
use proptest::prelude::*;

const CONFIG: &[u8] = b"[xen]\noptions=console=vga\n";

fn good() -> Pe {
    Pe::new().with(".text", &[0x90; 0x30]).with(".config", CONFIG).with(".ramdisk", b"cpio")
}

#[test]
fn the_good_image() {
    let image = good().build();
    let image = Image::read(&image[..]).unwrap();
    let names: Vec<_> = image.sections().iter().map(|section| section.name.to_string()).collect();
    assert_eq!(names, [".text", ".config", ".ramdisk"]);
    let config = Section {
        name: Name(*b".config\0"),
        virtual_address: 0x2000,
        virtual_size: 26,
        file_range: 0x240..0x260,
        characteristics: Characteristics(0x4000_0040),
        header_offset: u64::from(TABLE + ROW),
    };
    assert_eq!(image.find(".config"), Some(&config));
    assert!(config.characteristics.has(Characteristics::READ));
    assert!(!config.characteristics.has(Characteristics::WRITE));
    assert_eq!(image.section(".config").unwrap(), Some(Contents { bytes: CONFIG.to_vec(), zeros: 0 }));
}

#[test]
fn a_file_is_read_like_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xen.efi");
    std::fs::write(&path, good().build()).unwrap();
    let image = Image::open(&path).unwrap();
    assert_eq!(image.section(".config").unwrap().unwrap().bytes, CONFIG);
}

/// `pe_find_section` and `pe_name_compare` in Xen.
mod as_xen_finds_it {
    use super::*;

    #[test]
    fn a_name_of_eight_bytes_needs_no_nul() {
        assert_eq!(bytes(&good(), ".ramdisk"), Some(b"cpio".to_vec()));
        assert_eq!(bytes(&good(), ".ramdis"), None);
        assert_eq!(bytes(&good(), ".ramdiskx"), None);
    }

    #[test]
    fn a_name_ends_at_its_first_nul() {
        let image = Pe::new().with("", b"policy").row(0, |row| row.name = *b".xsm\0abc");
        assert_eq!(bytes(&image, ".xsm"), Some(b"policy".to_vec()));
    }

    #[test]
    fn a_name_is_exact_and_begins_with_a_dot() {
        for name in [".confi", ".config2", ".Config", "config", "/4"] {
            assert_eq!(bytes(&Pe::new().with(name, CONFIG), ".config"), None, "{name}");
        }
        assert_eq!(bytes(&Pe::new().with("config", CONFIG), "config"), None);
    }

    #[test]
    fn the_first_of_a_name_counts() {
        assert_eq!(bytes(&Pe::new().with(".config", b"1").with(".config", b"2"), ".config"), Some(b"1".to_vec()));
    }

    #[test]
    fn the_virtual_size_counts_not_that_in_the_file() {
        let cut = good().row(1, |row| row.virtual_size = 5);
        assert_eq!(bytes(&cut, ".config"), Some(b"[xen]".to_vec()));
    }

    #[test]
    fn what_the_file_does_not_have_is_zeros() {
        let image = good().row(1, |row| row.virtual_size = 0x100);
        let contents = contents(&image, ".config").unwrap();
        assert_eq!((contents.bytes.len(), contents.zeros), (0x20, 0xe0));
        let without = good().row(1, |row| row.raw_size = 0);
        assert_eq!(super::contents(&without, ".config"), Some(Contents { bytes: vec![], zeros: 26 }));
    }

    #[test]
    fn without_a_virtual_size_it_is_there_and_empty() {
        let image = good().row(1, |row| row.virtual_size = 0);
        assert_eq!(bytes(&image, ".config"), Some(vec![]));
    }

    #[test]
    fn zeros_cost_no_memory() {
        let image = good().but(|pe| pe.image_size = u32::MAX).row(2, |row| {
            (row.virtual_size, row.raw_size) = (0xff00_0000, 0);
        });
        assert_eq!(contents(&image, ".ramdisk"), Some(Contents { bytes: vec![], zeros: 0xff00_0000 }));
    }
}

mod refused {
    use super::*;

    #[test]
    fn what_is_not_a_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Image::open(folder.path()), Err(Error::NotAFile)));
        let missing = Image::open(&folder.path().join("missing"));
        assert!(matches!(missing, Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound));
    }

    #[test]
    fn a_wrong_magic() {
        assert_eq!(problem(&good().but(|pe| pe.mz = *b"ZM")), (0, Fault::NoMz));
        assert_eq!(problem(&good().but(|pe| pe.pe = *b"PE\0\x01")), (u64::from(PE_AT), Fault::NoPe));
        let fault = Fault::NotPe32Plus(0x10b);
        assert_eq!(problem(&good().but(|pe| pe.magic = 0x10b)), (u64::from(PE_AT) + 24, fault));
    }

    #[test]
    fn another_machine() {
        let fault = Fault::Machine(0xaa64);
        assert_eq!(problem(&good().but(|pe| pe.machine = 0xaa64)), (u64::from(PE_AT) + 4, fault));
    }

    #[test]
    fn an_empty_file_and_a_short_one() {
        let part = Part::MzHeader;
        for length in [0, 1, 63] {
            let problem = refusal(&good().build()[..length]);
            let length = u64::try_from(length).unwrap();
            assert_eq!((problem.offset, problem.fault), (0, Fault::Truncated { part, length }));
        }
    }

    #[test]
    fn a_pe_header_outside_the_file() {
        for pe_at in [0x8000, u32::MAX] {
            let image = good().but(|pe| pe.pe_at = pe_at);
            let fault = Fault::Truncated { part: Part::PeHeader, length: 0x280 };
            assert_eq!(problem(&image), (u64::from(pe_at), fault));
        }
    }

    #[test]
    fn headers_that_end_behind_the_file_or_the_image() {
        let image = good().but(|pe| pe.headers_size = 0x281);
        assert_eq!(problem(&image), (0, Fault::Truncated { part: Part::Headers, length: 0x280 }));
        let image = good().but(|pe| pe.image_size = HEADERS - 1);
        let fault = Fault::OutsideImage { area: Area::Headers, end: 0x200, image: 0x1ff };
        assert_eq!(problem(&image), (u64::from(PE_AT) + 24 + 60, fault));
    }

    #[test]
    fn a_short_optional_header() {
        let fault = Fault::ShortOptionalHeader(111);
        assert_eq!(problem(&good().but(|pe| pe.optional_header_size = 111)), (u64::from(PE_AT) + 20, fault));
    }

    #[test]
    fn no_sections() {
        assert_eq!(problem(&Pe::new()), (u64::from(PE_AT) + 6, Fault::NoSections));
    }

    #[test]
    fn more_sections_than_the_headers_hold() {
        let headers = TABLE + 4 * ROW;
        for count in [5, u16::MAX] {
            let image = good().but(|pe| (pe.count, pe.headers_size) = (Some(count), headers));
            let end = u64::from(TABLE) + u64::from(count) * u64::from(ROW);
            let fault = Fault::TooManySections { count, end, headers: u64::from(headers) };
            assert_eq!(problem(&image), (u64::from(PE_AT) + 6, fault));
        }
        let image = good().but(|pe| (pe.optional_header_size, pe.headers_size) = (u16::MAX, HEADERS));
        assert!(matches!(problem(&image).1, Fault::TooManySections { count: 3, .. }));
    }

    #[test]
    fn twin_as_many_as_they_hold() {
        let image = good().but(|pe| pe.headers_size = TABLE + 3 * ROW).build();
        assert_eq!(Image::read(&image[..]).unwrap().sections().len(), 3);
        let shortest = good().but(|pe| pe.optional_header_size = 112).build();
        assert!(!matches!(
            Image::read(&shortest[..]),
            Err(Error::Malformed(Problem { fault: Fault::ShortOptionalHeader(_), .. }))
        ));
    }

    #[test]
    fn data_behind_the_end_of_the_file() {
        let row = u64::from(TABLE + ROW);
        let area = section(".config");
        let (length, start) = (0x280, 0x261);
        let image = good().row(1, |row| row.raw_at = 0x261).row(2, |row| row.raw_size = 0);
        assert_eq!(problem(&image), (row + 20, Fault::OutsideFile { area, start, end: 0x281, length }));
        let image = good().row(1, |row| (row.raw_at, row.raw_size) = (u32::MAX, u32::MAX));
        assert!(matches!(problem(&image).1, Fault::OutsideFile { end: 0x1_ffff_fffe, .. }));
        let truncated = good().build();
        assert!(matches!(refusal(&truncated[..0x27f]).fault, Fault::OutsideFile { length: 0x27f, .. }));
    }

    #[test]
    fn twin_data_up_to_the_end_of_the_file() {
        let image = good().row(1, |row| row.raw_at = 0x260).row(2, |row| row.raw_size = 0);
        assert_eq!(bytes(&image, ".config").unwrap().len(), 26);
        let nothing = good().row(2, |row| (row.raw_at, row.raw_size) = (u32::MAX, 0));
        assert_eq!(bytes(&nothing, ".ramdisk"), Some(vec![]), "without a size the place means nothing");
    }

    #[test]
    fn a_section_outside_the_image() {
        let offset = u64::from(TABLE + 2 * ROW) + 12;
        let area = section(".ramdisk");
        let image = good().but(|pe| pe.image_size = 0x3003);
        assert_eq!(problem(&image), (offset, Fault::OutsideImage { area, end: 0x3004, image: 0x3003 }));
        let wraps = good().row(2, |row| (row.virtual_address, row.virtual_size) = (0xffff_ff00, 0x200));
        let fault = Fault::OutsideImage { area, end: 0x1_0000_0100, image: 0x10000 };
        assert_eq!(problem(&wraps), (offset, fault), "this sum passes Xen's own check");
    }

    #[test]
    fn twin_a_section_up_to_the_end_of_the_image() {
        assert_eq!(bytes(&good().but(|pe| pe.image_size = 0x3004), ".ramdisk"), Some(b"cpio".to_vec()));
    }

    #[test]
    fn sections_that_overlap_in_memory() {
        let fault = Fault::OverlapInMemory { first: section(".text"), second: section(".config"), start: 0x102f };
        let image = good().row(1, |row| row.virtual_address = 0x102f);
        assert_eq!(problem(&image), (u64::from(TABLE + ROW) + 12, fault));
        let image = good().row(0, |row| row.virtual_address = 0x2fff);
        assert!(
            matches!(problem(&image).1, Fault::OverlapInMemory { start: 0x3000, .. }),
            "order does not matter"
        );
        let empty = good().row(1, |row| (row.virtual_address, row.virtual_size) = (0x102f, 0));
        assert!(matches!(problem(&empty).1, Fault::OverlapInMemory { .. }), "firmware loads what the file has");
        let headers = good().row(1, |row| row.virtual_address = HEADERS - 1);
        assert!(matches!(problem(&headers).1, Fault::OverlapInMemory { first: Area::Headers, .. }));
    }

    #[test]
    fn twin_sections_that_touch_in_memory() {
        for address in [0x1030, HEADERS] {
            assert_eq!(
                bytes(&good().row(1, |row| row.virtual_address = address), ".config"),
                Some(CONFIG.to_vec())
            );
        }
        let nothing = good().row(1, |row| (row.virtual_address, row.virtual_size, row.raw_size) = (0x1010, 0, 0));
        assert_eq!(bytes(&nothing, ".config"), Some(vec![]));
    }

    #[test]
    fn sections_that_overlap_in_the_file() {
        let fault = Fault::OverlapInFile { first: section(".text"), second: section(".config"), start: 0x23f };
        let image = good().row(1, |row| row.raw_at = 0x23f);
        assert_eq!(problem(&image), (u64::from(TABLE + ROW) + 20, fault));
        let headers = good().row(1, |row| row.raw_at = HEADERS - 1);
        assert!(matches!(problem(&headers).1, Fault::OverlapInFile { first: Area::Headers, .. }));
    }

    #[test]
    fn twin_sections_that_touch_in_the_file_or_have_nothing_there() {
        let image =
            good().row(1, |row| (row.raw_at, row.raw_size) = (0x250, 0x10)).row(0, |row| row.raw_size = 0x50);
        assert_eq!(bytes(&image, ".config").unwrap().len(), 0x10);
        let zeros = good().row(0, |row| (row.raw_at, row.raw_size) = (0x250, 0));
        assert_eq!(bytes(&zeros, ".config"), Some(CONFIG.to_vec()));
    }

    #[test]
    fn every_message_says_what_and_where() {
        let image = good().row(1, |row| (row.raw_at, row.name) = (0x300, name_of(".con\u{1b}g")));
        let message = Image::read(&image.build()[..]).unwrap_err().to_string();
        assert_eq!(
            message,
            "at offset 0x184: the data of section .con\\x1bg stands at 0x300 to 0x320, and the file ends at 0x280"
        );
    }

    fn problem(image: &Pe) -> (u64, Fault) {
        let problem = refusal(&image.build());
        (problem.offset, problem.fault)
    }

    fn refusal(image: &[u8]) -> Problem {
        match Image::read(image) {
            Err(Error::Malformed(problem)) => problem,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn section(name: &str) -> Area {
        Area::Section(Name(name_of(name)))
    }
}

proptest! {
    /// Whatever is changed in an image, what is read lies in the file and is not longer than Xen will see.
    #[test]
    fn any_change_is_read_or_refused(changes in prop::collection::vec((0usize..0x280, any::<u8>()), 0..6)) {
        let mut file = good().build();
        for (at, byte) in changes {
            file[at] = byte;
        }
        if let Ok(image) = Image::read(&file[..]) {
            for section in image.sections() {
                prop_assert!(usize::try_from(section.file_range.end).unwrap() <= file.len());
                let contents = image.contents(section).unwrap();
                let length = u64::try_from(contents.bytes.len()).unwrap() + contents.zeros;
                prop_assert_eq!(length, u64::from(section.virtual_size));
            }
        }
    }
}

#[test]
fn the_builder_puts_the_table_where_it_says() {
    let file = good().build();
    let table = usize::try_from(TABLE).unwrap();
    assert_eq!(&file[table..][..5], b".text");
    assert_eq!(usize::try_from(PE_AT).unwrap() + 24 + usize::from(OPTIONAL), table);
}

fn bytes(image: &Pe, name: &str) -> Option<Vec<u8>> {
    contents(image, name).map(|contents| contents.bytes)
}

fn contents(image: &Pe, name: &str) -> Option<Contents> {
    Image::read(&image.build()[..]).unwrap().section(name).unwrap()
}
