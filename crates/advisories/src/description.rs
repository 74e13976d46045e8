//! What is known of an issue: a file of `policy/advisories`, or one that somebody wrote to have it judged.

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use lockdown_policy::{Problem, Problems, line_of, parse};
use serde::Deserialize;
use toml::Spanned;

use crate::corpus::FIRST;
use crate::day;
use crate::releases::Releases;
use crate::rules::{Component, Rules, Verdict};
use crate::version::Release;

/// An issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where it was read.
    pub file: PathBuf,
    /// Its number, once it has one.
    pub xsa: Option<u16>,
    /// What it is, in a few words.
    pub title: String,
    /// When it was published.
    pub date: Option<Date>,
    /// The numbers that others gave it.
    pub cves: Vec<String>,
    /// Where the flaw is.
    pub component: Vec<String>,
    /// Who can bring it about.
    pub attacker: Vec<String>,
    /// What is reached.
    pub reaches: Vec<String>,
    /// What happens there.
    pub effect: String,
    /// What is said of escalation.
    pub claim: String,
    /// Whether what it needs is supported.
    pub support: String,
    /// The ways to it: what each needs, by the names of conditions. None: it needs nothing.
    pub ways: Vec<Vec<String>>,
    /// The conditions in words.
    pub conditions: Option<String>,
    /// What else is to be said.
    pub note: Option<String>,
    /// Which versions have it.
    pub affected: Affected,
    /// What mends it.
    pub fix: Fix,
    /// Where all this is from. A draft has none.
    pub provenance: Option<Provenance>,
    /// A judgement that is not the rules'.
    pub overridden: Option<Override>,
    /// The line with its number.
    pub(crate) line: usize,
    /// The advisories that it names, each with its line.
    pub(crate) named: Vec<(usize, u16)>,
}

/// Which versions have a flaw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The branch of Xen in which it came; unknown if there is none.
    pub since: Option<(u16, u16)>,
    /// The branch of Linux in which it came.
    pub linux_since: Option<(u16, u16)>,
    /// Only these branches of Xen.
    pub branches: Vec<(u16, u16)>,
    /// Only where the fix of one of these advisories is in.
    pub with_fix_of: Vec<u16>,
    /// What cannot be said so.
    pub note: Option<String>,
}

/// What mends a flaw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    /// A word of the fact `fix`.
    pub kind: String,
    /// The commits, by the first digits of their names.
    pub commits: Vec<String>,
    /// The first release of each branch of Xen that has it.
    pub xen: Vec<Release>,
    /// The same of Linux.
    pub linux: Vec<Release>,
    /// It has no fix of its own: that of this advisory mends it.
    pub same_as: Option<u16>,
    /// Advisories whose fix did not do, or did harm: a generation for this one covers theirs.
    pub supersedes: Vec<u16>,
}

/// How sure the facts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// From general knowledge.
    Low,
    /// From the text of the fix, or from somebody else's summary.
    Medium,
    /// From the advisory's text, or that of somebody who analysed it.
    High,
}

impl Confidence {
    /// As files write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Where facts are from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// How sure they are.
    pub confidence: Confidence,
    /// What was read.
    pub source: Vec<String>,
}

/// A judgement that somebody gives against the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The judgement.
    pub judgement: Verdict,
    /// Whose generations.
    pub bump: Vec<Component>,
    /// Why.
    pub reason: String,
}

/// A number without an advisory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where it was read.
    pub file: PathBuf,
    /// The number.
    pub xsa: u16,
    /// Why there is none.
    pub why: String,
    /// Whether that is known; if not, it may be under embargo, or nobody here has found it.
    pub is_unused: bool,
    /// The line with the number.
    pub(crate) line: usize,
}

/// A file of `policy/advisories`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An advisory.
    Advisory(Box<Description>),
    /// A number without one.
    Gap(Gap),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    xsa: Option<Spanned<u16>>,
    title: Option<String>,
    date: Option<Spanned<toml::value::Datetime>>,
    #[serde(default)]
    cves: Vec<Spanned<String>>,
    #[serde(default)]
    component: Vec<Spanned<String>>,
    #[serde(default)]
    attacker: Vec<Spanned<String>>,
    #[serde(default)]
    reaches: Vec<Spanned<String>>,
    effect: Option<Spanned<String>>,
    claim: Option<Spanned<String>>,
    support: Option<Spanned<String>>,
    #[serde(default)]
    ways: Vec<Spanned<Vec<Spanned<String>>>>,
    conditions: Option<String>,
    note: Option<String>,
    affected: Option<RawAffected>,
    fix: Option<RawFix>,
    provenance: Option<Provenance>,
    #[serde(rename = "override")]
    overridden: Option<Spanned<RawOverride>>,
    unused: Option<String>,
    unknown: Option<String>,
    source: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAffected {
    since: Option<Spanned<String>>,
    linux_since: Option<Spanned<String>>,
    #[serde(default)]
    branches: Vec<Spanned<String>>,
    #[serde(default)]
    with_fix_of: Vec<Spanned<u16>>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFix {
    kind: Option<Spanned<String>>,
    #[serde(default)]
    commits: Vec<Spanned<String>>,
    #[serde(default)]
    xen: Vec<Spanned<String>>,
    #[serde(default)]
    linux: Vec<Spanned<String>>,
    same_as: Option<Spanned<u16>>,
    #[serde(default)]
    supersedes: Vec<Spanned<u16>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOverride {
    judgement: String,
    #[serde(default)]
    bump: Vec<String>,
    reason: String,
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    rules: &'a Rules,
    /// What was released. A draft may name what will be.
    releases: Option<&'a Releases>,
    named: Vec<(usize, u16)>,
    problems: Problems,
}

impl Record {
    /// Reads what stands in `policy/advisories`: all facts have to be there.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(file: &Path, text: &str, rules: &Rules, releases: &Releases) -> Result<Self, Problems> {
        let mut reader = Reader::new(file, text, rules, Some(releases));
        let Some(raw) = parse::<Raw>(file, text, &mut reader.problems) else { return Err(reader.problems) };
        reader.number(raw.xsa.as_ref());
        let line = raw.xsa.as_ref().map_or(0, |xsa| reader.line(xsa));
        let gap =
            raw.unused.clone().map(|why| (why, true)).or_else(|| raw.unknown.clone().map(|why| (why, false)));
        if let Some((why, is_unused)) = gap {
            if raw.title.is_some() || raw.effect.is_some() || (raw.unused.is_some() && raw.unknown.is_some()) {
                reader.complain(0, "a number that is unused or unknown has no facts".to_owned());
            }
            let xsa = raw.xsa.map_or(0, Spanned::into_inner);
            return reader.problems.into_result(Self::Gap(Gap {
                file: file.to_owned(),
                xsa,
                why,
                is_unused,
                line,
            }));
        }
        if raw.date.is_none() {
            reader.complain(0, "date is missing: when it was published".to_owned());
        }
        if raw.provenance.as_ref().is_none_or(|provenance| provenance.source.is_empty()) {
            reader.complain(
                0,
                "[provenance] is missing: how sure the facts are, and where they are from".to_owned(),
            );
        }
        let description = reader.description(raw);
        reader.problems.into_result(Self::Advisory(Box::new(description)))
    }
}

impl Description {
    /// Reads a description that is to be judged: it may be without a number, a date and a source.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(file: &Path, text: &str, rules: &Rules) -> Result<Self, Problems> {
        let mut reader = Reader::new(file, text, rules, None);
        let Some(raw) = parse::<Raw>(file, text, &mut reader.problems) else { return Err(reader.problems) };
        if raw.unused.is_some() || raw.unknown.is_some() {
            reader.complain(0, "a number without an advisory cannot be judged".to_owned());
            return Err(reader.problems);
        }
        let description = reader.description(raw);
        reader.problems.into_result(description)
    }

    /// What to call it: `XSA-309`, or its title.
    #[must_use]
    pub fn name(&self) -> String {
        self.xsa.map_or_else(|| self.title.clone(), |xsa| format!("XSA-{xsa}"))
    }
}

impl<'a> Reader<'a> {
    fn new(file: &'a Path, text: &'a str, rules: &'a Rules, releases: Option<&'a Releases>) -> Self {
        Reader { file, text, rules, releases, named: Vec::new(), problems: Problems::default() }
    }

    fn complain(&mut self, line: usize, message: String) {
        self.problems.push(Problem::new(self.file, line, message));
    }

    fn line<T>(&self, spanned: &Spanned<T>) -> usize {
        line_of(self.text, &spanned.span())
    }

    /// The number, which a file of the corpus has.
    fn number(&mut self, written: Option<&Spanned<u16>>) {
        let Some(written) = written else {
            return self.complain(0, "xsa is missing: the advisory's number".to_owned());
        };
        if *written.get_ref() < FIRST {
            self.complain(self.line(written), format!("the data begin with XSA-{FIRST}"));
        }
    }

    /// An advisory that this one names.
    fn other(&mut self, written: &Spanned<u16>) -> u16 {
        let xsa = *written.get_ref();
        self.named.push((self.line(written), xsa));
        xsa
    }

    fn description(&mut self, raw: Raw) -> Description {
        if raw.source.is_some() {
            self.complain(0, "source stands under [provenance]".to_owned());
        }
        if raw.title.as_deref().is_none_or(|title| title.trim().is_empty()) {
            self.complain(0, "title is missing: what it is, in a few words".to_owned());
        }
        for cve in &raw.cves {
            self.cve(cve);
        }
        let fix = raw.fix.map(|fix| self.fix(fix));
        let component = self.words("component", &raw.component);
        let mut ways: Vec<_> = raw.ways.iter().map(|way| self.way(way)).collect();
        self.add_implied(&component, &mut ways);
        let affected = raw.affected.map(|affected| self.affected(affected)).unwrap_or_default();
        Description {
            file: self.file.to_owned(),
            line: raw.xsa.as_ref().map_or(0, |xsa| self.line(xsa)),
            named: std::mem::take(&mut self.named),
            xsa: raw.xsa.map(Spanned::into_inner),
            title: raw.title.unwrap_or_default(),
            date: raw.date.and_then(|date| self.date(&date)),
            cves: raw.cves.into_iter().map(Spanned::into_inner).collect(),
            component,
            attacker: self.words("attacker", &raw.attacker),
            reaches: self.words("reaches", &raw.reaches),
            effect: self.word("effect", raw.effect.as_ref()),
            claim: self.word("claim", raw.claim.as_ref()),
            support: self.word("support", raw.support.as_ref()),
            ways,
            conditions: raw.conditions,
            note: raw.note,
            affected,
            fix: fix.unwrap_or_else(|| Fix { kind: self.word("fix", None), ..Fix::default() }),
            provenance: raw.provenance,
            overridden: raw.overridden.and_then(|overridden| self.overridden(overridden)),
        }
    }

    fn cve(&mut self, cve: &Spanned<String>) {
        let is_cve = cve.get_ref().strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(
            |(year, number)| {
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                year.len() == 4 && number.len() >= 4 && digits(year) && digits(number)
            },
        );
        if !is_cve {
            self.complain(self.line(cve), format!("{:?} is no CVE number, as CVE-2019-19578 is", cve.get_ref()));
        }
    }

    fn date(&mut self, written: &Spanned<toml::value::Datetime>) -> Option<Date> {
        let read = day::of(written.get_ref());
        let line = self.line(written);
        match (read, self.releases) {
            (None, _) => self.complain(line, format!("{} is no day", written.get_ref())),
            (Some(day), Some(Releases { until, .. })) if day > *until => {
                self.complain(
                    line,
                    format!("dated after {until}, until which releases.toml says advisories were looked for"),
                );
            }
            _ => {}
        }
        read
    }

    fn word(&mut self, name: &str, written: Option<&Spanned<String>>) -> String {
        let Some(fact) = self.rules.fact(name) else {
            self.complain(0, format!("the rules know no fact {name:?}"));
            return String::new();
        };
        match written {
            Some(word) if fact.has(word.get_ref()) => word.get_ref().clone(),
            Some(word) => {
                let message = format!("{name} {:?}: there are {}", word.get_ref(), fact.list());
                self.complain(self.line(word), message);
                String::new()
            }
            None => fact.default.clone().unwrap_or_else(|| {
                let message = format!("{name} is missing: {} Say one of {}", fact.ask, fact.list());
                self.complain(0, message);
                String::new()
            }),
        }
    }

    fn words(&mut self, name: &str, written: &[Spanned<String>]) -> Vec<String> {
        if written.is_empty() {
            return vec![self.word(name, None)];
        }
        let mut words: Vec<String> = Vec::new();
        for word in written {
            if words.contains(word.get_ref()) {
                self.complain(self.line(word), format!("{name} says {:?} twice", word.get_ref()));
            }
            words.push(self.word(name, Some(word)));
        }
        words
    }

    fn way(&mut self, way: &Spanned<Vec<Spanned<String>>>) -> Vec<String> {
        let line = self.line(way);
        let way = way.get_ref();
        if way.is_empty() {
            self.complain(
                line,
                "a way that needs nothing: leave all ways out, for nothing is needed then".to_owned(),
            );
        }
        for name in way {
            if self.rules.condition(name.get_ref()).is_none() {
                let known: Vec<_> = self.rules.conditions.iter().map(|known| known.name.as_str()).collect();
                let message = format!("{:?} is no condition; there are {}", name.get_ref(), known.join(", "));
                self.complain(self.line(name), message);
            }
        }
        let mut needs: Vec<_> = way.iter().map(|name| name.get_ref().clone()).collect();
        let mut at = 0;
        while let Some(name) = needs.get(at) {
            let implied = self.rules.condition(name).and_then(|condition| condition.implies.clone());
            needs.extend(implied.filter(|implied| !needs.contains(implied)));
            at = at.saturating_add(1);
        }
        needs
    }

    /// What every place of the flaw implies is needed on each way.
    fn add_implied(&self, component: &[String], ways: &mut Vec<Vec<String>>) {
        let words = self.rules.fact("component").map(|fact| fact.words.as_slice()).unwrap_or_default();
        let implied = |name: &String| words.iter().find(|word| word.word == *name)?.implies.clone();
        let Some(condition) = component.first().and_then(implied) else { return };
        if component.iter().any(|name| implied(name).as_ref() != Some(&condition)) {
            return;
        }
        if ways.is_empty() {
            ways.push(Vec::new());
        }
        for way in ways.iter_mut().filter(|way| !way.contains(&condition)) {
            way.push(condition.clone());
        }
    }

    fn branch(&mut self, written: &Spanned<String>) -> Option<(u16, u16)> {
        let text = written.get_ref();
        let release = text.parse::<Release>().ok().filter(|_| text.matches('.').count() == 1);
        if release.is_none() {
            self.complain(self.line(written), format!("{text:?} is no branch, as 4.20 is"));
        }
        release.map(|release| release.branch)
    }

    fn affected(&mut self, raw: RawAffected) -> Affected {
        Affected {
            since: raw.since.and_then(|branch| self.branch(&branch)),
            linux_since: raw.linux_since.and_then(|branch| self.branch(&branch)),
            branches: raw.branches.iter().filter_map(|branch| self.branch(branch)).collect(),
            with_fix_of: raw.with_fix_of.iter().map(|xsa| self.other(xsa)).collect(),
            note: raw.note,
        }
    }

    /// The first release of each branch of Xen, all of which there were.
    fn xen_releases(&mut self, written: &[Spanned<String>]) -> Vec<Release> {
        let first = self.first_releases(written);
        let Some(known) = self.releases else { return first };
        for text in written {
            let Ok(release) = text.get_ref().parse::<Release>() else { continue };
            if !known.has_branch(release.branch) {
                let (major, minor) = release.branch;
                self.complain(self.line(text), format!("releases.toml knows no branch of Xen {major}.{minor}"));
            } else if !known.has(release) {
                self.complain(self.line(text), format!("releases.toml knows no Xen {release}"));
            }
        }
        first
    }

    fn first_releases(&mut self, written: &[Spanned<String>]) -> Vec<Release> {
        let mut releases: Vec<Release> = Vec::new();
        for text in written {
            match text.get_ref().parse::<Release>() {
                Ok(release) if releases.iter().any(|known| known.branch == release.branch) => {
                    self.complain(self.line(text), format!("{release}: its branch has a first release already"));
                }
                Ok(release) => releases.push(release),
                Err(error) => self.complain(self.line(text), error.to_string()),
            }
        }
        releases.sort_unstable();
        releases
    }

    fn fix(&mut self, raw: RawFix) -> Fix {
        for commit in &raw.commits {
            let name = commit.get_ref();
            let is_hex = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !is_hex || !(7..=40).contains(&name.len()) {
                self.complain(
                    self.line(commit),
                    format!("{name:?} is no name of a commit: 7 to 40 hexadecimal digits"),
                );
            }
        }
        if let Some(other) = raw.same_as.as_ref().filter(|_| !raw.xen.is_empty()) {
            self.complain(
                self.line(other),
                "it has releases of its own, so its fix is not that of another".to_owned(),
            );
        }
        Fix {
            kind: self.word("fix", raw.kind.as_ref()),
            commits: raw.commits.into_iter().map(Spanned::into_inner).collect(),
            xen: self.xen_releases(&raw.xen),
            linux: self.first_releases(&raw.linux),
            same_as: raw.same_as.map(|xsa| self.other(&xsa)),
            supersedes: raw.supersedes.iter().map(|xsa| self.other(xsa)).collect(),
        }
    }

    fn overridden(&mut self, written: Spanned<RawOverride>) -> Option<Override> {
        let line = self.line(&written);
        let RawOverride { judgement, bump, reason } = written.into_inner();
        if reason.trim().is_empty() {
            self.complain(line, "an override says why".to_owned());
        }
        let mut components = Vec::new();
        for name in bump {
            match Component::ALL.into_iter().find(|component| component.name() == name) {
                Some(component) => components.push(component),
                None => self.complain(line, format!("{name:?} has no generation: xen or linux-dom0 has")),
            }
        }
        match judgement.parse() {
            Ok(judgement) => Some(Override { judgement, bump: components, reason }),
            Err(message) => {
                self.complain(line, format!("judgement {message}"));
                None
            }
        }
    }
}
