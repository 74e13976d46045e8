//! `xen-lockdown image sign` with keys in a token of SoftHSM.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
#[path = "support/signing.rs"]
mod signing;

use signing::Folder;

/// With keys in a token.
fn folder() -> Option<Folder> {
    let mut folder = Folder::new()?;
    folder.token()?;
    Some(folder)
}

fn sign(folder: &Folder, key: &str, name: &str, more: &[&str]) -> (i32, String) {
    let cert = format!("{name}.crt");
    let words = ["sign", "--key", key, "--cert", &cert, "--output", "out.efi", "unified.efi"];
    let output = folder.image(&[&words[..], more].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[track_caller]
fn assert_signs(folder: &Folder, key: &str, name: &str, more: &[&str]) {
    let (code, error) = sign(folder, key, name, more);
    assert_eq!(code, 0, "{key}: {error}");
    let _ = folder.tool("sbverify", &["--cert", &format!("{name}.crt"), "out.efi"]);
}

#[track_caller]
fn assert_not(folder: &Folder, key: &str, name: &str, more: &[&str], code: i32, text: &str) {
    let (said, error) = sign(folder, key, name, more);
    assert_eq!(said, code, "{key}: {error}");
    assert!(error.contains(text), "{key}: {error}");
    assert!(!error.contains("4321"), "{error}");
}

#[test]
fn a_token_signs_what_a_file_signs() {
    let Some(folder) = folder() else { return };
    let pin = &["--passphrase-file", "pin"];
    for hash in ["sha256", "sha384", "sha512"] {
        let hash = ["--hash", hash];
        assert_eq!(sign(&folder, "db.key", "db", &hash).0, 0);
        let expected = folder.read("out.efi");
        let (code, error) = sign(&folder, "pkcs11:token=signing;object=db", "db", &[&hash[..], pin].concat());
        assert_eq!(code, 0, "{error}");
        assert_eq!(folder.read("out.efi"), expected);
    }
    assert_signs(&folder, "pkcs11:token=signing;object=new", "new", pin);
    let (code, error) =
        sign(&folder, "pkcs11:token=signing;id=%02", "new", &["--hash", "sha384", "--passphrase-file", "pin"]);
    assert_eq!(code, 0, "{error}");
}

#[test]
fn a_uri_says_which_token_which_key_and_which_pin() {
    let Some(mut folder) = folder() else { return };
    let source = folder.path("pin").to_str().unwrap().to_owned();
    let module = folder.environment["XEN_LOCKDOWN_PKCS11_MODULE"].clone();
    for key in [
        format!("pkcs11:token=signing;id=%01?pin-source=file:{source}"),
        format!("pkcs11:object=db;type=private?pin-source={source}"),
        "pkcs11:model=SoftHSM%20v2;token=signing;object=db;id=%01?pin-value=1234".to_owned(),
        format!("pkcs11:object=db?module-path={module}&pin-value=1234"),
    ] {
        assert_signs(&folder, &key, "db", &[]);
    }
    folder.environment.insert("XEN_LOCKDOWN_PASSPHRASE", "1234".to_owned());
    assert_signs(&folder, "pkcs11:object=db", "db", &[]);

    let not = |key: &str, text: &str| assert_not(&folder, key, "db", &[], 2, text);
    not(
        "pkcs11:token=other;object=db",
        "no token is pkcs11:token=other;object=db; there are: token=signing;serial=",
    );
    not(
        "pkcs11:token=signing;object=other",
        "no private key in the token \"signing\" is pkcs11:token=signing;object=other; there are: object=",
    );
    not("pkcs11:token=signing", "more than one private key in the token \"signing\" is");
    not("pkcs11:object=db;id=%02", "no private key");
    not("pkcs11:object=db?pin-value=4321", "the token \"signing\" does not take this PIN");
    not("pkcs11:object=db?pin-source=file:/nosuch/pin", "/nosuch/pin cannot be read");
    not("pkcs11:object=db?module-path=/nosuch.so", "/nosuch.so cannot be loaded as a PKCS#11 module");
    // The key of one certificate is not that of another, whatever kind they are.
    for (key, name) in [("db", "new"), ("new", "db")] {
        let key = format!("pkcs11:object={key}");
        assert_not(&folder, &key, name, &[], 1, "error[other-key]: the certificate does not belong to the key");
    }
}

#[test]
fn p11_kit_finds_the_module() {
    let Some(mut folder) = folder() else { return };
    folder.environment.remove("XEN_LOCKDOWN_PKCS11_MODULE");
    folder.environment.insert("XEN_LOCKDOWN_PASSPHRASE", "1234".to_owned());
    match sign(&folder, "pkcs11:token=signing;object=db", "db", &[]) {
        (0, _) => {}
        (_, error) if error.contains("no PKCS#11 module is named") || error.contains("no token is") => {
            assert!(
                !error.contains("no PKCS#11 module") || error.contains("by XEN_LOCKDOWN_PKCS11_MODULE"),
                "{error}"
            );
            eprintln!("p11-kit: not run: it is not installed, or does not know SoftHSM");
        }
        (_, error) => panic!("{error}"),
    }
}

#[test]
fn a_key_that_wants_its_pin_for_each_signature() {
    let Some(folder) = folder() else { return };
    let module = folder.environment["XEN_LOCKDOWN_PKCS11_MODULE"].clone();
    let tool = |words: &str| {
        let usual = ["--module", &module, "--token-label", "signing", "--login", "--pin", "1234"];
        folder.tool("pkcs11-tool", &[&usual[..], &words.split(' ').collect::<Vec<_>>()].concat())
    };
    let Some(_) = tool("--keypairgen --key-type rsa:2048 --label always --id 03 --always-auth") else { return };
    let Some(_) = folder.try_tool("openssl", &["version"]) else { return };
    tool("--read-object --type pubkey --id 03 --output-file always.pub").unwrap();
    folder
        .tool("openssl", &["pkey", "-pubin", "-inform", "DER", "-in", "always.pub", "-out", "always.pem"])
        .unwrap();
    // A certificate of the token's public key, from another key.
    folder
        .tool("openssl", &["req", "-new", "-key", "db.key", "-subj", "/CN=always", "-out", "always.csr"])
        .unwrap();
    let words = "x509 -req -days 10 -in always.csr -force_pubkey always.pem -CA db.crt -CAkey db.key -CAcreateserial -out always.crt";
    folder.tool("openssl", &words.split(' ').collect::<Vec<_>>()).unwrap();
    for hash in ["sha256", "sha384", "sha512"] {
        let more = ["--hash", hash, "--passphrase-file", "pin"];
        let (code, error) = sign(&folder, "pkcs11:token=signing;object=always", "always", &more);
        assert_eq!(code, 0, "{error}");
    }
    // The twin: without the attribute the same token signs with the other mechanism.
    assert_signs(&folder, "pkcs11:token=signing;object=db", "db", &["--passphrase-file", "pin"]);
}
