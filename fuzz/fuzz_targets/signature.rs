//! Signatures, by themselves and in whole images: any bytes are read or refused, and nobody starts what he does not trust, or has revoked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_image::verify::{Answer, Database, Evidence, Firmware, Ground, Row, Shim, Signature};
use lockdown_image::{Error, HashFunction, Image, PKCS_SIGNED_DATA};

/// The image that the signatures among the seeds are for.
const IMAGE: &[u8] = include_bytes!("../seeds/signature/unsigned");
/// Where it has the row that points to the signatures.
const SECURITY: usize = 0x40 + 24 + 112 + 4 * 8;

fuzz_target!(|bytes: &[u8]| {
    if bytes.starts_with(b"MZ") {
        judge(bytes);
    } else {
        judge(&with_signature(bytes));
    }
});

/// The image with this in its table of signatures.
fn with_signature(signature: &[u8]) -> Vec<u8> {
    let mut image = IMAGE.to_vec();
    let start = image.len() as u32;
    image.extend((signature.len() as u32 + 8).to_le_bytes());
    image.extend(0x0200_u16.to_le_bytes());
    image.extend(PKCS_SIGNED_DATA.to_le_bytes());
    image.extend(signature);
    image.resize(image.len().next_multiple_of(8), 0);
    let size = image.len() as u32 - start;
    image[SECURITY..][..4].copy_from_slice(&start.to_le_bytes());
    image[SECURITY + 4..][..4].copy_from_slice(&size.to_le_bytes());
    image
}

fn judge(file: &[u8]) {
    let image = match Image::read(file) {
        Ok(image) => image,
        Err(Error::Malformed(problem)) => return assert!(!problem.to_string().is_empty()),
        Err(error) => panic!("memory can be read and is a file: {error}"),
    };
    let evidence = match Evidence::gather_for_shim(&image, &HashFunction::ALL) {
        Ok(evidence) => evidence,
        Err(Error::Malformed(problem)) => return assert!(!problem.to_string().is_empty()),
        Err(error) => panic!("memory can be read: {error}"),
    };
    let certificates = signatures(&evidence.signatures).flat_map(|signature| signature.certificates.clone());
    let own = Database { certificates: certificates.collect(), ..Database::default() };
    let digests = Database { images: evidence.digests().to_vec(), ..Database::default() };
    for certificate in &own.certificates {
        // What people are shown.
        let _ = (certificate.subject(), certificate.issuer(), certificate.validity(), certificate.kind());
    }

    // Nobody is trusted; who signed is; he is revoked, too; the image is revoked.
    let none = Database::default();
    for (db, dbx, may_boot) in
        [(&none, &none, false), (&own, &none, true), (&own, &own, false), (&own, &digests, false)]
    {
        let firmware = Firmware { off: false, db: db.clone(), dbx: dbx.clone() };
        let shim = Shim { db: db.clone(), dbx: dbx.clone(), ..Shim::default() };
        for answer in [firmware.judge(&evidence), shim.judge(&evidence)] {
            assert!(!answer.id().is_empty() && !answer.to_string().is_empty());
            if let Answer::Boots(ground) = answer {
                assert!(may_boot, "{ground}");
                assert!(matches!(ground, Ground::Certificate { .. }), "{ground}");
                let is_for = |signature: &Signature| evidence.digests().contains(&signature.digest);
                assert!(signatures(&evidence.signatures).any(is_for), "nothing was signed for it");
            }
        }
    }
}

fn signatures(rows: &[Row]) -> impl Iterator<Item = &Signature> {
    rows.iter().filter_map(|row| row.signature.as_ref()?.as_ref().ok())
}
