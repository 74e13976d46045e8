//! Images that are built, read back by our own reader and by another, and what cannot be built.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[allow(dead_code, reason = "each test uses what it needs")]
mod builder;

use std::io::{self, Cursor};

use builder::{HEADERS, PE_AT, Pe, ROW, TABLE, name_of};
use goblin::pe::PE;
use lockdown_image::build::{Build, Error};
use lockdown_image::{Characteristics, Image, Name, Source};
use proptest::prelude::*;

const CONFIG: &[u8] = b"[xen]\noptions=console=vga\n";
const TIME: usize = 8;
const SYMBOLS: usize = 12;
const SYMBOL_COUNT: usize = 16;
const DATA_SIZE: usize = 24 + 8;
const IMAGE_SIZE: usize = 24 + 56;
const HEADERS_SIZE: usize = 24 + 60;
const CHECKSUM: usize = 24 + 64;
const DIRECTORIES: usize = 24 + 112;

fn xen() -> Pe {
    Pe::new().with(".text", &[0x90; 0x30]).with(".data", b"data").but(|pe| pe.section_alignment = 0x20_0000)
}

#[test]
fn sections_stand_behind_the_last_one() {
    let mut base = xen().build();
    put(&mut base, TIME, 0x1234_5678);
    put(&mut base, DATA_SIZE, 0x40);
    let built = build(&base, &[(".config", CONFIG), (".ramdisk", &[7; 0x20_0001]), (".sbat", b"sbat")]);

    let image = Image::read(&built[..]).unwrap();
    let rows: Vec<_> = image
        .sections()
        .iter()
        .map(|row| (row.name.to_string(), row.virtual_address, row.virtual_size, row.file_range.clone()))
        .collect();
    assert_eq!(rows[2], (".config".to_owned(), 0x20_0000, 26, 0x280..0x2a0));
    assert_eq!(rows[3], (".ramdisk".to_owned(), 0x40_0000, 0x20_0001, 0x2a0..0x20_02c0));
    assert_eq!(rows[4], (".sbat".to_owned(), 0x80_0000, 4, 0x20_02c0..0x20_02e0));
    assert_eq!(image.sections()[2].characteristics, Characteristics(0x4000_0040));
    assert_eq!(image.section(".config").unwrap().unwrap().bytes, CONFIG);
    assert_eq!(image.section(".ramdisk").unwrap().unwrap().bytes, [7; 0x20_0001]);

    assert_eq!(get(&built, TIME), 0x1234_5678, "the time stays");
    assert_eq!(get(&built, IMAGE_SIZE), 0xa0_0000);
    assert_eq!(get(&built, HEADERS_SIZE), 0x220, "five rows are more than there was room for");
    assert_eq!(get(&built, DATA_SIZE), 0x40 + 0x20 + 0x20_0020 + 0x20);
    assert_eq!(get(&built, CHECKSUM), checksum(&built));
    assert_eq!(built.len() % 8, 0);
}

#[test]
fn another_reader_sees_the_same() {
    let base = xen().build();
    let built = build(&base, &[(".config", CONFIG), (".sbat", b"sbat")]);
    let other = PE::parse(&built).unwrap();
    let ours = Image::read(&built[..]).unwrap();
    assert_eq!(other.sections.len(), ours.sections().len());
    for (other, ours) in other.sections.iter().zip(ours.sections()) {
        assert_eq!(other.name().unwrap(), ours.name.to_string());
        assert_eq!(other.virtual_address, ours.virtual_address);
        assert_eq!(other.virtual_size, ours.virtual_size);
        assert_eq!(u64::from(other.pointer_to_raw_data), ours.file_range.start);
        assert_eq!(u64::from(other.size_of_raw_data), ours.file_range.end - ours.file_range.start);
    }
    let optional = other.header.optional_header.unwrap().windows_fields;
    assert_eq!((optional.size_of_image, optional.check_sum), (0x60_0000, checksum(&built)));
}

#[test]
fn the_same_input_gives_the_same_bytes_and_the_source_is_what_is_written() {
    let base = xen().build();
    let image = Image::read(&base[..]).unwrap();
    let unified = Build::on(&image).unwrap().section(".config", &CONFIG).unwrap().finish().unwrap();
    let (mut first, mut second) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    unified.write(&mut first).unwrap();
    unified.write(&mut second).unwrap();
    assert_eq!(first, second);
    let mut written = first.into_inner();
    put(&mut written, CHECKSUM, 0);
    assert_eq!(bytes(&unified), written, "but for the checksum");
    assert!(unified.read_at(1, &mut vec![0; written.len()]).is_err());
}

#[test]
fn relocations_are_loaded_if_asked() {
    let discardable = 0x4200_0040;
    let base = xen().with(".reloc", &[7; 0x20]).with(".other", &[7; 0x20]);
    let at = base.rows.len() - 2;
    let base = base.row(at, |row| row.characteristics = discardable);
    let base = base.row(at + 1, |row| row.characteristics = discardable).build();
    let image = Image::read(&base[..]).unwrap();
    let flags = |load| {
        let built =
            written(Build::on(&image).unwrap().load_relocations(load).section(".config", &CONFIG).unwrap());
        let built = Image::read(&built[..]).unwrap();
        [".reloc", ".other"].map(|name| built.find(name).unwrap().characteristics.0)
    };
    assert_eq!(flags(false), [discardable, discardable]);
    assert_eq!(flags(true), [0x4000_0040, discardable]);
}

#[test]
fn files_are_read_like_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (xen_at, config_at, out_at) =
        (folder.path().join("xen"), folder.path().join("c"), folder.path().join("out"));
    let base = xen().build();
    std::fs::write(&xen_at, &base).unwrap();
    std::fs::write(&config_at, CONFIG).unwrap();
    let image = Image::open(&xen_at).unwrap();
    let config = std::fs::File::open(&config_at).unwrap();
    let unified = Build::on(&image).unwrap().section(".config", &config).unwrap().finish().unwrap();
    unified.write(&mut std::fs::File::create(&out_at).unwrap()).unwrap();
    assert_eq!(std::fs::read(&out_at).unwrap(), build(&base, &[(".config", CONFIG)]));
}

#[test]
fn an_image_can_be_built_on_again() {
    let base = xen().build();
    let once = build(&base, &[(".config", CONFIG), (".sbat", b"sbat")]);
    let twice = build(&build(&base, &[(".config", CONFIG)]), &[(".sbat", b"sbat")]);
    assert_eq!(once, twice);
}

/// Debian's xen.efi: long names behind the symbols, debug sections last, headers without room for one more row.
mod debug_sections {
    use super::*;

    const STRINGS: &[u8] = b"\0\0\0\0.data.read_mostly\0.debug_info\0";
    const TWO_SYMBOLS: [u8; 36] = [0x55; 36];

    fn with_debug() -> Vec<u8> {
        let mut file = Pe::new()
            .with(".text", &[0x90; 0x30])
            .with("/4", b"often read")
            .with("/22", &[0xdd; 0x1000])
            .with("/22", &[0xdd; 0x10])
            .but(|pe| pe.section_alignment = 0x20_0000)
            .build();
        const { assert!(TABLE + 4 * ROW < HEADERS && HEADERS < TABLE + 5 * ROW) };
        let at = u32::try_from(file.len()).unwrap();
        put(&mut file, SYMBOLS, at);
        put(&mut file, SYMBOL_COUNT, 2);
        file.extend(TWO_SYMBOLS);
        file.extend(STRINGS);
        file
    }

    #[test]
    fn are_dropped_with_the_symbols() {
        let base = with_debug();
        let image = Image::read(&base[..]).unwrap();
        let build = Build::on(&image).unwrap().drop_debug(true).section(".config", &CONFIG).unwrap();
        let built = written(build);
        let after = Image::read(&built[..]).unwrap();
        let names: Vec<_> = after.sections().iter().map(|section| section.name.to_string()).collect();
        assert_eq!(names, [".text", ".data.re", ".config"]);
        assert_eq!(after.sections()[1].file_range, 0x240..0x260, "what stays is not moved");
        assert_eq!(after.sections()[2].virtual_address, 0x20_0000, "nor is room kept in memory");
        assert_eq!((get(&built, SYMBOLS), get(&built, SYMBOL_COUNT)), (0, 0));
        assert_eq!(built.len(), 0x280);
        assert!(!built.windows(4).any(|bytes| bytes == [0xdd; 4] || bytes == [0x55; 4]));
        assert_eq!(get(&built, IMAGE_SIZE), 0x40_0000);
        assert_eq!(get(&built, CHECKSUM), checksum(&built));
        let row = usize::try_from(TABLE + 3 * ROW).unwrap();
        assert!(built[row..0x200].iter().all(|&byte| byte == 0), "no trace of the fourth row");
        PE::parse(&built).unwrap();
    }

    #[test]
    fn stay_with_their_symbols_behind_everything() {
        let base = with_debug();
        let built = build(&base, &[(".config", CONFIG)]);
        let before = Image::read(&base[..]).unwrap();
        let after = Image::read(&built[..]).unwrap();
        assert_eq!(get(&built, HEADERS_SIZE), 0x220, "one more row does not fit into what there was");
        for (before, after) in before.sections().iter().zip(after.sections()) {
            assert_eq!(before.file_range.start + 0x20, after.file_range.start, "{}", before.name);
        }
        let symbols = usize::try_from(get(&built, SYMBOLS)).unwrap();
        assert_eq!(u64::try_from(symbols).unwrap(), after.sections()[4].file_range.end);
        assert_eq!(get(&built, SYMBOL_COUNT), 2);
        assert_eq!(&built[symbols..][..36], TWO_SYMBOLS);
        assert_eq!(&built[symbols + 36..][..STRINGS.len()], STRINGS);
        assert_eq!(built.len() % 8, 0);
    }

    #[test]
    fn in_the_middle_leave_no_gap() {
        let mut file = Pe::new().with(".text", b"text").with("/4", &[0xdd; 0x100]).with(".data", b"data").build();
        let at = u32::try_from(file.len()).unwrap();
        put(&mut file, SYMBOLS, at);
        file.extend(b"\0\0\0\0.debug_line\0");
        let image = Image::read(&file[..]).unwrap();
        let built = written(Build::on(&image).unwrap().drop_debug(true));
        let after = Image::read(&built[..]).unwrap();
        assert_eq!(after.sections()[1].file_range, 0x220..0x240);
        assert_eq!(after.section(".data").unwrap().unwrap().bytes, b"data");
        assert_eq!(after.sections()[1].virtual_address, 0x3000, "addresses never change");
    }

    #[test]
    fn leave_at_least_the_headers() {
        let file =
            Pe::new().with(".debug_", &[0xdd; 0x20]).with(".e", b"").row(1, |row| row.virtual_address = 0).build();
        let image = Image::read(&file[..]).unwrap();
        let built = written(Build::on(&image).unwrap().drop_debug(true));
        assert_eq!((get(&built, IMAGE_SIZE), built.len()), (0x1000, 0x200));
        Image::read(&built[..]).unwrap();
    }

    #[test]
    fn are_not_dropped_when_nothing_else_is_there() {
        let file = Pe::new().with(".debug_", &[0xdd; 0x20]).with(".zdebug_", &[0xdd; 0x20]).build();
        let image = Image::read(&file[..]).unwrap();
        let build = || Build::on(&image).unwrap().drop_debug(true);
        assert!(matches!(build().finish(), Err(Error::NothingLeft)));
        let built = written(build().section(".config", &CONFIG).unwrap());
        assert_eq!(Image::read(&built[..]).unwrap().sections().len(), 1);
    }

    #[test]
    fn a_name_that_is_cut_must_not_hide_a_new_section() {
        let mut file = Pe::new().with(".text", b"text").with("/4", b"looks like one").build();
        let at = u32::try_from(file.len()).unwrap();
        put(&mut file, SYMBOLS, at);
        file.extend(b"\0\0\0\0.ramdisk_old\0");
        let image = Image::read(&file[..]).unwrap();
        let build =
            |drop| Build::on(&image).unwrap().drop_debug(drop).section(".ramdisk", &CONFIG).unwrap().finish();
        assert!(matches!(build(true), Err(Error::Duplicate(name)) if name == Name(*b".ramdisk")));
        assert!(build(false).is_ok());
    }

    #[test]
    fn names_that_point_nowhere_stay() {
        for name in ["/99", "/x", "/", "/4294967295"] {
            let mut file = Pe::new().with(".text", b"text").with(&name[..name.len().min(8)], b"1").build();
            let at = u32::try_from(file.len()).unwrap();
            put(&mut file, SYMBOLS, at);
            put(&mut file, SYMBOL_COUNT, if name == "/x" { u32::MAX } else { 0 });
            let image = Image::read(&file[..]).unwrap();
            let built = written(Build::on(&image).unwrap().drop_debug(true));
            assert_eq!(Image::read(&built[..]).unwrap().sections().len(), 2, "{name}");
        }
    }
}

#[test]
fn the_debug_directory_follows_what_is_moved() {
    let mut entry = [0; 56];
    entry[24..28].copy_from_slice(&0x234u32.to_le_bytes());
    entry[52..56].copy_from_slice(&0x9999u32.to_le_bytes());
    let mut data = b"some".to_vec();
    data.extend(entry);
    let mut file = Pe::new().with(".text", &[0x90; 0x20]).with(".rodata", &data).with(".a", b"a").build();
    put(&mut file, DIRECTORIES + 6 * 8, 0x2004);
    put(&mut file, DIRECTORIES + 6 * 8 + 4, 56);
    let built = build(&file, &[(".b", b"b"), (".c", b"c")]);
    let after = Image::read(&built[..]).unwrap();
    let rodata = after.section(".rodata").unwrap().unwrap().bytes;
    assert_eq!(rodata[..4], data[..4]);
    assert_eq!(rodata[28..32], 0x254u32.to_le_bytes());
    assert_eq!(rodata[56..60], [0; 4], "what pointed nowhere does not begin to");
    let nothing_moved = build(&file, &[(".b", b"b")]);
    assert_eq!(Image::read(&nothing_moved[..]).unwrap().section(".rodata").unwrap().unwrap().bytes, data);

    put(&mut file, DIRECTORIES + 6 * 8, 0x9000);
    assert!(matches!(refusal(&file, &[(".b", b"b"), (".c", b"c")]), Error::DebugDirectory));
}

mod refused {
    use super::*;

    #[test]
    fn a_signed_image() {
        let mut file = xen().build();
        put(&mut file, DIRECTORIES + 4 * 8 + 4, 8);
        assert!(matches!(refusal(&file, &[]), Error::Signed));
        let without = xen().but(|pe| pe.directories = 4).build();
        build(&without, &[(".config", CONFIG)]);
    }

    #[test]
    fn names_that_xen_would_not_find() {
        for name in ["", ".", "config", ".configur", ".tooo-long", ".con fig", ".c\0", ".ü"] {
            assert!(matches!(refused_name(name), Some(Error::Name(_))), "{name:?}");
        }
        assert!(refused_name(".ramdisk").is_none(), "eight bytes are not too many");
    }

    fn refused_name(name: &str) -> Option<Error> {
        let base = xen().build();
        let image = Image::read(&base[..]).unwrap();
        Build::on(&image).unwrap().section(name, &CONFIG).err()
    }

    #[test]
    fn a_name_twice() {
        let base = xen().build();
        for names in [[".data", ".sbat"], [".sbat", ".sbat"]] {
            assert!(matches!(refusal(&base, &[(names[0], b"1"), (names[1], b"2")]), Error::Duplicate(_)));
        }
    }

    #[test]
    fn an_empty_section() {
        assert!(matches!(refusal(&xen().build(), &[(".config", b"")]), Error::Empty(_)));
    }

    #[test]
    fn no_room_in_the_headers() {
        let full = Pe::new().with(".text", b"text").row(0, |row| row.virtual_address = HEADERS).build();
        let rows = [(".a", &b"a"[..]), (".b", b"b"), (".c", b"c"), (".d", b"d")];
        build(&full, &rows[..3]);
        let error = refusal(&full, &rows);
        assert!(matches!(error, Error::NoRoom { count: 5, end: 0x220, first: 0x200 }), "{error}");
        assert_eq!(
            error.to_string(),
            "no room in the headers: with 5 sections they end at 0x220, and the first section is loaded at 0x200; \
             to drop the debug sections makes room"
        );
    }

    #[test]
    fn bytes_behind_the_table() {
        let mut file = xen().build();
        file[usize::try_from(TABLE + 3 * ROW).unwrap()] = 1;
        build(&file, &[(".a", b"a")]);
        assert!(matches!(refusal(&file, &[(".a", b"a"), (".b", b"b")]), Error::Occupied(0x1c0)));
    }

    #[test]
    fn alignments_that_are_none() {
        for value in [0, 3, 0x1800] {
            let file = xen().but(|pe| pe.section_alignment = value).build();
            assert!(matches!(refusal(&file, &[]), Error::Alignment { what: "section alignment", .. }));
        }
        for value in [0, 3, 0x1800, 0x2_0000, 0x8000_0000] {
            let file = xen().but(|pe| pe.file_alignment = value).build();
            assert!(matches!(refusal(&file, &[]), Error::Alignment { what: "file alignment", .. }));
        }
        build(&xen().but(|pe| pe.file_alignment = 0x1_0000).build(), &[(".a", b"a")]);
    }

    #[test]
    fn more_than_4_gib() {
        let base = xen().build();
        let image = Image::read(&base[..]).unwrap();
        for size in [u64::from(u32::MAX), u64::MAX, 1 << 32, (1 << 32) - 0x20_0000] {
            let large = Large(size);
            let result = Build::on(&image).unwrap().section(".ramdisk", &large).unwrap().finish();
            assert!(matches!(result, Err(Error::TooBig(name)) if name == Name(*b".ramdisk")), "{size:#x}");
        }
        let large = Large((1 << 32) - 0x40_0000);
        assert!(Build::on(&image).unwrap().section(".ramdisk", &large).unwrap().finish().is_ok());
        let far = xen().but(|pe| pe.image_size = u32::MAX).row(1, |row| row.virtual_address = 0xffff_0000).build();
        assert!(matches!(refusal(&far, &[(".a", b"a")]), Error::TooBig(_)));
    }

    #[test]
    fn what_cannot_be_read_or_written() {
        let base = xen().build();
        let image = Image::read(&base[..]).unwrap();
        let broken = Large(0x100);
        let unified = Build::on(&image).unwrap().section(".ramdisk", &broken).unwrap().finish().unwrap();
        assert!(matches!(unified.write(&mut Cursor::new(Vec::new())), Err(Error::Image(_))));
        let good = Build::on(&image).unwrap().finish().unwrap();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        assert!(matches!(good.write(&mut full.unwrap()), Err(Error::Write(_))));
    }

    /// Has a size, and nothing else.
    struct Large(u64);

    impl Source for Large {
        fn length(&self) -> io::Result<u64> {
            Ok(self.0)
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}

proptest! {
    /// Whatever an image that can be read looks like: what is built on it has every old section with its bytes and
    /// address, every new one, and a right checksum.
    #[test]
    fn every_old_section_stays(
        changes in prop::collection::vec((0usize..0x260, any::<u8>()), 0..4),
        sizes in prop::collection::vec(1usize..100, 0..6),
        drop_debug in any::<bool>(),
    ) {
        let mut file = xen().build();
        for (at, byte) in changes {
            file[at] = byte;
        }
        let Ok(before) = Image::read(&file[..]) else { return Ok(()) };
        let Ok(mut build) = Build::on(&before) else { return Ok(()) };
        build = build.drop_debug(drop_debug);
        let names = [".n0", ".n1", ".n2", ".n3", ".n4", ".n5"];
        let data: Vec<_> = sizes.iter().map(|&size| vec![0xab; size]).collect();
        let data: Vec<_> = data.iter().map(Vec::as_slice).collect();
        for (name, data) in names.iter().zip(&data) {
            build = build.section(name, data).unwrap();
        }
        let Ok(unified) = build.finish() else { return Ok(()) };
        let mut built = Cursor::new(Vec::new());
        unified.write(&mut built).unwrap();
        let built = built.into_inner();
        let after = Image::read(&built[..]).unwrap();
        prop_assert_eq!(after.sections().len(), before.sections().len() + sizes.len());
        for (old, new) in before.sections().iter().zip(after.sections()) {
            prop_assert_eq!(old.name, new.name);
            prop_assert_eq!(old.virtual_address, new.virtual_address);
            prop_assert_eq!(old.characteristics, new.characteristics);
            prop_assert_eq!(before.contents(old).unwrap(), after.contents(new).unwrap());
        }
        for (name, data) in names.iter().zip(&data) {
            prop_assert_eq!(&after.section(name).unwrap().unwrap().bytes, data);
        }
        prop_assert_eq!(built.len() % 8, 0);
        let pe = usize::try_from(u32::from_le_bytes(built[0x3c..0x40].try_into().unwrap())).unwrap();
        let at = pe + CHECKSUM;
        prop_assert_eq!(u32::from_le_bytes(built[at..at + 4].try_into().unwrap()), checksum_at(&built, at));
    }
}

fn build(base: &[u8], sections: &[(&str, &[u8])]) -> Vec<u8> {
    let image = Image::read(base).unwrap();
    let mut build = Build::on(&image).unwrap();
    for (name, data) in sections {
        build = build.section(name, data).unwrap();
    }
    written(build)
}

fn written(build: Build<'_>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    build.finish().unwrap().write(&mut out).unwrap();
    out.into_inner()
}

fn refusal(base: &[u8], sections: &[(&str, &[u8])]) -> Error {
    let image = Image::read(base).unwrap();
    let build = sections
        .iter()
        .try_fold(Build::on(&image), |build, (name, data)| Ok::<_, Error>(Ok(build?.section(name, data)?)));
    match build.and_then(|build| build).and_then(Build::finish) {
        Err(error) => error,
        Ok(_) => panic!("not refused"),
    }
}

fn bytes(source: &impl Source) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(source.length().unwrap()).unwrap()];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

fn get(file: &[u8], field: usize) -> u32 {
    let at = usize::try_from(PE_AT).unwrap() + field;
    u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
}

fn put(file: &mut [u8], field: usize, value: u32) {
    let at = usize::try_from(PE_AT).unwrap() + field;
    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn checksum(file: &[u8]) -> u32 {
    checksum_at(file, usize::try_from(PE_AT).unwrap() + CHECKSUM)
}

/// Word by word.
fn checksum_at(file: &[u8], at: usize) -> u32 {
    let mut file = file.to_vec();
    file[at..at + 4].fill(0);
    let mut sum = 0u32;
    for word in file.chunks(2) {
        sum += u32::from(word[0]) | (u32::from(*word.get(1).unwrap_or(&0)) << 8);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + u32::try_from(file.len()).unwrap()
}

#[test]
fn names_in_the_table_are_filled_up_with_nul() {
    let built = build(&xen().build(), &[(".a", b"a")]);
    assert_eq!(Image::read(&built[..]).unwrap().sections()[2].name, Name(name_of(".a")));
}
