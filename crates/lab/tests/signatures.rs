//! Which signatures firmware takes: the lab's OVMF, with the key's certificate in its database, starts Xen or does not.
//!
//! It runs only where it is asked for: `cargo test --release -p lockdown-lab --test signatures -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lockdown_firmware::load_option::LoadOption;
use lockdown_image::HashFunction;
use lockdown_image::sign::{Certificate, FileKey, Terms};
use lockdown_lab::lab::IMAGE;
use lockdown_lab::machine::{Dom0, Extra, Firmware, Next, Setup};
use lockdown_lab::prove;
use lockdown_lab::root::Root;
use lockdown_lab::varstore::{self, Databases, SecureBoot, Settings};

/// What signs, with which hash function, behind one another; what the firmware knows; whether it starts that.
type Case = (&'static [(&'static str, HashFunction)], &'static [&'static str], bool);

/// Debian's OVMF is built without elliptic curves.
const CASES: [Case; 9] = [
    (&[("rsa:2048", HashFunction::Sha256)], &["rsa:2048"], true),
    (&[("rsa:2048", HashFunction::Sha384)], &["rsa:2048"], true),
    (&[("rsa:2048", HashFunction::Sha512)], &["rsa:2048"], true),
    (&[("rsa:4096", HashFunction::Sha256)], &["rsa:4096"], true),
    (&[("P-256", HashFunction::Sha256)], &["P-256"], false),
    (&[("P-384", HashFunction::Sha384)], &["P-384"], false),
    (&[("rsa:4096", HashFunction::Sha256), ("rsa:2048", HashFunction::Sha256)], &["rsa:2048"], true),
    (&[("rsa:2048", HashFunction::Sha256), ("P-384", HashFunction::Sha384)], &["rsa:2048"], true),
    (&[("rsa:4096", HashFunction::Sha256)], &["rsa:2048"], false),
];

#[test]
#[ignore = "boots machines"]
fn firmware_starts_what_one_of_its_keys_signed() {
    let root = Root::get(&prove::default_folder(), &|text| println!("{text}")).unwrap();
    let xen = Command::new("find").arg(root.folder().join("boot")).args(["-name", "xen-*.efi"]).output().unwrap();
    let xen = fs::read(String::from_utf8(xen.stdout).unwrap().lines().next().unwrap()).unwrap();
    let work = tempfile::tempdir_in(root.folder().parent().unwrap()).unwrap();
    for algorithm in ["rsa:2048", "rsa:4096", "P-256", "P-384"] {
        make(work.path(), algorithm);
    }
    let (root, work, xen) = (&root, work.path(), &xen[..]);
    let mut wrong = Vec::new();
    let numbered: Vec<_> = CASES.iter().enumerate().collect();
    // Two machines at a time.
    for pair in numbered.chunks(2) {
        thread::scope(|scope| {
            let running: Vec<_> = pair
                .iter()
                .map(|&(number, case)| (case, scope.spawn(move || boot(root, work, number, case, xen))))
                .collect();
            for (case, machine) in running {
                let started = machine.join().unwrap();
                println!("{case:?}: {}", if started { "started" } else { "refused" });
                if started != case.2 {
                    wrong.push(case);
                }
            }
        });
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// `ALGORITHM.key`, `ALGORITHM.pem`, `ALGORITHM.der`.
fn make(folder: &Path, algorithm: &str) {
    let kind = match algorithm.strip_prefix("rsa:") {
        Some(_) => format!("-newkey {algorithm}"),
        None => format!("-newkey ec -pkeyopt ec_paramgen_curve:{algorithm}"),
    };
    let text = format!(
        "openssl req -x509 -nodes -days 10 -subj /CN={algorithm} {kind} -keyout {algorithm}.key -out {algorithm}.pem &&
         openssl x509 -in {algorithm}.pem -outform DER -out {algorithm}.der"
    );
    let made = Command::new("sh").args(["-euc", &text]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Whether the firmware starts it.
fn boot(root: &Root, work: &Path, number: usize, (signers, known, _): &Case, xen: &[u8]) -> bool {
    let read = |algorithm: &str, kind: &str| fs::read(work.join(format!("{algorithm}.{kind}"))).unwrap();
    let mut image = xen.to_vec();
    for (algorithm, function) in *signers {
        let key = FileKey::read(&read(algorithm, "key"), None).unwrap();
        let certificate = Certificate::read(&read(algorithm, "pem")).unwrap();
        let terms = Terms { function: *function, append: true, ..Terms::new(&certificate) };
        let mut out = Cursor::new(Vec::new());
        terms.sign(&&image[..], &key, &mut out).unwrap();
        image = out.into_inner();
    }
    let trusted: Vec<_> = known.iter().map(|algorithm| read(algorithm, "der")).collect();
    let own = read("rsa:2048", "der");
    let databases = Databases { db: varstore::certificates(&trusted), dbx: Vec::new() };
    let keys = SecureBoot { platform_key: own.clone(), exchange_key: own, databases };
    let entry = LoadOption::file("xen", &format!("\\{}", IMAGE.replace('/', "\\")), "");
    let settings = Settings { keys: Some(keys), boot: vec![entry], ..Settings::default() };
    let disk = vec![(IMAGE.to_owned(), image)];
    let setup = Setup { firmware: Firmware::Secure, dom0: Dom0::Pv, settings, disk, extra: Extra::default() };
    let mut machine = setup.start(root, &work.join(number.to_string())).unwrap();
    let until = Instant::now() + Duration::from_secs(900);
    loop {
        let Next::Line(line) = machine.next(until).unwrap() else { panic!("the machine went off") };
        if line.text.contains("Access Denied") || line.text.contains("Security Violation") {
            return false;
        }
        assert!(!line.text.contains("failed to load Boot0001"), "{}", line.text);
        // Xen's own first words; it has no configuration and goes back.
        if line.text.contains("EFI loader") {
            return true;
        }
    }
}
