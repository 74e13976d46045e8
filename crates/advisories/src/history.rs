//! A downstream's own record: when each generation began, and which advisories it passed over, and why.

use std::path::Path;

use jiff::civil::Date;
use lockdown_policy::{Problem, Problems, line_of, parse};
use serde::Deserialize;
use toml::Spanned;

use crate::day;
use crate::rules::Component;
use crate::version::Version;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Its generations, in the order of the file.
    pub generations: Vec<Generation>,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Whose.
    pub component: Component,
    /// Which.
    pub number: u16,
    /// When the first image with it was published.
    pub date: Date,
    /// The version of that image.
    pub version: Option<Version>,
}

/// An advisory for which a downstream does not raise its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The advisory.
    pub xsa: u16,
    /// Why its images do not need it.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    generation: Vec<Spanned<RawGeneration>>,
    #[serde(default)]
    skipped: Vec<Spanned<RawSkipped>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGeneration {
    component: String,
    number: u16,
    date: toml::value::Datetime,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSkipped {
    xsa: u16,
    why: String,
}

impl History {
    /// Reads a record.
    ///
    /// # Errors
    /// Every mistake, with its place: generations and days rise, and whoever passes over an advisory says why.
    pub fn read(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(raw) = parse::<Raw>(file, text, &mut problems) else { return Err(problems) };
        let mut history = Self::default();
        for spanned in raw.generation {
            let line = line_of(text, &spanned.span());
            let mut complain = |message: String| problems.push(Problem::new(file, line, message));
            let RawGeneration { component, number, date, version } = spanned.into_inner();
            let Some(component) = Component::ALL.into_iter().find(|known| known.name() == component) else {
                complain(format!("{component:?} has no generation: xen or linux-dom0 has"));
                continue;
            };
            let Some(date) = day::of(&date) else {
                complain(format!("{date} is no day"));
                continue;
            };
            let version = match version.as_deref().map(Version::read).transpose() {
                Ok(version) => version,
                Err(error) => {
                    complain(error.to_string());
                    continue;
                }
            };
            let before = history.generations.iter().rev().find(|known| known.component == component);
            if let Some(before) = before.filter(|before| before.number >= number || before.date > date) {
                complain(format!(
                    "generation {number} of {component} on {date} does not come after {} on {}",
                    before.number, before.date
                ));
            }
            history.generations.push(Generation { component, number, date, version });
        }
        for spanned in raw.skipped {
            let line = line_of(text, &spanned.span());
            let RawSkipped { xsa, why } = spanned.into_inner();
            let mut complain = |message: String| problems.push(Problem::new(file, line, message));
            if why.trim().is_empty() {
                complain(format!("XSA-{xsa} is passed over, and nothing says why"));
            }
            if history.skipped.iter().any(|known| known.xsa == xsa) {
                complain(format!("XSA-{xsa} is passed over twice"));
            }
            history.skipped.push(Skipped { xsa, why });
        }
        problems.into_result(history)
    }

    /// When a generation began; the newest one if no number is given.
    #[must_use]
    pub fn began(&self, component: Component, number: Option<u16>) -> Option<&Generation> {
        let mut all = self.generations.iter().rev().filter(|known| known.component == component);
        all.find(|known| number.is_none_or(|number| known.number == number))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::History;
    use crate::rules::Component;

    fn read(text: &str) -> Result<History, String> {
        History::read(Path::new("history.toml"), text).map_err(|problems| problems.to_string())
    }

    const GOOD: &str = "\
[[generation]]
component = \"xen\"
number = 1
date = 2025-04-01
version = \"4.20.0\"

[[generation]]
component = \"xen\"
number = 2
date = 2025-10-01

[[skipped]]
xsa = 496
why = \"4.21 only.\"
";

    #[test]
    fn a_generation_is_found_by_its_number_or_is_the_newest() {
        let history = read(GOOD).unwrap_or_else(|error| panic!("{error}"));
        let number = |wanted| history.began(Component::Xen, wanted).map(|generation| generation.number);
        assert_eq!([number(None), number(Some(1)), number(Some(3))], [Some(2), Some(1), None]);
        assert_eq!(history.began(Component::LinuxDom0, None), None);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, message) in [
            (
                GOOD.replace("number = 2", "number = 1"),
                "history.toml:7: generation 1 of xen on 2025-10-01 does not come after 1 on 2025-04-01",
            ),
            (
                GOOD.replace("2025-10-01", "2024-10-01"),
                "history.toml:7: generation 2 of xen on 2024-10-01 does not come after 1 on 2025-04-01",
            ),
            (GOOD.replace("4.21 only.", " "), "history.toml:12: XSA-496 is passed over, and nothing says why"),
            (
                GOOD.replace("4.20.0", "4.20"),
                "history.toml:1: \"4.20\" names a branch and no release: say which, as in 4.20.1",
            ),
            (
                GOOD.replacen("\"xen\"", "\"shim\"", 1),
                "history.toml:1: \"shim\" has no generation: xen or linux-dom0 has",
            ),
        ] {
            assert_eq!(read(&text), Err(message.to_owned()));
        }
        assert!(read(&GOOD.replace("2025-04-01", "2025-02-30")).is_err());
        assert!(read(&GOOD.replace("number", "nummer")).is_err());
    }
}
