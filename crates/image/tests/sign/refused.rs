//! What is not signed.

use std::ffi::OsString;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lockdown_image::build::{self, Build};
use lockdown_image::sign::{Certificate, Error, FileKey, KeyError, Signer, Terms, Validity, digest, sign};
use lockdown_image::{HashFunction, Image, Name};

use crate::builder::Pe;
use crate::keys::{Keys, make_chain, make_keys};
use crate::tools::must;
use crate::{now, unsigned};

#[test]
fn a_certificate_of_another_key() {
    let (Some(keys), Some(others)) = (Keys::make(), Keys::make()) else { return };
    let mut out = Cursor::new(Vec::new());
    let result = sign(&&unsigned()[..], &keys.key, &others.certificate, now(), &mut out);
    assert!(matches!(result, Err(Error::OtherKey)));
    assert!(out.into_inner().is_empty(), "before anything is written");
}

#[test]
fn a_certificate_that_has_ended_or_has_not_begun() {
    let Some(keys) = Keys::make() else { return };
    let base = unsigned();
    let sign = |validity| sign(&&base[..], &keys.key, &keys.certificate, validity, &mut Cursor::new(Vec::new()));
    for time in [SystemTime::now() + Duration::from_secs(60 * 86400), SystemTime::UNIX_EPOCH] {
        let error = sign(Validity::At(time)).unwrap_err();
        assert!(matches!(error, Error::Expired { .. }), "{error}");
        assert!(error.to_string().starts_with("the certificate is valid from 20"), "{error}");
    }
    sign(now()).unwrap();
    sign(Validity::Ignored).unwrap();
}

#[test]
fn a_certificate_of_the_chain_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = make_chain(folder.path()) else { return };
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let Some(keys) = Keys::make() else { return };
    // One that has issued the key's, going by the names, and holds for another time.
    let chain = Certificate::read_all(&read("root.pem")).unwrap();
    let leaf = Certificate::read(&read("middle.pem")).unwrap();
    let terms = Terms { chain: &chain, ..Terms::new(&leaf) };
    terms.check().unwrap();
    let late = Terms { validity: Validity::At(SystemTime::now() + Duration::from_secs(60 * 86400)), ..terms };
    assert!(matches!(late.check(), Err(Error::Expired { subject: None, .. })));
    let Some(old) = expired(folder.path()) else { return };
    let chain = [Certificate::read(&old).unwrap()];
    let error = Terms { chain: &chain, ..Terms::new(&keys.certificate) }.check().unwrap_err();
    assert!(error.to_string().starts_with("the certificate of CN=old in the chain is valid from 20"), "{error}");
    assert!(matches!(error, Error::Expired { subject: Some(_), .. }));
}

/// A certificate that ended the day before.
fn expired(folder: &Path) -> Option<Vec<u8>> {
    let place = |name: &str| folder.join(name).into_os_string();
    let mut words: Vec<OsString> =
        "req -new -nodes -newkey rsa:2048 -subj /CN=old".split(' ').map(Into::into).collect();
    words.extend(["-keyout".into(), place("old.key"), "-out".into(), place("old.csr")]);
    must("openssl", words.iter().map(OsString::as_os_str))?;
    let mut words: Vec<OsString> = "x509 -req -days -1 -signkey".split(' ').map(Into::into).collect();
    words.extend([place("old.key"), "-in".into(), place("old.csr"), "-out".into(), place("old.pem")]);
    must("openssl", words.iter().map(OsString::as_os_str))?;
    Some(std::fs::read(place("old.pem")).unwrap())
}

#[test]
fn a_signer_that_signs_something_else() {
    struct Liar<'k>(&'k FileKey);
    impl Signer for Liar<'_> {
        fn public_key(&self) -> Option<&[u8]> {
            self.0.public_key()
        }
        fn sign(&self, _: HashFunction, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
            self.0.sign(HashFunction::Sha256, b"something else")
        }
    }
    struct Locked<'k>(&'k FileKey);
    impl Signer for Locked<'_> {
        fn public_key(&self) -> Option<&[u8]> {
            self.0.public_key()
        }
        fn sign(&self, _: HashFunction, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
            Err("the token is locked".into())
        }
    }
    let Some(keys) = Keys::make() else { return };
    let base = unsigned();
    let sign = |signer: &dyn Signer| {
        sign(&&base[..], signer, &keys.certificate, now(), &mut Cursor::new(Vec::new())).unwrap_err()
    };
    assert!(matches!(sign(&Liar(&keys.key)), Error::BadSignature));
    assert_eq!(sign(&Locked(&keys.key)).to_string(), "the key cannot sign: the token is locked");
}

#[test]
fn what_is_signed() {
    let Some(keys) = Keys::make() else { return };
    let (signed, _) = keys.sign(&unsigned());
    let again = sign(&&signed[..], &keys.key, &keys.certificate, now(), &mut Cursor::new(Vec::new()));
    assert!(matches!(again, Err(Error::Signed)));
    let image = Image::read(&signed[..]).unwrap();
    assert!(matches!(Build::on(&image), Err(build::Error::Signed)));
}

#[test]
fn images_that_are_none_or_hide_bytes() {
    assert!(matches!(digest(&&unsigned()[..0x1000]), Err(Error::Image(_))));
    assert!(matches!(digest(&&b""[..]), Err(Error::Image(_))));
    let no_place = Pe::new().with(".text", b"text").but(|pe| pe.directories = 4).build();
    assert!(matches!(digest(&&no_place[..]), Err(Error::NoPlace)));
    let short = Pe::new().with(".text", b"text").but(|pe| pe.optional_header_size = 112).build();
    assert!(digest(&&short[..]).is_err());
    let pe = Pe::new().with(".text", b"text").with(".gap", b"gap").with(".rest", b"rest");
    let gap = pe.row(1, |row| row.raw_size = 0x10).build();
    let error = digest(&&gap[..]).unwrap_err();
    assert!(matches!(error, Error::Gap { at: 0x230, before } if before == Name(*b".rest\0\0\0")), "{error}");

    let image = Image::read(&gap[..]).unwrap();
    assert!(Build::on(&image).unwrap().finish().is_ok(), "the message says so");
}

#[test]
fn an_output_with_something_in_it() {
    let Some(keys) = Keys::make() else { return };
    let base = unsigned();
    let mut out = Cursor::new(vec![1]);
    assert!(matches!(sign(&&base[..], &keys.key, &keys.certificate, now(), &mut out), Err(Error::Write(_))));
    let image = Image::read(&base[..]).unwrap();
    assert!(matches!(Build::on(&image).unwrap().finish().unwrap().write(&mut out), Err(build::Error::Write(_))));
    assert_eq!(out.into_inner(), [1]);
}

#[test]
fn keys_that_are_too_short() {
    let folder = tempfile::tempdir().unwrap();
    let Some((key, certificate)) = make_keys(folder.path(), "rsa:1024") else { return };
    assert!(matches!(FileKey::read(&std::fs::read(key).unwrap(), None), Err(KeyError::Rejected(_))));
    let certificate = Certificate::read(&std::fs::read(certificate).unwrap()).unwrap();
    let Some(keys) = Keys::make() else { return };
    let result = sign(&&unsigned()[..], &keys.key, &certificate, now(), &mut Cursor::new(Vec::new()));
    assert!(matches!(result, Err(Error::Algorithm)));
}
