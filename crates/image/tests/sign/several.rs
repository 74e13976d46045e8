//! Several signatures of one image, certificates that go along, and images that lose their signatures.

use std::io::Cursor;

use authenticode::AttributeCertificateIterator;
use lockdown_image::build::Build;
use lockdown_image::sign::{Certificate, Error, FileKey, Removed, Signed, TableFault, Terms, unsign};
use lockdown_image::{HashFunction, Image};

use crate::keys::{Keys, make_chain};
use crate::tools::{pesign, sbverify};
use crate::written::Whole;
use crate::{CHECKSUM, SECURITY, checksum, unsigned};

fn append(keys: &Keys, function: HashFunction, image: &[u8]) -> Result<(Vec<u8>, Signed), Error> {
    let mut out = Cursor::new(Vec::new());
    let terms = Terms { append: true, function, ..keys.terms() };
    let signed = terms.sign(&image, &keys.key, &mut out)?;
    Ok((out.into_inner(), signed))
}

fn without_signatures(image: &[u8]) -> Result<(Vec<u8>, Removed), Error> {
    let mut out = Cursor::new(Vec::new());
    let removed = unsign(&image, &mut out)?;
    Ok((out.into_inner(), removed))
}

#[test]
fn a_further_signature_stands_behind_the_first() {
    for extra in [0, 3] {
        let Some(first) = Keys::of("rsa:2048") else { return };
        let Some(second) = Keys::of("P-256") else { return };
        let Some(third) = Keys::of("rsa:3072") else { return };
        let mut base = unsigned();
        base.extend(vec![0x33; extra]);
        let (one, signed) = first.sign(&base);
        assert_eq!(signed.signatures, 1);
        let (two, again) = append(&second, HashFunction::Sha256, &one).unwrap();
        assert_eq!((again.digest, again.signatures), (signed.digest, 2));
        let (three, last) = append(&third, HashFunction::Sha384, &two).unwrap();
        assert_eq!((last.signatures, last.length), (3, u64::try_from(three.len()).unwrap()));

        assert_eq!(three[CHECKSUM..CHECKSUM + 4], checksum(&three).to_le_bytes());
        let image = Image::read(&three[..]).unwrap();
        assert_eq!(image.digests(&[HashFunction::Sha256]).unwrap(), [signed.digest]);
        assert_eq!(image.digests(&[HashFunction::Sha384]).unwrap(), [last.digest]);
        let table = image.signatures().unwrap().unwrap();
        assert_eq!((table.rows.len(), table.broken_at), (3, None));
        assert!(table.rows.iter().all(|row| row.offset % 8 == 0));
        let before = Image::read(&one[..]).unwrap().signatures().unwrap().unwrap();
        assert_eq!(table.rows[0], before.rows[0], "the first is as it was");
        let whole = Whole(&three);
        let rows: Vec<_> = AttributeCertificateIterator::new(&whole).unwrap().unwrap().collect();
        let digests: Vec<_> = rows
            .iter()
            .map(|row| row.as_ref().unwrap().get_authenticode_signature().unwrap().digest().to_vec())
            .collect();
        let expected = [signed.digest, signed.digest, last.digest].map(|digest| digest.as_bytes().to_vec());
        assert_eq!(digests, expected);

        let path = first.write("three.efi", &three);
        for (keys, expected) in [(&first, true), (&second, true), (&third, false)] {
            let said = sbverify(&keys.certificate_path, &path);
            assert!(said.is_none_or(|said| said == expected), "sbverify knows SHA-256 only");
        }
        if let Some(said) = pesign(&path) {
            assert_eq!(said.matches("The signer's common name is test").count(), 3, "{said}");
        }
    }
}

#[test]
fn the_same_signature_is_not_added_again() {
    let Some(keys) = Keys::make() else { return };
    let (one, _) = keys.sign(&unsigned());
    assert!(matches!(append(&keys, HashFunction::Sha256, &one), Err(Error::Twice)));
    let (_, other) = append(&keys, HashFunction::Sha384, &one).unwrap();
    assert_eq!(other.signatures, 2);
}

#[test]
fn appending_to_nothing_is_signing() {
    let Some(keys) = Keys::make() else { return };
    let base = unsigned();
    assert!(append(&keys, HashFunction::Sha256, &base).unwrap().0 == keys.sign(&base).0);
}

#[test]
fn without_its_signatures_an_image_is_as_it_was() {
    let Some(keys) = Keys::make() else { return };
    let Some(other) = Keys::of("P-384") else { return };
    let base = unsigned();
    let image = Image::read(&base[..]).unwrap();
    let mut built = Cursor::new(Vec::new());
    Build::on(&image).unwrap().finish().unwrap().write(&mut built).unwrap();
    let built = built.into_inner();
    assert_eq!(built.len() % 8, 0);
    let (one, _) = keys.sign(&built);
    let (two, _) = append(&other, HashFunction::Sha256, &one).unwrap();
    for signed in [one, two] {
        let (bytes, removed) = without_signatures(&signed).unwrap();
        assert!(bytes == built);
        assert_eq!(removed.length + removed.signatures, u64::try_from(signed.len()).unwrap());
        assert!(Build::on(&Image::read(&bytes[..]).unwrap()).is_ok(), "it can be built on again");
    }
    assert!(matches!(without_signatures(&built), Err(Error::NotSigned)));
    // A row that points to nothing is no signature, and is removed like one.
    let mut pointed = built.clone();
    pointed[SECURITY..SECURITY + 4].copy_from_slice(&8_u32.to_le_bytes());
    assert!(matches!(without_signatures(&pointed), Ok((bytes, _)) if bytes == built));
}

#[test]
fn signatures_in_wrong_places_are_left_alone() {
    let Some(keys) = Keys::make() else { return };
    let (signed, _) = keys.sign(&unsigned());
    let table = u32::from_le_bytes(signed[SECURITY..SECURITY + 4].try_into().unwrap());
    let size = u32::from_le_bytes(signed[SECURITY + 4..SECURITY + 8].try_into().unwrap());
    let pointed = |at: u32, size: u32| {
        let mut bytes = signed.clone();
        bytes[SECURITY..SECURITY + 4].copy_from_slice(&at.to_le_bytes());
        bytes[SECURITY + 4..SECURITY + 8].copy_from_slice(&size.to_le_bytes());
        bytes
    };
    let fault = |result: Result<Removed, Error>| match result {
        Err(Error::Table { fault, .. }) => Some(fault),
        _ => None,
    };
    let removed = |bytes: &[u8]| without_signatures(bytes).map(|(_, removed)| removed);
    let appended = |bytes: &[u8]| {
        append(&keys, HashFunction::Sha384, bytes)
            .map(|(_, signed)| Removed { length: signed.length, signatures: 0 })
    };
    let longer = [&signed[..], &[0; 8]].concat();
    for (bytes, expected) in [
        (longer, TableFault::NotAtEnd),
        (pointed(table, size - 8), TableFault::NotAtEnd),
        (pointed(table, size + 8), TableFault::NotAtEnd),
        (pointed(table - 0x100, size + 0x100), TableFault::Inside),
        (pointed(0, size), TableFault::Inside),
        (pointed(0x100, u32::MAX), TableFault::Inside),
    ] {
        assert_eq!(fault(removed(&bytes)), Some(expected));
        assert_eq!(fault(appended(&bytes)), Some(expected));
        let plain = keys.terms().sign(&&bytes[..], &keys.key, &mut Cursor::new(Vec::new()));
        assert!(matches!(plain, Err(Error::Signed)));
    }
    assert_eq!(fault(appended(&pointed(table + 4, size - 4))), Some(TableFault::NotAligned));
    let mut broken = signed.clone();
    broken[usize::try_from(table).unwrap()] += 8;
    assert_eq!(fault(appended(&broken)), Some(TableFault::Broken { at: u64::from(table) }));
    // What nothing can be added to can be removed.
    assert!(removed(&broken).is_ok());
    assert!(removed(&signed).is_ok());
    assert!(appended(&signed).is_ok());
}

#[test]
fn a_chain_goes_along() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = make_chain(folder.path()) else { return };
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let certificate = |name: &str| Certificate::read(&read(name)).unwrap();
    let key = FileKey::read(&read("leaf.key"), None).unwrap();
    let (leaf, middle, root) = (certificate("leaf.pem"), certificate("middle.pem"), certificate("root.pem"));
    let base = unsigned();
    let sign = |chain: &[Certificate]| {
        let mut out = Cursor::new(Vec::new());
        Terms { chain, ..Terms::new(&leaf) }.sign(&&base[..], &key, &mut out).map(|_| out.into_inner())
    };
    let count = |image: &[u8]| {
        let whole = Whole(image);
        let rows: Vec<_> = AttributeCertificateIterator::new(&whole).unwrap().unwrap().collect();
        rows[0].as_ref().unwrap().get_authenticode_signature().unwrap().certificates().count()
    };
    let whole = sign(&[middle.clone(), root.clone()]).unwrap();
    assert_eq!(count(&whole), 3);
    // Twice, in another order, and with the key's own: the same.
    let again = sign(&[root.clone(), middle.clone(), leaf.clone(), root.clone()]).unwrap();
    assert!(again == whole);
    let partly = sign(std::slice::from_ref(&middle)).unwrap();
    assert_eq!(count(&partly), 2);

    // The root is what the verifier knows.
    let verified = |image: &[u8]| {
        std::fs::write(folder.path().join("signed.efi"), image).unwrap();
        sbverify(&folder.path().join("root.pem"), &folder.path().join("signed.efi"))
    };
    assert_ne!(verified(&whole), Some(false));
    assert_ne!(verified(&partly), Some(false));
    assert_ne!(verified(&sign(&[]).unwrap()), Some(true), "without what stands between");

    let error = sign(&[root]).unwrap_err();
    assert!(matches!(&error, Error::Unrelated { subject } if subject == "CN=root"), "{error}");
}

mod any_bytes {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::builder::Pe;

    /// With an image that has two signatures.
    static KEYS: LazyLock<Option<(Keys, Vec<u8>)>> = LazyLock::new(|| {
        let (first, second) = (Keys::make()?, Keys::make()?);
        let two = append(&second, HashFunction::Sha256, &first.sign(&small()).0).unwrap().0;
        Some((second, two))
    });

    fn small() -> Vec<u8> {
        Pe::new().with(".text", &[0x90; 0x300]).with(".config", b"[xen]\n").build()
    }

    proptest! {
        /// Of an image that was changed anywhere in its headers or its signatures, either nothing is made, or what is right.
        #[test]
        fn nothing_is_made_of_them_or_what_is_right(
            changes in prop::collection::vec((0..0x800_usize, any::<u8>()), 1..4),
            cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        ) {
            let Some((keys, two)) = &*KEYS else { return Ok(()) };
            let mut image = two.clone();
            let length = image.len();
            for (at, byte) in changes {
                // The headers, and as many bytes from the end.
                image[if at < 0x200 { at } else { length - 1 - (at - 0x200) }] = byte;
            }
            if let Some(cut) = cut {
                image.truncate(cut.index(length));
            }
            if let Ok((bytes, signed)) = append(keys, HashFunction::Sha384, &image) {
                let read = Image::read(&bytes[..]).unwrap();
                prop_assert_eq!(read.digests(&[HashFunction::Sha384]).unwrap(), [signed.digest]);
                prop_assert_eq!(read.signatures().unwrap().unwrap().rows.len(), signed.signatures);
                prop_assert_eq!(&bytes[CHECKSUM..CHECKSUM + 4], &checksum(&bytes).to_le_bytes());
            }
            if let Ok((bytes, _)) = without_signatures(&image) {
                let read = Image::read(&bytes[..]).unwrap();
                prop_assert!(read.signatures().unwrap().is_none());
                let digests = |image: &[u8]| Image::read(image).unwrap().digests(&[HashFunction::Sha256]).unwrap();
                prop_assert_eq!(digests(&bytes), digests(&image));
            }
        }
    }
}
