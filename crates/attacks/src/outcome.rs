//! What an attack can come to.

/// A verdict with what was seen.
pub(crate) struct Verdict {
    pub(crate) verdict: &'static str,
    pub(crate) evidence: String,
}

/// A verdict, or the reason why there is none. An error is trouble, never a verdict.
pub(crate) type Outcome = anyhow::Result<Verdict>;

/// The effect was observed.
pub(crate) fn breached(evidence: impl Into<String>) -> Outcome {
    Ok(Verdict { verdict: "breached", evidence: evidence.into() })
}

/// Everything was tried and the effect was not there.
pub(crate) fn held(evidence: impl Into<String>) -> Outcome {
    Ok(Verdict { verdict: "held", evidence: evidence.into() })
}

/// This machine has nothing to attack here.
pub(crate) fn not_applicable(reason: impl Into<String>) -> Outcome {
    Ok(Verdict { verdict: "not-applicable", evidence: reason.into() })
}

/// For twins: the legitimate use did what it should.
pub(crate) fn works(evidence: impl Into<String>) -> Outcome {
    Ok(Verdict { verdict: "works", evidence: evidence.into() })
}

/// For twins: the legitimate use is refused or does something else.
pub(crate) fn broken(evidence: impl Into<String>) -> Outcome {
    Ok(Verdict { verdict: "broken", evidence: evidence.into() })
}
