//! Every kind of key with every hash function, and what the tools of others know of them.

use std::io::Cursor;
use std::path::Path;

use authenticode::AttributeCertificateIterator;
use lockdown_image::sign::{Certificate, Error, FileKey, Signer, Terms};
use lockdown_image::{HashFunction, Image, KeyKind};

use crate::builder::HEADERS;
use crate::keys::Keys;
use crate::tools::{osslsigncode, pesign, sbverify};
use crate::unsigned;
use crate::written::Whole;

const KINDS: [(&str, KeyKind); 5] = [
    ("rsa:2048", KeyKind::Rsa(2048)),
    ("rsa:3072", KeyKind::Rsa(3072)),
    ("rsa:4096", KeyKind::Rsa(4096)),
    ("P-256", KeyKind::P256),
    ("P-384", KeyKind::P384),
];

#[test]
fn each_signs_with_each_hash_function() {
    let base = unsigned();
    let Some(others) = Keys::make() else { return };
    for (name, kind) in KINDS {
        let Some(keys) = Keys::of(name) else { return };
        assert_eq!(keys.certificate.kind(), Some(kind));
        for function in HashFunction::ALL {
            let terms = Terms { function, ..keys.terms() };
            let mut out = Cursor::new(Vec::new());
            let signed = terms.sign(&&base[..], &keys.key, &mut out);
            if function == HashFunction::Sha512 && !matches!(kind, KeyKind::Rsa(_)) {
                assert!(matches!(signed, Err(Error::Function(HashFunction::Sha512))), "{name}");
                assert!(out.into_inner().is_empty());
                continue;
            }
            let (bytes, signed) = (out.into_inner(), signed.unwrap());
            let mut again = Cursor::new(Vec::new());
            terms.sign(&&base[..], &keys.key, &mut again).unwrap();
            assert!(bytes == again.into_inner(), "{name}, {function}: the same bytes each time");

            let image = Image::read(&bytes[..]).unwrap();
            assert_eq!(image.digests(&[function]).unwrap(), [signed.digest]);
            assert_eq!(Image::read(&base[..]).unwrap().digests(&[function]).unwrap(), [signed.digest]);
            let whole = Whole(&bytes);
            let rows: Vec<_> = AttributeCertificateIterator::new(&whole).unwrap().unwrap().collect();
            let signature = rows[0].as_ref().unwrap().get_authenticode_signature().unwrap();
            assert_eq!(signature.digest(), signed.digest.as_bytes());

            let path = keys.write("signed.efi", &bytes);
            let accepted = |tool: fn(&Path, &Path) -> Option<bool>, expected: bool| {
                let said = tool(&keys.certificate_path, &path);
                assert!(said.is_none_or(|said| said == expected), "{name}, {function}: {said:?}");
                assert_ne!(tool(&others.certificate_path, &path), Some(true), "{name}, {function}: another key");
            };
            // It knows no other digest of an image.
            accepted(sbverify, function == HashFunction::Sha256);
            accepted(osslsigncode, true);
            if let Some(said) = pesign(&path) {
                assert!(said.contains("The signer's common name is test"), "{name}, {function}: {said}");
            }
        }
    }
}

#[test]
fn sbverify_and_osslsigncode_accept_it_and_no_other() {
    let Some(keys) = Keys::make() else { return };
    let Some(others) = Keys::make() else { return };
    let (signed, _) = keys.sign(&unsigned());
    keys.write("good.efi", &signed);
    // In the headers, in the first section, in the last.
    let places = [0x20, usize::try_from(HEADERS).unwrap(), unsigned().len() - 0x100];
    for (number, at) in places.into_iter().enumerate() {
        let mut tampered = signed.clone();
        tampered[at] ^= 1;
        keys.write(&format!("bad{number}.efi"), &tampered);
    }
    for tool in [sbverify as fn(&Path, &Path) -> Option<bool>, osslsigncode] {
        let Some(accepted) = tool(&keys.certificate_path, &keys.path("good.efi")) else { continue };
        assert!(accepted, "a good signature");
        assert_eq!(tool(&others.certificate_path, &keys.path("good.efi")), Some(false), "another certificate");
        for number in 0..places.len() {
            let bad = keys.path(&format!("bad{number}.efi"));
            assert_eq!(tool(&keys.certificate_path, &bad), Some(false), "a byte changed, {number}");
        }
    }
}

/// RFC 6979, sections A.2.5 and A.2.6: the signatures of "sample".
#[test]
fn ecdsa_is_as_the_rfc_has_it() {
    let cases = [
        (
            "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
            "06082a8648ce3d030107",
            HashFunction::Sha256,
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
            "06052b81040022",
            HashFunction::Sha384,
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
            "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
        ),
    ];
    for (number, curve, function, first, second) in cases {
        let number = bytes(number);
        let wrapped = |tag: u8, contents: &[u8]| {
            let mut out = vec![tag, u8::try_from(contents.len()).unwrap()];
            out.extend(contents);
            out
        };
        let inside = [&[2, 1, 1][..], &wrapped(4, &number), &wrapped(0xa0, &bytes(curve))].concat();
        let key = FileKey::read(&wrapped(0x30, &inside), None).unwrap();
        let signature = key.sign(function, b"sample").unwrap();
        // Both numbers begin with a bit that is set.
        let number = |text: &str| wrapped(2, &[&[0][..], &bytes(text)].concat());
        assert_eq!(signature, wrapped(0x30, &[number(first), number(second)].concat()));
    }
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn what_is_said_of_a_certificate() {
    let Some(keys) = Keys::make() else { return };
    let certificate: &Certificate = &keys.certificate;
    assert_eq!((certificate.subject().as_str(), certificate.issuer().as_str()), ("CN=test", "CN=test"));
    let shown = keys.shown("-serial");
    assert_eq!(format!("serial={}", certificate.serial().to_uppercase()), shown);
    let digits: String = keys.shown("-fingerprint").split('=').next_back().unwrap().replace(':', "");
    assert_eq!(certificate.fingerprint().to_string().to_uppercase(), digits);
}
