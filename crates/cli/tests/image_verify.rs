//! `image verify`: what it judges by, what it prints, and how it ends.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code, reason = "others use the rest")]
mod builder;
#[path = "support/signing.rs"]
mod signing;

use std::fs;

use builder::Pe;
use lockdown_firmware::load_option::LoadOption;
use lockdown_firmware::varstore::Store;
use lockdown_firmware::{Attributes, Guid, Variable, signature_list, utf16};
use serde_json::Value;
use signing::Folder;

const OWNER: Guid = Guid([7; 16]);

/// `signed.efi` by `db.key`, and `db.der`.
fn folder() -> Option<Folder> {
    let folder = Folder::new()?;
    let sbat = b"sbat,1,SBAT Version,sbat,1,https://example.org/sbat\nxen.example,2,Example,xen,4.20,https://example.org\n";
    let mut padded = sbat.to_vec();
    padded.resize(padded.len().next_multiple_of(0x20), 0);
    let config = b"[global]\ndefault=xen\n[xen]\noptions=loglvl=all\n";
    let image = Pe::new().with(".text", &[0x90; 0x40]).with(".sbat", &padded).with(".config", config);
    folder.write("unified.efi", &image.build());
    let signed =
        folder.image(&["sign", "--key", "db.key", "--cert", "db.crt", "--output", "signed.efi", "unified.efi"]);
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    folder.tool("openssl", &["x509", "-in", "db.crt", "-outform", "der", "-out", "db.der"])?;
    folder.tool("openssl", &["x509", "-in", "new.crt", "-outform", "der", "-out", "new.der"])?;
    Some(folder)
}

fn list(folder: &Folder, certificate: &str) -> Vec<u8> {
    signature_list::write(Guid::CERT_X509, OWNER, &[&folder.read(certificate)])
}

/// A flash image with these variables.
fn flash(variables: &[(&str, Guid, Vec<u8>)]) -> Vec<u8> {
    let mut image = vec![0xff; 0x8000];
    image[40..44].copy_from_slice(b"_FVH");
    image[48..50].copy_from_slice(&72_u16.to_le_bytes());
    image[72..88].copy_from_slice(&[
        0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92,
    ]);
    image[88..92].copy_from_slice(&(0x8000_u32 - 72).to_le_bytes());
    let mut store = Store::open(image).unwrap();
    for (name, vendor, data) in variables {
        let attributes = Attributes::NON_VOLATILE;
        store
            .add(&Variable { name: (*name).to_owned(), vendor: *vendor, attributes, data: data.clone() })
            .unwrap();
    }
    store.image().to_vec()
}

/// The exit status and the answer of each path.
fn verify(folder: &Folder, arguments: &[&str]) -> (i32, Value) {
    let mut all = vec!["verify"];
    all.extend(arguments);
    all.push("signed.efi");
    let (code, document, said) = folder.json(&all);
    assert_eq!(document["schema"], "xen-lockdown/verify/1", "{said}");
    (code, document)
}

fn reasons(document: &Value) -> Vec<&str> {
    document["paths"].as_array().unwrap().iter().map(|path| path["reason"].as_str().unwrap()).collect()
}

#[test]
fn each_source_of_trust_counts() {
    let Some(folder) = folder() else { return };
    folder.write("db.esl", &list(&folder, "db.der"));
    folder.write("new.esl", &list(&folder, "new.der"));
    folder.write("db.efivar", &[&[0x27, 0, 0, 0][..], &list(&folder, "db.der")].concat());
    for source in ["db.crt", "db.der", "db.esl", "db.efivar"] {
        let (code, document) = verify(&folder, &["--db", source]);
        assert_eq!((code, reasons(&document)), (0, vec!["trusted-certificate"; 2]), "{source}");
    }
    let (code, document) = verify(&folder, &["--cert", "new.crt"]);
    assert_eq!((code, reasons(&document)), (1, vec!["not-trusted"; 2]));
    let (code, document) = verify(&folder, &["--cert", "new.crt", "--mok", "db.crt"]);
    assert_eq!((code, reasons(&document)), (0, vec!["not-trusted", "trusted-certificate"]));
    assert_eq!(document["paths"][0]["refused_by"], "firmware");
    assert_eq!(document["paths"][1]["boots"], true);
    let (code, document) = verify(&folder, &["--cert", "new.crt", "--mok", "db.crt", "--via", "firmware"]);
    assert_eq!((code, reasons(&document)), (1, vec!["not-trusted"]));
    let (code, document) = verify(&folder, &["--cert", "db.crt", "--dbx", "db.esl"]);
    assert_eq!((code, reasons(&document)), (1, vec!["revoked-certificate"; 2]));
    let (code, _) = verify(&folder, &["--cert", "db.crt", "--dbx", "new.esl"]);
    assert_eq!(code, 0);
}

#[test]
fn generations_are_revoked_by_text_and_by_a_variable() {
    let Some(folder) = folder() else { return };
    folder.write("old.csv", b"sbat,1,2023012900\nxen.example,2\n");
    folder.write("new.csv", b"sbat,1,2026012900\nxen.example,3\n");
    folder.write("new.efivar", b"\x06\0\0\0sbat,1,2026012900\nxen.example,3\n");
    for (level, code, reason) in
        [("old.csv", 0, "trusted-certificate"), ("new.csv", 1, "revoked-sbat"), ("new.efivar", 1, "revoked-sbat")]
    {
        let (found, document) = verify(&folder, &["--cert", "db.crt", "--via", "shim", "--sbat-level", level]);
        assert_eq!((found, reasons(&document)), (code, vec![reason]), "{level}");
    }
    // The newest counts, wherever it stands.
    let stored = b"sbat,1,2027010100\nxen.example,3\n".to_vec();
    let key = ("PK", Guid::GLOBAL, list(&folder, "db.der"));
    folder.write("vars.fd", &flash(&[key, ("SbatLevel", Guid::SHIM, stored)]));
    let arguments = ["--cert", "db.crt", "--varstore", "vars.fd", "--via", "shim", "--sbat-level", "old.csv"];
    assert_eq!(reasons(&verify(&folder, &arguments).1), ["revoked-sbat"]);
}

#[test]
fn stored_variables_say_what_firmware_and_shim_do() {
    let Some(folder) = folder() else { return };
    let own = list(&folder, "db.der");
    let key = || ("PK", Guid::GLOBAL, own.clone());
    let db = || ("db", Guid::SECURITY, own.clone());
    let rows = [
        (vec![key(), db()], ["trusted-certificate"; 2]),
        (vec![key()], ["not-trusted"; 2]),
        (vec![db()], ["secure-boot-off", "validation-off"]),
        (
            vec![key(), ("SecureBootEnable", Guid::SECURE_BOOT_ENABLE, vec![0])],
            ["secure-boot-off", "validation-off"],
        ),
        (vec![key(), ("SecureBootEnable", Guid::SECURE_BOOT_ENABLE, vec![1])], ["not-trusted"; 2]),
        (vec![key(), ("MokList", Guid::SHIM, own.clone())], ["not-trusted", "trusted-certificate"]),
        (vec![key(), ("MokList", Guid::GLOBAL, own.clone())], ["not-trusted"; 2]),
        (vec![key(), ("MokSBState", Guid::SHIM, vec![1])], ["not-trusted", "validation-off"]),
        (vec![key(), db(), ("MokDBState", Guid::SHIM, vec![1])], ["trusted-certificate", "not-trusted"]),
        (vec![key(), db(), ("MokListX", Guid::SHIM, own.clone())], ["trusted-certificate", "revoked-certificate"]),
        (vec![key(), db(), ("dbx", Guid::SECURITY, own.clone())], ["revoked-certificate"; 2]),
    ];
    for (number, (variables, wanted)) in rows.into_iter().enumerate() {
        folder.write("vars.fd", &flash(&variables));
        assert_eq!(reasons(&verify(&folder, &["--varstore", "vars.fd"]).1), wanted, "row {number}");
    }
}

#[test]
fn a_running_machine_is_read_from_its_folder() {
    let Some(folder) = folder() else { return };
    fs::create_dir(folder.path("efivars")).unwrap();
    let put = |name: &str, vendor: Guid, data: &[u8]| {
        folder.write(&format!("efivars/{name}-{vendor}"), &[&[6, 0, 0, 0][..], data].concat());
    };
    put("SecureBoot", Guid::GLOBAL, &[1]);
    put("MokListRT", Guid::SHIM, &list(&folder, "db.der"));
    let (code, document) = verify(&folder, &["--efivars", "efivars"]);
    assert_eq!((code, reasons(&document)), (0, vec!["not-trusted", "trusted-certificate"]));
    put("db", Guid::SECURITY, &list(&folder, "db.der"));
    assert_eq!(reasons(&verify(&folder, &["--efivars", "efivars"]).1), ["trusted-certificate"; 2]);
    put("SecureBoot", Guid::GLOBAL, &[0]);
    assert_eq!(reasons(&verify(&folder, &["--efivars", "efivars"]).1), ["secure-boot-off", "validation-off"]);
}

#[test]
fn boot_entries_are_judged_with_their_options() {
    let Some(folder) = folder() else { return };
    let own = list(&folder, "db.der");
    let entry = |title: &str, path: &str, options: &str| LoadOption::file(title, path, options).write().unwrap();
    let mut cut = LoadOption::file("cut", r"\EFI\signed.efi", "x -- smep=0");
    cut.data.truncate(cut.data.len() - 2);
    folder.write(
        "vars.fd",
        &flash(&[
            ("PK", Guid::GLOBAL, own.clone()),
            ("db", Guid::SECURITY, own),
            ("BootOrder", Guid::GLOBAL, [3_u16, 1].iter().flat_map(|number| number.to_le_bytes()).collect()),
            ("Boot0001", Guid::GLOBAL, entry("Xen", r"\EFI\xen\Signed.efi", "x -- iommu=off loglvl=all")),
            ("Boot0002", Guid::GLOBAL, entry("Other", r"\EFI\debian\grubx64.efi", "")),
            ("Boot0003", Guid::GLOBAL, entry("Shim", r"\EFI\xen\shimx64.efi", r"signed.efi -- loglvl=all")),
            ("Boot0004", Guid::GLOBAL, cut.write().unwrap()),
        ]),
    );
    let (code, document) = verify(&folder, &["--varstore", "vars.fd", "--boot-entry"]);
    assert_eq!(code, 0);
    let entries = document["boot_entries"].as_array().unwrap();
    let numbers: Vec<_> = entries.iter().map(|entry| entry["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["0003", "0001", "0002", "0004"], "in the order of BootOrder, then the rest");
    assert_eq!(entries[0]["judged"]["via"], "shim");
    assert_eq!(entries[1]["judged"]["via"], "firmware");
    assert_eq!(entries[1]["in_order"], true);
    let tokens = entries[1]["options"][0]["tokens"].as_array().unwrap();
    let verdicts: Vec<_> = tokens.iter().map(|token| (&token["text"], &token["verdict"])).collect();
    assert_eq!(verdicts.len(), 3, "what is signed is judged before it: {verdicts:?}");
    assert_eq!((tokens[1]["text"].as_str(), tokens[1]["verdict"].as_str()), (Some("iommu=off"), Some("refused")));
    assert_eq!(tokens[2]["verdict"], "honoured");
    assert!(entries[2]["judged"].is_null());
    assert_eq!(entries[3]["in_order"], false);
    assert!(entries[3]["notes"][0].as_str().unwrap().contains("NUL"));
    assert!(entries[3]["options"].is_null());

    assert_eq!(verify(&folder, &["--varstore", "vars.fd", "--boot-entry=0001"]).0, 0);
    assert_eq!(
        verify(&folder, &["--varstore", "vars.fd", "--boot-entry=Boot0002"]).0,
        2,
        "it starts something else"
    );
    let human = folder.image(&["verify", "--varstore", "vars.fd", "--boot-entry=0001", "signed.efi"]);
    let human = String::from_utf8(human.stdout).unwrap();
    assert!(human.contains("Boot0001 \"Xen\"") && human.contains("iommu=off"), "{human}");
}

#[test]
fn what_cannot_be_judged_ends_with_two_and_says_why() {
    let Some(folder) = folder() else { return };
    folder.write("junk", b"junk");
    folder.write("empty", b"");
    folder.write("cut.esl", &list(&folder, "db.der")[..100]);
    folder.write("vars.fd", &flash(&[]));
    folder.write("bad.fd", &flash(&[("PK", Guid::GLOBAL, vec![1]), ("db", Guid::SECURITY, vec![1, 2, 3])]));
    folder.write("bad-entry.fd", &flash(&[("Boot0001", Guid::GLOBAL, utf16("x"))]));
    fs::create_dir(folder.path("folder")).unwrap();
    let rows: &[(&[&str], &str)] = &[
        (&["signed.efi"], "nothing to judge by"),
        (&["--cert", "missing", "signed.efi"], "missing"),
        (&["--cert", "db.key", "signed.efi"], "PRIVATE KEY"),
        (&["--db", "junk", "signed.efi"], "no database"),
        (&["--db", "empty", "signed.efi"], "empty"),
        (&["--db", "cut.esl", "signed.efi"], "offset 0x0"),
        (&["--db", "folder", "signed.efi"], "regular file"),
        (&["--cert", "db.crt", "junk"], "junk"),
        (&["--cert", "db.crt", "folder"], "regular file"),
        (&["--varstore", "junk", "signed.efi"], "no firmware volume"),
        (&["--varstore", "bad.fd", "signed.efi"], "the variable db"),
        (&["--varstore", "bad-entry.fd", "signed.efi"], "Boot0001"),
        (&["--varstore", "vars.fd", "--boot-entry=7", "signed.efi"], "no boot entry Boot0007"),
        (&["--varstore", "vars.fd", "--boot-entry=xyz", "signed.efi"], "four hexadecimal digits"),
        (&["--cert", "db.crt", "--boot-entry", "signed.efi"], "--varstore"),
        (&["--efivars", "folder", "signed.efi"], "SecureBoot"),
        (&["--cert", "db.crt", "--shim", "unified.efi", "signed.efi"], "no shim"),
        (&["--cert", "db.crt", "--sbat-level", "junk", "signed.efi"], "junk"),
        (&["--varstore", "vars.fd", "--efivars", "folder", "signed.efi"], "cannot be used with"),
    ];
    for (arguments, wanted) in rows {
        let mut all = vec!["verify"];
        all.extend(*arguments);
        let output = folder.image(&all);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_curve_is_left_to_the_firmware() {
    let Some(folder) = folder() else { return };
    let signed =
        folder.image(&["sign", "--key", "new.key", "--cert", "new.crt", "--output", "curve.efi", "unified.efi"]);
    assert!(signed.status.success());
    fs::rename(folder.path("curve.efi"), folder.path("signed.efi")).unwrap();
    let (code, document) = verify(&folder, &["--cert", "new.crt", "--via", "firmware"]);
    assert_eq!((code, reasons(&document)), (2, vec!["elliptic-curve"]));
    assert!(document["paths"][0]["boots"].is_null());
    assert_eq!(verify(&folder, &["--cert", "new.crt", "--via", "shim"]).0, 1);
}
