//! The same binaries, damaged: whatever stands in them, they are read or refused, without a panic, and not much more of them is read than
//! there is. What firmware or shim then starts still has the digest that was signed.

#![allow(clippy::cast_possible_truncation, reason = "a part of a random number is one")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::ops::Range;

use lockdown_image::sbat::Levels;
use lockdown_image::verify::{Answer, Certificate, Database, Evidence, Vendor, VendorError};
use lockdown_image::{Digest, Error, HashFunction, Image, Source};
use lockdown_unify::inspect::{Depth, inspect};
use lockdown_unify::{Parts, unify};

use crate::certificates::Authority;
use crate::packages::Debian;
use crate::{Machine, sign};

/// Nothing has to be held at once that is larger: signatures and headers are at most 4 MiB.
const LARGEST_READ: u64 = 8 << 20;
/// How many times the file's length is read: by those who judge, who hash it once and look at the headers some times, however long these
/// say that they are; and by who inspects it, too.
const JUDGING: u64 = 4;
const ALL: u64 = 10;

const SBAT: &[u8] = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n\
    xen.test,1,xen-lockdown,xen,4.20,https://example.org\n";
const CONFIG: &[u8] = b"[global]\ndefault=xen\n[xen]\noptions=console=com1\nkernel=vmlinuz\n";

#[test]
#[ignore = "fetches half a gigabyte of Debian's packages, too much for `make test`: `make debian-images` runs it"]
fn damaged_binaries_are_read_or_refused() {
    let debian = Debian::fetch();
    let mut machine = Machine::new(&debian);
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    for binary in debian.binaries.iter().filter(|binary| binary.is_signed) {
        files.push((&binary.name, binary.bytes.clone()));
    }
    files.extend(ours(&debian, &mut machine).map(|image| ("Xen with a kernel, signed by us", image)));
    let (mut answers, mut count) = (BTreeMap::new(), 0);
    let (mut judged, mut read) = (0.0, 0.0);
    for (number, (name, bytes)) in files.iter().enumerate() {
        let whole = look(bytes, &machine, Depth::Hashes);
        let regions = regions(bytes);
        let digest = whole.digest.unwrap();
        let mut random = Random(u64::try_from(number).unwrap());
        let most = if bytes.len() < 4 << 20 { 500 } else { 80 };
        for turn in 0..most {
            let told = Told(format!("{name}: turn {turn}"));
            let damaged = damage(bytes, &regions, &mut random);
            // All of it is hashed once more for those who want to see it.
            let depth = if turn % 4 == 0 { Depth::Hashes } else { Depth::Headers };
            let seen = look(&damaged, &machine, depth);
            assert!(!seen.boots || seen.digest == Some(digest), "{}: boots with another digest", told.0);
            *answers.entry(seen.answer).or_insert(0) += 1;
            judged = f64::max(judged, seen.judged);
            read = f64::max(read, seen.read);
            count += 1;
        }
    }
    println!(
        "{count} damaged images of {} files, read {judged:.2} times to be judged and {read:.2} in all:",
        files.len()
    );
    for (answer, times) in answers {
        println!("{times:6} {answer}");
    }
}

/// A Xen with a kernel of Debian's, signed with a key that the machine then trusts; `None` without `openssl`.
fn ours(debian: &Debian, machine: &mut Machine) -> Option<Vec<u8>> {
    let root = Authority::make()?;
    let find = |name: &str| debian.binaries.iter().find(|binary| binary.name.contains(name)).unwrap();
    let (xen, kernel) = (find(": boot/xen-"), &find(": boot/vmlinuz-").bytes[..]);
    let parts = Parts { config: Some(&CONFIG), kernel: Some(&kernel), sbat: Some(&SBAT), ..Parts::default() };
    let mut out = Cursor::new(Vec::new());
    let image = Image::read(&xen.bytes[..]).unwrap();
    unify(&image, &parts).unwrap().write(&mut out).unwrap();
    let trusts =
        Database { certificates: vec![Certificate::from_der(&root.pair.der).unwrap()], ..Database::default() };
    machine.firmware.db.extend(&trusts);
    machine.shim.mok = trusts;
    let image = sign(&out.into_inner(), &root.leaf("leaf"), &[], HashFunction::Sha256);
    let evidence = Evidence::gather_for_shim(&Image::read(&image[..]).unwrap(), &[]).unwrap();
    for answer in [machine.firmware.judge(&evidence), machine.shim.judge(&evidence)] {
        assert_eq!(answer.id(), "trusted-certificate", "{answer}");
    }
    Some(image)
}

/// What came of an image.
struct Seen {
    /// Of the image; `None` if it is none.
    digest: Option<Digest>,
    boots: bool,
    answer: String,
    /// How much was read, in lengths of the file.
    judged: f64,
    read: f64,
}

/// All that the desk does with an image that somebody gives it.
fn look(bytes: &[u8], machine: &Machine, depth: Depth) -> Seen {
    let source = Counted { bytes, read: Cell::new(0), largest: Cell::new(0) };
    let image = match Image::read(&source) {
        Ok(image) => image,
        Err(error) => return Seen::nothing("not read", error),
    };
    let evidence = Evidence::gather_for_shim(&image, &HashFunction::ALL);
    let judged = source.read.get();
    let inspected = inspect(&image, depth);
    assert!(inspected.is_ok() || matches!(inspected, Err(Error::Malformed(_))), "{inspected:?}");
    match Vendor::read(&image) {
        Ok(_) | Err(VendorError::NoShim | VendorError::Cut | VendorError::List(_)) => {}
        Err(VendorError::Image(error)) => drop(Seen::nothing("", error)),
    }
    match image.sbat_levels() {
        Ok(section) => drop(section.map(|section| Levels::read(&section))),
        Err(error) => drop(Seen::nothing("", error)),
    }
    let length = source.bytes.len() as u64;
    // A page more for what is smaller than its own headers.
    assert!(judged <= JUDGING * length + 0x1000, "{judged} bytes of {length} were read to be judged");
    assert!(source.read.get() <= ALL * length + 0x1000, "{} bytes of {length} were read", source.read.get());
    assert!(source.largest.get() <= LARGEST_READ);
    let evidence = match evidence {
        Ok(evidence) => evidence,
        Err(error) => return Seen::nothing("no evidence", error),
    };
    let answers = [machine.firmware.judge(&evidence), machine.shim.judge(&evidence)];
    for answer in &answers {
        assert!(!answer.to_string().is_empty());
    }
    Seen {
        digest: evidence.digest(HashFunction::Sha256).copied(),
        boots: answers.iter().any(|answer| matches!(answer, Answer::Boots(_))),
        answer: answers.each_ref().map(Answer::id).join(", "),
        judged: judged as f64 / length as f64,
        read: source.read.get() as f64 / length as f64,
    }
}

impl Seen {
    /// It cannot be read, and says why; memory always can.
    fn nothing(what: &str, error: Error) -> Self {
        let Error::Malformed(problem) = error else { panic!("{error}") };
        assert!(!problem.to_string().is_empty());
        Self { digest: None, boots: false, answer: what.to_owned(), judged: 0.0, read: 0.0 }
    }
}

/// Memory that counts what is read of it, and gives no more than [`LARGEST_READ`] at once.
struct Counted<'a> {
    bytes: &'a [u8],
    read: Cell<u64>,
    largest: Cell<u64>,
}

impl Source for &Counted<'_> {
    fn length(&self) -> io::Result<u64> {
        self.bytes.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let size = buffer.len() as u64;
        self.read.set(self.read.get() + size);
        self.largest.set(self.largest.get().max(size));
        if size > LARGEST_READ {
            return Err(io::Error::other(format!("{size} bytes at once")));
        }
        self.bytes.read_at(offset, buffer)
    }
}

/// What is worth damaging: headers, their tables, generations, signatures, what is built into shim, and anything.
fn regions(bytes: &[u8]) -> Vec<Range<usize>> {
    let image = Image::read(bytes).unwrap();
    let place = |range: &Range<u64>| range.start.try_into().unwrap()..range.end.try_into().unwrap();
    let pe = usize::try_from(u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap())).unwrap();
    let table = usize::try_from(image.sections()[0].header_offset).unwrap();
    let signatures = place(&image.signatures().unwrap().unwrap().range);
    let mut regions = vec![
        0..0x40,
        pe..table,
        pe + 24..table,
        table..table + 40 * image.sections().len(),
        signatures.start..signatures.start + 0x100,
        signatures.clone(),
        signatures,
        0..bytes.len(),
    ];
    // Where the directories are.
    regions.push(table - 128..table);
    let names = image.section_names().unwrap();
    for (section, name) in image.sections().iter().zip(names) {
        if matches!(name.as_str(), ".sbat" | ".sbatlevel" | ".vendor_cert" | ".config") {
            regions.push(place(&section.file_range));
        }
        if name == ".kernel" {
            let start = usize::try_from(section.file_range.start).unwrap();
            regions.push(start..start + 0x400);
        }
    }
    regions
}

/// The file with some damage.
fn damage(bytes: &[u8], regions: &[Range<usize>], random: &mut Random) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let region = regions[random.below(regions.len())].clone();
        // It may have been cut off.
        let region = region.start.min(damaged.len())..region.end.min(damaged.len());
        if region.len() < 64 {
            continue;
        }
        let at = region.start + random.below(region.len() - 48);
        match random.below(9) {
            0 => damaged[at] ^= 1 << random.below(8),
            1 => damaged[at] = random.next() as u8,
            2 => damaged[at..at + 2].copy_from_slice(&(random.number(bytes.len()) as u16).to_le_bytes()),
            3 | 4 => {
                // Most numbers in headers stand at multiples of four.
                let at = at & !3;
                let old = u32::from_le_bytes(damaged[at..at + 4].try_into().unwrap());
                let new = match random.below(3) {
                    0 => old.wrapping_add(1 << random.below(13)),
                    1 => old.wrapping_sub(1 << random.below(13)),
                    _ => random.number(bytes.len()),
                };
                damaged[at..at + 4].copy_from_slice(&new.to_le_bytes());
            }
            5 => {
                // As long as a row of the table of sections.
                let from = region.start + random.below(region.len() - 48);
                damaged.copy_within(from..from + 40, at);
            }
            6 => {
                let fill = [0, 0xff, b'\n', b','][random.below(4)];
                let end = at + random.below(48);
                damaged[at..end].fill(fill);
            }
            7 if random.below(4) == 0 => damaged.truncate(at),
            8 if random.below(4) == 0 => damaged.extend_from_within(at..at + random.below(48)),
            _ => damaged.swap(at, at + random.below(48)),
        }
    }
    damaged
}

/// SplitMix64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// One that a reader may stumble over.
    fn number(&mut self, length: usize) -> u32 {
        let length = u32::try_from(length).unwrap();
        let numbers = [
            0,
            1,
            8,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_fff8,
            0xffff_ffff,
            length,
            length - 1,
            length + 1,
            length - 8,
            self.next() as u32,
            (self.next() as u32) % length,
        ];
        numbers[self.below(numbers.len())]
    }
}

/// Says which image it was that broke something.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
