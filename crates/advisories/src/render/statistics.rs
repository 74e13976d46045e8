//! How often a generation has to rise, and what it depends on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::build::Build;
use crate::corpus::Corpus;
use crate::description::Description;
use crate::judgement::judge;
use crate::rules::{Choices, Component, Condition, Verdict};

/// The counts of a year, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Year {
    /// The advisories.
    pub advisories: usize,
    /// Those that answer yes, for each component.
    pub yes: BTreeMap<Component, usize>,
    /// Those for which escalation is stated, of these.
    pub stated: BTreeMap<Component, usize>,
    /// Those that answer conditional.
    pub conditional: BTreeMap<Component, usize>,
    /// Those that become a rule.
    pub rules: usize,
    /// The days with a yes: so often a generation rises.
    pub days: BTreeMap<Component, BTreeSet<Date>>,
    /// The days with a yes or a conditional.
    pub days_at_most: BTreeMap<Component, BTreeSet<Date>>,
}

/// All that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// By year of publication.
    pub years: BTreeMap<i16, Year>,
    /// All together.
    pub all: Year,
    /// Days for each component with one choice made otherwise: the choice, its verdict, days that are sure and at most.
    pub choices: Vec<(String, Verdict, Counts)>,
    /// Days for each component in a Xen without something: the names of the conditions, and the days.
    pub without: Vec<(Vec<String>, Counts)>,
    /// The advisories for Xen that answer yes and need none of the conditions by which a Xen can be made smaller.
    pub irreducible: Vec<u16>,
}

/// Days on which a generation rises: surely, and with what is conditional.
pub type Counts = BTreeMap<Component, (usize, usize)>;

impl Year {
    fn count(&mut self, advisory: &Description, corpus: &Corpus, choices: &Choices, build: &Build) {
        let judgement = judge(advisory, corpus.rules(), choices, build);
        self.advisories += 1;
        self.rules += usize::from(judgement.is_rule && judgement.answer > Verdict::No);
        for component in judgement.bump {
            let (of, days) = if judgement.answer == Verdict::Yes {
                if advisory.claim == "stated" {
                    *self.stated.entry(component).or_default() += 1;
                }
                (&mut self.yes, true)
            } else {
                (&mut self.conditional, false)
            };
            *of.entry(component).or_default() += 1;
            if let Some(date) = advisory.date {
                self.days_at_most.entry(component).or_default().insert(date);
                if days {
                    self.days.entry(component).or_default().insert(date);
                }
            }
        }
    }

    fn counts(&self) -> Counts {
        let days =
            |of: &BTreeMap<Component, BTreeSet<Date>>, component| of.get(&component).map_or(0, BTreeSet::len);
        Component::ALL
            .into_iter()
            .map(|component| (component, (days(&self.days, component), days(&self.days_at_most, component))))
            .collect()
    }
}

impl Statistics {
    /// Counts.
    #[must_use]
    pub fn of(corpus: &Corpus) -> Self {
        let choices = Choices::of(corpus.rules());
        let mut years: BTreeMap<i16, Year> = BTreeMap::new();
        let mut all = Year::default();
        let build = Build::default();
        for advisory in corpus.advisories() {
            all.count(advisory, corpus, &choices, &build);
            if let Some(date) = advisory.date {
                years.entry(date.year()).or_default().count(advisory, corpus, &choices, &build);
            }
        }
        let counted = |choices: &Choices, build: &Build| {
            let mut year = Year::default();
            for advisory in corpus.advisories() {
                year.count(advisory, corpus, choices, build);
            }
            year.counts()
        };
        let mut by_choice = Vec::new();
        for choice in &corpus.rules().choices {
            for verdict in [Verdict::No, Verdict::Conditional, Verdict::Yes] {
                let mut choices = choices.clone();
                choices.set(&choice.name, verdict);
                by_choice.push((choice.name.clone(), verdict, counted(&choices, &build)));
            }
        }
        let smaller = smaller(corpus);
        let without = |names: &[String]| Build { without: names.iter().cloned().collect(), ..Build::default() };
        let sets = smaller.iter().map(|name| vec![name.clone()]).chain([smaller.clone()]);
        let sets = sets.map(|names| {
            let counts = counted(&choices, &without(&names));
            (names, counts)
        });
        let sets: Vec<_> = sets.collect();
        let least = without(&smaller);
        let irreducible = corpus
            .advisories()
            .filter(|advisory| {
                let judgement = judge(advisory, corpus.rules(), &choices, &least);
                judgement.answer == Verdict::Yes && judgement.bump.contains(&Component::Xen)
            })
            .filter_map(|advisory| advisory.xsa)
            .collect();
        Self { years, all, choices: by_choice, without: sets, irreducible }
    }
}

/// Conditions that a Xen can refuse or be built without and still run guests, and that some advisory which counts for it needs.
/// HVM and PV are not both among them: `pv` is, since a dom0 and its guests can do without.
fn smaller(corpus: &Corpus) -> Vec<String> {
    let is_used = |condition: &Condition| {
        corpus.advisories().any(|advisory| advisory.ways.iter().flatten().any(|name| *name == condition.name))
    };
    corpus
        .rules()
        .conditions
        .iter()
        .filter(|condition| condition.dispensable && is_used(condition))
        .map(|condition| condition.name.clone())
        .collect()
}
