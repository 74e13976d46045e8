//! `xen-lockdown image inspect`: what it shows, and what it finds, each with a twin that has nothing to be found.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
#[path = "../../image/tests/certificates/mod.rs"]
#[allow(dead_code)]
mod certificates;
mod support;

use std::fs;
use std::io::Cursor;

use builder::{PE_AT, Pe, Row};
use certificates::Authority;
use lockdown_image::sbat::HEADER;
use lockdown_image::sign::{Terms, Validity};
use lockdown_image::{HashFunction, Image};
use lockdown_unify::guard;
use serde_json::Value;
use support::{module, run};

const CONFIG: &str = "[global]\ndefault=xen\n[xen]\noptions=loglvl=all -- panic=10\nkernel=vmlinuz quiet\nramdisk=initrd\n\
                      [other]\nkernel=vmlinuz single\n";

/// Where the optional header begins.
const OPTIONAL: usize = PE_AT as usize + 24;

fn padded(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    text.resize(text.len().next_multiple_of(0x20), 0);
    text
}

fn kernel() -> Vec<u8> {
    let mut kernel = vec![0; 0x400];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    kernel[0x300..0x312].copy_from_slice(b"6.12.1-test (a@b) ");
    kernel
}

fn parts(config: &str) -> Pe {
    // The builder's headers have room for four.
    Pe::new()
        .with(".config", &padded(config.as_bytes()))
        .with(".kernel", &kernel())
        .with(".ramdisk", b"\x28\xb5\x2f\xfdpacked")
        .with(".sbat", &padded(format!("{HEADER}\nxen.example,1,Example,xen,1,a@b\n").as_bytes()))
}

fn built(pe: &Pe) -> Vec<u8> {
    let mut file = pe.build();
    // An EFI application that gets along with memory that is either written or executed.
    file[OPTIONAL + 68] = 10;
    file[OPTIONAL + 71] = 1;
    file
}

fn inspect(image: &[u8], more: &[&str]) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.efi");
    fs::write(&path, image).unwrap();
    let path = path.to_str().unwrap();
    // It can always be shown to people too.
    let human = run(&[&["image", "inspect", path], more].concat());
    assert!(!human.stdout.is_empty(), "{}", String::from_utf8_lossy(&human.stderr));
    let output = run(&[&["image", "inspect", "--format", "json", path], more].concat());
    assert_eq!(human.status.code(), output.status.code());
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

fn ids(document: &Value) -> Vec<&str> {
    document["findings"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

/// What the usual image has that is no mistake.
const USUAL: [&str; 3] = ["file-alignment", "not-signed", "no-guard"];

#[track_caller]
fn assert_found(image: &[u8], id: &str, level: &str) {
    let (code, document) = inspect(image, &["--hashes"]);
    let found = document["findings"].as_array().unwrap().iter().find(|it| it["id"] == id);
    let found = found.unwrap_or_else(|| panic!("no {id} in {document:#}"));
    assert_eq!(found["level"], level);
    assert_eq!(code, i32::from(level == "error"), "{document:#}");
}

#[test]
fn everything_is_shown() {
    let (code, document) = inspect(&built(&parts(CONFIG)), &[]);
    assert_eq!((code, ids(&document)), (0, USUAL.to_vec()), "{document:#}");
    assert_eq!(document["schema"], "xen-lockdown/inspect/1");
    let section = &document["sections"][0];
    assert_eq!((&section["name"], &section["address"]), (&Value::from(".config"), &Value::from(0x1000)));
    assert_eq!((&section["readable"], &section["writable"]), (&Value::from(true), &Value::from(false)));
    assert_eq!(section["sha256"], Value::Null);
    assert_eq!(document["headers"]["section_alignment"], 0x1000);
    assert_eq!(document["headers"]["nx_compatible"], true);
    assert_eq!(document["config"]["xen_line"], "loglvl=all");
    assert_eq!(document["config"]["dom0_line"], "quiet panic=10");
    assert_eq!(document["config"]["default"], "xen");
    assert_eq!(document["config"]["sections"][1]["arguments"], "single");
    assert_eq!(document["kernel"]["version"], "6.12.1-test (a@b) ");
    assert_eq!(document["ramdisk"]["archives"][0]["packing"], "zstd");
    assert_eq!(document["sbat"][1]["component"], "xen.example");
    assert_eq!(document["signatures"].as_array().unwrap().len(), 0);
}

#[test]
fn hashes_are_those_of_what_xen_sees() {
    let image = built(&parts(CONFIG));
    let (_, document) = inspect(&image, &["--hashes"]);
    let read = Image::read(&image[..]).unwrap();
    for (number, section) in read.sections().iter().enumerate() {
        let bytes = read.contents(section).unwrap().bytes;
        assert_eq!(document["sections"][number]["sha256"], HashFunction::Sha256.digest(&bytes).to_string());
    }
    assert_eq!(document["headers"]["checksum_is_good"], Value::Null);
    let mut wrong = image;
    wrong[OPTIONAL + 64] = 1;
    assert_found(&wrong, "wrong-checksum", "note");
}

#[test]
fn what_the_headers_and_sections_lack_is_found() {
    let change = |change: &dyn Fn(&mut Row)| built(&parts(CONFIG).row(0, |row| change(row)));
    assert_found(&change(&|row| row.characteristics = 0xe000_0020), "writable-and-executable", "warning");
    assert_found(&change(&|row| row.virtual_address = 0x1020), "page-shared", "warning");
    let reloc = |flags| {
        let small = Pe::new().with(".text", b"x").with(".reloc", &[1; 0x20]);
        built(&small.row(1, |row| row.characteristics = flags))
    };
    assert_found(&reloc(0x4200_0040), "reloc-discardable", "warning");
    assert!(!ids(&inspect(&reloc(0x4000_0040), &[]).1).contains(&"reloc-discardable"));
    assert_found(&built(&parts(CONFIG).but(|pe| pe.section_alignment = 0x20)), "section-alignment", "warning");
    assert_eq!(ids(&inspect(&built(&parts(CONFIG).but(|pe| pe.file_alignment = 0x200)), &[]).1), USUAL[1..]);
    let mut file = built(&parts(CONFIG));
    file[OPTIONAL + 71] = 0;
    assert_found(&file, "not-nx-compatible", "warning");
    file[OPTIONAL + 68] = 3;
    assert_found(&file, "not-an-application", "warning");
}

#[test]
fn what_no_signature_would_cover_is_found() {
    let whole = || Pe::new().with(".text", &[0x90; 0x40]).with(".more", b"x");
    assert_eq!(inspect(&built(&whole()), &[]).1["not_covered"], serde_json::json!([]));
    let mut gap = whole();
    gap.data.splice(0x40..0x40, [7; 0x20]);
    gap.rows[1].raw_at += 0x20;
    let image = built(&gap);
    assert_found(&image, "not-covered", "error");
    // As many bytes at the end are hashed twice.
    let (_, document) = inspect(&image, &[]);
    assert_eq!(document["not_covered"], serde_json::json!([{ "start": 0x240, "end": 0x260 }]));
}

#[test]
fn signatures_are_shown_and_malformed_ones_told() {
    let Some(authority) = Authority::make() else { return };
    let pair = authority.leaf("maker");
    let image = built(&parts(CONFIG));
    let (certificate, chain) = (pair.for_signing(), [authority.pair.for_signing()]);
    let terms = Terms { chain: &chain, validity: Validity::Ignored, ..Terms::new(&certificate) };
    let mut out = Cursor::new(Vec::new());
    let signed = terms.sign(&image.as_slice(), &pair.key(), &mut out).unwrap();
    let mut image = out.into_inner();
    let (code, document) = inspect(&image, &["--hashes"]);
    assert_eq!((code, ids(&document)), (0, vec!["file-alignment", "no-guard"]), "{document:#}");
    assert_eq!(document["headers"]["checksum_is_good"], true);
    let signature = &document["signatures"][0];
    assert_eq!((&signature["kind"], &signature["function"]), (&Value::from(2), &Value::from("sha256")));
    assert_eq!(signature["digest"], signed.digest.to_string());
    let certificates = signature["certificates"].as_array().unwrap();
    let maker = certificates.iter().find(|it| it["subject"] == "CN=maker").unwrap();
    assert_eq!((&maker["issuer"], &maker["signs"]), (&Value::from("CN=root"), &Value::from(true)));
    assert_eq!((&maker["key"], certificates.len()), (&Value::from("RSA 2048"), 2));
    assert_eq!(maker["sha256"], HashFunction::Sha256.digest(&pair.der).to_string());
    assert!(certificates.iter().any(|it| it["subject"] == "CN=root" && it["signs"] == false));

    // The row stays, what is in it does not.
    let at = usize::try_from(signature["offset"].as_u64().unwrap()).unwrap();
    image[at + 8] = 0;
    let (code, document) = inspect(&image, &[]);
    assert_eq!((code, ids(&document)), (0, vec!["file-alignment", "malformed-signature", "no-guard"]));
    assert_eq!(document["signatures"][0]["offset"], at);
    assert!(document["signatures"][0]["malformed"].is_string());
    image[at + 6] = 1;
    assert_found(&image, "other-signature", "note");
    image[at] = 0xff;
    image[at + 1] = 0xff;
    assert_found(&image, "broken-signatures", "error");
    // A table beyond the end of the file.
    let row = OPTIONAL + 112 + 4 * 8;
    image[row..row + 4].copy_from_slice(&0xffff_0000u32.to_le_bytes());
    assert_found(&image, "broken-signatures", "error");
    for range in inspect(&image, &[]).1["not_covered"].as_array().unwrap() {
        assert!(range["end"].as_u64().unwrap() <= image.len() as u64, "{range}");
    }
}

#[test]
fn the_guard_is_looked_for_where_it_must_be() {
    let with_kernel = |config: &str, kernel: &[u8], ramdisk: &[u8]| {
        built(
            &Pe::new()
                .with(".text", &[0x90; 0x40])
                .with(".config", &padded(config.as_bytes()))
                .with(".kernel", kernel)
                .with(".ramdisk", ramdisk)
                .but(|pe| pe.rows[3].virtual_address = 0x8000)
                .but(|pe| pe.image_size = 0x20000),
        )
    };
    let with = |config: &str, ramdisk: &[u8]| with_kernel(config, &kernel(), ramdisk);
    let archive = guard::archive(b"not a module").unwrap();
    assert_found(&with(CONFIG, &archive), "wrong-kind", "error");
    assert_found(&with(CONFIG, &archive), "guard-not-started", "error");
    let config = CONFIG.replace("vmlinuz", "vmlinuz rdinit=/xen-lockdown/init panic_on_taint=0x8,nousertaint");
    let (_, document) = inspect(&with(&config, &archive), &[]);
    assert!(
        !ids(&document).contains(&"guard-not-started") && !ids(&document).contains(&"no-guard"),
        "{document:#}"
    );
    assert_eq!(document["ramdisk"]["guard"]["own_loader"], true);
    assert_found(&with(&config, b"text"), "wrong-kind", "error");

    let archive = guard::archive(&module("xen_privcmd", true)).unwrap();
    let (code, document) = inspect(&with(&config, &archive), &[]);
    assert_eq!(
        (code, &document["ramdisk"]["guard"]["built_for"]),
        (0, &Value::from("6.12.1-test")),
        "{document:#}"
    );
    let mut other = kernel();
    other[0x305] = b'2';
    assert_found(&with_kernel(&config, &other, &archive), "guard-for-another-kernel", "error");
    // Another process 1 may be that of another version.
    let mut changed = archive.clone();
    let at = changed.windows(guard::LOADER.len()).position(|window| window == guard::LOADER).unwrap();
    changed[at + 100] ^= 1;
    assert_found(&with(&config, &changed), "other-loader", "note");
}

#[test]
fn the_configuration_and_the_table_are_judged() {
    assert_found(&built(&parts(&CONFIG.replace("default=xen", "default=no"))), "no-section", "error");
    assert_found(&built(&parts(&CONFIG.replace("quiet", "\"open"))), "addition-lost", "warning");
    let long = Pe::new().with(".config", &[b'y'; 70_000]).but(|pe| pe.image_size = 0x20000);
    assert_found(&built(&long), "config-long", "error");
    assert_found(&built(&parts(&"[a]\n".repeat(300))), "config-long", "error");
    assert_found(&built(&parts("\u{feff}[global]\n")), "config-unreadable", "error");
    let sbat = Pe::new().with(".text", b"x").with(".sbat", &padded(b"xen,1,a,b,c,d\n"));
    assert_found(&built(&sbat), "sbat-no-header", "error");
    let none = built(&Pe::new().with(".text", b"x"));
    assert_found(&none, "sbat-missing", "warning");
    assert_found(&none, "no-config", "note");
}

#[test]
fn what_is_no_image_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    fs::write(&path, [b't'; 100]).unwrap();
    let output = run(&["image", "inspect", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is not an EFI image"));
    assert_eq!(run(&["image", "inspect", "nosuch"]).status.code(), Some(2));
    assert_eq!(run(&["image", "inspect", folder.path().to_str().unwrap()]).status.code(), Some(2));
}
