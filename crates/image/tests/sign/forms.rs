//! Keys and certificates in all forms of files.

use std::ffi::OsStr;
use std::io::Cursor;

use lockdown_image::sign::{Certificate, CertificateError, FileKey, KeyError, Signer, sign};

use crate::keys::{Keys, make_chain};
use crate::tools::must;
use crate::{now, unsigned};

/// As Debian's ovmf has its test key.
const TRIPLE_DES: &[&str] = &["-topk8", "-v2", "des3", "-passout", "pass:snakeoil"];
const AES: &[&str] = &["-topk8", "-v2", "aes-256-cbc", "-passout", "pass:snakeoil"];
const SCRYPT: &[&str] = &["-topk8", "-scrypt", "-passout", "pass:snakeoil"];

#[test]
fn every_form_of_a_key_signs_the_same() {
    let base = unsigned();
    for kind in ["rsa:2048", "P-256", "P-384"] {
        let Some(keys) = Keys::of(kind) else { return };
        let (expected, _) = keys.sign(&base);
        let encrypted = keys.convert("pkcs8", AES, "aes.pem");
        let mut forms = vec![
            (keys.convert("pkcs8", &["-topk8", "-nocrypt", "-outform", "DER"], "pkcs8.der"), None),
            (encrypted.clone(), Some("snakeoil")),
            (keys.convert("pkcs8", &[AES, &["-outform", "DER"]].concat(), "aes.der"), Some("snakeoil")),
            (keys.convert("pkcs8", TRIPLE_DES, "des3.pem"), Some("snakeoil")),
        ];
        if kind == "P-256" {
            // Slow where it is not optimized, so once.
            forms.push((keys.convert("pkcs8", SCRYPT, "scrypt.pem"), Some("snakeoil")));
        }
        let command = if kind.starts_with("rsa:") {
            forms.push((keys.convert("rsa", &["-traditional"], "old.pem"), None));
            forms.push((keys.convert("rsa", &["-traditional", "-outform", "DER"], "old.der"), None));
            "rsa"
        } else {
            let key = keys.convert("ec", &[], "old.pem");
            let curve = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
            forms.push(([curve, &key[..]].concat(), None));
            forms.push((key, None));
            forms.push((keys.convert("ec", &["-outform", "DER"], "old.der"), None));
            "ec"
        };
        // With text, other line ends, and its certificate in one file.
        let pem = std::fs::read_to_string(&keys.key_path).unwrap().replace('\n', "\r\n");
        let certificate = std::fs::read_to_string(&keys.certificate_path).unwrap();
        forms.push((format!("{certificate}the key:\r\n{pem}").into_bytes(), None));
        for (number, (form, pass_phrase)) in forms.iter().enumerate() {
            let key = FileKey::read(form, pass_phrase.map(str::as_bytes)).unwrap();
            let mut out = Cursor::new(Vec::new());
            sign(&&base[..], &key, &keys.certificate, now(), &mut out).unwrap();
            assert!(out.into_inner() == expected, "{kind}, form {number}");
            for cut in [1, form.len() / 2] {
                let cut = FileKey::read(&form[..cut], pass_phrase.map(str::as_bytes));
                assert!(cut.is_err(), "{kind}, form {number}");
            }
        }
        assert!(matches!(FileKey::read(&encrypted, None), Err(KeyError::PassPhraseMissing)));
        assert!(matches!(FileKey::read(&encrypted, Some(b"snake")), Err(KeyError::Decryption(_))));
        let old =
            &["-aes128", "-passout", "pass:snakeoil", "-traditional"][..if command == "rsa" { 4 } else { 3 }];
        let old = keys.convert(command, old, "encrypted.pem");
        assert!(matches!(FileKey::read(&old, Some(b"snakeoil")), Err(KeyError::OldEncryption)), "{kind}");
    }
}

#[test]
fn every_form_of_a_certificate_is_read() {
    let Some(keys) = Keys::make() else { return };
    let der = keys.path("certificate.der");
    let from = keys.certificate_path.as_os_str();
    let arguments = ["x509", "-outform", "DER", "-in"].map(OsStr::new).into_iter();
    must("openssl", arguments.chain([from, OsStr::new("-out"), der.as_os_str()])).unwrap();
    let certificate = Certificate::read(&std::fs::read(der).unwrap()).unwrap();
    assert_eq!(certificate, keys.certificate);
    assert_eq!(Some(certificate.public_key()), keys.key.public_key());

    let pem = std::fs::read_to_string(&keys.certificate_path).unwrap();
    let explained = format!("Subject: CN = test\n{pem}");
    assert!(Certificate::read(explained.as_bytes()).is_ok(), "text in front, as openssl puts it");
}

#[test]
fn a_file_with_a_chain_is_one_for_chains() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = make_chain(folder.path()) else { return };
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let bundle = [read("middle.pem"), read("root.pem")].concat();
    let all = Certificate::read_all(&bundle).unwrap();
    assert_eq!(all.iter().map(Certificate::subject).collect::<Vec<_>>(), ["CN=middle", "CN=root"]);
    assert!(matches!(Certificate::read(&bundle), Err(CertificateError::Several(2))));
    assert!(Certificate::read(&read("middle.pem")).is_ok());
}

#[test]
fn files_that_hold_something_else() {
    let Some(keys) = Keys::make() else { return };
    let (key, certificate) =
        (std::fs::read(&keys.key_path).unwrap(), std::fs::read(&keys.certificate_path).unwrap());
    assert!(matches!(FileKey::read(&certificate, None), Err(KeyError::Label(label)) if label == "CERTIFICATE"));
    assert!(matches!(Certificate::read(&key), Err(CertificateError::Label(label)) if label == "PRIVATE KEY"));
    for nothing in [&b""[..], b"\xff\xff", b"-----BEGIN", b"hello"] {
        assert!(matches!(FileKey::read(nothing, None), Err(KeyError::Pem(_))));
        assert!(matches!(Certificate::read(nothing), Err(CertificateError::Pem(_))));
    }
    assert!(matches!(FileKey::read(b"0\x03\x02\x01\x01", None), Err(KeyError::Rejected(_))));
    assert!(matches!(Certificate::read(b"0\x03\x02\x01\x01"), Err(CertificateError::Malformed(_))));
}

#[test]
fn keys_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    for (algorithm, more) in [("ed25519", None), ("ec", Some("ec_paramgen_curve:P-521"))] {
        let path = folder.path().join("key.pem");
        let mut words = vec!["genpkey", "-algorithm", algorithm];
        words.extend(more.iter().flat_map(|option| ["-pkeyopt", option]));
        let words = words.into_iter().map(OsStr::new).chain([OsStr::new("-out"), path.as_os_str()]);
        let Some(_) = must("openssl", words) else { return };
        let read = FileKey::read(&std::fs::read(path).unwrap(), None);
        assert!(matches!(read, Err(KeyError::Algorithm(_))), "{algorithm}: {read:?}");
    }
}
