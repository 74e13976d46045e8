//! SBAT's tables and revocations: each refusal has a twin that differs in that point alone, and the crate `sbat` reads what passes
//! in the same way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[allow(dead_code)]
mod builder;

use builder::Pe;
use lockdown_image::Image;
use lockdown_image::sbat::{Change, Fault, HEADER, Level, LevelMistake, Levels, Row, Table, compare, revoked};
use proptest::prelude::*;

const XEN: &str = "xen,2,Xen Project,xen,4.20.0,https://xenproject.org";

fn text(rows: &[&str]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn good() -> String {
    text(&[HEADER, XEN, "xen.example,1,Example,xen,4.20.0-1,mail:security@example.org"])
}

fn faults(text: &[u8]) -> Vec<(usize, usize, &'static str)> {
    let (_, mistakes) = Table::examine(text);
    mistakes.iter().map(|mistake| (mistake.line, mistake.column, mistake.fault.id())).collect()
}

/// The header, and one row.
fn row_faults(row: &str) -> Vec<(usize, usize, &'static str)> {
    faults(text(&[HEADER, row]).as_bytes())
}

#[test]
fn a_good_table() {
    let table = Table::read(good().as_bytes()).unwrap();
    let row = Row {
        line: 2,
        component: "xen".into(),
        generation: 2,
        vendor: "Xen Project".into(),
        package: "xen".into(),
        version: "4.20.0".into(),
        url: "https://xenproject.org".into(),
    };
    assert_eq!(table.row("xen"), Some(&row));
    assert_eq!(table.rows.len(), 3);
    assert_eq!(table.to_string(), good());
    assert_eq!(table.row("Xen"), None);
}

#[test]
fn lines_end_in_every_way_that_shim_knows() {
    for end in ["\n", "\r\n", "\r", "\n\n\r\n"] {
        let table = Table::read(good().replace('\n', end).as_bytes()).unwrap();
        assert_eq!(table.rows.len(), 3, "{end:?}");
    }
    assert_eq!(Table::read(good().replace('\n', "\r\n").as_bytes()).unwrap().rows[2].line, 3);
    assert_eq!(Table::read(good().replace('\n', "\n\n").as_bytes()).unwrap().rows[2].line, 5);
    assert_eq!(Table::read(good().trim_end().as_bytes()).unwrap().rows.len(), 3);
}

#[test]
fn zeros_behind_a_table_are_padding_and_text_behind_them_is_not() {
    let padded = [good().as_bytes(), &[0; 100]].concat();
    assert_eq!(Table::read(&padded).unwrap().rows.len(), 3);
    let hidden = [good().as_bytes(), b"\0\0grub,1,a,b,c,d\n"].concat();
    assert_eq!(faults(&hidden), [(4, 1, "sbat-behind-zero")]);
    let inside = good().replace("Xen Project", "Xen\0Project");
    assert!(faults(inside.as_bytes()).contains(&(2, 1, "sbat-behind-zero")), "{:?}", faults(inside.as_bytes()));
}

#[test]
fn each_mistake_has_its_place() {
    assert_eq!(row_faults(XEN), []);
    assert_eq!(row_faults("xen,2,a,b,c"), [(2, 1, "sbat-field-count")]);
    assert_eq!(row_faults("xen,2,a,b,c,d,e"), [(2, 1, "sbat-field-count")]);
    assert_eq!(row_faults("xen,2,,b,c,d"), [(2, 7, "sbat-empty-field")]);
    assert_eq!(row_faults("xen,2,a,b,c,"), [(2, 13, "sbat-empty-field")]);
    assert_eq!(row_faults("xen ,2,a,b,c,d"), [(2, 1, "sbat-space")]);
    assert_eq!(row_faults("xen, 2,a,b,c,d"), [(2, 5, "sbat-space")]);
    assert_eq!(row_faults("xen,2,\"a\",b,c,d"), [(2, 7, "sbat-quote")]);
    assert_eq!(row_faults("xen,2,a\tb,b,c,d"), [(2, 8, "sbat-byte")]);
    assert_eq!(row_faults("xen,2,Bj\u{f6}rn,b,c,d"), [(2, 9, "sbat-byte")]);
    assert_eq!(row_faults("sbat,1,a,b,c,d"), [(2, 1, "sbat-duplicate")]);
    assert_eq!(row_faults("Sbat,1,a,b,c,d"), []);
    assert_eq!(faults(XEN.as_bytes()), [(1, 1, "sbat-no-header")]);
    assert_eq!(faults(b""), [(1, 1, "sbat-empty")]);
    assert_eq!(faults(b"\n\0\0"), [(1, 1, "sbat-empty")]);
    assert_eq!(faults(&vec![b'a'; (64 << 10) + 1]), [(1, 1, "sbat-long")]);
    assert_eq!(faults(format!("\u{feff}{}", good()).as_bytes()), [(1, 1, "sbat-no-header"), (1, 1, "sbat-byte")]);
    // The rows that are good can be shown all the same.
    let (table, mistakes) = Table::examine(text(&[HEADER, "a", XEN]).as_bytes());
    assert_eq!((table.rows.len(), mistakes.len()), (2, 1));
    assert_eq!(mistakes[0].to_string(), "line 2, column 1: the row has 1 fields, not six");
}

#[test]
fn generations_are_what_sixteen_bits_hold() {
    for fine in ["1", "9", "10", "65535"] {
        assert_eq!(row_faults(&format!("xen,{fine},a,b,c,d")), [], "{fine}");
    }
    for wrong in ["0", "-1", "+1", "01", "1x", "x", "0x1", "1.0", "65536", "4294967297"] {
        assert_eq!(row_faults(&format!("xen,{wrong},a,b,c,d")), [(2, 5, "sbat-generation")], "{wrong}");
    }
}

mod in_an_image {
    use super::*;

    fn of(pe: &Pe) -> Option<(usize, Vec<&'static str>)> {
        let file = pe.build();
        let (table, mistakes) = Image::read(&file[..]).unwrap().sbat().unwrap()?;
        Some((table.rows.len(), mistakes.iter().map(|mistake| mistake.fault.id()).collect()))
    }

    /// The builder fills sections up with other bytes than zeros, which are never a table's.
    fn padded() -> Pe {
        let mut bytes = good().into_bytes();
        bytes.resize(bytes.len().next_multiple_of(0x20), 0);
        Pe::new().with(".text", &[0x90; 0x20]).with(".sbat", &bytes)
    }

    #[test]
    fn a_table_is_read_as_shim_reads_it() {
        assert_eq!(of(&padded()), Some((3, vec![])));
        assert_eq!(of(&Pe::new().with(".text", b"x")), None);
        assert_eq!(of(&Pe::new().with(".sbatx", good().as_bytes())), None);
        // A size in memory without the padding is what linkers write.
        let size = u32::try_from(good().len()).unwrap();
        assert_eq!(of(&padded().row(1, |row| row.virtual_size = size)), Some((3, vec![])));
    }

    #[test]
    fn what_shim_refuses_or_others_would_not_see() {
        let two = padded().with(".sbat", &[0; 0x20]);
        assert_eq!(of(&two), Some((3, vec!["sbat-sections"])));
        let short = padded().row(1, |row| row.virtual_size += 1);
        assert_eq!(of(&short), Some((3, vec!["sbat-short"])));
        let cut = padded().row(1, |row| row.virtual_size = 100);
        assert_eq!(of(&cut), Some((3, vec!["sbat-behind-size"])));
        let nothing = padded().row(1, |row| row.raw_size = 0);
        assert_eq!(of(&nothing), Some((0, vec!["sbat-empty", "sbat-short"])));
        let mut file = padded().build();
        let row = usize::try_from(builder::TABLE + builder::ROW).unwrap();
        file[row + 32] = 1;
        let (_, mistakes) = Image::read(&file[..]).unwrap().sbat().unwrap().unwrap();
        assert_eq!(mistakes[0].fault, Fault::Relocations);
    }
}

const LEVEL: &str = "sbat,1,2023012900\nshim,2\ngrub,3\nxen,3\n";

#[test]
fn a_generation_that_is_too_low_is_revoked() {
    let table = Table::read(good().as_bytes()).unwrap();
    let of = |text: &str| {
        let level = Level::read(text.as_bytes()).unwrap();
        let rows = revoked(&table, &level).into_iter();
        rows.map(|revoked| (revoked.row.component.clone(), revoked.row.generation, revoked.wanted.generation))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(LEVEL), [("xen".to_owned(), 2, 3)]);
    assert_eq!(of(&LEVEL.replace("xen,3", "xen,2")), []);
    assert_eq!(of(&LEVEL.replace("xen,3", "xen.other,9")), []);
    assert_eq!(of(&LEVEL.replace("xen,3", "Xen,3")), []);
    assert_eq!(of("sbat,1,2023012900\nxen,3\nxen.example,2\n").len(), 2);
}

#[test]
fn revocations_are_read_strictly() {
    assert!(Level::read(LEVEL.as_bytes()).is_ok());
    assert_eq!(Level::read(LEVEL.as_bytes()).unwrap().date().to_string(), "2023012900");
    let wrong = |text: &str| Level::read(text.as_bytes()).unwrap_err();
    for text in ["sbat,1\n", "sbat,2,2023012900\n", "sbat,1,202301290\n", "shim,2\n", "sbat,1,20230129x0\n"] {
        assert_eq!(wrong(text), LevelMistake::NoDate(1), "{text}");
    }
    assert_eq!(wrong(&format!("{LEVEL}grub\n")), LevelMistake::FieldCount { line: 5, count: 1 });
    assert_eq!(wrong(&format!("{LEVEL}grub,1,x\n")), LevelMistake::FieldCount { line: 5, count: 3 });
    for (row, id) in [
        ("grub,4", "sbat-duplicate"),
        (",4", "sbat-empty-field"),
        ("grub ,4", "sbat-space"),
        ("other,0", "sbat-generation"),
        ("other,65538", "sbat-generation"),
        ("oth\u{e9}r,1", "sbat-byte"),
    ] {
        let LevelMistake::Table(mistake) = wrong(&format!("{LEVEL}{row}\n")) else { panic!("{row}") };
        assert_eq!((mistake.line, mistake.fault.id()), (5, id), "{row}");
    }
    assert!(matches!(wrong(""), LevelMistake::Table(mistake) if mistake.fault == Fault::Empty));
}

#[test]
fn the_variable_has_its_attributes_in_front() {
    let variable = [&[6, 0, 0, 0], LEVEL.as_bytes()].concat();
    assert_eq!(Level::read_variable(&variable).unwrap(), Level::read(LEVEL.as_bytes()).unwrap());
    assert!(Level::read_variable(LEVEL.as_bytes()).is_err());
    assert!(Level::read_variable(b"\x06\0").is_err());
}

#[test]
fn a_later_date_is_newer() {
    let date = |text: &str| Level::read(format!("sbat,1,{text}\n").as_bytes()).unwrap().date();
    assert!(date("2024040900") > date("2023012950"));
    assert!(date("2023012901") > date("2023012900"));
    assert_eq!(date("0000000001").to_string(), "0000000001");
}

fn section(automatic: &str, latest: &str) -> Vec<u8> {
    let at = u32::try_from(8 + automatic.len() + 1).unwrap();
    [&[0; 4], &8u32.to_le_bytes(), &at.to_le_bytes(), automatic.as_bytes(), b"\0", latest.as_bytes(), b"\0"]
        .concat()
}

#[test]
fn what_shim_carries_is_read() {
    let bytes = section("sbat,1,2021030218\n", LEVEL);
    let levels = Levels::read(&bytes).unwrap();
    assert_eq!(levels.automatic.date().to_string(), "2021030218");
    assert_eq!(levels.latest, Level::read(LEVEL.as_bytes()).unwrap());
    assert!(Levels::read(&[]).is_err());
    assert!(Levels::read(&bytes[..20]).is_err());
    let version = [&[1], &bytes[1..]].concat();
    assert!(Levels::read(&version).is_err());
    let malformed = section("sbat,1,2021030218\n", "sbat\n");
    assert_eq!(
        Levels::read(&malformed).unwrap_err().to_string(),
        "the section .sbatlevel, latest: line 1: revocations begin with a row of three fields: sbat,1 and a date of ten digits"
    );
}

#[test]
fn shims_section_is_found_by_its_cut_name_and_by_its_whole_one() {
    let bytes = section("sbat,1,2021030218\n", LEVEL);
    let cut = Pe::new().with(".sbat", &[0; 0x20]).with(".sbatlev", &bytes).build();
    let image = Image::read(&cut[..]).unwrap();
    assert_eq!(Levels::read(&image.sbat_levels().unwrap().unwrap()), Levels::read(&bytes));
    // The whole name stands behind the symbols, of which there are none.
    let mut whole = Pe::new().with("/4", &bytes).build();
    let strings = u32::try_from(whole.len()).unwrap();
    whole.extend(b"\x10\0\0\0.sbatlevel\0");
    let symbols_at = usize::try_from(builder::PE_AT).unwrap() + 12;
    whole[symbols_at..symbols_at + 4].copy_from_slice(&strings.to_le_bytes());
    let image = Image::read(&whole[..]).unwrap();
    assert_eq!(Levels::read(&image.sbat_levels().unwrap().unwrap()), Levels::read(&bytes));
    let none = Pe::new().with(".sbat", &[0; 0x20]).build();
    assert_eq!(Image::read(&none[..]).unwrap().sbat_levels().unwrap(), None);
}

#[test]
fn what_changes_between_two_tables() {
    let before = Table::read(good().as_bytes()).unwrap();
    let same = Table::read(format!("\n{}", good()).as_bytes()).unwrap();
    assert_eq!(compare(&before, &same), []);
    let up = Table::read(good().replace("xen,2", "xen,3").as_bytes()).unwrap();
    let changes = compare(&before, &up);
    assert!(matches!(changes[..], [Change::Changed(old, new)] if (old.generation, new.generation) == (2, 3)));
    assert!(!changes[0].goes_down());
    assert!(compare(&up, &before)[0].goes_down());
    let fewer = Table::read(text(&[HEADER, XEN]).as_bytes()).unwrap();
    assert!(matches!(compare(&before, &fewer)[..], [change @ Change::Removed(_)] if change.goes_down()));
    assert!(matches!(compare(&fewer, &before)[..], [change @ Change::Added(_)] if !change.goes_down()));
}

proptest! {
    /// Nothing panics, and what passes is the same for another reader and when it is read again.
    #[test]
    fn another_reader_sees_the_same(
        rows in prop::collection::vec("[a-z.]{1,4},[0-9]{1,5},[ -~]{0,8},[a-z]{1,3},[0-9.]{0,4},[a-z:/]{1,6}", 0..5),
        end in "\n|\r\n|\0|\n\0\n",
    ) {
        let text: String = std::iter::once(HEADER.to_owned()).chain(rows).map(|row| row + &end).collect();
        let (table, mistakes) = Table::examine(text.as_bytes());
        if mistakes.is_empty() {
            prop_assert_eq!(&Table::read(table.to_string().as_bytes()).unwrap().to_string(), &table.to_string());
            if let Ok(other) = sbat::ImageSbat::parse(text.as_bytes()) {
                let other: Vec<_> = other.entries().map(|entry| {
                    (entry.component.name.to_string(), entry.component.generation.to_u32())
                }).collect();
                let own: Vec<_> =
                    table.rows.iter().map(|row| (row.component.clone(), u32::from(row.generation))).collect();
                prop_assert_eq!(own, other);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_, mistakes) = Table::examine(&bytes);
        prop_assert_eq!(mistakes.is_empty(), Table::read(&bytes).is_ok());
        let _ = (Level::read(&bytes), Level::read_variable(&bytes), Levels::read(&bytes));
    }
}
