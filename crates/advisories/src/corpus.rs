//! Every advisory that was published, with the rules to judge it by.

mod embedded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockdown_policy::hypercall::DoorName;
use lockdown_policy::{Policy, Problem, Problems, catalogue, files_in, read};

use crate::description::{Description, Gap, Record};
use crate::releases::Releases;
use crate::rules::Rules;

/// The first advisory that is looked at: July 2019.
pub(crate) const FIRST: u16 = 300;

/// The files that a corpus is read from, as texts with their names.
#[derive(Clone, Debug)]
pub struct Sources<'a> {
    /// `policy/judgement/rules.toml`.
    pub rules: (&'a Path, &'a str),
    /// `policy/judgement/conditions.toml`.
    pub conditions: (&'a Path, &'a str),
    /// `policy/judgement/releases.toml`.
    pub releases: (&'a Path, &'a str),
    /// The files of `policy/advisories`.
    pub advisories: Vec<(&'a Path, &'a str)>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    rules: Rules,
    releases: Releases,
    records: BTreeMap<u16, Record>,
}

impl Corpus {
    /// What this crate was built with.
    ///
    /// # Errors
    /// None, as long as what is committed is what was checked.
    pub fn embedded() -> Result<Self, Problems> {
        let rule_ids: Vec<_> = catalogue::BOUNDARY.iter().map(|rule| rule.id).collect();
        let advisories = embedded::ADVISORIES.iter().map(|(name, text)| (Path::new(name), *text)).collect();
        let sources = Sources {
            rules: (Path::new("policy/judgement/rules.toml"), embedded::RULES),
            conditions: (Path::new("policy/judgement/conditions.toml"), embedded::CONDITIONS),
            releases: (Path::new("policy/judgement/releases.toml"), embedded::RELEASES),
            advisories,
        };
        Self::read(&sources, &rule_ids)
    }

    /// What stands in a folder `policy/`, held against the policy that stands there too.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn load(folder: &Path, policy: &Policy) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut text = |path: PathBuf| {
            let text = read(&path, &mut problems).unwrap_or_default();
            (path, text)
        };
        let judgement = folder.join("judgement");
        let [rules, conditions, releases] =
            ["rules.toml", "conditions.toml", "releases.toml"].map(|name| text(judgement.join(name)));
        let mut listed = Problems::default();
        let advisories: Vec<_> =
            files_in(&folder.join("advisories"), &mut listed).into_iter().map(&mut text).collect();
        problems.0.extend(listed.0);
        problems.into_result(())?;
        let rule_ids: Vec<_> = policy.boundary.iter().map(|rule| rule.id.as_str()).collect();
        let corpus = Self::read(
            &Sources {
                rules: (&rules.0, &rules.1),
                conditions: (&conditions.0, &conditions.1),
                releases: (&releases.0, &releases.1),
                advisories: advisories.iter().map(|(path, text)| (path.as_path(), text.as_str())).collect(),
            },
            &rule_ids,
        )?;
        corpus.check_refusals(policy, &conditions.0)?;
        Ok(corpus)
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(sources: &Sources<'_>, boundary: &[&str]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let rules = Rules::read(sources.rules, sources.conditions, boundary)?;
        let releases = Releases::read(sources.releases.0, sources.releases.1)?;
        let mut records: BTreeMap<u16, Record> = BTreeMap::new();
        for (file, text) in &sources.advisories {
            let record = match Record::read(file, text, &rules, &releases) {
                Ok(record) => record,
                Err(found) => {
                    problems.0.extend(found.0);
                    continue;
                }
            };
            let xsa = record.xsa();
            if let Some(other) = records.get(&xsa) {
                let message = format!("XSA-{xsa} stands in {} already", other.file().display());
                problems.push(Problem::new(file, record.line(), message));
            } else if file.file_name().is_none_or(|name| name != format!("xsa-{xsa}.toml").as_str()) {
                problems.push(Problem::new(
                    file,
                    record.line(),
                    format!("XSA-{xsa} stands in a file xsa-{xsa}.toml"),
                ));
            }
            records.insert(xsa, record);
        }
        let corpus = Self { rules, releases, records };
        corpus.check(&mut problems);
        problems.into_result(corpus)
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The releases of Xen.
    #[must_use]
    pub fn releases(&self) -> &Releases {
        &self.releases
    }

    /// The advisories, by number.
    pub fn advisories(&self) -> impl Iterator<Item = &Description> {
        self.records.values().filter_map(|record| match record {
            Record::Advisory(description) => Some(&**description),
            Record::Gap(_) => None,
        })
    }

    /// The numbers without an advisory.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.records.values().filter_map(|record| match record {
            Record::Gap(gap) => Some(gap),
            Record::Advisory(_) => None,
        })
    }

    /// Every number that has a file.
    pub fn numbers(&self) -> impl Iterator<Item = u16> {
        self.records.keys().copied()
    }

    /// An advisory by its number.
    #[must_use]
    pub fn advisory(&self, xsa: u16) -> Option<&Description> {
        match self.records.get(&xsa)? {
            Record::Advisory(description) => Some(description),
            Record::Gap(_) => None,
        }
    }

    /// What is known of a number.
    #[must_use]
    pub fn record(&self, xsa: u16) -> Option<&Record> {
        self.records.get(&xsa)
    }

    /// The last advisory that is known.
    #[must_use]
    pub fn last(&self) -> Option<&Description> {
        self.advisories().last()
    }

    fn check(&self, problems: &mut Problems) {
        let last = self.records.keys().copied().last().unwrap_or(FIRST);
        for xsa in (FIRST..=last).filter(|xsa| !self.records.contains_key(xsa)) {
            let file = self.records.values().next().map_or(Path::new("advisories"), |record| record.file());
            let message = format!("XSA-{xsa} has no file: write one, with `unknown` if nothing is known of it");
            problems.push(Problem::new(file.parent().unwrap_or(file), 0, message));
        }
        for advisory in self.advisories() {
            for (line, xsa) in &advisory.named {
                let mut complain = |message: String| problems.push(Problem::new(&advisory.file, *line, message));
                if self.advisory(*xsa).is_none() {
                    complain(format!("XSA-{xsa} has no advisory here"));
                } else if Some(*xsa) >= advisory.xsa {
                    complain(format!("XSA-{xsa} is not older"));
                }
            }
        }
    }

    /// What conditions.toml says the gate refuses it refuses.
    fn check_refusals(&self, policy: &Policy, file: &Path) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for condition in &self.rules.conditions {
            for name in &condition.refuses {
                let entries = policy.hypercalls.iter().flat_map(|hypercall| &hypercall.operations);
                if !entries
                    .into_iter()
                    .any(|operation| operation.name == *name && operation.door == DoorName::Gate)
                {
                    let message =
                        format!("{}: policy/hypercalls has no {name} that the gate refuses", condition.name);
                    problems.push(Problem::new(file, 0, message));
                }
            }
        }
        problems.into_result(())
    }
}

impl Record {
    /// Its number.
    #[must_use]
    pub fn xsa(&self) -> u16 {
        match self {
            Self::Advisory(description) => description.xsa.unwrap_or_default(),
            Self::Gap(gap) => gap.xsa,
        }
    }

    /// The line with its number.
    fn line(&self) -> usize {
        match self {
            Self::Advisory(description) => description.line,
            Self::Gap(gap) => gap.line,
        }
    }

    fn file(&self) -> &Path {
        match self {
            Self::Advisory(description) => &description.file,
            Self::Gap(gap) => &gap.file,
        }
    }
}
