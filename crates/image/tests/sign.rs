//! Images that are signed, what other tools say to them, and what is not signed. Keys are made here with `openssl`;
//! a tool that is not installed is reported as not run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[allow(dead_code, reason = "each test uses what it needs")]
mod builder;

use std::ffi::OsStr;
use std::io::{Cursor, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use authenticode::{AttributeCertificateIterator, PeOffsetError, PeOffsets, PeTrait};
use builder::{HEADERS, PE_AT, Pe};
use goblin::pe::PE;
use lockdown_image::build::{self, Build};
use lockdown_image::sign::{
    Certificate, CertificateError, Error, FileKey, KeyError, Signed, Signer, Validity, digest, sign,
};
use lockdown_image::{HashFunction, Image, Name};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const CONFIG: &[u8] = b"[xen]\noptions=console=vga\n";
const CHECKSUM: usize = PE_AT as usize + 24 + 64;
const SECURITY: usize = PE_AT as usize + 24 + 112 + 4 * 8;

fn unsigned() -> Vec<u8> {
    let base = Pe::new().with(".text", &[0x90; 0x3000]).with(".config", CONFIG).with(".rest", &[7; 0x4_0001]);
    base.row(0, |row| row.virtual_address = 0x9_0000).but(|pe| pe.image_size = 0x10_0000).build()
}

#[test]
fn a_signed_image_is_the_old_one_and_a_signature() {
    let Some(keys) = Keys::make() else { return };
    let base = unsigned();
    let (signed, what) = keys.sign(&base);
    assert_eq!(u64::try_from(signed.len()).unwrap(), what.length);
    assert_eq!(what.digest, digest(&&base[..]).unwrap());
    let mut without = signed[..base.len()].to_vec();
    without[CHECKSUM..CHECKSUM + 4].fill(0);
    without[SECURITY..SECURITY + 8].fill(0);
    assert_eq!(without, base);
    let row = &signed[SECURITY..SECURITY + 8];
    assert_eq!(row[..4], u32::try_from(base.len()).unwrap().to_le_bytes());
    assert_eq!(row[4..], u32::try_from(signed.len() - base.len()).unwrap().to_le_bytes());
    assert_eq!(signed[CHECKSUM..CHECKSUM + 4], checksum(&signed).to_le_bytes());
    assert_eq!(signed.len() % 8, 0);
    assert_eq!(Image::read(&signed[..]).unwrap().section(".config").unwrap().unwrap().bytes, CONFIG);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let Some(keys) = Keys::make() else { return };
    let build_and_sign = || {
        let base = unsigned();
        let image = Image::read(&base[..]).unwrap();
        let unified = Build::on(&image).unwrap().section(".sbat", &CONFIG).unwrap().finish().unwrap();
        let mut out = Cursor::new(Vec::new());
        sign(&unified, &keys.key, &keys.certificate, now(), &mut out).unwrap();
        out.into_inner()
    };
    let first = build_and_sign();
    assert_eq!(first, build_and_sign());

    let base = unsigned();
    let image = Image::read(&base[..]).unwrap();
    let unified = Build::on(&image).unwrap().section(".sbat", &CONFIG).unwrap().finish().unwrap();
    let mut written = Cursor::new(Vec::new());
    unified.write(&mut written).unwrap();
    assert_eq!(first, keys.sign(&written.into_inner()).0, "written first, and signed then");
}

#[test]
fn other_readers_see_the_digest() {
    let Some(keys) = Keys::make() else { return };
    for extra in [0, 1, 7, 8] {
        let mut base = unsigned();
        base.extend(vec![0x33; extra]);
        let (signed, what) = keys.sign(&base);

        let image = PE::parse(&signed).unwrap();
        let mut hashed = Sha256::new();
        image.authenticode_ranges().for_each(|range| Digest::update(&mut hashed, range));
        assert_eq!(hashed.finalize().as_slice(), what.digest.as_bytes());

        let whole = Whole(&signed);
        let mut hashed = Sha256::new();
        authenticode::authenticode_digest(&whole, &mut hashed).unwrap();
        assert_eq!(hashed.finalize().as_slice(), what.digest.as_bytes());
        let here = Image::read(&signed[..]).unwrap();
        let digests = here.digests(&HashFunction::ALL).unwrap();
        assert_eq!(digests[0], what.digest);
        let table = here.signatures().unwrap().unwrap();
        assert_eq!((table.rows.len(), table.broken_at), (1, None));
        let rows: Vec<_> = AttributeCertificateIterator::new(&whole).unwrap().unwrap().collect();
        assert_eq!(rows.len(), 1);
        let signature = rows[0].as_ref().unwrap().get_authenticode_signature().unwrap();
        assert_eq!(signature.digest(), what.digest.as_bytes());
        assert_eq!(signature.certificates().count(), 1);
        assert_eq!(signature.signature().len(), 256);
    }
}

#[test]
fn sbverify_and_osslsigncode_accept_it_and_no_other() {
    let Some(keys) = Keys::make() else { return };
    let Some(others) = Keys::make() else { return };
    let path = |name: &str| keys.folder.path().join(name);
    let (signed, _) = keys.sign(&unsigned());
    std::fs::write(path("good.efi"), &signed).unwrap();
    // In the headers, in the first section, in the last.
    let places = [0x20, usize::try_from(HEADERS).unwrap(), unsigned().len() - 0x100];
    for (number, at) in places.into_iter().enumerate() {
        let mut tampered = signed.clone();
        tampered[at] ^= 1;
        std::fs::write(path(&format!("bad{number}.efi")), tampered).unwrap();
    }
    for tool in [sbverify as fn(&Path, &Path) -> Option<bool>, osslsigncode] {
        let Some(accepted) = tool(&keys.certificate_path, &path("good.efi")) else { continue };
        assert!(accepted, "a good signature");
        assert_eq!(tool(&others.certificate_path, &path("good.efi")), Some(false), "another certificate");
        for number in 0..places.len() {
            let bad = path(&format!("bad{number}.efi"));
            assert_eq!(tool(&keys.certificate_path, &bad), Some(false), "a byte changed, {number}");
        }
    }
}

#[test]
fn keys_of_all_sizes_and_forms() {
    let base = unsigned();
    for bits in ["2048", "3072", "4096"] {
        let Some(keys) = Keys::with_bits(bits) else { return };
        let path = |name: &str| keys.folder.path().join(name);
        let (expected, _) = keys.sign(&base);
        std::fs::write(path("signed.efi"), &expected).unwrap();
        assert_ne!(sbverify(&keys.certificate_path, &path("signed.efi")), Some(false), "{bits}");
        let rsa = |arguments: &[&str], to: &str| {
            let mut all = vec![OsStr::new("rsa"), OsStr::new("-in"), keys.key_path.as_os_str()];
            all.extend(arguments.iter().map(OsStr::new));
            let out = path(to);
            all.extend([OsStr::new("-out"), out.as_os_str()]);
            run("openssl", all).unwrap();
            std::fs::read(out).unwrap()
        };
        let pkcs8 = |arguments: &[&str], to: &str| {
            let mut all =
                vec![OsStr::new("pkcs8"), OsStr::new("-topk8"), OsStr::new("-in"), keys.key_path.as_os_str()];
            all.extend(arguments.iter().map(OsStr::new));
            let out = path(to);
            all.extend([OsStr::new("-out"), out.as_os_str()]);
            run("openssl", all).unwrap();
            std::fs::read(out).unwrap()
        };
        let aes = pkcs8(&["-v2", "aes-256-cbc", "-passout", "pass:snakeoil"], "aes.pem");
        let forms = [
            (rsa(&["-traditional"], "pkcs1.pem"), None),
            (rsa(&["-traditional", "-outform", "DER"], "pkcs1.der"), None),
            (pkcs8(&["-nocrypt", "-outform", "DER"], "pkcs8.der"), None),
            (aes.clone(), Some("snakeoil")),
            // As Debian's ovmf has its test key.
            (pkcs8(&["-v2", "des3", "-passout", "pass:snakeoil"], "des3.pem"), Some("snakeoil")),
        ];
        for (number, (form, pass_phrase)) in forms.iter().enumerate() {
            let key = FileKey::read(form, pass_phrase.map(str::as_bytes)).unwrap();
            let mut out = Cursor::new(Vec::new());
            sign(&&base[..], &key, &keys.certificate, now(), &mut out).unwrap();
            assert!(out.into_inner() == expected, "{bits}, form {number}");
        }
        assert!(matches!(FileKey::read(&aes, None), Err(KeyError::PassPhraseMissing)));
        assert!(matches!(FileKey::read(&aes, Some(b"snake")), Err(KeyError::Decryption(_))));
        let der = path("certificate.der");
        let from = keys.certificate_path.as_os_str();
        let arguments = ["x509", "-outform", "DER", "-in"].map(OsStr::new).into_iter();
        run("openssl", arguments.chain([from, OsStr::new("-out"), der.as_os_str()])).unwrap();
        let certificate = Certificate::read(&std::fs::read(der).unwrap()).unwrap();
        assert_eq!(Some(certificate.public_key()), keys.key.public_key());

        let pem = std::fs::read_to_string(&keys.certificate_path).unwrap();
        let explained = format!("Subject: CN = test\n{pem}");
        assert!(Certificate::read(explained.as_bytes()).is_ok(), "text in front, as openssl puts it");
    }
}

mod refused {
    use super::*;

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
        let sign =
            |validity| sign(&&base[..], &keys.key, &keys.certificate, validity, &mut Cursor::new(Vec::new()));
        for time in [SystemTime::now() + Duration::from_secs(60 * 86400), SystemTime::UNIX_EPOCH] {
            let error = sign(Validity::At(time)).unwrap_err();
            assert!(matches!(error, Error::Expired { .. }), "{error}");
            assert!(error.to_string().starts_with("the certificate is valid from 20"), "{error}");
        }
        sign(now()).unwrap();
        sign(Validity::Ignored).unwrap();
    }

    #[test]
    fn a_signer_that_signs_something_else() {
        struct Liar<'k>(&'k FileKey);
        impl Signer for Liar<'_> {
            fn public_key(&self) -> Option<&[u8]> {
                self.0.public_key()
            }
            fn sign(
                &self,
                _: HashFunction,
                _: &[u8],
            ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
                self.0.sign(HashFunction::Sha256, b"something else")
            }
        }
        struct Locked<'k>(&'k FileKey);
        impl Signer for Locked<'_> {
            fn public_key(&self) -> Option<&[u8]> {
                self.0.public_key()
            }
            fn sign(
                &self,
                _: HashFunction,
                _: &[u8],
            ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
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
        assert!(matches!(
            Build::on(&image).unwrap().finish().unwrap().write(&mut out),
            Err(build::Error::Write(_))
        ));
        assert_eq!(out.into_inner(), [1]);
    }

    #[test]
    fn files_that_hold_something_else() {
        let Some(keys) = Keys::make() else { return };
        let (key, certificate) =
            (std::fs::read(&keys.key_path).unwrap(), std::fs::read(&keys.certificate_path).unwrap());
        assert!(
            matches!(FileKey::read(&certificate, None), Err(KeyError::Label(label)) if label == "CERTIFICATE")
        );
        assert!(matches!(Certificate::read(&key), Err(CertificateError::Label(label)) if label == "PRIVATE KEY"));
        for nothing in [&b""[..], b"\xff\xff", b"-----BEGIN", b"hello"] {
            assert!(matches!(FileKey::read(nothing, None), Err(KeyError::Pem(_))));
            assert!(matches!(Certificate::read(nothing), Err(CertificateError::Pem(_))));
        }
        assert!(matches!(FileKey::read(b"0\x03\x02\x01\x01", None), Err(KeyError::Rejected(_))));
        assert!(matches!(Certificate::read(b"0\x03\x02\x01\x01"), Err(CertificateError::Malformed(_))));
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
}

/// A key and its certificate, made for one test.
struct Keys {
    folder: TempDir,
    key_path: PathBuf,
    certificate_path: PathBuf,
    key: FileKey,
    certificate: Certificate,
}

impl Keys {
    fn make() -> Option<Self> {
        Self::with_bits("2048")
    }

    /// `None` if there is no openssl.
    fn with_bits(bits: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (key_path, certificate_path) = make_keys(folder.path(), &format!("rsa:{bits}"))?;
        let key = FileKey::read(&std::fs::read(&key_path).unwrap(), None).unwrap();
        let certificate = Certificate::read(&std::fs::read(&certificate_path).unwrap()).unwrap();
        Some(Self { folder, key_path, certificate_path, key, certificate })
    }

    fn sign(&self, image: &[u8]) -> (Vec<u8>, Signed) {
        let mut out = Cursor::new(Vec::new());
        let signed = sign(&image, &self.key, &self.certificate, now(), &mut out).unwrap();
        (out.into_inner(), signed)
    }
}

fn make_keys(folder: &Path, algorithm: &str) -> Option<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let mut arguments: Vec<&OsStr> =
        ["req", "-x509", "-nodes", "-days", "10", "-subj", "/CN=test", "-newkey"].map(OsStr::new).to_vec();
    arguments.push(OsStr::new(algorithm));
    arguments.extend([OsStr::new("-keyout"), key.as_os_str(), OsStr::new("-out"), certificate.as_os_str()]);
    let made = run("openssl", arguments)?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some((key, certificate))
}

fn sbverify(certificate: &Path, image: &Path) -> Option<bool> {
    let arguments = [OsStr::new("--cert"), certificate.as_os_str(), image.as_os_str()];
    Some(run("sbverify", arguments)?.status.success())
}

fn osslsigncode(certificate: &Path, image: &Path) -> Option<bool> {
    let arguments = [OsStr::new("verify"), OsStr::new("-CAfile"), certificate.as_os_str(), image.as_os_str()];
    Some(run("osslsigncode", arguments)?.status.success())
}

/// Runs a tool; `None` if it is not installed.
fn run<'a>(tool: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Option<Output> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("{tool}: not run: it is not installed");
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

fn now() -> Validity {
    Validity::At(SystemTime::now())
}

fn checksum(file: &[u8]) -> u32 {
    let mut file = file.to_vec();
    file[CHECKSUM..CHECKSUM + 4].fill(0);
    let mut sum = 0u32;
    for word in file.chunks(2) {
        sum += u32::from(word[0]) | (u32::from(*word.get(1).unwrap_or(&0)) << 8);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + u32::try_from(file.len()).unwrap()
}

/// An image for the crate authenticode, read by goblin.
struct Whole<'b>(&'b [u8]);

impl PeTrait for Whole<'_> {
    fn data(&self) -> &[u8] {
        self.0
    }

    fn num_sections(&self) -> usize {
        PE::parse(self.0).unwrap().sections.len()
    }

    fn section_data_range(&self, index: usize) -> Result<std::ops::Range<usize>, PeOffsetError> {
        // Counted from one.
        let section = &PE::parse(self.0).unwrap().sections[index - 1];
        let start = usize::try_from(section.pointer_to_raw_data).unwrap();
        Ok(start..start + usize::try_from(section.size_of_raw_data).unwrap())
    }

    fn certificate_table_range(&self) -> Result<Option<std::ops::Range<usize>>, PeOffsetError> {
        let number =
            |at: usize| usize::try_from(u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())).unwrap();
        Ok(Some(number(SECURITY)..number(SECURITY) + number(SECURITY + 4)))
    }

    fn offsets(&self) -> Result<PeOffsets, PeOffsetError> {
        Ok(PeOffsets {
            check_sum: CHECKSUM,
            after_check_sum: CHECKSUM + 4,
            security_data_dir: SECURITY,
            after_security_data_dir: SECURITY + 8,
            after_header: usize::try_from(HEADERS).unwrap(),
        })
    }
}
