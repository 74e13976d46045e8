//! shim's judgement: `verify_buffer` in its `shim.c` (15.8), rule by rule, and what it does to the image that it then loads.

use super::answer::{Answer, Doubt, Ground, Judge, Place, Reason};
use super::database::Database;
use super::evidence::{Evidence, Kernel};
use super::signature::Signature;
use crate::certificate::Certificate;
use crate::digest::HashFunction;
use crate::sbat::{self, Fault, Level};

/// What shim has.
#[derive(Clone, Debug, Default)]
pub struct Shim {
    /// Whether it was told to verify nothing (`MokSBState`).
    pub off: bool,
    /// Whether it was told not to trust db (`MokDBState`).
    pub ignores_db: bool,
    /// The firmware's db.
    pub db: Database,
    /// The firmware's dbx.
    pub dbx: Database,
    /// `MokList`.
    pub mok: Database,
    /// `MokListX`.
    pub mokx: Database,
    /// Built into it.
    pub vendor: Database,
    /// Built into it.
    pub vendorx: Database,
    /// Which generations are revoked: the newest that the machine has seen.
    pub level: Option<Level>,
}

impl Shim {
    /// The hash functions of the digests in its databases that it looks for.
    #[must_use]
    pub const fn functions(&self) -> [HashFunction; 1] {
        [HashFunction::Sha256]
    }

    /// Whether it starts the image, and Xen comes up behind it.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence) -> Answer {
        let trusted = if self.off { Answer::Boots(Ground::ValidationOff) } else { self.verify(evidence) };
        match trusted {
            Answer::Boots(_) if evidence.relocations_dropped => {
                Answer::refused(Judge::Xen, Reason::DroppedRelocations)
            }
            Answer::Boots(_) if !self.off => self.judge_kernel(evidence).unwrap_or(trusted),
            answer => answer,
        }
    }

    /// What Xen answers that asks about dom0's kernel, if that is not that it goes on. Generations are not asked of a kernel that has
    /// none.
    fn judge_kernel(&self, evidence: &Evidence) -> Option<Answer> {
        let kernel = match &evidence.kernel {
            Kernel::None => return None,
            Kernel::Unread => return Some(Answer::Unknown(Doubt::Kernel)),
            Kernel::NoImage(fault) => {
                return Some(Answer::refused(Judge::Xen, Reason::KernelIsNoImage(fault.clone())));
            }
            Kernel::Image(kernel) => kernel,
        };
        let reason = match self.judge_trust(kernel) {
            Answer::Boots(_) => kernel.sbat.as_ref().and_then(|_| self.judge_generations(kernel))?,
            Answer::Refused { reason, .. } => reason,
            unknown @ Answer::Unknown(_) => return Some(unknown),
        };
        Some(Answer::refused(Judge::Xen, Reason::Kernel(Box::new(reason))))
    }

    /// First who signed it, then its generations.
    fn verify(&self, evidence: &Evidence) -> Answer {
        let trusted = self.judge_trust(evidence);
        match trusted {
            Answer::Boots(_) => self.judge_generations(evidence).map_or(trusted, refused),
            answer => answer,
        }
    }

    /// Why its generations are refused, if they are (`verify_sbat_section` and `verify_sbat`, 15.8).
    fn judge_generations(&self, evidence: &Evidence) -> Option<Reason> {
        let Some((table, mistakes)) = &evidence.sbat else { return Some(Reason::NoSbat) };
        if let Some(mistake) = mistakes.iter().find(|mistake| is_fatal(&mistake.fault)) {
            return Some(Reason::BadSbat(mistake.clone()));
        }
        let level = self.level.as_ref()?;
        let revoked = sbat::revoked(table, level);
        let revoked = revoked.first()?;
        Some(Reason::RevokedSbat {
            component: revoked.row.component.clone(),
            has: revoked.row.generation,
            wanted: revoked.wanted.generation,
            since: level.date(),
        })
    }

    fn judge_trust(&self, evidence: &Evidence) -> Answer {
        if let Some(count) = evidence.too_many {
            return Answer::Unknown(Doubt::ManySignatures(count));
        }
        // It knows SHA-1 too, which nobody should trust.
        if let Some(digest) = evidence.digest(HashFunction::Sha256) {
            if let Some((database, _)) = self.refuses().find(|(_, database)| database.has_image(digest)) {
                return refused(Reason::RevokedImage { database, digest: *digest });
            }
            if let Some((database, _)) = self.trusts().find(|(_, database)| database.has_image(digest)) {
                return Answer::Boots(Ground::Image { database, digest: *digest });
            }
        }
        if let Some(offset) = evidence.broken_at.filter(|_| evidence.signatures.is_empty()) {
            return refused(Reason::BrokenTable(offset));
        }
        self.judge_signatures(evidence)
    }

    /// One signature that is trusted and not revoked is enough, whatever the others are.
    fn judge_signatures(&self, evidence: &Evidence) -> Answer {
        let mut first = None;
        for row in &evidence.signatures {
            let Some(Ok(signature)) = &row.signature else { continue };
            // Its digest is compared with the end of what was signed, whatever function that was made with.
            let function = signature.digest.function();
            if function != HashFunction::Sha256 {
                first = first.or_else(|| Some(refused(Reason::NotSha256(function))));
                continue;
            }
            if !evidence.is_for(signature) {
                continue;
            }
            if signature.is_on_a_curve() {
                first = first.or_else(|| Some(refused(Reason::Curve(row.offset))));
                continue;
            }
            match (find(self.refuses(), signature), find(self.trusts(), signature)) {
                (Some((database, certificate)), _) => {
                    let subject = certificate.subject();
                    first = first.or_else(|| Some(refused(Reason::RevokedCertificate { database, subject })));
                }
                (None, Some((database, certificate))) => {
                    return Answer::Boots(Ground::Certificate { database, subject: certificate.subject() });
                }
                (None, None) => {}
            }
        }
        first.unwrap_or_else(|| evidence.why_not(Judge::Shim))
    }

    /// What it trusts, in the order in which it looks.
    fn trusts(&self) -> impl Iterator<Item = (Place, &Database)> {
        let db = (!self.ignores_db).then_some((Place::Db, &self.db));
        db.into_iter().chain([(Place::Vendor, &self.vendor), (Place::Mok, &self.mok)])
    }

    fn refuses(&self) -> impl Iterator<Item = (Place, &Database)> {
        [(Place::Vendorx, &self.vendorx), (Place::Dbx, &self.dbx), (Place::Mokx, &self.mokx)].into_iter()
    }
}

/// The first certificate that a signature leads to.
fn find<'a>(
    mut databases: impl Iterator<Item = (Place, &'a Database)>,
    signature: &Signature,
) -> Option<(Place, &'a Certificate)> {
    databases.find_map(|(place, database)| {
        let leads = |certificate: &&Certificate| !certificate.is_for_modules() && signature.leads_to(certificate);
        Some((place, database.certificates.iter().find(leads)?))
    })
}

fn refused(reason: Reason) -> Answer {
    Answer::refused(Judge::Shim, reason)
}

/// What shim stops at. The rest it reads in one way or another; a generation that is no number would be zero.
const fn is_fatal(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Empty
            | Fault::Long
            | Fault::FieldCount(_)
            | Fault::EmptyField(_)
            | Fault::Generation(_)
            | Fault::Sections
            | Fault::Short { .. }
            | Fault::Relocations
    )
}
