//! What a judge answers.

use core::fmt;

use super::signature::Malformed;
use crate::digest::Digest;
use crate::sbat::{Date, Mistake};

/// Who has a word in whether an image runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// UEFI firmware under Secure Boot.
    Firmware,
    /// shim.
    Shim,
    /// Xen itself, once it runs.
    Xen,
}

impl Judge {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Shim => "shim",
            Self::Xen => "xen",
        }
    }
}

/// Whether an image boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does.
    Boots(Ground),
    /// It does not.
    Refused {
        /// Who refuses it.
        by: Judge,
        /// Why.
        reason: Reason,
    },
    /// It depends on something that is not known here.
    Unknown(Doubt),
}

impl Answer {
    pub(super) const fn refused(by: Judge, reason: Reason) -> Self {
        Self::Refused { by, reason }
    }

    /// What becomes of the image behind a shim that firmware answers this to.
    #[must_use]
    pub fn of_shim(shim: &Self) -> Self {
        match shim {
            Self::Refused { by, reason } => {
                Self::Refused { by: *by, reason: Reason::Shim(Box::new(reason.clone())) }
            }
            other => other.clone(),
        }
    }

    /// What it is known by; never changes its meaning.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Boots(ground) => ground.id(),
            Self::Refused { reason, .. } => reason.id(),
            Self::Unknown(doubt) => doubt.id(),
        }
    }
}

/// The sentence behind the answer.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boots(ground) => ground.fmt(f),
            Self::Refused { reason, .. } => reason.fmt(f),
            Self::Unknown(doubt) => doubt.fmt(f),
        }
    }
}

/// Why an image boots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ground {
    /// Nothing is verified.
    #[error("Secure Boot is off: firmware starts any image")]
    SecureBootOff,
    /// shim was told not to verify.
    #[error("shim's validation is off (MokSBState): it starts any image")]
    ValidationOff,
    /// A signature leads to a certificate that is trusted.
    #[error("signed, and trusted by {database}: {subject}")]
    Certificate {
        /// Where the certificate stands.
        database: Place,
        /// Whom it is for.
        subject: String,
    },
    /// Its digest is trusted.
    #[error("its digest is trusted by {database}: {digest:?}")]
    Image {
        /// Where the digest stands.
        database: Place,
        /// Which one.
        digest: Digest,
    },
}

impl Ground {
    const fn id(&self) -> &'static str {
        match self {
            Self::SecureBootOff => "secure-boot-off",
            Self::ValidationOff => "validation-off",
            Self::Certificate { .. } => "trusted-certificate",
            Self::Image { .. } => "trusted-digest",
        }
    }
}

/// Why an image is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// There is no signature, and nobody trusts its digest.
    #[error("it is not signed, and its digest is in no database")]
    NotSigned,
    /// The walk over the table of signatures does not come out at its end.
    #[error("its table of signatures is damaged at offset {0:#x}")]
    BrokenTable(u64),
    /// A signature that is none.
    #[error("the signature at offset {offset:#x} cannot be used: {fault}")]
    Malformed {
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        fault: Malformed,
    },
    /// The image was changed after it was signed.
    #[error(
        "it is not what was signed: the signature at offset {offset:#x} is for {wanted:?}, and the image has {found:?}"
    )]
    Changed {
        /// Where the signature begins.
        offset: u64,
        /// The digest in it.
        wanted: Digest,
        /// The image's.
        found: Digest,
    },
    /// The signature was not made by the key in its certificate.
    #[error("the signature at offset {0:#x} was not made by the key that it names")]
    BadSignature(u64),
    /// Nobody who signed is trusted.
    #[error("nobody trusts who signed it: {0}")]
    NotTrusted(String),
    /// Its digest is revoked.
    #[error("its digest is revoked by {database}: {digest:?}")]
    RevokedImage {
        /// Where.
        database: Place,
        /// Which one.
        digest: Digest,
    },
    /// Who signed it is revoked.
    #[error("who signed it is revoked by {database}: {subject}")]
    RevokedCertificate {
        /// Where.
        database: Place,
        /// Which certificate.
        subject: String,
    },
    /// It does not start the shim on the way.
    #[error("the shim itself is refused: {0}")]
    Shim(Box<Reason>),
    /// It has no table of generations.
    #[error("it has no section .sbat, without which shim starts nothing")]
    NoSbat,
    /// Its table of generations is not one that shim reads.
    #[error("its section .sbat cannot be read: {0}")]
    BadSbat(Mistake),
    /// A generation in it is revoked.
    #[error("it is revoked by SBAT: {component} has generation {has}, and {wanted} is the lowest since {since}")]
    RevokedSbat {
        /// The component.
        component: String,
        /// Its generation in the image.
        has: u16,
        /// The lowest that is not revoked.
        wanted: u16,
        /// The date of the revocations.
        since: Date,
    },
    /// shim verifies no elliptic curves.
    #[error("shim verifies no signatures on elliptic curves, as that at offset {0:#x} is")]
    Curve(u64),
    /// Xen needs what shim does not load.
    #[error(
        "shim does not load discardable sections, and Xen stops without its .reloc (\"Unsupported relocation type\")"
    )]
    DroppedRelocations,
    /// shim does not trust dom0's kernel, and Xen asks it.
    #[error("Xen asks shim about the kernel in it, and that is refused: {0}")]
    Kernel(Box<Reason>),
    /// dom0's kernel is nothing that shim could verify.
    #[error("Xen asks shim about the kernel in it, and shim verifies PE images only: {0}")]
    KernelIsNoImage(String),
    /// shim takes no digest but SHA-256.
    #[error("shim compares SHA-256 digests only, and it is signed with {0}")]
    NotSha256(crate::digest::HashFunction),
}

impl Reason {
    const fn id(&self) -> &'static str {
        match self {
            Self::NotSigned => "not-signed",
            Self::BrokenTable(_) => "broken-table",
            Self::Malformed { .. } => "malformed-signature",
            Self::Changed { .. } => "changed",
            Self::BadSignature(_) => "bad-signature",
            Self::NotTrusted(_) => "not-trusted",
            Self::RevokedImage { .. } => "revoked-digest",
            Self::RevokedCertificate { .. } => "revoked-certificate",
            Self::Shim(_) => "shim-refused",
            Self::NoSbat => "no-sbat",
            Self::BadSbat(_) => "bad-sbat",
            Self::RevokedSbat { .. } => "revoked-sbat",
            Self::Curve(_) => "elliptic-curve",
            Self::DroppedRelocations => "dropped-relocations",
            Self::Kernel(_) | Self::KernelIsNoImage(_) => "kernel-refused",
            Self::NotSha256(_) => "not-sha256",
        }
    }
}

/// Why nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// A signature by a key, or with a hash function, that cannot be computed here.
    #[error("the signature at offset {0:#x} uses a key or a hash function that cannot be judged here")]
    Algorithm(u64),
    /// More signatures than anybody makes, each of which could keep a judge busy.
    #[error("it has {0} signatures, more than are looked at here")]
    ManySignatures(usize),
    /// The kernel in a Xen was not looked at.
    #[error("Xen asks shim about the kernel in it, which was not looked at")]
    Kernel,
    /// A signature on an elliptic curve, which EDK2 verifies only where it was built to.
    #[error(
        "the signature at offset {0:#x} is on an elliptic curve: it is good, but not every firmware verifies these (Debian's OVMF does not)"
    )]
    Curve(u64),
}

impl Doubt {
    const fn id(&self) -> &'static str {
        match self {
            Self::Algorithm(_) => "unknown-algorithm",
            Self::Curve(_) => "elliptic-curve",
            Self::ManySignatures(_) => "too-many-signatures",
            Self::Kernel => "kernel-not-read",
        }
    }
}

/// Where something stands that is trusted or revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// db.
    Db,
    /// dbx.
    Dbx,
    /// The machine owner's list, `MokList`.
    Mok,
    /// What the machine's owner revoked, `MokListX`.
    Mokx,
    /// What is built into shim.
    Vendor,
    /// What is revoked in shim itself.
    Vendorx,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Db => "db",
            Self::Dbx => "dbx",
            Self::Mok => "MokList",
            Self::Mokx => "MokListX",
            Self::Vendor => "the certificates in shim",
            Self::Vendorx => "the revocations in shim",
        })
    }
}
