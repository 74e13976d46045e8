//! What holds for every description, whatever its words.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::OnceLock;

use lockdown_advisories::{Build, Choices, Corpus, Description, Rules, Verdict, judge};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn rules() -> &'static Rules {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    CORPUS.get_or_init(|| Corpus::embedded().unwrap()).rules()
}

fn words(name: &str) -> Vec<String> {
    rules().fact(name).unwrap().words.iter().map(|word| word.word.clone()).collect()
}

fn some(name: &str) -> impl Strategy<Value = Vec<String>> {
    let words = words(name);
    let count = words.len();
    subsequence(words, 1..=count)
}

fn ways() -> impl Strategy<Value = Vec<Vec<String>>> {
    let names: Vec<_> = rules().conditions.iter().map(|condition| condition.name.clone()).collect();
    prop::collection::vec(subsequence(names, 1..5), 0..4)
}

fn description() -> impl Strategy<Value = Description> {
    let one = |name| select(words(name));
    let many = (some("component"), some("attacker"), some("reaches"), ways());
    (many, one("effect"), one("claim"), one("support"), one("fix")).prop_map(
        |((component, attacker, reaches, ways), effect, claim, support, fix)| {
            let text = format!(
                "title = \"T\"\ncomponent = {component:?}\nattacker = {attacker:?}\nreaches = {reaches:?}\neffect = {effect:?}\n\
                 claim = {claim:?}\nsupport = {support:?}\nways = {ways:?}\n[fix]\nkind = {fix:?}\n"
            );
            Description::read(Path::new("any.toml"), &text, rules()).unwrap()
        },
    )
}

fn answer(description: &Description, choices: &Choices, build: &Build) -> Verdict {
    judge(description, rules(), choices, build).answer
}

proptest! {
    #[test]
    fn a_generation_rises_only_for_a_breach_and_a_breach_names_one(description in description()) {
        let judgement = judge(&description, rules(), &Choices::of(rules()), &Build::default());
        let is_rule = judgement.is_rule && judgement.answer > Verdict::No;
        prop_assert_eq!(judgement.bump.is_empty(), judgement.answer == Verdict::No || is_rule);
        prop_assert!(judgement.answer <= judgement.in_scope);
        prop_assert!(!judgement.rules().is_empty());
    }

    #[test]
    fn a_build_without_something_is_never_worse_off(description in description(), name in select(rules().conditions.clone())) {
        let choices = Choices::of(rules());
        let without = Build { without: [name.name].into(), ..Build::default() };
        prop_assert!(answer(&description, &choices, &without) <= answer(&description, &choices, &Build::default()));
        let gate = Build { has_gate: true, ..Build::default() };
        prop_assert!(answer(&description, &choices, &gate) <= answer(&description, &choices, &Build::default()));
    }

    #[test]
    fn a_choice_moves_answers_its_own_way(description in description(), choice in select(rules().choices.clone())) {
        let with = |verdict| {
            let mut choices = Choices::of(rules());
            choices.set(&choice.name, verdict);
            answer(&description, &choices, &Build::default())
        };
        prop_assert!(with(Verdict::No) <= with(Verdict::Conditional));
        prop_assert!(with(Verdict::Conditional) <= with(Verdict::Yes));
    }

    #[test]
    fn another_way_or_attacker_makes_it_no_smaller(description in description(), more in ways(), attackers in some("attacker")) {
        prop_assume!(!description.ways.is_empty());
        let choices = Choices::of(rules());
        let before = answer(&description, &choices, &Build::default());
        let mut wider = description.clone();
        wider.ways.extend(more);
        wider.attacker.extend(attackers);
        prop_assert!(answer(&wider, &choices, &Build::default()) >= before);
    }
}
