//! What stands in a signed image, and what other readers see in it.

use std::io::Cursor;

use authenticode::{AttributeCertificateIterator, PeOffsetError, PeOffsets, PeTrait};
use goblin::pe::PE;
use lockdown_image::build::Build;
use lockdown_image::sign::{digest, sign};
use lockdown_image::{HashFunction, Image};
use sha2::{Digest, Sha256};

use crate::builder::HEADERS;
use crate::keys::Keys;
use crate::{CHECKSUM, CONFIG, SECURITY, checksum, now, unsigned};

#[test]
fn a_signed_image_is_the_old_one_and_a_signature() {
    let Some(keys) = Keys::make() else { return };
    let base = unsigned();
    let (signed, what) = keys.sign(&base);
    assert_eq!(u64::try_from(signed.len()).unwrap(), what.length);
    assert_eq!(what.digest, digest(&&base[..]).unwrap());
    let mut without = signed[..base.len()].to_vec();
    without[CHECKSUM..CHECKSUM + 4].fill(0);
    without[SECURITY..SECURITY + 8].fill(0);
    assert_eq!(without, base);
    let row = &signed[SECURITY..SECURITY + 8];
    assert_eq!(row[..4], u32::try_from(base.len()).unwrap().to_le_bytes());
    assert_eq!(row[4..], u32::try_from(signed.len() - base.len()).unwrap().to_le_bytes());
    assert_eq!(signed[CHECKSUM..CHECKSUM + 4], checksum(&signed).to_le_bytes());
    assert_eq!(signed.len() % 8, 0);
    assert_eq!(Image::read(&signed[..]).unwrap().section(".config").unwrap().unwrap().bytes, CONFIG);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let Some(keys) = Keys::make() else { return };
    let build_and_sign = || {
        let base = unsigned();
        let image = Image::read(&base[..]).unwrap();
        let unified = Build::on(&image).unwrap().section(".sbat", &CONFIG).unwrap().finish().unwrap();
        let mut out = Cursor::new(Vec::new());
        sign(&unified, &keys.key, &keys.certificate, now(), &mut out).unwrap();
        out.into_inner()
    };
    let first = build_and_sign();
    assert_eq!(first, build_and_sign());

    let base = unsigned();
    let image = Image::read(&base[..]).unwrap();
    let unified = Build::on(&image).unwrap().section(".sbat", &CONFIG).unwrap().finish().unwrap();
    let mut written = Cursor::new(Vec::new());
    unified.write(&mut written).unwrap();
    assert_eq!(first, keys.sign(&written.into_inner()).0, "written first, and signed then");
}

#[test]
fn other_readers_see_the_digest() {
    let Some(keys) = Keys::make() else { return };
    for extra in [0, 1, 7, 8] {
        let mut base = unsigned();
        base.extend(vec![0x33; extra]);
        let (signed, what) = keys.sign(&base);

        let image = PE::parse(&signed).unwrap();
        let mut hashed = Sha256::new();
        image.authenticode_ranges().for_each(|range| Digest::update(&mut hashed, range));
        assert_eq!(hashed.finalize().as_slice(), what.digest.as_bytes());

        let whole = Whole(&signed);
        let mut hashed = Sha256::new();
        authenticode::authenticode_digest(&whole, &mut hashed).unwrap();
        assert_eq!(hashed.finalize().as_slice(), what.digest.as_bytes());
        let here = Image::read(&signed[..]).unwrap();
        let digests = here.digests(&HashFunction::ALL).unwrap();
        assert_eq!(digests[0], what.digest);
        let table = here.signatures().unwrap().unwrap();
        assert_eq!((table.rows.len(), table.broken_at), (1, None));
        let rows: Vec<_> = AttributeCertificateIterator::new(&whole).unwrap().unwrap().collect();
        assert_eq!(rows.len(), 1);
        let signature = rows[0].as_ref().unwrap().get_authenticode_signature().unwrap();
        assert_eq!(signature.digest(), what.digest.as_bytes());
        assert_eq!(signature.certificates().count(), 1);
        assert_eq!(signature.signature().len(), 256);
    }
}

/// An image for the crate authenticode, read by goblin.
pub(crate) struct Whole<'b>(pub(crate) &'b [u8]);

impl PeTrait for Whole<'_> {
    fn data(&self) -> &[u8] {
        self.0
    }

    fn num_sections(&self) -> usize {
        PE::parse(self.0).unwrap().sections.len()
    }

    fn section_data_range(&self, index: usize) -> Result<std::ops::Range<usize>, PeOffsetError> {
        // Counted from one.
        let section = &PE::parse(self.0).unwrap().sections[index - 1];
        let start = usize::try_from(section.pointer_to_raw_data).unwrap();
        Ok(start..start + usize::try_from(section.size_of_raw_data).unwrap())
    }

    fn certificate_table_range(&self) -> Result<Option<std::ops::Range<usize>>, PeOffsetError> {
        let number =
            |at: usize| usize::try_from(u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())).unwrap();
        Ok(Some(number(SECURITY)..number(SECURITY) + number(SECURITY + 4)))
    }

    fn offsets(&self) -> Result<PeOffsets, PeOffsetError> {
        Ok(PeOffsets {
            check_sum: CHECKSUM,
            after_check_sum: CHECKSUM + 4,
            security_data_dir: SECURITY,
            after_security_data_dir: SECURITY + 8,
            after_header: usize::try_from(HEADERS).unwrap(),
        })
    }
}
