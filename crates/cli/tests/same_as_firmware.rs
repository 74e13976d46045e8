//! `image verify` against real firmware and a real shim: each image is judged from the variables that a machine then begins with,
//! and the machine starts it.
//!
//! It boots machines, so `make lab` runs it: `cargo test --release -p xen-lockdown --test same_as_firmware -- --ignored --nocapture`.
//! `ONLY` says which, by the beginning of their names, and with `KEEP` their logs are kept.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

#[path = "../../image/tests/certificates/mod.rs"]
#[allow(dead_code, reason = "others use the rest")]
mod certificates;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use certificates::{Authority, Pair, sign};
use lockdown_firmware::{Attributes, Guid, Variable};
use lockdown_image::verify::{Certificate, Evidence};
use lockdown_image::{HashFunction, Image};
use lockdown_lab::boot::{Boot, End};
use lockdown_lab::image::unsign;
use lockdown_lab::lab::{Lab, Scenario};
use lockdown_lab::machine::{Dom0, Machine};
use lockdown_lab::prove;
use lockdown_lab::varstore::{self, Databases};
use serde_json::Value;
use tempfile::TempDir;

const SBAT: &[u8] = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n\
    xen.lab,2,xen-lockdown,xen,4.20,https://example.org\n";
const CONFIG: &[u8] = b"[global]\ndefault=xen\n[xen]\noptions=com1=115200,8n1 console=com1\nkernel=vmlinuz\n";

/// Who starts the image, and what it is to know.
struct Case {
    name: &'static str,
    image: Vec<u8>,
    db: Vec<u8>,
    dbx: Vec<u8>,
    variables: Vec<Variable>,
    via: Via,
    secure_boot: bool,
    /// Whether the desk cannot know.
    unknown: bool,
    /// What the case is there for, so that no pair is quietly the same.
    wanted: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    Firmware,
    /// Through this shim.
    Shim {
        trusted: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Boots,
    RefusedBy(&'static str),
}

use Outcome::{Boots, RefusedBy};

#[test]
#[ignore = "boots 55 machines for minutes and needs the lab's root: `make lab`, and so `make test`, runs it"]
fn the_desk_says_what_firmware_and_shim_do() {
    let mut lab = Lab::open(&prove::default_folder(), &prove::project(), &|_| {}).unwrap();
    if std::env::var_os("KEEP").is_some() {
        println!("kept in {}", lab.keep().display());
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    let cases: Vec<Case> = cases(&lab).into_iter().filter(|case| case.name.starts_with(&only)).collect();
    assert!(!cases.is_empty(), "no machine's name begins with {only}");
    let folder = tempfile::tempdir().unwrap();
    let (next, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            let found = compare(&lab, case, &folder).unwrap_or_else(|error| Some(format!("no answer: {error:#}")));
            println!("{}: {}", case.name, found.as_deref().unwrap_or("the same"));
            differences.lock().unwrap().extend(found.map(|what| format!("{}: {what}", case.name)));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let differences = differences.into_inner().unwrap();
    assert_eq!(differences, Vec::<String>::new());
    println!("{} machines, no difference", cases.len());
}

/// What is not the same, if something is.
fn compare(lab: &Lab, case: &Case, folder: &TempDir) -> Result<Option<String>> {
    let mut scenario = Scenario::new(case.name, Dom0::Pv, case.image.clone());
    scenario.secure_boot = case.secure_boot;
    scenario.databases = Some(Databases { db: case.db.clone(), dbx: case.dbx.clone() });
    scenario.variables.clone_from(&case.variables);
    let shim = shim(lab, case)?;
    if let Some(shim) = &shim {
        scenario.starts = "EFI/debian/shimx64.efi".to_owned();
        scenario.disk = vec![
            ("EFI/debian/shimx64.efi".to_owned(), shim.clone()),
            ("EFI/debian/grubx64.efi".to_owned(), case.image.clone()),
        ];
    }
    // Xen has moved itself and speaks, its loader stopped, shim says no, or GRUB has a screen.
    let words = [
        "Xen version ",
        "Unsupported relocation type",
        "could not be verified",
        "Verification failed",
        "GNU GRUB",
    ];
    scenario.stop_at.extend(words.map(str::to_owned));

    let place = |name: &str| folder.path().join(format!("{}-{name}", case.name));
    let (image, variables) = (place("image.efi"), place("variables"));
    fs::write(&image, &case.image)?;
    fs::write(&variables, lab.variables(&scenario)?)?;
    let shim =
        shim.map(|bytes| anyhow::Ok((place("shim.efi"), fs::write(place("shim.efi"), bytes)?))).transpose()?;
    let answer = ask(&image, &variables, shim.as_ref().map(|(path, ())| path))?;
    let said = outcome_of(&answer)?;
    let boot = lab.boot_and_look(&scenario, &mut |_, machine| press_a_key(machine, &words))?;
    let seen = observed(&boot)?;
    let expected = (!case.unknown).then_some(&seen);
    if said.as_ref() == expected && seen == case.wanted {
        return Ok(None);
    }
    Ok(Some(format!("said {said:?} ({}), seen {seen:?}, wanted {:?}", answer["message"], case.wanted)))
}

/// shim says no in a box without the end of a line, and waits for a key.
fn press_a_key(machine: &Machine, words: &[&str]) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(60);
    let log =
        || fs::read(machine.folder().join("serial.log")).map(|log| String::from_utf8_lossy(&log).into_owned());
    if !log()?.contains("BdsDxe: starting Boot") {
        return Ok(());
    }
    while Instant::now() < patience {
        let log = log()?;
        if words.iter().any(|word| log.contains(word)) {
            if log.contains("Verification failed") {
                machine.types("\r")?;
                std::thread::sleep(Duration::from_secs(1));
            }
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn ask(image: &Path, variables: &Path, shim: Option<&PathBuf>) -> Result<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xen-lockdown"));
    command.args(["image", "verify", "--format", "json", "--varstore"]).arg(variables);
    match shim {
        Some(shim) => command.args(["--via", "shim", "--shim"]).arg(shim),
        None => command.args(["--via", "firmware"]),
    };
    let output = command.arg(image).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document: Value = serde_json::from_slice(&output.stdout).with_context(|| said)?;
    let answer = document["paths"][0].clone();
    let status = match answer["boots"].as_bool() {
        Some(true) => 0,
        Some(false) => 1,
        None => 2,
    };
    assert_eq!(output.status.code(), Some(status));
    Ok(answer)
}

fn outcome_of(answer: &Value) -> Result<Option<Outcome>> {
    match (answer["boots"].as_bool(), answer["refused_by"].as_str()) {
        (None, None) => Ok(None),
        (Some(true), None) => Ok(Some(Boots)),
        (Some(false), Some(by)) => {
            let known = ["firmware", "shim", "xen"].into_iter().find(|known| *known == by);
            Ok(Some(RefusedBy(known.context("a judge that nobody knows")?)))
        }
        _ => bail!("an answer that contradicts itself: {answer}"),
    }
}

fn observed(boot: &Boot) -> Result<Outcome> {
    match &boot.end {
        End::Refused(_) => Ok(RefusedBy("firmware")),
        End::Seen(text) if text.contains("Verification failed") => Ok(RefusedBy("shim")),
        End::Seen(text) | End::XenStopped(text) | End::NotStarted(text)
            if text.contains("Unsupported relocation type") || text.contains("could not be verified") =>
        {
            Ok(RefusedBy("xen"))
        }
        End::Seen(_) => Ok(Boots),
        end => bail!("the machine ended otherwise: {end:?}\n{}", boot.console()),
    }
}

/// Debian's shim, signed with a key that firmware trusts, or not.
fn shim(lab: &Lab, case: &Case) -> Result<Option<Vec<u8>>> {
    let Via::Shim { trusted } = case.via else { return Ok(None) };
    let shim = fs::read(lab.root.file("/usr/lib/shim/shimx64.efi")?)?;
    let key = if trusted { &lab.keys.trusted } else { &lab.keys.stranger };
    Ok(Some(lab.signed(&shim, key)?.bytes))
}

fn with_sha256(image: &[u8], pair: &Pair) -> Vec<u8> {
    sign(image, pair, &[], HashFunction::Sha256)
}

fn digest(image: &[u8], function: HashFunction) -> Vec<u8> {
    let evidence = Evidence::gather(&Image::read(image).unwrap(), &[function]).unwrap();
    evidence.digest(function).unwrap().as_bytes().to_vec()
}

/// Xen with a configuration, and generations if asked for. What shim does not load is marked so again, if asked for.
fn unified(lab: &Lab, sbat: Option<&[u8]>, keep_relocations: bool, kernel: &[u8]) -> Vec<u8> {
    let image = Image::read(&lab.stock.image[..]).unwrap();
    let parts = lockdown_unify::Parts {
        config: Some(&CONFIG),
        kernel: Some(&kernel),
        sbat: sbat.as_ref().map(|text| text as &dyn lockdown_image::Source),
        ..lockdown_unify::Parts::default()
    };
    let mut out = Cursor::new(Vec::new());
    lockdown_unify::unify(&image, &parts).unwrap().write(&mut out).unwrap();
    let mut xen = out.into_inner();
    if !keep_relocations {
        let row = Image::read(&xen[..]).unwrap().find(".reloc").unwrap().header_offset;
        xen[usize::try_from(row).unwrap() + 36 + 3] |= 0x02;
    }
    xen
}

fn stored(name: &str, data: Vec<u8>) -> Vec<Variable> {
    let attributes = Attributes::NON_VOLATILE.and(Attributes::BOOT_SERVICE);
    vec![Variable { name: name.to_owned(), vendor: Guid::SHIM, attributes, data }]
}

fn cases(lab: &Lab) -> Vec<Case> {
    let root = Authority::make().expect("openssl is needed");
    let between = root.authority("between");
    let (leaf, other, far, old) =
        (root.leaf("leaf"), root.leaf("other"), between.leaf("far"), root.expired("old"));
    let stranger = Authority::make().unwrap().leaf("stranger");
    let wide = root.wide_leaf("wide");
    let (p256, p384) = (root.curve_leaf("p256", "P-256"), root.curve_leaf("p384", "P-384"));
    // Without shim nobody looks into it before Xen speaks.
    let image = unified(lab, None, false, b"no kernel");
    let good = with_sha256(&image, &leaf);
    let lists =
        |pairs: &[&Pair]| varstore::certificates(&pairs.iter().map(|pair| pair.der.clone()).collect::<Vec<_>>());
    let trusts = lists(&[&root.pair]);
    let case = |name, image: &[u8], wanted| Case {
        name,
        image: image.to_vec(),
        db: trusts.clone(),
        dbx: Vec::new(),
        variables: Vec::new(),
        via: Via::Firmware,
        secure_boot: true,
        unknown: false,
        wanted,
    };
    let refused = || RefusedBy("firmware");
    let flipped = |image: &[u8], at: usize| {
        let mut image = image.to_vec();
        image[at] ^= 1;
        image
    };
    let entry = varstore::entry;
    let to_be_signed = |pair: &Pair| {
        let certificate = Certificate::from_der(&pair.der).unwrap();
        [certificate.to_be_signed_digest(HashFunction::Sha256).as_bytes(), &[0; 16]].concat()
    };
    let table = Image::read(&good[..]).unwrap().signatures().unwrap().unwrap().range;
    let table = usize::try_from(table.start).unwrap();
    let half = {
        let image = with_sha256(&with_sha256(&image, &other), &leaf);
        // The first is no sequence any more.
        let row = Image::read(&image[..]).unwrap().signatures().unwrap().unwrap().rows[0].offset;
        flipped(&image, usize::try_from(row).unwrap() + 8)
    };
    let both = |first: &Pair, second: &Pair| with_sha256(&with_sha256(&image, first), second);
    let mut cases = vec![
        case("good", &good, Boots),
        case("one-byte-of-code", &flipped(&good, 0x2000), refused()),
        case("one-byte-of-config", &flipped(&good, image.len() - 0x40), refused()),
        case("the-checksum", &flipped(&good, checksum_at(&good)), Boots),
        case("bytes-behind", &[&good[..], &[0; 8]].concat(), refused()),
        case("damaged-table", &flipped(&good, table + 1), refused()),
        case("damaged-signature", &flipped(&good, good.len() - 0x40), refused()),
        case("stranger", &with_sha256(&image, &stranger), refused()),
        case("unsigned", &image, refused()),
        case("unsigned-and-off", &image, Boots).but(|case| case.secure_boot = false),
        case("unsigned-known", &image, Boots)
            .but(|case| case.db = entry(Guid::CERT_SHA256, &digest(&image, HashFunction::Sha256))),
        case("unsigned-known-by-sha384", &image, Boots)
            .but(|case| case.db = entry(Guid::CERT_SHA384, &digest(&image, HashFunction::Sha384))),
        case("leaf-in-db", &good, Boots).but(|case| case.db = lists(&[&leaf])),
        case("other-leaf-in-db", &good, refused()).but(|case| case.db = lists(&[&other])),
        case("over-a-chain", &sign(&image, &far, &[&between.pair], HashFunction::Sha256), Boots),
        case("chain-missing", &with_sha256(&image, &far), refused()),
        case("middle-in-db", &with_sha256(&image, &far), Boots).but(|case| case.db = lists(&[&between.pair])),
        case("expired", &with_sha256(&image, &old), Boots),
        case("rsa-4096", &with_sha256(&image, &wide), Boots),
        case("sha384", &sign(&image, &leaf, &[], HashFunction::Sha384), Boots),
        case("sha512", &sign(&image, &leaf, &[], HashFunction::Sha512), Boots),
        // EDK2 can be built with elliptic curves, and Debian's OVMF is not: the desk does not know.
        case("p256", &with_sha256(&image, &p256), refused()).but(|case| case.unknown = true),
        case("p384", &sign(&image, &p384, &[], HashFunction::Sha384), refused()).but(|case| case.unknown = true),
        case("revoked-digest", &good, refused())
            .but(|case| case.dbx = entry(Guid::CERT_SHA256, &digest(&image, HashFunction::Sha256))),
        case("revoked-by-other-function", &good, Boots)
            .but(|case| case.dbx = entry(Guid::CERT_SHA384, &digest(&image, HashFunction::Sha384))),
        case("revoked-leaf", &good, refused()).but(|case| case.dbx = lists(&[&leaf])),
        case("revoked-root", &good, refused()).but(|case| case.dbx = lists(&[&root.pair])),
        case("revoked-other", &good, Boots).but(|case| case.dbx = lists(&[&other])),
        case("revoked-by-certificate-digest", &good, refused())
            .but(|case| case.dbx = entry(Guid::CERT_X509_SHA256, &to_be_signed(&leaf))),
        case("two-one-stranger", &both(&stranger, &leaf), Boots),
        case("two-second-revoked", &both(&leaf, &other), refused()).but(|case| case.dbx = lists(&[&other])),
        case("two-first-damaged", &half, Boots),
        case("two-first-damaged-and-dbx", &half, refused()).but(|case| case.dbx = lists(&[&stranger])),
        case("two-first-revoked", &both(&other, &leaf), refused()).but(|case| case.dbx = lists(&[&other])),
    ];

    // Behind shim, whose own signature firmware trusts by the lab's key.
    let for_shim = unified(lab, Some(SBAT), true, &lab.kernel);
    let lab_trusts =
        [trusts.clone(), varstore::certificates(std::slice::from_ref(&lab.keys.trusted.der))].concat();
    let only_lab = varstore::certificates(std::slice::from_ref(&lab.keys.trusted.der));
    let shim_good = with_sha256(&for_shim, &leaf);
    let shim = |name, image: &[u8], wanted| {
        case(name, image, wanted).but(|case| {
            case.via = Via::Shim { trusted: true };
            case.db.clone_from(&lab_trusts);
        })
    };
    let by_shim = || RefusedBy("shim");
    let unsigned_kernel = unsign(&lab.kernel).unwrap();
    let our_kernel = with_sha256(&unsigned_kernel, &leaf);
    let grub = fs::read(lab.root.file("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed").unwrap()).unwrap();
    cases.extend([
        shim("shim-good", &shim_good, Boots),
        shim("shim-stranger", &with_sha256(&for_shim, &stranger), by_shim()),
        shim("shim-not-trusted", &shim_good, refused()).but(|case| case.via = Via::Shim { trusted: false }),
        shim("shim-one-byte", &flipped(&shim_good, 0x2000), by_shim()),
        shim("shim-unsigned", &for_shim, by_shim()),
        shim(
            "shim-relocations-dropped",
            &with_sha256(&unified(lab, Some(SBAT), false, &lab.kernel), &leaf),
            RefusedBy("xen"),
        ),
        shim("shim-no-sbat", &with_sha256(&unified(lab, None, true, &lab.kernel), &leaf), by_shim()),
        shim("shim-bad-sbat", &with_sha256(&unified(lab, Some(b"sbat,1\n"), true, &lab.kernel), &leaf), by_shim()),
        shim("shim-sbat-revoked", &shim_good, by_shim())
            .but(|case| case.variables = stored("SbatLevel", b"sbat,1,2099010100\nxen.lab,3\n".to_vec())),
        shim("shim-sbat-high-enough", &shim_good, Boots)
            .but(|case| case.variables = stored("SbatLevel", b"sbat,1,2099010100\nxen.lab,2\n".to_vec())),
        shim("shim-mok", &shim_good, Boots).but(|case| {
            case.db.clone_from(&only_lab);
            case.variables = stored("MokList", lists(&[&leaf]));
        }),
        shim("shim-no-mok", &shim_good, by_shim()).but(|case| case.db.clone_from(&only_lab)),
        shim("shim-mokx", &shim_good, by_shim()).but(|case| case.variables = stored("MokListX", lists(&[&leaf]))),
        shim("shim-off", &with_sha256(&for_shim, &stranger), Boots)
            .but(|case| case.variables = stored("MokSBState", vec![1])),
        shim("shim-sha384", &sign(&for_shim, &leaf, &[], HashFunction::Sha384), by_shim()),
        shim("shim-p256", &with_sha256(&for_shim, &p256), by_shim()),
        shim("shim-two-first-revoked", &with_sha256(&with_sha256(&for_shim, &other), &leaf), Boots)
            .but(|case| case.dbx = lists(&[&other])),
        shim(
            "shim-kernel-unsigned",
            &with_sha256(&unified(lab, Some(SBAT), true, &unsigned_kernel), &leaf),
            RefusedBy("xen"),
        ),
        shim("shim-kernel-ours", &with_sha256(&unified(lab, Some(SBAT), true, &our_kernel), &leaf), Boots),
        shim(
            "shim-kernel-no-image",
            &with_sha256(&unified(lab, Some(SBAT), true, b"no kernel"), &leaf),
            RefusedBy("xen"),
        ),
        shim("shim-vendor", &grub, Boots).but(|case| case.db.clone_from(&only_lab)),
    ]);
    cases
}

impl Case {
    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn checksum_at(image: &[u8]) -> usize {
    let pe = u32::from_le_bytes(image[0x3c..0x40].try_into().unwrap());
    usize::try_from(pe).unwrap() + 24 + 64
}
