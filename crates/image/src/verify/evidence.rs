//! What an image says for itself, read once for all judges.

use super::signature::{Malformed, Signature};
use crate::Image;
use crate::digest::{Digest, HashFunction};
use crate::error::Error;
use crate::public_key::Refused;
use crate::sbat::{Mistake, Table};
use crate::section::{Characteristics, Section};
use crate::signatures::PKCS_SIGNED_DATA;
use crate::source::Source;

use super::answer::{Answer, Doubt, Judge, Reason};
use super::part::{Part, length};

/// An image, as far as its judges look at it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Its digests.
    digests: Vec<Digest>,
    /// Its signatures, with their places; empty if it is not signed.
    pub signatures: Vec<Row>,
    /// Where its table of signatures is damaged.
    pub(super) broken_at: Option<u64>,
    /// How many signatures it has, where that is more than are looked at.
    pub(super) too_many: Option<usize>,
    /// Its generations, and what is wrong with them; `None` if it has none.
    pub(super) sbat: Option<(Table, Vec<Mistake>)>,
    /// Whether it is a Xen whose relocations may be dropped once it is loaded, which it reads nevertheless.
    pub(super) relocations_dropped: bool,
    /// dom0's kernel, where the image is Xen and has one.
    pub(super) kernel: Kernel,
}

/// dom0's kernel in an image. Xen asks shim about it before it starts it, where there is a shim (`efi_start` in
/// `xen/common/efi/boot.c`, 4.20), though it is a part of what was verified already.
#[derive(Clone, Debug)]
pub(super) enum Kernel {
    /// The image has none, or is not Xen.
    None,
    /// It was not looked at.
    Unread,
    /// It is no PE image.
    NoImage(String),
    /// It is one.
    Image(Box<Evidence>),
}

/// What each of them can cost has an end, and so has their number. Shipped images have one or two.
const MOST_SIGNATURES: usize = 16;

/// One signature.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it begins in the file.
    pub offset: u64,
    /// What it says; `None` if it is of a kind that is passed over.
    pub signature: Option<Result<Signature, Malformed>>,
}

impl Evidence {
    /// Reads an image once. Beside the digests that its signatures speak of, and SHA-256, it computes `more`: those that databases have.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn gather<S: Source>(image: &Image<S>, more: &[HashFunction]) -> Result<Self, Error> {
        let table = image.signatures()?;
        let rows = table.as_ref().map(|table| table.rows.as_slice()).unwrap_or_default();
        let too_many = (rows.len() > MOST_SIGNATURES).then_some(rows.len());
        let signatures: Vec<Row> = rows
            .iter()
            .take(MOST_SIGNATURES)
            .map(|row| Row {
                offset: row.offset,
                signature: (row.kind == PKCS_SIGNED_DATA).then(|| Signature::read(&row.data)),
            })
            .collect();
        let signed =
            signatures.iter().filter_map(|row| Some(row.signature.as_ref()?.as_ref().ok()?.digest.function()));
        let mut functions: Vec<_> = signed.chain(more.iter().copied()).chain([HashFunction::Sha256]).collect();
        functions.sort_unstable();
        functions.dedup();
        Ok(Self {
            digests: image.digests(&functions)?,
            signatures,
            broken_at: table.as_ref().and_then(|table| table.broken_at),
            too_many,
            sbat: image.sbat()?,
            relocations_dropped: relocations_dropped(image),
            kernel: match kernel(image) {
                Some(_) => Kernel::Unread,
                None => Kernel::None,
            },
        })
    }

    /// As [`Evidence::gather`], with all that shim is asked about later: dom0's kernel, which is read a second time for that.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn gather_for_shim<S: Source>(image: &Image<S>, more: &[HashFunction]) -> Result<Self, Error> {
        let mut evidence = Self::gather(image, more)?;
        if let Some(section) = kernel(image) {
            let size = u64::from(section.virtual_size).min(length(&section.file_range));
            let part = Part { source: image.source(), start: section.file_range.start, length: size };
            evidence.kernel = match Image::read(part) {
                Ok(image) => Kernel::Image(Box::new(Self::gather(&image, &[])?)),
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => Kernel::NoImage(error.to_string()),
            };
        }
        Ok(evidence)
    }

    /// Its digest; `None` if nobody asked for it.
    #[must_use]
    pub fn digest(&self, function: HashFunction) -> Option<&Digest> {
        self.digests.iter().find(|digest| digest.function() == function)
    }

    /// All digests that were computed.
    #[must_use]
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// Whether there is a table of signatures.
    pub(super) fn is_signed(&self) -> bool {
        !self.signatures.is_empty() || self.broken_at.is_some()
    }

    /// Whether the image is what was signed.
    pub(super) fn is_for(&self, signature: &Signature) -> bool {
        self.digest(signature.digest.function()) == Some(&signature.digest)
    }

    /// Why nobody accepts any of the signatures: what is wrong with the first one.
    pub(super) fn why_not(&self, by: Judge) -> Answer {
        let mut rows = self.signatures.iter().filter_map(|row| Some((row.offset, row.signature.as_ref()?)));
        let (offset, signature) = match rows.next() {
            None => return Answer::refused(by, Reason::NotSigned),
            Some((offset, Err(fault))) => {
                return Answer::refused(by, Reason::Malformed { offset, fault: fault.clone() });
            }
            Some((offset, Ok(signature))) => (offset, signature),
        };
        if let Some(found) = self.digest(signature.digest.function()).filter(|&found| *found != signature.digest) {
            return Answer::refused(by, Reason::Changed { offset, wanted: signature.digest, found: *found });
        }
        match signature.verify() {
            Err(Refused::Algorithm) => Answer::Unknown(Doubt::Algorithm(offset)),
            Err(Refused::Wrong) => Answer::refused(by, Reason::BadSignature(offset)),
            Ok(()) => Answer::refused(by, Reason::NotTrusted(self.who())),
        }
    }

    /// Who signed.
    fn who(&self) -> String {
        let signatures = self.signatures.iter().filter_map(|row| row.signature.as_ref()?.as_ref().ok());
        let mut names = Vec::new();
        for certificate in signatures.flat_map(Signature::signers) {
            let (subject, issuer) = (certificate.subject(), certificate.issuer());
            names.push(if subject == issuer { subject } else { format!("{subject}, issued by {issuer}") });
        }
        names.join("; ")
    }
}

/// Xen moves itself by its section `.reloc` (`efi_arch_relocate_image` in `xen/arch/x86/efi/efi-boot.h`, 4.20), which firmware loads
/// like any other. Which image is Xen, tells the configuration in it.
fn relocations_dropped<S: Source>(image: &Image<S>) -> bool {
    let dropped =
        image.find(".reloc").is_some_and(|section| section.characteristics.has(Characteristics::DISCARDABLE));
    dropped && image.find(".config").is_some()
}

fn kernel<S: Source>(image: &Image<S>) -> Option<&Section> {
    image.find(".config").and_then(|_| image.find(".kernel"))
}
