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

/// Not applicable where Xen does not know the operation at all; held where it was refused or had no effect.
pub(crate) fn absent_or_held<T: std::fmt::Debug>(name: &str, answer: anyhow::Result<T>) -> Outcome {
    let error = match answer {
        Ok(value) => return held(format!("{name} answered {value:?}, without the effect")),
        Err(error) => error,
    };
    let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    match code {
        Some(libc::ENOSYS | libc::EOPNOTSUPP) => {
            not_applicable(format!("{name}: this Xen does not have it ({error})"))
        }
        _ => held(format!("{name}: {error:#}")),
    }
}
