//! Every signed EFI binary of Debian 13, as firmware and shim judge it and as others' tools hash it; and the same binaries damaged.
//!
//! It fetches packages with the machine's own apt (some hundred megabytes, once), so `make debian-images` runs it:
//! `cargo test -p xen-lockdown --test debian_images -- --ignored --nocapture`. A tool that is not installed is reported as not run.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

#[path = "../../../image/tests/certificates/mod.rs"]
#[allow(dead_code, reason = "others use the rest")]
mod certificates;
mod mutated;
mod packages;
mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use certificates::{Authority, sign};
use lockdown_image::sbat::Levels;
use lockdown_image::verify::{Answer, Certificate, Database, Evidence, Firmware, Shim, Signature, Vendor};
use lockdown_image::{Error, Fault, HashFunction, Image};
use packages::{Binary, Debian};
use serde_json::Value;
use tools::Tools;

/// A machine with Microsoft's keys, and Debian's shim on it.
struct Machine {
    firmware: Firmware,
    shim: Shim,
}

impl Machine {
    fn new(debian: &Debian) -> Self {
        let firmware =
            Firmware { off: false, db: debian.microsofts_database("db"), dbx: debian.microsofts_database("dbx") };
        let image = Image::read(&debian.shim().bytes[..]).unwrap();
        let Vendor { trusted, revoked } = Vendor::read(&image).unwrap();
        let levels = Levels::read(&image.sbat_levels().unwrap().unwrap()).unwrap();
        let shim = Shim {
            db: firmware.db.clone(),
            dbx: firmware.dbx.clone(),
            vendor: trusted,
            vendorx: revoked,
            level: Some(levels.automatic),
            ..Shim::default()
        };
        Self { firmware, shim }
    }
}

#[test]
#[ignore = "fetches half a gigabyte of Debian's packages, too much for `make test`: `make debian-images` runs it"]
fn every_signed_binary_of_debian_is_hashed_and_judged_rightly() {
    let debian = Debian::fetch();
    let machine = Machine::new(&debian);
    let tools = Tools::default();
    let (mut signed, mut packages) = (0, BTreeSet::new());
    for binary in &debian.binaries {
        let image = match Image::read(&binary.bytes[..]) {
            Ok(image) => image,
            // memtest86+ has one for each width.
            Err(Error::Malformed(problem)) if matches!(problem.fault, Fault::Machine(0x14c)) => {
                println!("{}: for 32 bits, not looked at", binary.name);
                continue;
            }
            Err(error) => panic!("{}: {error}", binary.name),
        };
        let evidence = Evidence::gather_for_shim(&image, &HashFunction::ALL).unwrap();
        let digest = evidence.digest(HashFunction::Sha256).unwrap().to_string();
        let by_firmware = machine.firmware.judge(&evidence);
        let through_shim = machine.shim.judge(&evidence);
        assert_eq!(binary.is_signed, !evidence.signatures.is_empty(), "{}", binary.name);
        let agree = if binary.is_signed {
            signed += 1;
            packages.insert(binary.package.clone());
            check_signatures(binary, &image, &evidence);
            check_answers(binary, &machine, &evidence, &by_firmware, &through_shim);
            check_flips(binary, &image, &machine, &tools);
            tools.signed(&binary.path, &digest, &signers(&evidence), evidence.signatures.len())
        } else {
            assert_eq!((by_firmware.id(), through_shim.id()), ("not-signed", "not-signed"), "{}", binary.name);
            check_our_own_signature(binary, &tools)
        };
        check_command(&debian, binary, &digest, [&by_firmware, &through_shim]);
        println!(
            "{}\n  {digest} ({agree})\n  by firmware {}, through shim {}",
            binary.name,
            by_firmware.id(),
            through_shim.id()
        );
    }
    println!("{signed} signed binaries of {} packages, {} in all", packages.len(), debian.binaries.len());
    // One that lost its signature, or its file its place, would be missed by nobody.
    assert_eq!(packages, debian.signed_packages());
}

/// The certificates of those who signed.
fn signers(evidence: &Evidence) -> Vec<Certificate> {
    signatures(evidence).flat_map(Signature::signers).cloned().collect()
}

fn signatures(evidence: &Evidence) -> impl Iterator<Item = &Signature> {
    evidence.signatures.iter().map(|row| row.signature.as_ref().unwrap().as_ref().unwrap())
}

/// Each signature is for this image, and made by whom it names.
fn check_signatures(binary: &Binary, image: &Image<&[u8]>, evidence: &Evidence) {
    let name = &binary.name;
    let table = image.signatures().unwrap().unwrap();
    assert_eq!((table.range.end, table.broken_at), (u64::try_from(binary.bytes.len()).unwrap(), None), "{name}");
    assert_eq!(image.not_covered().unwrap(), [], "{name}");
    for signature in signatures(evidence) {
        assert_eq!(Some(&signature.digest), evidence.digest(signature.digest.function()), "{name}");
        let signers: Vec<_> = signature.signers().collect();
        assert_eq!(signers.len(), 1, "{name}");
        // What a signature brings along leads to itself: the mathematics of each certificate and of the signature.
        for certificate in &signature.certificates {
            let db = Database { certificates: vec![certificate.clone()], ..Database::default() };
            let answer = Firmware { db: db.clone(), ..Firmware::default() }.judge(evidence);
            assert_eq!(answer.id(), "trusted-certificate", "{name}: {}: {answer}", certificate.subject());
            let shim = Shim { db, ..Shim::default() }.judge(evidence);
            assert!(matches!(shim.id(), "trusted-certificate" | "no-sbat"), "{name}: {shim}");
        }
    }
    // Without anybody to trust, that is what is said, and nothing worse.
    assert_eq!(Firmware::default().judge(evidence).id(), "not-trusted", "{name}");
    assert_eq!(Shim::default().judge(evidence).id(), "not-trusted", "{name}");
}

/// Microsoft signs shim, and Debian the rest.
fn check_answers(
    binary: &Binary,
    machine: &Machine,
    evidence: &Evidence,
    by_firmware: &Answer,
    through_shim: &Answer,
) {
    let name = &binary.name;
    if binary.is_shim() {
        assert_eq!(by_firmware.id(), "trusted-certificate", "{name}: {by_firmware}");
    } else {
        assert_eq!(by_firmware.id(), "not-trusted", "{name}: {by_firmware}");
        let vendor = Firmware { db: machine.shim.vendor.clone(), ..Firmware::default() }.judge(evidence);
        assert_eq!(vendor.id(), "trusted-certificate", "{name}: {vendor}");
    }
    // Kernels have no generations: GRUB asks shim about them in a way that does not want any.
    let wanted = if binary.has_generations() { "trusted-certificate" } else { "no-sbat" };
    assert_eq!(through_shim.id(), wanted, "{name}: {through_shim}");
}

/// One byte changed anywhere that a signature covers.
fn check_flips(binary: &Binary, image: &Image<&[u8]>, machine: &Machine, tools: &Tools) {
    let sections = image.sections().iter().filter(|section| !section.file_range.is_empty());
    let mut places: Vec<u64> =
        sections.flat_map(|section| [section.file_range.start, section.file_range.end - 1]).collect();
    let table = image.signatures().unwrap().unwrap().range;
    // In the old header, and what stands in front of the signatures.
    places.extend([0x20, table.start - 1]);
    let mut bytes = binary.bytes.clone();
    for &place in &places {
        let at = usize::try_from(place).unwrap();
        bytes[at] ^= 1;
        let evidence = Evidence::gather(&Image::read(&bytes[..]).unwrap(), &[]).unwrap();
        for answer in [machine.firmware.judge(&evidence), machine.shim.judge(&evidence)] {
            assert_eq!(answer.id(), "changed", "{}: at {place:#x}: {answer}", binary.name);
        }
        bytes[at] ^= 1;
    }
    bytes[usize::try_from(places[0]).unwrap()] ^= 1;
    let evidence = Evidence::gather(image, &[]).unwrap();
    tools.refuse(&bytes, &signers(&evidence));
}

/// An image that is not signed has the digest that the others' tools give it, before and after we sign it.
fn check_our_own_signature(binary: &Binary, tools: &Tools) -> String {
    let name = &binary.name;
    let Some(root) = Authority::make() else { return "openssl not run".to_owned() };
    let leaf = root.leaf("leaf");
    let before = Evidence::gather(&Image::read(&binary.bytes[..]).unwrap(), &[]).unwrap();
    let digest = |evidence: &Evidence| evidence.digest(HashFunction::Sha256).unwrap().to_string();
    let agree = tools.unsigned(&binary.path, &digest(&before));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signed.efi");
    let signed = sign(&binary.bytes, &leaf, &[], HashFunction::Sha256);
    fs::write(&path, &signed).unwrap();
    let image = Image::read(&signed[..]).unwrap();
    let evidence = Evidence::gather(&image, &[]).unwrap();
    // Filled up to a multiple of eight, it is another one.
    if binary.bytes.len() % 8 == 0 {
        assert_eq!(digest(&before), digest(&evidence), "{name}");
    }
    let db =
        Database { certificates: vec![Certificate::from_der(&root.pair.der).unwrap()], ..Database::default() };
    let answer = Firmware { db, ..Firmware::default() }.judge(&evidence);
    assert_eq!(answer.id(), "trusted-certificate", "{name}: {answer}");
    let ours = tools.signed(&path, &digest(&evidence), &signers(&evidence), 1);
    format!("{agree}; signed by us {}: {ours}", digest(&evidence))
}

/// The command says the same as the library that it is made of, by the same machine's variables.
fn check_command(debian: &Debian, binary: &Binary, digest: &str, answers: [&Answer; 2]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xen-lockdown"));
    command.args(["image", "verify", "--format", "json", "--varstore"]).arg(&debian.variables);
    command.arg("--shim").arg(&debian.shim().path).arg(&binary.path);
    let output = command.output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(document["digests"]["sha256"], digest, "{}", binary.name);
    let reasons = answers.map(Answer::id);
    assert_eq!([0, 1].map(|path| &document["paths"][path]["reason"]), reasons, "{}", binary.name);
    let boots = answers.iter().any(|answer| matches!(answer, Answer::Boots(_)));
    assert_eq!(output.status.code(), Some(i32::from(!boots)), "{}", binary.name);
}

/// The folder that packages are fetched into.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}
