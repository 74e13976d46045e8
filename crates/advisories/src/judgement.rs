//! What the rules say of an issue.

use std::fmt;

use crate::build::Build;
use crate::description::{Description, Override};
use crate::rules::{About, Answer, Choices, Component, Condition, Row, Rules, Verdict};

/// A rule that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'r> {
    /// The rule.
    pub row: &'r Row,
    /// What it was asked about.
    pub about: About,
    /// The condition that it was asked about, where it was.
    pub condition: Option<&'r Condition>,
    /// The open question that decided, and what was chosen.
    pub choice: Option<(&'r str, Verdict)>,
    /// What of the build decided instead.
    pub build: Option<String>,
    /// What came of it.
    pub verdict: Verdict,
}

/// Whether an issue is a security issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    /// It is, with or without lockdown.
    Yes,
    /// It is, because it breaches the boundary.
    AsBreach,
    /// It is not.
    No,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::AsBreach => "yes, as a breach of the boundary",
            Self::No => "no",
        })
    }
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement<'r> {
    /// Whether a generation has to rise.
    pub answer: Verdict,
    /// Whose.
    pub bump: Vec<Component>,
    /// Whether it breaches the boundary, whatever there is to fix it.
    pub breach: Verdict,
    /// Whether it is about something that the boundary guards, whatever else it needs.
    pub in_scope: Verdict,
    /// Whether it is a security issue.
    pub issue: Issue,
    /// Whether it becomes a rule, for want of something to revoke.
    pub is_rule: bool,
    /// The rules that were applied, in order.
    pub steps: Vec<Step<'r>>,
    /// What has to hold for it to count, where that is not known.
    pub applies_if: Vec<String>,
    /// Which versions have it, where not all do.
    pub versions: Vec<String>,
    /// What makes it moot: any one of these.
    pub not_if: Vec<String>,
    /// Who gave the judgement against the rules, and why; `answer` and `bump` are theirs.
    pub overridden: Option<Override>,
}

impl Judgement<'_> {
    /// The numbers of the rules that were applied, each once.
    #[must_use]
    pub fn rules(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for step in &self.steps {
            if !ids.contains(&step.row.id.as_str()) {
                ids.push(&step.row.id);
            }
        }
        ids
    }
}

/// Judges a description. Rules are asked in their order, and the first that says no is the last one that is asked.
///
/// A description that was read with these rules has a row for each of its words, so nothing is left undecided; if it was read
/// with others, what no row is for counts as no.
#[must_use]
pub fn judge<'r>(description: &Description, rules: &'r Rules, choices: &Choices, build: &Build) -> Judgement<'r> {
    let judge = Judge { description, rules, choices, build };
    let mut steps = Vec::new();
    let mut bump = Vec::new();
    let mut in_scope = judge.component(&mut steps, &mut bump);
    if in_scope > Verdict::No {
        in_scope = in_scope.min(judge.strongest(About::Effect, &judge.effect_words(), &mut steps));
    }
    if in_scope > Verdict::No {
        in_scope = in_scope.min(judge.strongest(About::Attacker, &judge.attacker_words(&[]), &mut steps));
    }
    let mut answer = in_scope;
    if answer > Verdict::No {
        answer = answer.min(judge.conditions(&mut steps));
    }
    let breach = answer;
    let mut is_rule = false;
    if answer > Verdict::No {
        let (fix, rule) = judge.fix(&mut steps);
        answer = answer.min(fix);
        is_rule = rule;
    }
    let issue = judge.issue(in_scope, &mut steps);
    if answer == Verdict::No || is_rule {
        bump.clear();
    }
    let (applies_if, not_if) = if in_scope > Verdict::No { judge.limits() } else { (Vec::new(), Vec::new()) };
    let versions = if in_scope > Verdict::No { judge.versions() } else { Vec::new() };
    let overridden = description.overridden.clone();
    if let Some(overridden) = &overridden {
        answer = overridden.judgement;
        bump.clone_from(&overridden.bump);
    }
    Judgement { answer, bump, breach, in_scope, issue, is_rule, steps, applies_if, versions, not_if, overridden }
}

struct Judge<'a, 'r> {
    description: &'a Description,
    rules: &'r Rules,
    choices: &'a Choices,
    build: &'a Build,
}

type Words<'a> = Vec<Vec<(&'a str, &'a str)>>;

impl<'a, 'r> Judge<'a, 'r> {
    fn effect_words(&self) -> Words<'a> {
        vec![vec![("effect", &self.description.effect), ("claim", &self.description.claim)]]
    }

    fn attacker_words(&self, more: &[(&'a str, &'a str)]) -> Words<'a> {
        let one = |attacker: &'a String| {
            let mut words = vec![("attacker", attacker.as_str())];
            words.extend_from_slice(more);
            words
        };
        self.description.attacker.iter().map(one).collect()
    }

    /// What a row's answer comes to.
    fn step(&self, about: About, row: &'r Row) -> Step<'r> {
        let (verdict, choice) = match &row.answer {
            Answer::Verdict(verdict) => (*verdict, None),
            Answer::Open(name) => {
                let chosen = self.choices.get(name);
                (chosen, Some((name.as_str(), chosen)))
            }
            Answer::Component(_) | Answer::IfBreach => (Verdict::Yes, None),
            Answer::Rule => (Verdict::Conditional, None),
        };
        Step { row, about, condition: None, choice, build: None, verdict }
    }

    /// Of several words the one that goes furthest.
    fn strongest(&self, about: About, words: &Words<'_>, steps: &mut Vec<Step<'r>>) -> Verdict {
        let rows = words.iter().filter_map(|words| self.rules.row(about, words));
        let mut best: Option<Step<'r>> = None;
        for step in rows.map(|row| self.step(about, row)) {
            if best.as_ref().is_none_or(|best| step.verdict > best.verdict) {
                best = Some(step);
            }
        }
        let verdict = best.as_ref().map_or(Verdict::No, |step| step.verdict);
        steps.extend(best);
        verdict
    }

    fn component(&self, steps: &mut Vec<Step<'r>>, bump: &mut Vec<Component>) -> Verdict {
        let Description { reaches, component, .. } = self.description;
        let pairs = reaches.iter().flat_map(|reached| {
            component
                .iter()
                .map(move |component| [("reaches", reached.as_str()), ("component", component.as_str())])
        });
        let rows: Vec<&'r Row> = pairs.filter_map(|words| self.rules.row(About::Component, &words)).collect();
        let mut used: Vec<&'r Row> = Vec::new();
        for row in rows.iter().filter(|row| matches!(row.answer, Answer::Component(_))) {
            if let Answer::Component(component) = row.answer {
                if !bump.contains(&component) {
                    bump.push(component);
                    used.push(row);
                }
            }
        }
        let verdict = if used.is_empty() { Verdict::No } else { Verdict::Yes };
        if used.is_empty() {
            used.extend(rows.first());
        }
        steps.extend(used.into_iter().map(|row| Step { verdict, ..self.step(About::Component, row) }));
        verdict
    }

    fn condition_step(&self, name: &str) -> Option<Step<'r>> {
        let condition = self.rules.condition(name)?;
        let row = self.rules.row(About::Conditions, &[("need", &condition.kind)])?;
        let mut step = Step { condition: Some(condition), ..self.step(About::Conditions, row) };
        if let Some((verdict, why)) = self.build.decides(condition) {
            step = Step { choice: None, build: Some(why), verdict, ..step };
        }
        Some(step)
    }

    /// The way that can be gone furthest, and how far that is: as far as the least of its conditions.
    fn conditions(&self, steps: &mut Vec<Step<'r>>) -> Verdict {
        if self.description.ways.is_empty() {
            return Verdict::Yes;
        }
        let mut best: (Verdict, Vec<Step<'r>>) = (Verdict::No, Vec::new());
        for way in &self.description.ways {
            let way: Vec<_> = way.iter().filter_map(|name| self.condition_step(name)).collect();
            let verdict = way.iter().map(|step| step.verdict).min().unwrap_or(Verdict::No);
            if best.1.is_empty() || verdict > best.0 {
                best = (verdict, way);
            }
        }
        steps.extend(best.1);
        best.0
    }

    fn fix(&self, steps: &mut Vec<Step<'r>>) -> (Verdict, bool) {
        let Some(row) = self.rules.row(About::Fix, &[("fix", &self.description.fix.kind)]) else {
            return (Verdict::No, false);
        };
        let step = self.step(About::Fix, row);
        let verdict = step.verdict;
        steps.push(step);
        (verdict, row.answer == Answer::Rule)
    }

    fn issue(&self, in_scope: Verdict, steps: &mut Vec<Step<'r>>) -> Issue {
        let words = self.attacker_words(&[("support", &self.description.support)]);
        let rows: Vec<_> = words.iter().filter_map(|words| self.rules.row(About::Issue, words)).collect();
        let rank = |row: &&&'r Row| match row.answer {
            Answer::Verdict(Verdict::Yes) => 2,
            Answer::IfBreach => 1,
            _ => 0,
        };
        let Some(row) = rows.iter().max_by_key(rank) else { return Issue::No };
        let issue = match row.answer {
            Answer::Verdict(Verdict::Yes) => Issue::Yes,
            Answer::IfBreach if in_scope > Verdict::No => Issue::AsBreach,
            _ => Issue::No,
        };
        let verdict = if issue == Issue::No { Verdict::No } else { Verdict::Yes };
        steps.push(Step { verdict, ..self.step(About::Issue, row) });
        issue
    }

    /// What it applies to only, and what makes it moot, as far as the build does not say.
    fn limits(&self) -> (Vec<String>, Vec<String>) {
        let mut applies_if = Vec::new();
        let mut ways = Vec::new();
        for way in &self.description.ways {
            let steps: Vec<_> = way.iter().filter_map(|name| self.condition_step(name)).collect();
            // A way that this build closes says nothing any more.
            if steps.iter().any(|step| step.build.is_some() && step.verdict == Verdict::No) {
                continue;
            }
            let needs: Vec<_> = steps
                .iter()
                .filter(|step| step.verdict == Verdict::Conditional)
                .filter_map(|step| step.condition.map(Condition::requirement))
                .collect();
            ways.push((needs, steps));
        }
        // Only where each way needs something is that something to be known.
        if !ways.is_empty() && ways.iter().all(|(needs, _)| !needs.is_empty()) {
            let each: Vec<_> = ways.iter().map(|(needs, _)| needs.join(" and ")).collect();
            match each.as_slice() {
                [_] => applies_if.extend(ways.iter().flat_map(|(needs, _)| needs.clone())),
                _ => applies_if.push(each.join(", or ")),
            }
        }
        // A build that has an option can still be without what it is for.
        let undecided = |steps: &[Step<'r>]| -> Vec<String> {
            let open = steps.iter().filter_map(|step| Some((step.condition?, step.build.is_some())));
            let without = open.flat_map(|(condition, is_built)| match is_built {
                true => condition.without_building_anew(),
                false => condition.without(),
            });
            without.collect()
        };
        let mut not_if: Vec<Vec<String>> = vec![Vec::new()];
        for (_, steps) in &ways {
            let exclusions = undecided(steps);
            let longer = not_if.iter().flat_map(|chosen| {
                exclusions.iter().map(move |exclusion| {
                    let mut chosen = chosen.clone();
                    if !chosen.contains(exclusion) {
                        chosen.push(exclusion.clone());
                    }
                    chosen
                })
            });
            not_if = longer.collect();
        }
        let not_if = not_if
            .into_iter()
            .filter(|each| !each.is_empty() && !contradicts(each))
            .map(|each| each.join(" and "))
            .collect();
        (applies_if, not_if)
    }

    fn versions(&self) -> Vec<String> {
        let affected = &self.description.affected;
        let branch = |(major, minor): (u16, u16)| format!("{major}.{minor}");
        let mut texts = Vec::new();
        texts.extend(affected.since.map(|since| format!("Xen {} or newer", branch(since))));
        texts.extend(affected.linux_since.map(|since| format!("Linux {} or newer", branch(since))));
        if !affected.branches.is_empty() {
            let branches: Vec<_> = affected.branches.iter().map(|each| branch(*each)).collect();
            texts.push(format!("Xen {} only", branches.join(", ")));
        }
        if !affected.with_fix_of.is_empty() {
            let fixes: Vec<_> = affected.with_fix_of.iter().map(|xsa| format!("XSA-{xsa}")).collect();
            texts.push(format!("the fix of {} is in", fixes.join(" or ")));
        }
        texts
    }
}

/// An option that is to be both.
fn contradicts(exclusions: &[String]) -> bool {
    let opposite = |text: &String| text.strip_suffix("=n").map(|option| format!("{option}=y"));
    exclusions.iter().filter_map(opposite).any(|opposite| exclusions.contains(&opposite))
}
