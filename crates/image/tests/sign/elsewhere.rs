//! Images whose key is elsewhere: what it has to sign is written, `openssl` signs it, the signature is attached.

use std::ffi::OsStr;
use std::io::Cursor;

use lockdown_image::sign::{Error, Signer, Terms};
use lockdown_image::{HashFunction, Image};

use crate::keys::Keys;
use crate::tools::{must, sbverify};
use crate::unsigned;

/// `openssl dgst -FUNCTION -sign`, with plain words.
fn openssl(keys: &Keys, function: HashFunction, message: &[u8]) -> Vec<u8> {
    let (message, out) = (keys.write("prepared.tbs", message), keys.path("signature"));
    let option = format!("-{function}");
    let mut words = vec![OsStr::new("dgst"), OsStr::new(&option), OsStr::new("-sign"), keys.key_path.as_os_str()];
    words.extend([OsStr::new("-out"), out.as_os_str(), message.as_os_str()]);
    must("openssl", words).unwrap();
    std::fs::read(out).unwrap()
}

fn attach(terms: Terms<'_>, image: &[u8], signature: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Cursor::new(Vec::new());
    terms.attach(&image, signature, &mut out)?;
    Ok(out.into_inner())
}

#[test]
fn the_image_is_the_same_as_with_the_key_here() {
    let base = unsigned();
    for kind in ["rsa:2048", "P-256", "P-384"] {
        let Some(keys) = Keys::of(kind) else { return };
        for function in [HashFunction::Sha256, HashFunction::Sha384] {
            let terms = Terms { function, ..keys.terms() };
            let mut here = Cursor::new(Vec::new());
            let signed = terms.sign(&&base[..], &keys.key, &mut here).unwrap();
            let prepared = terms.prepare(&&base[..]).unwrap();
            assert_eq!(prepared.digest, signed.digest);
            // The same key here, and the same message.
            let signature = keys.key.sign(function, &prepared.message).unwrap();
            let here = here.into_inner();
            assert!(attach(terms, &base, &signature).unwrap() == here);
            // openssl's ECDSA is another one each time.
            let attached = attach(terms, &base, &openssl(&keys, function, &prepared.message)).unwrap();
            assert_eq!(attached == here, kind.starts_with("rsa:"));
            let path = keys.write("attached.efi", &attached);
            if function == HashFunction::Sha256 {
                assert_ne!(sbverify(&keys.certificate_path, &path), Some(false), "{kind}");
            }
        }
    }
}

#[test]
fn the_two_numbers_of_ecdsa_are_taken_too() {
    let Some(keys) = Keys::of("P-256") else { return };
    let base = unsigned();
    let prepared = keys.terms().prepare(&&base[..]).unwrap();
    let signature = keys.key.sign(HashFunction::Sha256, &prepared.message).unwrap();
    let expected = attach(keys.terms(), &base, &signature).unwrap();
    // 30 LENGTH 02 LENGTH R 02 LENGTH S
    let first = usize::from(signature[3]);
    let numbers = [&signature[4..4 + first], &signature[6 + first..]];
    let numbers = numbers.map(|number| {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        [vec![0; 32 - number.len()], number.to_vec()].concat()
    });
    let numbers = numbers.concat();
    assert!(attach(keys.terms(), &base, &numbers).unwrap() == expected);
    for wrong in [&numbers[1..], &numbers[..63], &[&numbers[..], &[0]].concat(), &numbers.repeat(2)] {
        let refused = attach(keys.terms(), &base, wrong);
        assert!(matches!(refused, Err(Error::OtherSignature(HashFunction::Sha256))));
    }
}

#[test]
fn a_signature_of_something_else_is_not_attached() {
    let (Some(keys), Some(others)) = (Keys::make(), Keys::make()) else { return };
    let base = unsigned();
    let mut changed = base.clone();
    *changed.last_mut().unwrap() ^= 1;
    let prepared = keys.terms().prepare(&&base[..]).unwrap();
    let signature = keys.key.sign(HashFunction::Sha256, &prepared.message).unwrap();
    let refused = |terms: Terms<'_>, image: &[u8], signature: &[u8]| {
        matches!(attach(terms, image, signature), Err(Error::OtherSignature(_)))
    };
    assert!(refused(keys.terms(), &changed, &signature), "another image");
    assert!(refused(others.terms(), &base, &signature), "another certificate");
    assert!(refused(Terms { function: HashFunction::Sha384, ..keys.terms() }, &base, &signature));
    assert!(refused(keys.terms(), &base, &signature[1..]), "cut off");
    assert!(refused(keys.terms(), &base, b""));
    let raw = keys.key.sign(HashFunction::Sha256, prepared.digest.as_bytes()).unwrap();
    assert!(refused(keys.terms(), &base, &raw), "of the digest, not of the message");
    assert!(attach(keys.terms(), &base, &signature).is_ok());
}

#[test]
fn a_further_signature_from_elsewhere() {
    let (Some(first), Some(second)) = (Keys::make(), Keys::of("P-384")) else { return };
    let (one, _) = first.sign(&unsigned());
    assert!(matches!(second.terms().prepare(&&one[..]), Err(Error::Signed)));
    let terms = Terms { append: true, ..second.terms() };
    let prepared = terms.prepare(&&one[..]).unwrap();
    let signature = openssl(&second, HashFunction::Sha256, &prepared.message);
    assert!(matches!(attach(second.terms(), &one, &signature), Err(Error::Signed)));
    let two = attach(terms, &one, &signature).unwrap();
    assert_eq!(Image::read(&two[..]).unwrap().signatures().unwrap().unwrap().rows.len(), 2);
}
