//! The releases of Xen, and until when advisories were looked for.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;
use lockdown_policy::{Problem, Problems, line_of, parse};
use serde::Deserialize;
use toml::Spanned;

use crate::day;
use crate::version::{Release, Version};

/// What was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases {
    /// The last day for which advisories were looked for.
    pub until: Date,
    /// Every release that is known, with its day where that is.
    all: BTreeMap<Release, Option<Date>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    until: Spanned<toml::value::Datetime>,
    branch: Vec<RawBranch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBranch {
    newest: Spanned<String>,
    dates: BTreeMap<Spanned<String>, Spanned<toml::value::Datetime>>,
}

impl Releases {
    /// Reads `releases.toml`.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(raw) = parse::<Raw>(file, text, &mut problems) else { return Err(problems) };
        let mut all = BTreeMap::new();
        let until = day::of(raw.until.get_ref());
        if until.is_none() {
            problems.push(Problem::new(file, line_of(text, &raw.until.span()), "until is no day"));
        }
        for RawBranch { newest, dates } in raw.branch {
            let line = line_of(text, &newest.span());
            let mut complain = |line: usize, message: String| problems.push(Problem::new(file, line, message));
            let newest = match newest.get_ref().parse::<Release>() {
                Ok(newest) => newest,
                Err(error) => {
                    complain(line, error.to_string());
                    continue;
                }
            };
            for point in 0..=newest.point {
                if all.insert(Release { point, ..newest }, None).is_some() {
                    complain(line, format!("{}.{}: the branch stands twice", newest.branch.0, newest.branch.1));
                    break;
                }
            }
            for (name, date) in dates {
                let line = line_of(text, &name.span());
                match (name.get_ref().parse::<Release>(), day::of(date.get_ref())) {
                    (Ok(release), Some(date)) if release.branch == newest.branch && release <= newest => {
                        all.insert(release, Some(date));
                    }
                    (Ok(release), Some(_)) => complain(line, format!("{release} is no release up to {newest}")),
                    (Err(error), _) => complain(line, error.to_string()),
                    (_, None) => complain(line, "no day".to_owned()),
                }
            }
            if all.get(&Release { point: 0, ..newest }).is_none_or(Option::is_none) {
                complain(line, format!("the day of {}.{}.0 is missing", newest.branch.0, newest.branch.1));
            }
        }
        match until {
            Some(until) => problems.into_result(Self { until, all }),
            None => Err(problems),
        }
    }

    /// When a release was made; nothing where that is not known.
    #[must_use]
    pub fn day(&self, release: Release) -> Option<Date> {
        self.all.get(&release).copied().flatten()
    }

    /// Whether there was such a release.
    #[must_use]
    pub fn has(&self, release: Release) -> bool {
        self.all.contains_key(&release)
    }

    /// Whether there was such a branch.
    #[must_use]
    pub fn has_branch(&self, branch: (u16, u16)) -> bool {
        self.all.contains_key(&Release { branch, point: 0 })
    }

    /// The newest release of a branch, or of all.
    #[must_use]
    pub fn newest(&self, branch: Option<(u16, u16)>) -> Option<Release> {
        self.all.keys().copied().filter(|release| branch.is_none_or(|branch| release.branch == branch)).max()
    }

    /// Whether the build is newer than what is known here, so that nothing can be said of it.
    #[must_use]
    pub fn is_beyond(&self, version: &Version) -> bool {
        let newest = self.newest(Some(version.release.branch)).or_else(|| self.newest(None));
        newest.is_some_and(|newest| version.release > newest)
    }
}
