//! A second reading: advisories that somebody judged without seeing the rules' answers.

use std::path::Path;

use lockdown_policy::{Problem, Problems, line_of, parse};
use serde::Deserialize;
use toml::Spanned;

use crate::build::Build;
use crate::corpus::Corpus;
use crate::judgement::judge;
use crate::rules::{Choices, Component, Verdict};

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondReading {
    /// How it was done.
    pub how: String,
    /// One for each advisory.
    pub readings: Vec<Reading>,
}

/// What was answered for one advisory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The advisory.
    pub xsa: u16,
    /// Whether it breaches the boundary.
    pub breach: Verdict,
    /// Whose generation rises.
    pub bump: Option<Component>,
    /// Why.
    pub why: String,
    /// What became of a disagreement.
    pub settled: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    how: String,
    reading: Vec<Spanned<RawReading>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReading {
    xsa: u16,
    breach: String,
    component: String,
    why: String,
    settled: Option<String>,
}

impl SecondReading {
    /// Reads a second reading, and holds it against the rules: a reading that differs from them says what became of it.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(file: &Path, text: &str, corpus: &Corpus) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(raw) = parse::<Raw>(file, text, &mut problems) else { return Err(problems) };
        let mut readings: Vec<Reading> = Vec::new();
        for spanned in raw.reading {
            let line = line_of(text, &spanned.span());
            let RawReading { xsa, breach, component, why, settled } = spanned.into_inner();
            let mut complain = |message: String| problems.push(Problem::new(file, line, message));
            let bump = Component::ALL.into_iter().find(|known| known.name() == component);
            if bump.is_none() && component != "none" {
                complain(format!("component {component:?}: xen, linux-dom0 or none"));
            }
            let breach = breach.parse().unwrap_or_else(|message| {
                complain(message);
                Verdict::No
            });
            if readings.iter().any(|known| known.xsa == xsa) {
                complain(format!("XSA-{xsa} is read twice"));
            }
            let reading = Reading { xsa, breach, bump, why, settled };
            match reading.agrees(corpus) {
                None => complain(format!("XSA-{xsa} has no advisory here")),
                Some(false) if reading.settled.is_none() => {
                    complain(format!(
                        "XSA-{xsa} is judged otherwise by the rules: say under `settled` what became of it"
                    ));
                }
                Some(_) => {}
            }
            readings.push(reading);
        }
        problems.into_result(Self { how: raw.how, readings })
    }
}

impl Reading {
    /// Whether the rules answer the same; nothing if there is no such advisory.
    #[must_use]
    pub fn agrees(&self, corpus: &Corpus) -> Option<bool> {
        let advisory = corpus.advisory(self.xsa)?;
        let judgement = judge(advisory, corpus.rules(), &Choices::of(corpus.rules()), &Build::default());
        let bump: Vec<_> = self.bump.into_iter().collect();
        Some(judgement.answer == self.breach && judgement.bump == bump)
    }
}
