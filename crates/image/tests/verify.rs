//! Which images firmware and shim start. Keys and certificates are made here with `openssl`; where it is not installed, that is
//! reported as not run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

#[allow(dead_code, reason = "each test uses what it needs")]
mod builder;
#[allow(dead_code, reason = "each test uses what it needs")]
mod certificates;

use builder::Pe;
use certificates::{Authority, Pair};
use lockdown_firmware::signature_list::Entry;
use lockdown_firmware::{Guid, signature_list};
use lockdown_image::sbat::Level;
use lockdown_image::verify::{Answer, Certificate, Database, Evidence, Firmware, Ground, Judge, Place, Shim};
use lockdown_image::{HashFunction, Image};

const OWNER: Guid = Guid([0; 16]);

fn unsigned() -> Vec<u8> {
    base(SBAT)
}

const SBAT: &[u8] =
    b"sbat,1,SBAT Version,sbat,1,https://example.org/sbat\nxen.test,2,Test,xen,1,https://example.org\n";

fn base(sbat: &[u8]) -> Vec<u8> {
    let sbat = &padded(sbat);
    Pe::new()
        .with(".text", &[0x90; 0x1000])
        .with(".sbat", sbat)
        .with(".config", b"[xen]\n")
        .with(".rest", &[7; 0x4001])
        .build()
}

/// The file's alignment, with what shim would not take for text.
fn padded(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    text.resize(text.len().next_multiple_of(0x20), 0);
    text
}

fn sign(image: &[u8], pair: &Pair, chain: &[&Pair]) -> Vec<u8> {
    certificates::sign(image, pair, chain, HashFunction::Sha256)
}

fn evidence(image: &[u8]) -> Evidence {
    Evidence::gather_for_shim(&Image::read(image).unwrap(), &HashFunction::ALL).unwrap()
}

/// A database with these certificates.
fn with(pairs: &[&Pair]) -> Database {
    let entry = |pair: &&Pair| Entry { kind: Guid::CERT_X509, owner: OWNER, data: pair.der.clone() };
    let database = Database::from_entries(&pairs.iter().map(entry).collect::<Vec<_>>());
    assert_eq!(database.unread, []);
    database
}

fn with_entry(kind: Guid, data: &[u8]) -> Database {
    Database::from_entries(&signature_list::read(&signature_list::write(kind, OWNER, &[data])).unwrap())
}

fn firmware(db: Database, dbx: Database) -> Firmware {
    Firmware { off: false, db, dbx }
}

fn by_firmware(image: &[u8], db: Database, dbx: Database) -> &'static str {
    id(&firmware(db, dbx).judge(&evidence(image)), Judge::Firmware)
}

fn through_shim(image: &[u8], shim: &Shim) -> &'static str {
    id(&shim.judge(&evidence(image)), Judge::Shim)
}

/// The answer's id; who refuses is who was asked.
fn id(answer: &Answer, judge: Judge) -> &'static str {
    if let Answer::Refused { by, .. } = answer {
        assert_eq!(*by, judge);
    }
    assert!(!answer.to_string().is_empty());
    answer.id()
}

fn digest(image: &[u8]) -> Vec<u8> {
    evidence(image).digest(HashFunction::Sha256).unwrap().as_bytes().to_vec()
}

#[test]
fn firmware_trusts_who_is_in_db_or_was_certified_by_it() {
    let Some(root) = Authority::make() else { return };
    let between = root.authority("between");
    let (near, far) = (root.leaf("near"), between.leaf("far"));
    let image = unsigned();
    let (by_near, by_far) = (sign(&image, &near, &[]), sign(&image, &far, &[&between.pair]));

    let none = Database::default;
    assert_eq!(by_firmware(&by_near, with(&[&near]), none()), "trusted-certificate", "the certificate itself");
    assert_eq!(by_firmware(&by_near, with(&[&root.pair]), none()), "trusted-certificate", "its issuer");
    assert_eq!(by_firmware(&by_near, with(&[&between.pair]), none()), "not-trusted", "somebody else's issuer");
    assert_eq!(by_firmware(&by_near, none(), none()), "not-trusted");
    assert_eq!(
        by_firmware(&by_far, with(&[&root.pair]), none()),
        "trusted-certificate",
        "over one that came with it"
    );
    assert_eq!(by_firmware(&by_far, with(&[&between.pair]), none()), "trusted-certificate", "not self-signed");
    let without = sign(&image, &far, &[]);
    assert_eq!(by_firmware(&without, with(&[&root.pair]), none()), "not-trusted", "one between is missing");
    assert_eq!(by_firmware(&without, with(&[&between.pair]), none()), "trusted-certificate");

    let answer = firmware(with(&[&root.pair]), none()).judge(&evidence(&by_far));
    let Answer::Boots(Ground::Certificate { database: Place::Db, subject }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(subject, "CN=root");
    let answer = firmware(none(), none()).judge(&evidence(&by_near)).to_string();
    assert!(answer.contains("CN=near, issued by CN=root"), "{answer}");
}

#[test]
fn who_may_not_issue_certifies_nobody() {
    let Some(root) = Authority::make() else { return };
    let leaf = root.leaf("leaf");
    let forged = Authority { pair: leaf }.leaf("forged");
    let image = sign(&unsigned(), &forged, &[&root.leaf("leaf")]);
    assert_eq!(by_firmware(&image, with(&[&root.pair]), Database::default()), "not-trusted");
    let twin = sign(&unsigned(), &root.leaf("good"), &[]);
    assert_eq!(by_firmware(&twin, with(&[&root.pair]), Database::default()), "trusted-certificate");
}

#[test]
fn a_name_is_no_certificate() {
    let Some(root) = Authority::make() else { return };
    let other = Authority::make().unwrap();
    let image = sign(&unsigned(), &other.leaf("leaf"), &[&other.pair]);
    assert_eq!(
        by_firmware(&image, with(&[&root.pair]), Database::default()),
        "not-trusted",
        "another root's name"
    );
    assert_eq!(by_firmware(&image, with(&[&other.pair]), Database::default()), "trusted-certificate");
}

#[test]
fn a_changed_image_is_refused_wherever_it_was_changed() {
    let Some(root) = Authority::make() else { return };
    let signed = sign(&unsigned(), &root.leaf("leaf"), &[]);
    let db = || with(&[&root.pair]);
    let length = unsigned().len();
    assert_eq!(by_firmware(&signed, db(), Database::default()), "trusted-certificate");
    // The stub, the first section, the last one, what stands behind it.
    for at in [0x20, 0x200, length - 0x100, length - 1] {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        assert_eq!(by_firmware(&changed, db(), Database::default()), "changed", "at {at:#x}");
        let shim = Shim { db: db(), ..Shim::default() };
        assert_eq!(through_shim(&changed, &shim), "changed", "at {at:#x}");
    }
    // The checksum is not signed, nor is what stands behind the signature's own end.
    let mut changed = signed.clone();
    changed[0x40 + 24 + 64] ^= 1;
    assert_eq!(by_firmware(&changed, db(), Database::default()), "trusted-certificate");
}

#[test]
fn no_bit_of_an_image_can_be_changed_but_those_of_the_checksum() {
    let Some(root) = Authority::make() else { return };
    let image = Pe::new().with(".text", &[0x90; 0x20]).with(".sbat", &padded(SBAT)).build();
    let signed = sign(&image, &root.leaf("leaf"), &[]);
    let firmware = firmware(with(&[&root.pair]), Database::default());
    let shim = Shim { db: with(&[&root.pair]), ..Shim::default() };
    let mut boots = Vec::new();
    for at in 0..image.len() {
        // Numbers in the headers say what is hashed.
        let bits = if at < 0x200 { 8 } else { 1 };
        for bit in 0..bits {
            let mut changed = signed.clone();
            changed[at] ^= 1 << bit;
            let Ok(image) = Image::read(&changed[..]) else { continue };
            let Ok(evidence) = Evidence::gather_for_shim(&image, &[]) else { continue };
            for answer in [firmware.judge(&evidence), shim.judge(&evidence)] {
                boots.extend(matches!(answer, Answer::Boots(_)).then_some((at, bit)));
            }
        }
    }
    let checksum = 0x40 + 24 + 64;
    let by_both = (checksum..checksum + 4).flat_map(|at| (0..8).flat_map(move |bit| [(at, bit), (at, bit)]));
    assert_eq!(boots, by_both.collect::<Vec<_>>());
}

#[test]
fn a_changed_signature_is_refused_in_every_byte_or_says_the_same() {
    let Some(root) = Authority::make() else { return };
    let signed = sign(&unsigned(), &root.leaf("leaf"), &[]);
    let table = Image::read(&signed[..]).unwrap().signatures().unwrap().unwrap().range;
    let firmware = firmware(with(&[&root.pair]), Database::default());
    let mut boots = 0;
    for at in table {
        let mut changed = signed.clone();
        changed[usize::try_from(at).unwrap()] ^= 0x04;
        let Ok(evidence) = Evidence::gather(&Image::read(&changed[..]).unwrap(), &[]) else { continue };
        boots += u32::from(matches!(firmware.judge(&evidence), Answer::Boots(_)));
    }
    // The revision, the versions, the padding, the name of the signature's algorithm: nobody looks at these.
    assert!(boots < 80, "{boots} bytes of the signature do not matter");
}

#[test]
fn dbx_goes_before_db() {
    let Some(root) = Authority::make() else { return };
    let leaf = root.leaf("leaf");
    let image = sign(&unsigned(), &leaf, &[]);
    let db = || with(&[&root.pair]);
    let other = root.leaf("other");
    let to_be_signed = |pair: &Pair, function: HashFunction| {
        let certificate = Certificate::from_der(&pair.der).unwrap();
        // No time: since ever.
        [certificate.to_be_signed_digest(function).as_bytes(), &[0; 16]].concat()
    };
    let rows = [
        (with_entry(Guid::CERT_SHA256, &digest(&image)), "revoked-digest"),
        (with_entry(Guid::CERT_SHA256, &[1; 32]), "trusted-certificate"),
        (with(&[&leaf]), "revoked-certificate"),
        (with(&[&root.pair]), "revoked-certificate"),
        (with(&[&other]), "trusted-certificate"),
        (with_entry(Guid::CERT_X509_SHA256, &to_be_signed(&leaf, HashFunction::Sha256)), "revoked-certificate"),
        (with_entry(Guid::CERT_X509_SHA384, &to_be_signed(&leaf, HashFunction::Sha384)), "revoked-certificate"),
        (with_entry(Guid::CERT_X509_SHA256, &to_be_signed(&other, HashFunction::Sha256)), "trusted-certificate"),
    ];
    for (number, (dbx, wanted)) in rows.into_iter().enumerate() {
        assert_eq!(by_firmware(&image, db(), dbx), wanted, "row {number}");
    }
    // The issuer in db, revoked by its digest, trusts nobody.
    let dbx = with_entry(Guid::CERT_X509_SHA256, &to_be_signed(&root.pair, HashFunction::Sha256));
    assert_eq!(by_firmware(&image, db(), dbx), "not-trusted");
}

#[test]
fn an_image_without_a_signature_is_known_by_its_digest() {
    let image = unsigned();
    let known = || with_entry(Guid::CERT_SHA256, &digest(&image));
    assert_eq!(by_firmware(&image, Database::default(), Database::default()), "not-signed");
    assert_eq!(by_firmware(&image, known(), Database::default()), "trusted-digest");
    assert_eq!(by_firmware(&image, known(), known()), "revoked-digest");
    let long = evidence(&image).digest(HashFunction::Sha512).unwrap().as_bytes().to_vec();
    assert_eq!(by_firmware(&image, with_entry(Guid::CERT_SHA512, &long), Database::default()), "trusted-digest");
    let shim = |db: Database| Shim { db, ..Shim::default() };
    assert_eq!(through_shim(&image, &shim(known())), "trusted-digest");
    assert_eq!(through_shim(&image, &shim(with_entry(Guid::CERT_SHA512, &long))), "not-signed", "SHA-256 only");
}

#[test]
fn of_several_signatures_firmware_wants_none_revoked_and_shim_one_good() {
    let Some(root) = Authority::make() else { return };
    let (good, bad) = (root.leaf("good"), root.leaf("bad"));
    let first_good = sign(&sign(&unsigned(), &good, &[]), &bad, &[]);
    let first_bad = sign(&sign(&unsigned(), &bad, &[]), &good, &[]);
    for image in [&first_good, &first_bad] {
        assert_eq!(evidence(image).signatures.len(), 2);
        assert_eq!(by_firmware(image, with(&[&good]), Database::default()), "trusted-certificate");
        assert_eq!(by_firmware(image, with(&[&good]), with(&[&bad])), "revoked-certificate");
        let shim = Shim { db: with(&[&good]), dbx: with(&[&bad]), ..Shim::default() };
        assert_eq!(through_shim(image, &shim), "trusted-certificate");
    }
}

#[test]
fn a_damaged_signature_keeps_firmware_from_asking_dbx() {
    let Some(root) = Authority::make() else { return };
    let (first, second) = (root.leaf("first"), root.leaf("second"));
    let mut image = sign(&sign(&unsigned(), &first, &[]), &second, &[]);
    let row = Image::read(&image[..]).unwrap().signatures().unwrap().unwrap().rows[0].offset;
    // It is no sequence any more; firmware still finds the hash function.
    image[usize::try_from(row).unwrap() + 8] ^= 1;
    let other = || with(&[&root.leaf("other")]);
    assert_eq!(by_firmware(&image, with(&[&second]), Database::default()), "trusted-certificate");
    assert_eq!(by_firmware(&image, with(&[&second]), other()), "malformed-signature");
    let shim = Shim { db: with(&[&second]), dbx: other(), ..Shim::default() };
    assert_eq!(through_shim(&image, &shim), "trusted-certificate");
}

#[test]
fn more_signatures_than_anybody_makes_are_not_judged() {
    let Some(root) = Authority::make() else { return };
    let mut image = unsigned();
    for number in 0..17 {
        // Each is another signature of the same image.
        image = sign(&image, &root.leaf(&format!("leaf {number}")), &[]);
        let wanted = if number < 16 { "trusted-certificate" } else { "too-many-signatures" };
        assert_eq!(by_firmware(&image, with(&[&root.pair]), Database::default()), wanted, "{number}");
        assert_eq!(through_shim(&image, &Shim { db: with(&[&root.pair]), ..Shim::default() }), wanted, "{number}");
    }
}

#[test]
fn other_hash_functions_are_firmwares_and_not_shims() {
    let Some(root) = Authority::make() else { return };
    let leaf = root.leaf("leaf");
    for function in [HashFunction::Sha384, HashFunction::Sha512] {
        let image = certificates::sign(&unsigned(), &leaf, &[], function);
        assert_eq!(by_firmware(&image, with(&[&root.pair]), Database::default()), "trusted-certificate");
        let shim = Shim { db: with(&[&root.pair]), ..Shim::default() };
        assert_eq!(through_shim(&image, &shim), "not-sha256");
        let both = sign(&image, &leaf, &[]);
        assert_eq!(through_shim(&both, &shim), "trusted-certificate");
    }
}

#[test]
fn shim_trusts_more_and_refuses_more() {
    let Some(root) = Authority::make() else { return };
    let leaf = root.leaf("leaf");
    let image = sign(&unsigned(), &leaf, &[]);
    let known = || with(&[&root.pair]);
    let hash = || with_entry(Guid::CERT_SHA256, &digest(&image));
    let rows = [
        (Shim::default(), "not-trusted"),
        (Shim { off: true, ..Shim::default() }, "validation-off"),
        (Shim { db: known(), ..Shim::default() }, "trusted-certificate"),
        (Shim { db: known(), ignores_db: true, ..Shim::default() }, "not-trusted"),
        (Shim { mok: known(), ignores_db: true, ..Shim::default() }, "trusted-certificate"),
        (Shim { mok: hash(), ..Shim::default() }, "trusted-digest"),
        (Shim { vendor: known(), ..Shim::default() }, "trusted-certificate"),
        (Shim { vendor: known(), vendorx: with(&[&leaf]), ..Shim::default() }, "revoked-certificate"),
        (Shim { vendor: known(), dbx: with(&[&leaf]), ..Shim::default() }, "revoked-certificate"),
        (Shim { vendor: known(), mokx: with(&[&leaf]), ..Shim::default() }, "revoked-certificate"),
        (Shim { vendor: known(), mokx: hash(), ..Shim::default() }, "revoked-digest"),
        (Shim { vendor: known(), mokx: with(&[&root.leaf("other")]), ..Shim::default() }, "trusted-certificate"),
    ];
    for (number, (shim, wanted)) in rows.into_iter().enumerate() {
        assert_eq!(through_shim(&image, &shim), wanted, "row {number}");
    }
}

#[test]
fn who_signs_modules_signs_no_images_for_shim() {
    let Some(root) = Authority::make() else { return };
    let modules = root.leaf_with("modules", "extendedKeyUsage=1.3.6.1.4.1.2312.16.1.2");
    let image = sign(&unsigned(), &modules, &[]);
    assert_eq!(by_firmware(&image, with(&[&modules]), Database::default()), "trusted-certificate");
    assert_eq!(through_shim(&image, &Shim { mok: with(&[&modules]), ..Shim::default() }), "not-trusted");
    let code = root.leaf_with("code", "extendedKeyUsage=codeSigning");
    let image = sign(&unsigned(), &code, &[]);
    assert_eq!(through_shim(&image, &Shim { mok: with(&[&code]), ..Shim::default() }), "trusted-certificate");
}

#[test]
fn time_does_not_matter_to_firmware_or_shim() {
    let Some(root) = Authority::make() else { return };
    let old = root.expired("old");
    let image = sign(&unsigned(), &old, &[]);
    assert_eq!(by_firmware(&image, with(&[&old]), Database::default()), "trusted-certificate");
    assert_eq!(through_shim(&image, &Shim { db: with(&[&root.pair]), ..Shim::default() }), "trusted-certificate");
}

#[test]
fn shim_wants_generations_and_none_that_is_revoked() {
    let Some(root) = Authority::make() else { return };
    let leaf = root.leaf("leaf");
    let level = |text: &str| Some(Level::read(text.as_bytes()).unwrap());
    let judge = |sbat: &[u8], level: Option<Level>| {
        let image = sign(&base(sbat), &leaf, &[]);
        assert_eq!(by_firmware(&image, with(&[&root.pair]), Database::default()), "trusted-certificate");
        through_shim(&image, &Shim { db: with(&[&root.pair]), level, ..Shim::default() })
    };
    let old = || level("sbat,1,2021030218\n");
    assert_eq!(judge(SBAT, None), "trusted-certificate");
    assert_eq!(judge(SBAT, old()), "trusted-certificate");
    assert_eq!(judge(SBAT, level("sbat,1,2025010100\nxen.test,2\ngrub,5\n")), "trusted-certificate");
    assert_eq!(judge(SBAT, level("sbat,1,2025010100\nxen.test,3\n")), "revoked-sbat");
    assert_eq!(judge(b"sbat,1\n", old()), "bad-sbat");
    assert_eq!(judge(b"sbat,1,SBAT Version,sbat,1,url\nxen,,Test,xen,1,url\n", None), "bad-sbat");
    let without = Pe::new().with(".text", &[0x90; 0x1000]).build();
    let image = sign(&without, &leaf, &[]);
    assert_eq!(through_shim(&image, &Shim { db: with(&[&root.pair]), ..Shim::default() }), "no-sbat");
    assert_eq!(through_shim(&image, &Shim { off: true, ..Shim::default() }), "validation-off");
}

#[test]
fn xen_stops_behind_a_shim_that_did_not_load_its_relocations() {
    let Some(root) = Authority::make() else { return };
    let leaf = root.leaf("leaf");
    let image = |flags: u32, config: &str| {
        let pe = Pe::new().with(".reloc", &[1; 64]).with(".sbat", &padded(SBAT)).with(config, b"[xen]\n");
        sign(&pe.row(0, |row| row.characteristics = flags).build(), &leaf, &[])
    };
    let shim = Shim { db: with(&[&root.pair]), ..Shim::default() };
    let answer = |image: &[u8]| shim.judge(&evidence(image));
    let dropped = answer(&image(0x4200_0040, ".config"));
    assert!(matches!(dropped, Answer::Refused { by: Judge::Xen, .. }) && dropped.id() == "dropped-relocations");
    assert_eq!(answer(&image(0x4000_0040, ".config")).id(), "trusted-certificate");
    assert_eq!(answer(&image(0x4200_0040, ".other")).id(), "trusted-certificate", "not Xen");
    assert_eq!(
        by_firmware(&image(0x4200_0040, ".config"), with(&[&leaf]), Database::default()),
        "trusted-certificate"
    );
}

#[test]
fn xen_asks_shim_about_the_kernel() {
    let Some(root) = Authority::make() else { return };
    let (leaf, other) = (root.leaf("leaf"), root.leaf("other"));
    let kernel = Pe::new().with(".text", &[0x90; 0x40]).build();
    let xen = |kernel: &[u8], config: &str| {
        let pe = Pe::new().with(".sbat", &padded(SBAT)).with(config, b"[xen]\n").with(".kernel", kernel);
        sign(&pe.but(|pe| pe.image_size = 0x2_0000).build(), &leaf, &[])
    };
    let shim = Shim { db: with(&[&leaf]), mok: with(&[&other]), dbx: Database::default(), ..Shim::default() };
    let judge = |image: &[u8]| shim.judge(&evidence(image));
    let by_xen = |answer: &Answer| matches!(answer, Answer::Refused { by: Judge::Xen, .. });
    assert_eq!(judge(&xen(&sign(&kernel, &other, &[]), ".config")).id(), "trusted-certificate");
    for refused in [kernel.clone(), b"an ELF file".to_vec(), sign(&kernel, &root.leaf("third"), &[])] {
        let answer = judge(&xen(&refused, ".config"));
        assert!(by_xen(&answer) && answer.id() == "kernel-refused", "{answer:?}");
        assert_eq!(judge(&xen(&refused, ".other")).id(), "trusted-certificate", "not Xen");
        let image = xen(&refused, ".config");
        assert_eq!(by_firmware(&image, with(&[&leaf]), Database::default()), "trusted-certificate", "nobody asks");
    }
    let image = xen(&kernel, ".config");
    let shallow = Evidence::gather(&Image::read(&image[..]).unwrap(), &[]).unwrap();
    assert_eq!(shim.judge(&shallow).id(), "kernel-not-read");
}

#[test]
fn without_secure_boot_nothing_is_looked_at() {
    let off = Firmware { off: true, ..Firmware::default() };
    assert_eq!(id(&off.judge(&evidence(&unsigned())), Judge::Firmware), "secure-boot-off");
}

#[test]
fn a_damaged_table_holds_no_signature() {
    let Some(root) = Authority::make() else { return };
    let signed = sign(&unsigned(), &root.leaf("leaf"), &[]);
    let table = Image::read(&signed[..]).unwrap().signatures().unwrap().unwrap().range;
    let at = usize::try_from(table.start).unwrap();
    let db = || with(&[&root.pair]);
    // A row that is longer than the table, one that ends before it does, and one of no length.
    let length = u32::try_from(table.end - table.start).unwrap();
    for wrong in [length + 8, length - 8, 8, 0, u32::MAX] {
        let mut damaged = signed.clone();
        damaged[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
        let answer = by_firmware(&damaged, db(), Database::default());
        assert!(["broken-table", "malformed-signature"].contains(&answer), "{wrong:#x}: {answer}");
    }
    // Another kind of signature is passed over.
    let mut other = signed.clone();
    other[at + 6] = 1;
    assert_eq!(by_firmware(&other, db(), Database::default()), "not-signed");
}

#[test]
fn elliptic_curves_are_left_to_the_firmware_and_refused_by_shim() {
    let Some(root) = Authority::make() else { return };
    let rsa = root.leaf("rsa");
    for (curve, function) in [("P-256", HashFunction::Sha256), ("P-384", HashFunction::Sha384)] {
        let leaf = root.curve_leaf("leaf", curve);
        let image = certificates::sign(&unsigned(), &leaf, &[], function);
        let db = || with(&[&root.pair]);
        assert_eq!(by_firmware(&image, db(), Database::default()), "elliptic-curve", "{curve}");
        assert_eq!(by_firmware(&image, Database::default(), Database::default()), "not-trusted", "{curve}");
        let mut changed = image.clone();
        changed[0x300] ^= 1;
        assert_eq!(by_firmware(&changed, db(), Database::default()), "changed", "{curve}");
        let both = sign(&image, &rsa, &[]);
        assert_eq!(by_firmware(&both, db(), Database::default()), "trusted-certificate", "{curve}");
        assert_eq!(through_shim(&both, &Shim { db: db(), ..Shim::default() }), "trusted-certificate", "{curve}");
    }
    let image = sign(&unsigned(), &root.curve_leaf("leaf", "P-256"), &[]);
    assert_eq!(through_shim(&image, &Shim { db: with(&[&root.pair]), ..Shim::default() }), "elliptic-curve");
}

#[test]
fn a_serial_number_is_shown_as_other_tools_show_it() {
    let Some(root) = Authority::make() else { return };
    for (number, wanted) in [("0x80", "80"), ("0x7f", "7f"), ("0", "00"), ("0x8368a57c", "8368a57c")] {
        let pair = root.numbered("leaf", number);
        assert_eq!(Certificate::from_der(&pair.der).unwrap().serial(), wanted);
    }
}
