//! What the advisories mean for one build: which of them it has, and whether its generation has to rise.

use std::collections::{BTreeMap, BTreeSet};

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
    /// In a build of this version, of which a changelog may say what was fixed.
    Version(Version, Option<Said>),
}

/// What the maker of a build says of it beyond its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What is fixed, and how that is known.
    pub fixed: BTreeMap<u16, String>,
    /// What is named without being said to be fixed.
    pub doubtful: BTreeSet<u16>,
    /// Whether that is everything.
    pub is_complete: bool,
}

/// One component of a build.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which.
    pub component: Component,
    /// What it says its version is.
    pub version: Version,
    /// What its maker says of it.
    pub said: Said,
    /// When its generation last rose, where that is known.
    pub last: Option<LastBump>,
    /// Advisories that its maker passes over, and why.
    pub skipped: BTreeMap<u16, String>,
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
    /// Why its maker passes over it, if so.
    pub skipped: Option<String>,
    /// Whether it is not known if the fix was in when the generation last rose.
    pub maybe_before: bool,
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
        let skipped = advisory.xsa.and_then(|xsa| side.skipped.get(&xsa)).cloned();
        let since = side.since(advisory, corpus);
        let maybe_before = since == Verdict::Conditional;
        let entry = Entry { advisory, judgement: here, standing, superseded_by: None, skipped, maybe_before };
        match &entry.standing {
            Standing::NotAffected(_) => {}
            Standing::Fixed(_) if since == Verdict::No => {}
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
    let counted = || advice.fixed.iter().filter(|entry| entry.skipped.is_none());
    let most = counted().map(Entry::rises).max();
    advice.days =
        counted().filter(|entry| Some(entry.rises()) == most).filter_map(|entry| entry.advisory.date).collect();
    let unknown = advice.unknown.iter().filter(|entry| entry.skipped.is_none());
    // What may have been fixed may have to be revoked.
    let unknown = unknown.map(|entry| side.since(entry.advisory, corpus)).any(|since| since > Verdict::No);
    let unknown = if unknown { Verdict::Conditional } else { Verdict::No };
    advice.rises = side.last.is_some().then(|| most.unwrap_or(Verdict::No).max(unknown));
    advice
}

/// Whether the published fix closes it.
fn closes(advisory: &Description, corpus: &Corpus) -> bool {
    let row = corpus.rules().row(About::Fix, &[("fix", &advisory.fix.kind)]);
    row.is_some_and(|row| row.answer == Answer::Verdict(Verdict::Yes))
}

fn stands(side: &Side, advisory: &Description, corpus: &Corpus) -> Standing {
    let versioned = side.said.of(side.component, &side.version);
    standing(advisory, versioned, corpus)
}

impl Said {
    fn of<'a>(&'a self, component: Component, version: &'a Version) -> Versioned<'a> {
        let Self { fixed, doubtful, is_complete } = self;
        Versioned { component, version, fixed, doubtful, is_complete: *is_complete }
    }
}

impl Entry<'_> {
    /// How far its fix makes the generation rise.
    fn rises(&self) -> Verdict {
        let since = if self.maybe_before { Verdict::Conditional } else { Verdict::Yes };
        self.judgement.answer.min(since)
    }
}

impl Side {
    fn says_fixed(&self, advisory: &Description) -> bool {
        advisory.xsa.is_some_and(|xsa| self.said.fixed.contains_key(&xsa))
    }

    /// Whether the flaw was there when the generation last rose.
    fn since(&self, advisory: &Description, corpus: &Corpus) -> Verdict {
        let then = match &self.last {
            None => return Verdict::No,
            Some(LastBump::Date(date)) => {
                let is_later = advisory.date.is_some_and(|published| published > *date);
                return if is_later { Verdict::Yes } else { Verdict::No };
            }
            Some(LastBump::Version(version, None)) => {
                standing(advisory, Versioned::plain(self.component, version), corpus)
            }
            Some(LastBump::Version(version, Some(said))) => {
                standing(advisory, said.of(self.component, version), corpus)
            }
        };
        match then {
            Standing::Open(_) => Verdict::Yes,
            Standing::Unknown(_) => Verdict::Conditional,
            Standing::Fixed(_) | Standing::NotAffected(_) => Verdict::No,
        }
    }
}
