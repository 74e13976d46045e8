//! Every judgement that a change of the rules or of the facts moves shows here, by name.
//!
//! `BLESS=1 cargo test -p lockdown-advisories --test judgements` writes the list anew, for whoever means the change.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lockdown_advisories::{Build, Choices, Corpus, judge};

fn line_of_each() -> BTreeMap<u16, String> {
    let corpus = Corpus::embedded().unwrap();
    let choices = Choices::of(corpus.rules());
    let line = |advisory: &lockdown_advisories::Description| {
        let judgement = judge(advisory, corpus.rules(), &choices, &Build::default());
        let bump: Vec<_> = judgement.bump.iter().map(|component| component.name()).collect();
        let bump = if bump.is_empty() { "-".to_owned() } else { bump.join("+") };
        let rules = judgement.rules().join(" ");
        let overridden = if judgement.overridden.is_some() { " overridden" } else { "" };
        (advisory.xsa.unwrap(), format!("{} {bump} {rules}{overridden}", judgement.answer))
    };
    corpus.advisories().map(line).collect()
}

#[test]
fn no_judgement_has_moved() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judgements.txt");
    let now = line_of_each();
    if std::env::var_os("BLESS").is_some() {
        let text: String = now.iter().map(|(xsa, line)| format!("{xsa} {line}\n")).collect();
        fs::write(&file, text).unwrap();
    }
    let text = fs::read_to_string(&file).unwrap_or_default();
    let before: BTreeMap<u16, String> = text
        .lines()
        .map(|line| {
            let (xsa, line) = line.split_once(' ').unwrap();
            (xsa.parse().unwrap(), line.to_owned())
        })
        .collect();
    let mut moved = String::new();
    for xsa in now.keys().chain(before.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (was, is) = (before.get(xsa), now.get(xsa));
        if was != is {
            let show = |line: Option<&String>| line.cloned().unwrap_or_else(|| "not there".to_owned());
            writeln!(moved, "XSA-{xsa}: {} -> {}", show(was), show(is)).unwrap();
        }
    }
    assert!(moved.is_empty(), "judgements moved:\n{moved}");
}
