//! The rules of judgement: what a description says, the questions that are asked of it, and what is left to choose.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use lockdown_policy::{Problem, Problems, line_of, parse};
use serde::Deserialize;
use toml::Spanned;

use crate::build::Arch;

/// How far an issue goes, or how far a condition is met. Less is the weaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Not.
    No,
    /// For some builds, or as long as nobody has shown that it is not.
    Conditional,
    /// Yes.
    Yes,
}

/// What has a generation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Xen.
    Xen,
    /// The kernel of dom0.
    LinuxDom0,
}

/// What a question is about. Each stands once in the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// Whether what is reached is privileged, and whose generation counts.
    Component,
    /// Whether it is changed.
    Effect,
    /// Whether an unprivileged party can do it.
    Attacker,
    /// Whether a condition can be met.
    Conditions,
    /// Whether something newer can be booted instead.
    Fix,
    /// Whether it is a security issue at all.
    Issue,
}

/// What a row answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A verdict.
    Verdict(Verdict),
    /// The verdict that was chosen for this open question.
    Open(String),
    /// Privileged, and this component's.
    Component(Component),
    /// There is nothing to revoke: it becomes a rule.
    Rule,
    /// Where it breaches the boundary.
    IfBreach,
}

/// A word of a fact's vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// As descriptions write it.
    pub word: String,
    /// What it means.
    pub text: String,
    /// A condition that an issue needs with it, said or not.
    pub implies: Option<String>,
}

/// Something that a description says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Its key.
    pub name: String,
    /// It as a question.
    pub ask: String,
    /// Whether more than one word may stand.
    pub many: bool,
    /// What holds where nothing is said.
    pub default: Option<String>,
    /// Its words.
    pub words: Vec<Word>,
}

/// A question of the rules: a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// `J1`.
    pub id: String,
    /// What it is about.
    pub about: About,
    /// The facts that it looks at.
    pub asks: Vec<String>,
    /// It in words.
    pub title: String,
    /// Its rows. Each combination of words is in exactly one.
    pub rows: Vec<Row>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `J1.1`.
    pub id: String,
    /// The words of each fact that it is for; a fact that is not there may be any.
    pub when: BTreeMap<String, Vec<String>>,
    /// The rules of the boundary that it applies.
    pub boundary: Vec<String>,
    /// What it answers.
    pub answer: Answer,
    /// Why.
    pub why: String,
}

/// What the rules leave to whoever applies them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// It as a question.
    pub ask: String,
    /// What is chosen unless somebody says otherwise.
    pub default: Verdict,
    /// Why that.
    pub why: String,
}

/// Something that an issue can need.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its name.
    pub name: String,
    /// A word of the fact `need`.
    pub kind: String,
    /// It in words.
    pub text: String,
    /// The condition that it needs itself.
    pub implies: Option<String>,
    /// The build option that decides it, without `CONFIG_`.
    pub kconfig: Option<String>,
    /// What that has to be: `y` unless said.
    pub value: Option<String>,
    /// Whose option it is: `xen` unless said, or `linux`.
    pub of: Option<String>,
    /// The only architecture that has it: `arm`. An image for another one is without it.
    pub arch: Option<Arch>,
    /// What signed text can say to be without it.
    pub option: Option<String>,
    /// The operations whose refusal by a locked Xen takes it away.
    #[serde(default)]
    pub refuses: Vec<String>,
    /// Whether a host can run guests without it. The reference counts what that would have saved.
    #[serde(default)]
    pub dispensable: bool,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What descriptions say.
    pub facts: Vec<Fact>,
    /// What is asked, in order.
    pub questions: Vec<Question>,
    /// What is left to choose.
    pub choices: Vec<Choice>,
    /// What issues can need.
    pub conditions: Vec<Condition>,
}

/// What was chosen for the open questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices(BTreeMap<String, Verdict>);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::No => "no",
            Self::Conditional => "conditional",
            Self::Yes => "yes",
        })
    }
}

impl Verdict {
    /// As a sentence begins with it.
    #[must_use]
    pub fn capital(self) -> &'static str {
        match self {
            Self::No => "No",
            Self::Conditional => "Conditional",
            Self::Yes => "Yes",
        }
    }
}

impl std::str::FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "no" => Ok(Self::No),
            "conditional" => Ok(Self::Conditional),
            "yes" => Ok(Self::Yes),
            _ => Err(format!("{text:?}: say yes, no or conditional")),
        }
    }
}

impl Component {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Xen, Self::LinuxDom0];

    /// As the rules and the feed write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xen => "xen",
            Self::LinuxDom0 => "linux-dom0",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::Open(choice) => write!(f, "open: {choice}"),
            Self::Component(component) => component.fmt(f),
            Self::Rule => f.write_str("nothing to revoke"),
            Self::IfBreach => f.write_str("if it is a breach"),
        }
    }
}

impl Answer {
    fn read(text: &str) -> Option<Self> {
        if let Some(choice) = text.strip_prefix("open:") {
            return Some(Self::Open(choice.to_owned()));
        }
        match text {
            "rule" => Some(Self::Rule),
            "if-breach" => Some(Self::IfBreach),
            _ => Component::ALL
                .into_iter()
                .find(|component| component.name() == text)
                .map(Self::Component)
                .or_else(|| text.parse().ok().map(Self::Verdict)),
        }
    }

    /// Whether a question of this kind may be answered so.
    fn suits(&self, about: About) -> bool {
        match about {
            About::Component => matches!(self, Self::Component(_) | Self::Verdict(Verdict::No)),
            About::Effect | About::Attacker | About::Conditions => {
                matches!(self, Self::Verdict(_) | Self::Open(_))
            }
            About::Fix => matches!(self, Self::Verdict(_) | Self::Rule),
            About::Issue => matches!(self, Self::Verdict(Verdict::Yes | Verdict::No) | Self::IfBreach),
        }
    }
}

impl Condition {
    /// What has to hold for it, in a build.
    #[must_use]
    pub fn requirement(&self) -> String {
        match &self.kconfig {
            Some(option) => {
                format!("CONFIG_{option}={}{}", if self.wants_option() { "y" } else { "n" }, self.whose())
            }
            None => self.text.clone(),
        }
    }

    /// The ways to be without it.
    #[must_use]
    pub fn without(&self) -> Vec<String> {
        let value = if self.wants_option() { "n" } else { "y" };
        let option = self.kconfig.as_ref().map(|option| format!("CONFIG_{option}={value}{}", self.whose()));
        let line = self.option.as_ref().map(|option| format!("{option} on the signed command line"));
        let refused = self.refuses.join(", ");
        let refused = (!refused.is_empty()).then(|| format!("a Xen that refuses {refused}"));
        [option, line, refused].into_iter().flatten().collect()
    }

    /// The ways to be without it in a build that was configured to have it.
    #[must_use]
    pub fn without_building_anew(&self) -> Vec<String> {
        Self { kconfig: None, ..self.clone() }.without()
    }

    /// Whether its build option has to be set, and not to be unset.
    pub(crate) fn wants_option(&self) -> bool {
        self.value.as_deref() != Some("n")
    }

    /// Whether its build option is one of dom0's kernel.
    pub(crate) fn is_of_linux(&self) -> bool {
        self.of.as_deref() == Some("linux")
    }

    fn whose(&self) -> &'static str {
        if self.is_of_linux() { " in dom0's kernel" } else { "" }
    }
}

impl Fact {
    /// Whether the word is one of its words.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known.word == word)
    }

    /// What a word means.
    #[must_use]
    pub fn meaning(&self, word: &str) -> Option<&str> {
        self.words.iter().find(|known| known.word == word).map(|known| known.text.as_str())
    }

    /// Its words, for a message.
    #[must_use]
    pub fn list(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|known| known.word.as_str()).collect();
        words.join(", ")
    }
}

impl Row {
    /// Whether it is for these words, a pair of fact and word each.
    #[must_use]
    pub fn is_for(&self, words: &[(&str, &str)]) -> bool {
        self.when.iter().all(|(fact, wanted)| {
            words.iter().any(|(name, word)| name == fact && wanted.iter().any(|wanted| wanted == word))
        })
    }
}

impl Choices {
    /// What the rules choose themselves.
    #[must_use]
    pub fn of(rules: &Rules) -> Self {
        Self(rules.choices.iter().map(|choice| (choice.name.clone(), choice.default)).collect())
    }

    /// Chooses otherwise. Nothing happens if there is no such question.
    pub fn set(&mut self, name: &str, verdict: Verdict) {
        if let Some(chosen) = self.0.get_mut(name) {
            *chosen = verdict;
        }
    }

    /// What is chosen. An open question that nobody knows cannot be met.
    #[must_use]
    pub fn get(&self, name: &str) -> Verdict {
        self.0.get(name).copied().unwrap_or(Verdict::No)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Verdict)> {
        self.0.iter().map(|(name, verdict)| (name.as_str(), *verdict))
    }
}

impl Rules {
    /// Reads and checks the rules.
    ///
    /// # Errors
    /// Every mistake, with its place: unknown words, a combination of words that is decided twice or not at all, a question that
    /// is missing, a rule of the boundary or a choice that does not exist.
    pub fn read(rules: (&Path, &str), conditions: (&Path, &str), boundary: &[&str]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let (Some(raw), Some(list)) = (
            parse::<RawRules>(rules.0, rules.1, &mut problems),
            parse::<RawConditions>(conditions.0, conditions.1, &mut problems),
        ) else {
            return Err(problems);
        };
        let RawRules { fact, question, choice } = raw;
        let facts: Vec<Fact> = fact.into_iter().map(Spanned::into_inner).collect();
        let choices = read_choices(choice, rules, &mut problems);
        let questions = read_questions(question, &facts, &choices, boundary, rules, &mut problems);
        let conditions = read_conditions(list.condition, &facts, conditions, &mut problems);
        for word in facts.iter().flat_map(|fact| &fact.words) {
            let implied = word.implies.as_ref();
            if let Some(name) = implied.filter(|name| !conditions.iter().any(|known| known.name == **name)) {
                let message = format!("{} implies {name:?}, which is no condition", word.word);
                problems.push(Problem::new(rules.0, 0, message));
            }
        }
        problems.into_result(Self { facts, questions, choices, conditions })
    }

    /// A fact by its name.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.name == name)
    }

    /// A condition by its name.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.name == name)
    }

    /// The question about something.
    #[must_use]
    pub fn question(&self, about: About) -> Option<&Question> {
        self.questions.iter().find(|question| question.about == about)
    }

    /// The row for these words.
    #[must_use]
    pub fn row(&self, about: About, words: &[(&str, &str)]) -> Option<&Row> {
        self.question(about)?.rows.iter().find(|row| row.is_for(words))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    fact: Vec<Spanned<Fact>>,
    question: Vec<Spanned<RawQuestion>>,
    choice: Vec<Spanned<RawChoice>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    id: String,
    about: About,
    asks: Vec<String>,
    title: String,
    rows: Vec<Spanned<RawRow>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    id: String,
    boundary: Vec<String>,
    when: BTreeMap<String, Vec<String>>,
    answer: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChoice {
    name: String,
    ask: String,
    default: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConditions {
    condition: Vec<Spanned<Condition>>,
}

fn read_choices(
    raw: Vec<Spanned<RawChoice>>,
    (file, text): (&Path, &str),
    problems: &mut Problems,
) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::new();
    for spanned in raw {
        let line = line_of(text, &spanned.span());
        let RawChoice { name, ask, default, why } = spanned.into_inner();
        if choices.iter().any(|choice| choice.name == name) {
            problems.push(Problem::new(file, line, format!("the choice {name:?} stands twice")));
        }
        let default = default.parse().unwrap_or_else(|message: String| {
            problems.push(Problem::new(file, line, format!("default {message}")));
            Verdict::No
        });
        choices.push(Choice { name, ask, default, why });
    }
    choices
}

fn read_questions(
    raw: Vec<Spanned<RawQuestion>>,
    facts: &[Fact],
    choices: &[Choice],
    boundary: &[&str],
    (file, text): (&Path, &str),
    problems: &mut Problems,
) -> Vec<Question> {
    let line_at = |span: &Range<usize>| line_of(text, span);
    let mut questions: Vec<Question> = Vec::new();
    for spanned in raw {
        let line = line_at(&spanned.span());
        let RawQuestion { id, about, asks, title, rows: raw } = spanned.into_inner();
        let mut complain = |line: usize, message: String| problems.push(Problem::new(file, line, message));
        if questions.iter().any(|question| question.id == id || question.about == about) {
            complain(line, format!("question {id} stands twice, or another one is about the same"));
        }
        for fact in asks.iter().filter(|name| !facts.iter().any(|fact| fact.name == **name)) {
            complain(line, format!("question {id} asks for {fact:?}, which is no fact"));
        }
        let mut rows: Vec<Row> = Vec::new();
        for spanned in raw {
            let line = line_at(&spanned.span());
            let RawRow { id: row, boundary: applies, when, answer, why } = spanned.into_inner();
            if applies.is_empty() {
                complain(line, format!("rule {row} applies no rule of the boundary"));
            }
            for rule in applies.iter().filter(|rule| !boundary.contains(&rule.as_str())) {
                complain(line, format!("rule {row}: the boundary has no rule {rule}"));
            }
            if rows.iter().any(|other| other.id == row) || !row.starts_with(&format!("{id}.")) {
                complain(line, format!("rule {row} stands twice, or is not of question {id}"));
            }
            for (name, words) in &when {
                let Some(fact) = facts.iter().find(|fact| fact.name == *name && asks.contains(name)) else {
                    complain(line, format!("rule {row} looks at {name:?}, which question {id} does not ask for"));
                    continue;
                };
                for word in words.iter().filter(|word| !fact.has(word)) {
                    complain(line, format!("rule {row}: {name} has no word {word:?}; there are {}", fact.list()));
                }
            }
            let Some(answer) = Answer::read(&answer).filter(|answer| answer.suits(about)) else {
                complain(line, format!("rule {row} answers {answer:?}, which this question has no use for"));
                continue;
            };
            if let Answer::Open(choice) = &answer {
                if !choices.iter().any(|known| known.name == *choice) {
                    complain(line, format!("rule {row} leaves open {choice:?}, which is no choice"));
                }
            }
            rows.push(Row { id: row, boundary: applies, when, answer, why });
        }
        for words in combinations(&asks, facts) {
            let found: Vec<_> = rows.iter().filter(|row| row.is_for(&words)).map(|row| row.id.as_str()).collect();
            let shown: Vec<_> = words.iter().map(|(fact, word)| format!("{fact} {word}")).collect();
            match found.as_slice() {
                [_] => {}
                [] => complain(line, format!("question {id} does not decide: {}", shown.join(", "))),
                many => {
                    complain(
                        line,
                        format!("question {id} decides twice: {} ({})", shown.join(", "), many.join(", ")),
                    );
                }
            }
        }
        questions.push(Question { id, about, asks, title, rows });
    }
    let all = [About::Component, About::Effect, About::Attacker, About::Conditions, About::Fix, About::Issue];
    for about in all.iter().filter(|about| !questions.iter().any(|question| question.about == **about)) {
        problems.push(Problem::new(file, 0, format!("no question is about {about:?}")));
    }
    let is_used = |choice: &Choice| {
        let rows = questions.iter().flat_map(|question| &question.rows);
        rows.map(|row| &row.answer).any(|answer| *answer == Answer::Open(choice.name.clone()))
    };
    for choice in choices.iter().filter(|choice| !is_used(choice)) {
        problems.push(Problem::new(file, 0, format!("no rule leaves {:?} open", choice.name)));
    }
    questions
}

/// Every way to choose a word of each fact.
pub(crate) fn combinations<'a>(asks: &'a [String], facts: &'a [Fact]) -> Vec<Vec<(&'a str, &'a str)>> {
    let mut all: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    for name in asks {
        let Some(fact) = facts.iter().find(|fact| fact.name == *name) else { continue };
        let longer = all.iter().flat_map(|chosen| {
            fact.words.iter().map(move |word| {
                let mut chosen = chosen.clone();
                chosen.push((name, word.word.as_str()));
                chosen
            })
        });
        all = longer.collect();
    }
    all
}

fn read_conditions(
    raw: Vec<Spanned<Condition>>,
    facts: &[Fact],
    (file, text): (&Path, &str),
    problems: &mut Problems,
) -> Vec<Condition> {
    let kinds = facts.iter().find(|fact| fact.name == "need");
    let names: Vec<_> = raw.iter().map(|condition| condition.get_ref().name.clone()).collect();
    let mut conditions: Vec<Condition> = Vec::new();
    for spanned in raw {
        let line = line_of(text, &spanned.span());
        let condition = spanned.into_inner();
        let name = &condition.name;
        let mut complain = |message: String| problems.push(Problem::new(file, line, message));
        if conditions.iter().any(|known| known.name == *name) {
            complain(format!("condition {name:?} stands twice"));
        }
        if !kinds.is_some_and(|kinds| kinds.has(&condition.kind)) {
            let list = kinds.map_or_else(String::new, Fact::list);
            complain(format!("condition {name:?}: {:?} is no kind; there are {list}", condition.kind));
        }
        if let Some(implied) = condition.implies.as_ref().filter(|implied| !names.contains(implied)) {
            complain(format!("condition {name:?} implies {implied:?}, which is no condition"));
        }
        if !matches!(condition.of.as_deref(), None | Some("xen" | "linux")) {
            complain(format!("condition {name:?}: of is xen or linux"));
        }
        if condition.kconfig.is_none() && (condition.value.is_some() || condition.of.is_some()) {
            complain(format!("condition {name:?} has no build option that could have a value"));
        }
        conditions.push(condition);
    }
    conditions
}
