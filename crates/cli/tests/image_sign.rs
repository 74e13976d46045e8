//! `xen-lockdown image sign`, `prepare`, `attach`, `unsign`: what they make, and what they refuse, each with a twin that passes.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
#[path = "support/signing.rs"]
mod signing;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use lockdown_image::{HashFunction, Image};
use serde_json::Value;
use signing::Folder;

/// With the usual files, and what is there instead of or besides them.
fn sign_with<'a>(key: &'a str, cert: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["sign", "--key", key, "--cert", cert, "--output", "out.efi"];
    [&usual[..], more, if more.last().is_some_and(|last| last.ends_with(".efi")) { &[] } else { &["unified.efi"] }]
        .concat()
}

#[track_caller]
fn assert_done(folder: &Folder, arguments: &[&str]) -> Value {
    let (code, document, error) = folder.json(arguments);
    assert_eq!(code, 0, "{document:#}\n{error}");
    assert_eq!(document["refused"], Value::Null);
    assert!(folder.has("out.efi"));
    fs::rename(folder.path("out.efi"), folder.path("done.efi")).unwrap();
    document
}

#[track_caller]
fn assert_refused(folder: &Folder, arguments: &[&str], id: &str, text: &str) {
    let before = folder.names();
    let (code, document, error) = folder.json(arguments);
    assert_eq!(code, 1, "{document:#}\n{error}");
    assert_eq!(document["refused"]["id"], id, "{document:#}");
    let message = format!("{}; {}", document["refused"]["message"], document["refused"]["advice"]);
    assert!(message.contains(text), "{message}");
    assert_eq!(folder.names(), before, "nothing is left");
    let output = folder.image(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with(&format!("error[{id}]: ")) && said.contains("\n --> "), "{said}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[track_caller]
fn assert_unable(folder: &Folder, arguments: &[&str], text: &str) {
    let before = folder.names();
    let output = folder.image(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(text), "{said}");
    assert_eq!(folder.names(), before, "nothing is left");
}

#[test]
fn a_signature_and_what_is_said_of_it() {
    let Some(folder) = Folder::new() else { return };
    for (name, kind, hash) in [
        ("db", "RSA 2048", "sha256"),
        ("db", "RSA 2048", "sha512"),
        ("new", "P-256", "sha256"),
        ("new", "P-256", "sha384"),
    ] {
        let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
        let document = assert_done(&folder, &sign_with(&key, &cert, &["--hash", hash]));
        assert_eq!(document["schema"], "xen-lockdown/image-sign/1");
        let bytes = folder.read("done.efi");
        let image = Image::read(&bytes[..]).unwrap();
        let function = HashFunction::ALL.into_iter().find(|function| function.name() == hash).unwrap();
        let digest = image.digests(&[function]).unwrap().remove(0);
        assert_eq!(document["image"]["digest"]["function"], hash);
        assert_eq!(document["image"]["digest"]["value"], digest.to_string());
        assert_eq!(document["image"]["size"], bytes.len());
        assert_eq!(document["image"]["signatures"], 1);
        assert_eq!(document["notes"].as_array().unwrap().len(), usize::from(name == "new" || hash != "sha256"));
        let certificate = &document["certificate"];
        assert_eq!((&certificate["key"], &certificate["subject"]), (&kind.into(), &format!("CN={name}").into()));
        assert_eq!(certificate["issuer"], format!("CN={name}"));
        assert_eq!(certificate["fingerprint"]["value"].as_str().unwrap().len(), 64);
        assert!(certificate["valid_until"].as_str().unwrap() > certificate["valid_from"].as_str().unwrap());
        assert_done(&folder, &sign_with(&key, &cert, &["--hash", hash]));
        assert_eq!(folder.read("done.efi"), bytes, "the same each time");
        if hash == "sha256" {
            let _ = folder.tool("sbverify", &["--cert", &cert, "done.efi"]);
        }
    }
    let output = folder.image(&sign_with("db.key", "db.crt", &[]));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("out.efi: ") && said.contains(" bytes, signed\n  digest      sha256:"), "{said}");
    assert!(said.contains("\n  certificate CN=db\n"), "{said}");
    assert!(!folder.names().iter().any(|name| name.starts_with('.')), "{:?}", folder.names());
}

#[test]
fn a_signed_image_is_added_to_or_made_unsigned() {
    let Some(folder) = Folder::new() else { return };
    assert_refused(&folder, &["unsign", "--output", "out.efi", "unified.efi"], "not-signed", "not signed");
    assert_done(&folder, &sign_with("db.key", "db.crt", &[]));
    fs::rename(folder.path("done.efi"), folder.path("signed.efi")).unwrap();
    let again = sign_with("new.key", "new.crt", &["signed.efi"]);
    assert_refused(&folder, &again, "signed", "--append adds a signature");
    assert_refused(
        &folder,
        &sign_with("db.key", "db.crt", &["--append", "signed.efi"]),
        "signed-twice",
        "already",
    );
    let document = assert_done(&folder, &sign_with("new.key", "new.crt", &["--append", "signed.efi"]));
    assert_eq!(document["image"]["signatures"], 2);
    for cert in ["db.crt", "new.crt"] {
        let _ = folder.tool("sbverify", &["--cert", cert, "done.efi"]);
    }
    let document = assert_done(&folder, &["unsign", "--output", "out.efi", "done.efi"]);
    assert_eq!(document["schema"], "xen-lockdown/image-unsign/1");
    assert_done(&folder, &sign_with("db.key", "db.crt", &["done.efi"]));
    assert_eq!(folder.read("done.efi"), folder.read("signed.efi"));
    let mut longer = folder.read("signed.efi");
    longer.extend([0; 8]);
    folder.write("longer.efi", &longer);
    assert_refused(
        &folder,
        &["unsign", "--output", "out.efi", "longer.efi"],
        "misplaced-signatures",
        "do not end where the file ends",
    );
}

#[test]
fn certificates_have_to_fit() {
    let Some(folder) = Folder::new() else { return };
    folder.expired("old");
    assert_refused(&folder, &sign_with("db.key", "new.crt", &[]), "other-key", "does not belong to the key");
    let old = sign_with("db.key", "old.crt", &[]);
    assert_refused(&folder, &old, "not-valid-now", "the certificate is valid from 20");
    assert_done(&folder, &[&old[..1], &["--ignore-validity"], &old[1..]].concat());
    let chain = sign_with("db.key", "db.crt", &["--chain", "new.crt"]);
    assert_refused(&folder, &chain, "unrelated-certificate", "CN=new in the chain");
    let chain = sign_with("db.key", "db.crt", &["--chain", "old.crt"]);
    assert_refused(&folder, &chain, "not-valid-now", "CN=old in the chain");
    let hash = sign_with("new.key", "new.crt", &["--hash", "sha512"]);
    assert_refused(&folder, &hash, "hash-function", "--hash sha256 or sha384");
    folder.keys("short", "rsa:1024").unwrap();
    assert_refused(&folder, &sign_with("db.key", "short.crt", &[]), "key-kind", "RSA with 2048 to 4096 bits");
    assert_done(&folder, &sign_with("db.key", "db.crt", &["--chain", "db.crt"]));
}

#[test]
fn a_chain_of_several_files_goes_along() {
    let Some(folder) = Folder::new() else { return };
    folder.write("extensions", b"basicConstraints=critical,CA:TRUE\n");
    let issue = |name: &str, issuer: &str| {
        let (subject, request, cert) = (format!("/CN={name}"), format!("{name}.csr"), format!("{name}.pem"));
        let key = if name == "leaf" { "db.key".to_owned() } else { format!("{name}.key") };
        if name != "leaf" {
            folder.keys(name, "rsa:2048").unwrap();
        }
        folder.tool("openssl", &["req", "-new", "-key", &key, "-subj", &subject, "-out", &request]).unwrap();
        let (ca, ca_key) = (format!("{issuer}.pem"), format!("{issuer}.key"));
        let mut words = vec!["x509", "-req", "-days", "10", "-in", &request, "-out", &cert];
        if name == issuer {
            words.extend(["-signkey", &ca_key]);
        } else {
            words.extend(["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"]);
        }
        if name != "leaf" {
            words.extend(["-extfile", "extensions"]);
        }
        folder.tool("openssl", &words).unwrap();
    };
    for (name, issuer) in [("root", "root"), ("middle", "root"), ("leaf", "middle")] {
        issue(name, issuer);
    }
    let one =
        assert_done(&folder, &sign_with("db.key", "leaf.pem", &["--chain", "middle.pem", "--chain", "root.pem"]));
    assert_eq!(one["chain"].as_array().unwrap().len(), 2);
    let _ = folder.tool("sbverify", &["--cert", "root.pem", "done.efi"]);
    let bytes = folder.read("done.efi");
    folder.write("bundle.pem", &[folder.read("middle.pem"), folder.read("root.pem")].concat());
    assert_done(&folder, &sign_with("db.key", "leaf.pem", &["--chain", "bundle.pem"]));
    assert_eq!(folder.read("done.efi"), bytes);
    assert_unable(&folder, &sign_with("db.key", "bundle.pem", &[]), "holds 2 certificates, and one is wanted");
}

#[test]
fn the_key_may_be_elsewhere() {
    let Some(folder) = Folder::new() else { return };
    assert_done(&folder, &sign_with("db.key", "db.crt", &[]));
    let expected = folder.read("done.efi");
    let (code, document, error) =
        folder.json(&["prepare", "--cert", "db.crt", "--output", "unified.tbs", "unified.efi"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(document["schema"], "xen-lockdown/image-prepare/1");
    assert_eq!(document["prepared"]["size"], folder.read("unified.tbs").len());
    let openssl = |words: &str| folder.tool("openssl", &words.split(' ').collect::<Vec<_>>()).unwrap();
    openssl("dgst -sha256 -sign db.key -out one.sig unified.tbs");
    openssl("pkeyutl -sign -rawin -digest sha256 -inkey db.key -in unified.tbs -out two.sig");
    openssl("dgst -sha384 -sign db.key -out other.sig unified.tbs");
    let attach = |signature: &'static str, cert: &'static str, image: &'static str| {
        ["attach", "--cert", cert, "--signature", signature, "--output", "out.efi", image]
    };
    for signature in ["one.sig", "two.sig"] {
        let document = assert_done(&folder, &attach(signature, "db.crt", "unified.efi"));
        assert_eq!(document["schema"], "xen-lockdown/image-sign/1");
        assert_eq!(folder.read("done.efi"), expected);
    }
    let mut changed = folder.read("unified.efi");
    *changed.last_mut().unwrap() ^= 1;
    folder.write("changed.efi", &changed);
    folder.write("cut.sig", &folder.read("one.sig")[1..]);
    for (signature, cert, image) in [
        ("one.sig", "db.crt", "changed.efi"),
        ("one.sig", "new.crt", "unified.efi"),
        ("other.sig", "db.crt", "unified.efi"),
        ("cut.sig", "db.crt", "unified.efi"),
    ] {
        assert_refused(&folder, &attach(signature, cert, image), "other-signature", "sign what prepare wrote");
    }
    let signed = ["prepare", "--cert", "db.crt", "--output", "out.tbs", "done.efi"];
    assert_refused(&folder, &signed, "signed", "--append");
    let output = folder.image(&["prepare", "--cert", "new.crt", "--append", "--output", "new.tbs", "done.efi"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("openssl dgst -sha256 -sign KEY -out SIGNATURE new.tbs\n"), "{said}");
    openssl("dgst -sha256 -sign new.key -out new.sig new.tbs");
    let both =
        ["attach", "--append", "--cert", "new.crt", "--signature", "new.sig", "--output", "out.efi", "done.efi"];
    assert_eq!(assert_done(&folder, &both)["image"]["signatures"], 2);
}

#[test]
fn pass_phrases_come_from_files_the_environment_and_the_terminal() {
    let Some(mut folder) = Folder::new() else { return };
    assert_done(&folder, &sign_with("db.key", "db.crt", &[]));
    let expected = folder.read("done.efi");
    let words = ["pkcs8", "-topk8", "-in", "db.key", "-passout", "pass:snakeoil", "-out", "locked.key"];
    folder.tool("openssl", &words).unwrap();
    folder.write("right", b"snakeoil\r\nmore\n");
    folder.write("wrong", b"rattlesnake\n");
    let locked = sign_with("locked.key", "db.crt", &[]);
    let with = |file| [&["sign", "--passphrase-file", file][..], &locked[1..]].concat();
    assert_done(&folder, &with("right"));
    assert_eq!(folder.read("done.efi"), expected);
    assert_unable(
        &folder,
        &with("wrong"),
        "locked.key: the key cannot be decrypted, the pass phrase may be wrong",
    );
    assert_unable(&folder, &with("nosuch"), "nosuch cannot be read");
    // A file comes first.
    folder.environment.insert("XEN_LOCKDOWN_PASSPHRASE", "rattlesnake".to_owned());
    assert_done(&folder, &with("right"));
    let said = folder.image(&locked);
    assert!(!String::from_utf8_lossy(&said.stderr).contains("rattlesnake"));
    assert_unable(&folder, &locked, "the pass phrase may be wrong");
    folder.environment.insert("XEN_LOCKDOWN_PASSPHRASE", "snakeoil".to_owned());
    assert_done(&folder, &locked);
    folder.environment.clear();
    // A key that is open asks for none, and one may come through a pipe.
    let piped = "cat db.key | xen-lockdown image sign --key /dev/stdin --cert db.crt --output out.efi unified.efi";
    assert!(folder.shell(piped).status.success());
    assert_eq!(folder.read("out.efi"), expected);
    fs::remove_file(folder.path("out.efi")).unwrap();

    let text = format!("{} image {}", env!("CARGO_BIN_EXE_xen-lockdown"), locked.join(" "));
    if folder.try_tool("setsid", &["--version"]).is_some() {
        let output = folder.shell(&format!("setsid --wait {text} </dev/null"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("give --passphrase-file, or set XEN_LOCKDOWN_PASSPHRASE"), "{said}");
    }
    if folder.try_tool("script", &["--version"]).is_some() {
        let mut typing = Command::new("script")
            .args(["--quiet", "--return", "--command", &text, "/dev/null"])
            .current_dir(folder.path(""))
            .env_remove("XEN_LOCKDOWN_PASSPHRASE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        typing.stdin.as_mut().unwrap().write_all(b"snakeoil\n").unwrap();
        let output = typing.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("the pass phrase of locked.key: "), "{said}");
        assert_eq!(folder.read("out.efi"), expected);
    }
}

#[test]
fn what_cannot_be_read_is_status_2_and_leaves_nothing() {
    let Some(folder) = Folder::new() else { return };
    folder.write("text", b"text");
    folder.write("cut.efi", &folder.read("unified.efi")[..0x120]);
    fs::create_dir(folder.path("folder")).unwrap();
    for (key, cert, more, text) in [
        ("nosuch", "db.crt", &[][..], "nosuch cannot be read"),
        ("db.key", "nosuch", &[], "nosuch cannot be read"),
        ("db.key", "folder", &[], "folder is not a regular file"),
        ("folder", "db.crt", &[], "folder cannot be read"),
        ("text", "db.crt", &[], "text: the key is no PEM"),
        ("db.crt", "db.crt", &[], "db.crt: the file holds \"CERTIFICATE\"; a private key is wanted"),
        ("db.key", "db.key", &[], "db.key: the file holds \"PRIVATE KEY\", not a certificate"),
        ("db.key", "db.crt", &["--chain", "text"], "text: the certificate is no PEM"),
        ("db.key", "db.crt", &["cut.efi"], "error: cut.efi: at offset"),
        ("db.key", "db.crt", &["nosuch.efi"], "nosuch.efi cannot be read"),
        ("pkcs11:slot-id=1", "db.crt", &[], "--key: the URI has \"slot-id\""),
        ("pkcs11:token=a?module-path=text", "db.crt", &[], "text cannot be loaded as a PKCS#11 module"),
    ] {
        assert_unable(&folder, &sign_with(key, cert, more), text);
    }
    assert_done(&folder, &sign_with("db.key", "db.crt", &[]));
}

#[test]
fn no_input_is_written_over() {
    let Some(folder) = Folder::new() else { return };
    folder.write("pin", b"1234\n");
    folder.write("unified.sig", b"signature");
    for output in ["unified.efi", "db.key", "db.crt", "new.crt", "pin"] {
        let words =
            ["sign", "--key", "db.key", "--cert", "db.crt", "--chain", "new.crt", "--passphrase-file", "pin"];
        let words = [&words[..], &["--output", output, "unified.efi"]].concat();
        assert_unable(&folder, &words, "is an input");
    }
    let words =
        ["attach", "--cert", "db.crt", "--signature", "unified.sig", "--output", "unified.sig", "unified.efi"];
    assert_unable(&folder, &words, "is an input");
    let words = ["prepare", "--cert", "db.crt", "--output", "unified.efi", "unified.efi"];
    assert_unable(&folder, &words, "is an input");
    assert_unable(&folder, &["unsign", "--output", "unified.efi", "unified.efi"], "is an input");
    // Another file is replaced, as a whole.
    folder.write("out.efi", b"old");
    assert_done(&folder, &sign_with("db.key", "db.crt", &[]));
}
