//! `judge --ask`: the facts, asked for one after the other.

use std::io::BufRead;

use anyhow::{Context as _, Result, bail};
use lockdown_advisories::{Fact, Rules};
use serde::Serialize;

/// A description as a file has it.
#[derive(Serialize)]
struct Answers {
    title: String,
    component: Vec<String>,
    attacker: Vec<String>,
    reaches: Vec<String>,
    effect: String,
    claim: String,
    support: String,
    ways: Vec<Vec<String>>,
    fix: Fix,
}

#[derive(Serialize)]
struct Fix {
    kind: String,
}

/// Asks on standard error, reads answers, and gives the text of a description.
pub(super) fn description(rules: &Rules, input: &mut impl BufRead) -> Result<String> {
    anstream::eprintln!("What is it, in a few words?");
    let title = loop {
        let title = line(input)?;
        if !title.is_empty() {
            break title;
        }
        anstream::eprintln!("  it needs a title");
    };
    let mut words = |name: &str| {
        let fact = rules.fact(name).with_context(|| format!("the rules know no fact {name:?}"))?;
        answer(fact, input)
    };
    let [component, attacker, reaches] = [words("component")?, words("attacker")?, words("reaches")?];
    let mut word = |name: &str| words(name).map(|words| words.concat());
    let [effect, claim, support] = [word("effect")?, word("claim")?, word("support")?];
    let kind = word("fix")?;
    let ways = ways(rules, input)?;
    let answers = Answers { title, component, attacker, reaches, effect, claim, support, ways, fix: Fix { kind } };
    Ok(toml::to_string(&answers)?)
}

fn line(input: &mut impl BufRead) -> Result<String> {
    let mut text = String::new();
    if input.read_line(&mut text).context("the answer cannot be read")? == 0 {
        bail!("the answers end before the questions do: nothing was judged");
    }
    Ok(text.trim().to_owned())
}

/// Words, by name or number; asked again until they are words.
fn answer(fact: &Fact, input: &mut impl BufRead) -> Result<Vec<String>> {
    let many = if fact.many { " (several: with spaces between them)" } else { "" };
    let default = fact.default.as_ref().map_or_else(String::new, |word| format!(" [{word}]"));
    anstream::eprintln!("\n{}{many}{default}", fact.ask);
    for (index, word) in fact.words.iter().enumerate() {
        anstream::eprintln!("  {:>2}  {:<18} {}", index + 1, word.word, word.text);
    }
    loop {
        let text = line(input)?;
        if let Some(default) = fact.default.as_ref().filter(|_| text.is_empty()) {
            return Ok(vec![default.clone()]);
        }
        let names = |index: usize| fact.words.get(index).map(|word| word.word.as_str());
        match chosen(&text, fact.words.len(), names) {
            Ok(words) if words.is_empty() => anstream::eprintln!("  one of these is needed"),
            Ok(words) if words.len() > 1 && !fact.many => anstream::eprintln!("  only one of these"),
            Ok(words) => return Ok(words),
            Err(wrong) => anstream::eprintln!("  {wrong:?} is none of these"),
        }
    }
}

/// A way a line, until an empty one.
fn ways(rules: &Rules, input: &mut impl BufRead) -> Result<Vec<Vec<String>>> {
    anstream::eprintln!(
        "\nWhat does it need? Each way to it on a line of its own, with spaces between its conditions; an empty line ends it, the first one too if it needs nothing"
    );
    for (index, condition) in rules.conditions.iter().enumerate() {
        anstream::eprintln!("  {:>2}  {:<22} {}", index + 1, condition.name, condition.text);
    }
    let mut ways = Vec::new();
    loop {
        let text = line(input)?;
        if text.is_empty() {
            return Ok(ways);
        }
        let names = |index: usize| rules.conditions.get(index).map(|condition| condition.name.as_str());
        match chosen(&text, rules.conditions.len(), names) {
            Ok(way) => ways.push(way),
            Err(wrong) => anstream::eprintln!("  {wrong:?} is none of these"),
        }
    }
}

/// The words that a line names; or the one that is none.
fn chosen<'a>(text: &str, count: usize, name: impl Fn(usize) -> Option<&'a str>) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    for part in text.split([' ', ',', '\t']).filter(|part| !part.is_empty()) {
        let by_number = part.parse::<usize>().ok().and_then(|number| name(number.checked_sub(1)?));
        let by_name = || (0..count).filter_map(&name).find(|known| *known == part);
        let word = by_number.or_else(by_name).ok_or_else(|| part.to_owned())?;
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    Ok(words)
}
