//! Whether one build has a flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::corpus::Corpus;
use crate::description::Description;
use crate::rules::Component;
use crate::version::{Release, Version};

/// How a build stands to a flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The flaw never was in it.
    NotAffected(String),
    /// The fix is in it.
    Fixed(String),
    /// The flaw is in it.
    Open(String),
    /// The data do not say.
    Unknown(String),
}

impl Standing {
    /// As the feed writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotAffected(_) => "not-affected",
            Self::Fixed(_) => "fixed",
            Self::Open(_) => "open",
            Self::Unknown(_) => "unknown",
        }
    }

    /// How that is known.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::NotAffected(why) | Self::Fixed(why) | Self::Open(why) | Self::Unknown(why) => why,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.why())
    }
}

/// A build of one component, and what its maker says is fixed in it beyond its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versioned<'a> {
    pub(crate) component: Component,
    pub(crate) version: &'a Version,
    pub(crate) fixed: &'a BTreeMap<u16, String>,
    /// What its maker names without saying that it is fixed.
    pub(crate) doubtful: &'a BTreeSet<u16>,
    /// Whether `fixed` is everything, so that what does not stand in it is open.
    pub(crate) is_complete: bool,
}

impl<'a> Versioned<'a> {
    /// A build of which nothing is known but its version.
    pub(crate) fn plain(component: Component, version: &'a Version) -> Self {
        static NO_REASONS: BTreeMap<u16, String> = BTreeMap::new();
        static NONE: BTreeSet<u16> = BTreeSet::new();
        Self { component, version, fixed: &NO_REASONS, doubtful: &NONE, is_complete: false }
    }
}

impl Corpus {
    /// Whether a Xen of this version has a flaw, by the releases that have its fix; what its maker added is not looked at.
    #[must_use]
    pub fn standing(&self, advisory: &Description, version: &Version) -> Standing {
        standing(advisory, Versioned::plain(Component::Xen, version), self)
    }
}

pub(crate) fn standing(advisory: &Description, build: Versioned<'_>, corpus: &Corpus) -> Standing {
    // A fix that is another advisory's cannot lead back here: the corpus is checked.
    if let Some(other) = advisory.fix.same_as.and_then(|xsa| corpus.advisory(xsa)) {
        return match standing(other, build, corpus) {
            Standing::Fixed(why) => Standing::Fixed(format!("by the fix of {}, {why}", other.name())),
            other => other,
        };
    }
    if let Some(why) = never_had(advisory, build, corpus) {
        return Standing::NotAffected(why);
    }
    let by_version = match build.component {
        Component::Xen => xen(advisory, build.version, corpus),
        Component::LinuxDom0 => linux(advisory, build.version),
    };
    let named = advisory.xsa.and_then(|xsa| build.fixed.get(&xsa));
    let is_doubtful = advisory.xsa.is_some_and(|xsa| build.doubtful.contains(&xsa));
    match by_version {
        _ if is_doubtful => Standing::Unknown("the changelog names it, and not as fixed".to_owned()),
        Standing::Open(_) | Standing::Unknown(_) if named.is_some() => {
            Standing::Fixed(named.cloned().unwrap_or_default())
        }
        Standing::Unknown(why) if build.is_complete => {
            Standing::Open(format!("{why}, and the changelog does not name it"))
        }
        known => known,
    }
}

fn never_had(advisory: &Description, build: Versioned<'_>, corpus: &Corpus) -> Option<String> {
    let affected = &advisory.affected;
    let branch = build.version.release.branch;
    let name = |(major, minor): (u16, u16)| format!("{major}.{minor}");
    let since = match build.component {
        Component::Xen => affected.since,
        Component::LinuxDom0 => affected.linux_since,
    };
    if let Some(since) = since.filter(|since| branch < *since) {
        return Some(format!("it came with {}", name(since)));
    }
    if build.component == Component::Xen && !affected.branches.is_empty() && !affected.branches.contains(&branch) {
        let branches: Vec<_> = affected.branches.iter().map(|branch| name(*branch)).collect();
        return Some(format!("only {} had it", branches.join(", ")));
    }
    if affected.with_fix_of.is_empty() {
        return None;
    }
    let lacks = |other: &Description| {
        matches!(standing(other, build, corpus), Standing::Open(_) | Standing::NotAffected(_))
    };
    let fixes: Vec<_> = affected.with_fix_of.iter().map(|xsa| format!("XSA-{xsa}")).collect();
    let is_spared = affected.with_fix_of.iter().filter_map(|xsa| corpus.advisory(*xsa)).all(lacks);
    is_spared.then(|| format!("the fix of {} brought it, and is not in", fixes.join(" or ")))
}

/// The first release of the build's branch that has the fix, against the build's.
fn on_branch(first: Release, version: &Version) -> Standing {
    let at = version.release;
    if at > first || (at == first && !version.is_before) {
        return Standing::Fixed(format!("since {first}"));
    }
    if at == first {
        return Standing::Unknown(format!("{version} came before {first}, which has the fix"));
    }
    if version.is_snapshot && at.point.checked_add(1) == Some(first.point) {
        return Standing::Unknown(format!("{version} lies between {at} and {first}, which has the fix"));
    }
    Standing::Open(format!("fixed in {first}"))
}

fn xen(advisory: &Description, version: &Version, corpus: &Corpus) -> Standing {
    let fixes = &advisory.fix.xen;
    let branch = version.release.branch;
    if let Some(first) = fixes.iter().find(|first| first.branch == branch) {
        return on_branch(*first, version);
    }
    let releases = corpus.releases();
    let began = releases.day(Release { branch, point: 0 });
    let is_newer = fixes.last().is_some_and(|last| branch > last.branch);
    // A fix goes to the main line on the day of its advisory, and a branch begins there.
    let began_later = began.zip(advisory.date).is_some_and(|(began, date)| began > date);
    if is_newer && fixes.last().is_some_and(|last| last.point == 0) {
        return Standing::Fixed("before its branch began".to_owned());
    }
    if began_later {
        return Standing::Fixed("published before its branch was released".to_owned());
    }
    if fixes.first().is_some_and(|first| branch < first.branch) {
        return Standing::Open("no release of its branch has the fix".to_owned());
    }
    let released = releases.day(version.release).filter(|_| !version.is_snapshot);
    if released.zip(advisory.date).is_some_and(|(released, date)| released < date) {
        return Standing::Open("released before the fix was published".to_owned());
    }
    Standing::Unknown("no release of its branch is known to have the fix".to_owned())
}

fn linux(advisory: &Description, version: &Version) -> Standing {
    let fixes = &advisory.fix.linux;
    let branch = version.release.branch;
    if let Some(first) = fixes.iter().find(|first| first.branch == branch) {
        return on_branch(*first, version);
    }
    match (fixes.first(), fixes.last()) {
        (_, Some(last)) if branch > last.branch => Standing::Fixed(format!("before its branch, by {last}")),
        (Some(first), _) if branch < first.branch => {
            Standing::Open(format!("no release of its branch has the fix; the oldest with it is {first}"))
        }
        _ => Standing::Unknown("no release of its branch is known to have the fix".to_owned()),
    }
}
