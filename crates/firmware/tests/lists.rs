//! Databases of Secure Boot and boot entries, good ones and bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

use lockdown_firmware::load_option::LoadOption;
use lockdown_firmware::signature_list::{Error, from_file, read, write};
use lockdown_firmware::{Guid, utf16};
use proptest::prelude::*;

const OWNER: Guid = Guid(*b"the test's owner");

fn lists() -> Vec<u8> {
    let mut lists = write(Guid::CERT_X509, OWNER, &[b"a certificate"]);
    lists.extend(write(Guid::CERT_SHA256, OWNER, &[&[1; 32], &[2; 32]]));
    lists
}

#[test]
fn lists_are_read_in_order() {
    let entries = read(&lists()).unwrap();
    let what: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.data.len())).collect();
    assert_eq!(what, [(Guid::CERT_X509, 13), (Guid::CERT_SHA256, 32), (Guid::CERT_SHA256, 32)]);
    assert!(entries.iter().all(|entry| entry.owner == OWNER));
    assert_eq!(entries[2].data, [2; 32]);
    assert_eq!(read(&[]).unwrap(), []);
}

#[test]
fn lists_that_are_wrong_are_not_read_in_part() {
    let good = lists();
    assert_eq!(read(&good[..good.len() - 1]), Err(Error::Cut(28 + 16 + 13)));
    assert_eq!(read(&good[..20]), Err(Error::Cut(0)));
    let mut sizes = good.clone();
    sizes[24] = 16;
    assert_eq!(read(&sizes), Err(Error::Sizes(0)), "no room for anything but an owner");
    let mut sizes = good.clone();
    sizes[24] = 5;
    assert_eq!(read(&sizes), Err(Error::Sizes(0)));
    let mut sizes = good.clone();
    sizes[20..24].fill(0xff);
    assert_eq!(read(&sizes), Err(Error::Sizes(0)));
    let mut sizes = good;
    sizes[16..20].fill(0);
    assert_eq!(read(&sizes), Err(Error::Sizes(0)), "a list without an end");
}

#[test]
fn files_of_all_kinds_are_known() {
    let wanted = read(&lists()).unwrap();
    let attributes = [0x27, 0, 0, 0].as_slice();
    let mut update = vec![0; 16];
    let signature = b"a signature";
    update.extend(u32::try_from(24 + signature.len()).unwrap().to_le_bytes());
    update.extend([0, 2, 0xf1, 0x0e]);
    update.extend(Guid::CERT_PKCS7.0);
    update.extend(signature);
    update.extend(lists());
    for file in [lists(), [attributes, &lists()].concat(), update.clone(), [attributes, &update].concat()] {
        assert_eq!(from_file(&file).unwrap(), wanted);
    }
    assert_eq!(from_file(b"-----BEGIN CERTIFICATE-----"), Err(Error::Unknown));
    let cut = lists();
    assert_eq!(from_file(&cut[..cut.len() - 1]), Err(Error::Cut(57)), "the place in what it seems to be");
}

#[test]
fn a_boot_entry_comes_back_as_it_was_written() {
    let entry = LoadOption::file("Xen", r"\EFI\xen\unified.efi", "unified.efi -- smep=0");
    let bytes = entry.write().unwrap();
    assert_eq!(bytes[..4], [1, 0, 0, 0]);
    assert!(bytes.ends_with(&utf16("unified.efi -- smep=0")));
    assert_eq!(LoadOption::read(&bytes).unwrap(), entry);
    assert_eq!(entry.text().unwrap(), "unified.efi -- smep=0");
    let plain = LoadOption::file("Xen", r"\a.efi", "").write().unwrap();
    assert!(plain.ends_with(&[0x7f, 0xff, 4, 0]));
    assert_eq!(LoadOption::read(&plain).unwrap().text().unwrap(), "");
    assert!(LoadOption::read(&bytes[..20]).is_err());
    assert!(LoadOption::read(&[]).is_err());
}

#[test]
fn a_file_can_be_named_in_parts_behind_a_disk() {
    let node = |kind: [u8; 2], data: &[u8]| {
        let length = u16::try_from(data.len() + 4).unwrap();
        [&kind[..], &length.to_le_bytes(), data].concat()
    };
    let nodes = [
        node([4, 1], &[0; 38]),
        node([4, 4], &utf16(r"\EFI")),
        node([4, 4], &utf16("xen.efi")),
        node([0x7f, 0xff], &[]),
    ];
    let nodes = nodes.concat();
    let mut bytes = 0_u32.to_le_bytes().to_vec();
    bytes.extend(u16::try_from(nodes.len()).unwrap().to_le_bytes());
    bytes.extend(utf16("t"));
    bytes.extend(nodes);
    bytes.extend([1, 2, 3]);
    let entry = LoadOption::read(&bytes).unwrap();
    assert_eq!(entry.path.as_deref(), Some(r"\EFI\xen.efi"));
    assert!(!entry.active);
    assert_eq!(entry.data, [1, 2, 3]);
    assert_eq!(entry.text(), None);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic_or_give_more_than_they_hold(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(entries) = from_file(&bytes) {
            prop_assert!(entries.iter().map(|entry| entry.data.len()).sum::<usize>() <= bytes.len());
        }
        if let Ok(entry) = LoadOption::read(&bytes) {
            prop_assert!(entry.data.len() <= bytes.len());
        }
    }
}
