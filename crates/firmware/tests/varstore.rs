//! Variables that are written and read again, and files that are none.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

use lockdown_firmware::varstore::{Error, Store};
use lockdown_firmware::{Attributes, Guid, Variable, efivarfs};

/// Where the first record of [`template`] begins.
const FIRST: usize = 100;

/// OVMF's own empty flash image, in small.
fn template(size: usize) -> Vec<u8> {
    let mut image = vec![0xff; size];
    image[40..44].copy_from_slice(b"_FVH");
    image[48..50].copy_from_slice(&72_u16.to_le_bytes());
    image[72..88].copy_from_slice(&[
        0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92,
    ]);
    let store = u32::try_from(size - 72).unwrap();
    image[88..92].copy_from_slice(&store.to_le_bytes());
    image
}

fn variable(name: &str, data: &[u8]) -> Variable {
    Variable {
        name: name.to_owned(),
        vendor: Guid::SECURITY,
        attributes: Attributes::NON_VOLATILE.and(Attributes::TIME_AUTHENTICATED),
        data: data.to_vec(),
    }
}

#[test]
fn every_variable_can_be_found_again() {
    let mut store = Store::open(template(4096)).unwrap();
    let wanted = [variable("db", &[1, 2, 3]), variable("dbx", &[]), variable("längerer Name", &[9; 100])];
    for variable in &wanted {
        store.add(variable).unwrap();
    }
    assert_eq!(store.variables().unwrap().0, wanted);
    let mut again = Store::open(store.image().to_vec()).unwrap();
    again.add(&variable("more", &[7])).unwrap();
    let variables = Store::open(again.image().to_vec()).unwrap().variables().unwrap();
    assert_eq!(variables.value("db", Guid::SECURITY), Some(&[1, 2, 3][..]));
    assert_eq!(variables.value("more", Guid::SECURITY), Some(&[7][..]));
    assert_eq!(variables.value("db", Guid::GLOBAL), None, "somebody else's");
}

#[test]
fn nothing_is_added_where_the_flash_is_not_erased() {
    let mut store = Store::open(template(4096)).unwrap();
    store.add(&variable("db", &[1; 7])).unwrap();
    let next = FIRST + 60 + 6 + 7 + 3;
    // Inside the new record, and where the one behind it would begin.
    for at in [next, next + 30, next + 60 + 8 + 4, next + 60 + 8 + 4 + 59] {
        let mut image = store.image().to_vec();
        image[at] = 0xaa;
        let mut store = Store::open(image.clone()).unwrap();
        let error = store.add(&variable("dbx", &[1; 4])).unwrap_err();
        assert!(matches!(error, Error::NotErased(place) if place == at), "{error}");
        assert_eq!(store.image(), image);
    }
}

#[test]
fn what_was_deleted_does_not_count_and_what_is_being_replaced_does() {
    let mut store = Store::open(template(4096)).unwrap();
    for value in 1..=3 {
        store.add(&variable("db", &[value])).unwrap();
    }
    let mut image = store.image().to_vec();
    let next = 60 + 2 * 3 + 1 + 1;
    let state = |number: usize| FIRST + number * next + 2;
    let value = |image: &[u8]| {
        let variables = Store::open(image.to_vec()).unwrap().variables().unwrap();
        assert!(variables.0.len() <= 1);
        variables.value("db", Guid::SECURITY).map(<[u8]>::to_vec)
    };
    image[state(0)] = 0x3c;
    image[state(1)] = 0x3e;
    assert_eq!(value(&image), Some(vec![3]), "the new one is there");
    image[state(2)] = 0x7f;
    assert_eq!(value(&image), Some(vec![2]), "the new one was not finished");
    image[state(1)] = 0x3c;
    assert_eq!(value(&image), None);
}

#[test]
fn a_full_store_says_so_and_stays_as_it_is() {
    let mut store = Store::open(template(400)).unwrap();
    let before = store.image().to_vec();
    assert!(matches!(store.add(&variable("db", &[0; 300])), Err(Error::Full(name)) if name == "db"));
    assert_eq!(store.image(), before);
    store.add(&variable("db", &[0; 100])).unwrap();
}

#[test]
fn what_is_no_store_is_an_error() {
    assert!(matches!(Store::open(Vec::new()), Err(Error::NoVolume)));
    assert!(matches!(Store::open(vec![0; 4096]), Err(Error::NoVolume)));
    let mut other = template(4096);
    other[72] = 0;
    assert!(matches!(Store::open(other), Err(Error::Format(72))));
    let mut cut = template(4096);
    cut.truncate(2000);
    assert!(matches!(Store::open(cut), Err(Error::Cut(2000))));
    let mut store = Store::open(template(4096)).unwrap();
    store.add(&variable("db", &[1])).unwrap();
    let mut long = store.image().to_vec();
    long[FIRST + 40..FIRST + 44].fill(0xff);
    assert!(matches!(Store::open(long), Err(Error::LongVariable(FIRST))));
}

#[test]
fn a_folder_of_a_running_linux_gives_what_is_asked_for_and_the_boot_entries() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("db-d719b2cb-3d3a-4596-a3bc-dad00e67656f", &[0x27, 0, 0, 0, 1, 2]);
    put("db-8be4df61-93ca-11d2-aa0d-00e098032b8c", &[7, 0, 0, 0, 9]);
    put("dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f", &[0x27, 0, 0, 0]);
    put("Boot0001-8be4df61-93ca-11d2-aa0d-00e098032b8c", &[7, 0, 0, 0, 5]);
    put("BootOrderX-8be4df61-93ca-11d2-aa0d-00e098032b8c", &[7, 0, 0, 0, 5]);
    let variables = efivarfs::read(folder.path(), &[("db", Guid::SECURITY), ("PK", Guid::GLOBAL)]).unwrap();
    assert_eq!(variables.value("db", Guid::SECURITY), Some(&[1, 2][..]));
    assert_eq!(variables.value("Boot0001", Guid::GLOBAL), Some(&[5][..]));
    assert_eq!(variables.0.len(), 2);

    put("PK-8be4df61-93ca-11d2-aa0d-00e098032b8c", &[7, 0, 0]);
    let error = efivarfs::read(folder.path(), &[("PK", Guid::GLOBAL)]).unwrap_err();
    assert!(error.to_string().contains("PK-8be4") && error.to_string().contains("attributes"), "{error}");
    assert!(efivarfs::read(&folder.path().join("missing"), &[]).is_err());
}
