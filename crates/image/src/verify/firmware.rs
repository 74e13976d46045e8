//! Firmware's judgement: `DxeImageVerificationHandler` in EDK2's `DxeImageVerificationLib.c` (stable 202502), rule by rule.

use super::answer::{Answer, Doubt, Ground, Judge, Place, Reason};
use super::database::Database;
use super::evidence::Evidence;
use super::signature::{Malformed, Signature};
use crate::digest::HashFunction;

/// What firmware has.
#[derive(Clone, Debug, Default)]
pub struct Firmware {
    /// Whether it verifies nothing.
    pub off: bool,
    /// What it trusts.
    pub db: Database,
    /// What it refuses.
    pub dbx: Database,
}

impl Firmware {
    /// The hash functions of the digests in its databases.
    #[must_use]
    pub fn functions(&self) -> Vec<HashFunction> {
        self.db.images.iter().chain(&self.dbx.images).map(super::Digest::function).collect()
    }

    /// Whether it starts the image.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence) -> Answer {
        if self.off {
            Answer::Boots(Ground::SecureBootOff)
        } else if let Some(count) = evidence.too_many {
            Answer::Unknown(Doubt::ManySignatures(count))
        } else if evidence.is_signed() {
            self.judge_signed(evidence)
        } else {
            self.judge_unsigned(evidence)
        }
    }

    /// Without a signature every digest is looked for, the longest function first, in dbx and then in db.
    fn judge_unsigned(&self, evidence: &Evidence) -> Answer {
        for digest in evidence.digests().iter().rev() {
            if self.dbx.has_image(digest) {
                return refused(Reason::RevokedImage { database: Place::Dbx, digest: *digest });
            }
            if self.db.has_image(digest) {
                return Answer::Boots(Ground::Image { database: Place::Db, digest: *digest });
            }
        }
        refused(Reason::NotSigned)
    }

    /// One signature must be trusted, and none revoked, in order: what is behind a revoked one is not looked at.
    fn judge_signed(&self, evidence: &Evidence) -> Answer {
        let mut verified = None;
        let mut on_a_curve = None;
        for row in &evidence.signatures {
            let signature = match &row.signature {
                None => continue,
                Some(Ok(signature)) => signature,
                Some(Err(fault)) if fault.hides_the_function() || self.dbx.is_empty() => continue,
                // Whom dbx is to be asked about cannot be told: then it counts as revoked (`IsForbiddenByDbx`).
                Some(Err(fault)) => {
                    return refused(Reason::Malformed { offset: row.offset, fault: fault.clone() });
                }
            };
            if !self.dbx.is_empty() && !signature.names_all_signers() {
                return refused(Reason::Malformed { offset: row.offset, fault: Malformed::SignerMissing });
            }
            let digest = evidence.digest(signature.digest.function());
            if let Some(subject) = self.revoked(evidence, signature) {
                return refused(Reason::RevokedCertificate { database: Place::Dbx, subject });
            }
            if verified.is_none() && evidence.is_for(signature) {
                verified = self.trusted(signature);
                if verified.is_some() && signature.is_on_a_curve() {
                    verified = None;
                    on_a_curve = on_a_curve.or(Some(row.offset));
                }
            }
            if let Some(digest) = digest.filter(|digest| self.dbx.has_image(digest)) {
                return refused(Reason::RevokedImage { database: Place::Dbx, digest: *digest });
            }
            if let Some(digest) = digest.filter(|digest| verified.is_none() && self.db.has_image(digest)) {
                verified = Some(Ground::Image { database: Place::Db, digest: *digest });
            }
        }
        if let Some(offset) = evidence.broken_at {
            return refused(Reason::BrokenTable(offset));
        }
        match (verified, on_a_curve) {
            (Some(ground), _) => Answer::Boots(ground),
            (None, Some(offset)) => Answer::Unknown(Doubt::Curve(offset)),
            (None, None) => evidence.why_not(Judge::Firmware),
        }
    }

    /// Whom dbx revokes of those who signed: a certificate that the signature leads to, or the digest of a signer's.
    fn revoked(&self, evidence: &Evidence, signature: &Signature) -> Option<String> {
        let led =
            |certificate: &&super::Certificate| evidence.is_for(signature) && signature.leads_to(certificate);
        let listed = self.dbx.certificates.iter().find(led);
        let by_digest = || signature.signers().find(|certificate| self.dbx.revokes(certificate));
        listed.or_else(by_digest).map(super::Certificate::subject)
    }

    fn trusted(&self, signature: &Signature) -> Option<Ground> {
        let leads =
            |certificate: &&super::Certificate| !self.dbx.revokes(certificate) && signature.leads_to(certificate);
        let certificate = self.db.certificates.iter().find(leads)?;
        Some(Ground::Certificate { database: Place::Db, subject: certificate.subject() })
    }
}

fn refused(reason: Reason) -> Answer {
    Answer::refused(Judge::Firmware, reason)
}
