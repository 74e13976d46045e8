//! What the advisories mean for one build: which of them it has, and whether its generation has to rise.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::build::Build;
use crate::corpus::Corpus;
use crate::description::Description;
use crate::judgement::{Judgement, judge};
use crate::rules::{About, Answer, Choices, Component, Verdict};
use crate::standing::{Standing, Versioned, standing};
use crate::version::Version;

/// When a generation last rose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastBump {
    /// On this day, in a build with everything that was published by then.
    Date(Date),
    /// In a build of this version.
    Version(Version),
}

/// One component of a build.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which.
    pub component: Component,
    /// What it says its version is.
    pub version: Version,
    /// What its maker says is fixed in it.
    pub fixed: Vec<u16>,
    /// Whether that is everything.
    pub is_complete: bool,
    /// When its generation last rose, where that is known.
    pub last: Option<LastBump>,
    /// Advisories that its maker passes over.
    pub skipped: Vec<u16>,
}

/// An advisory that counts for a component.
#[derive(Clone, Debug)]
pub struct Entry<'c> {
    /// The advisory.
    pub advisory: &'c Description,
    /// The judgement on it, for this build.
    pub judgement: Judgement<'c>,
    /// How the build stands to it.
    pub standing: Standing,
    /// A later advisory in the same list whose fix replaces this one's.
    pub superseded_by: Option<u16>,
    /// Whether its maker passes over it.
    pub is_skipped: bool,
}

/// The answer for one component.
#[derive(Clone, Debug)]
pub struct Advice<'c> {
    /// Which.
    pub component: Component,
    /// Whether the generation has to rise with this build; nothing where it is not known when it last rose.
    pub rises: Option<Verdict>,
    /// What the build still has.
    pub open: Vec<Entry<'c>>,
    /// What it may have.
    pub unknown: Vec<Entry<'c>>,
    /// What was fixed since the generation last rose.
    pub fixed: Vec<Entry<'c>>,
    /// What counts elsewhere, and cannot happen with this build.
    pub moot: Vec<Entry<'c>>,
    /// The days on which what makes it rise was published: so often would somebody have raised it who never waits.
    pub days: BTreeSet<Date>,
}

/// Asks every advisory about one component.
#[must_use]
pub fn advise<'c>(side: &Side, corpus: &'c Corpus, choices: &Choices, build: &Build) -> Advice<'c> {
    let mut advice = Advice {
        component: side.component,
        rises: None,
        open: Vec::new(),
        unknown: Vec::new(),
        fixed: Vec::new(),
        moot: Vec::new(),
        days: BTreeSet::new(),
    };
    for advisory in corpus.advisories() {
        let anywhere = judge(advisory, corpus.rules(), choices, &Build::default());
        let here = judge(advisory, corpus.rules(), choices, build);
        // A kernel's flaw is not in Xen, whatever comes of it.
        if !anywhere.bump.contains(&side.component) && !here.bump.contains(&side.component) {
            continue;
        }
        let standing = match stands(side, advisory, corpus) {
            // What is published does not close it; only its maker can say that something else does.
            Standing::Fixed(why) if !closes(advisory, corpus) && !side.says_fixed(advisory) => {
                Standing::Open(format!("what is fixed ({why}) leaves the host open"))
            }
            standing => standing,
        };
        let counts = here.answer > Verdict::No;
        let is_skipped = advisory.xsa.is_some_and(|xsa| side.skipped.contains(&xsa));
        let entry = Entry { advisory, judgement: here, standing, superseded_by: None, is_skipped };
        match &entry.standing {
            Standing::NotAffected(_) => {}
            Standing::Fixed(_) if !side.was_fixed_since(advisory, corpus) => {}
            _ if !counts => advice.moot.push(entry),
            Standing::Open(_) => advice.open.push(entry),
            Standing::Unknown(_) => advice.unknown.push(entry),
            Standing::Fixed(_) => advice.fixed.push(entry),
        }
    }
    let supersedes: Vec<(u16, Vec<u16>)> = advice
        .fixed
        .iter()
        .filter_map(|entry| entry.advisory.xsa.map(|xsa| (xsa, entry.advisory.fix.supersedes.clone())))
        .collect();
    for entry in &mut advice.fixed {
        let by = supersedes.iter().find(|(_, older)| entry.advisory.xsa.is_some_and(|xsa| older.contains(&xsa)));
        entry.superseded_by = by.map(|(xsa, _)| *xsa);
    }
    let counted = |entry: &&Entry<'_>| !entry.is_skipped;
    let most = advice.fixed.iter().filter(counted).map(|entry| entry.judgement.answer).max();
    let days = advice.fixed.iter().filter(counted).filter(|entry| Some(entry.judgement.answer) == most);
    advice.days = days.filter_map(|entry| entry.advisory.date).collect();
    advice.rises = side.last.is_some().then(|| {
        // What may have been fixed may have to be revoked.
        let unknown = advice.unknown.iter().filter(counted).any(|entry| side.is_since(entry.advisory, corpus));
        let unknown = if unknown { Verdict::Conditional } else { Verdict::No };
        most.unwrap_or(Verdict::No).max(unknown)
    });
    advice
}

/// Whether the published fix closes it.
fn closes(advisory: &Description, corpus: &Corpus) -> bool {
    let row = corpus.rules().row(About::Fix, &[("fix", &advisory.fix.kind)]);
    row.is_some_and(|row| row.answer == Answer::Verdict(Verdict::Yes))
}

fn stands(side: &Side, advisory: &Description, corpus: &Corpus) -> Standing {
    let versioned = Versioned {
        component: side.component,
        version: &side.version,
        fixed: &side.fixed,
        is_complete: side.is_complete,
    };
    standing(advisory, versioned, corpus)
}

impl Side {
    fn says_fixed(&self, advisory: &Description) -> bool {
        advisory.xsa.is_some_and(|xsa| self.fixed.contains(&xsa))
    }

    /// Whether a fix that is in came after the generation last rose.
    fn was_fixed_since(&self, advisory: &Description, corpus: &Corpus) -> bool {
        self.last.is_some() && self.is_since(advisory, corpus)
    }

    /// Whether the flaw was known, and not fixed, only after the generation last rose.
    fn is_since(&self, advisory: &Description, corpus: &Corpus) -> bool {
        match &self.last {
            None => false,
            Some(LastBump::Date(date)) => advisory.date.is_some_and(|published| published > *date),
            Some(LastBump::Version(version)) => {
                let then = Versioned { component: self.component, version, fixed: &[], is_complete: false };
                matches!(standing(advisory, then, corpus), Standing::Open(_) | Standing::Unknown(_))
            }
        }
    }
}
