//! The feed that other tools read: what its schema promises.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;

use lockdown_advisories::{Corpus, render};
use serde_json::Value;

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_feed_is_what_its_schema_says() {
    let corpus = Corpus::embedded().unwrap();
    let feed: Value = serde_json::from_str(&render::feed(&corpus)).unwrap();
    assert_eq!(feed["schema"], "xen-lockdown/advisories/1");
    assert_eq!(feed["data_until"], corpus.releases().until.to_string().as_str());
    let ids: BTreeSet<String> = corpus
        .rules()
        .questions
        .iter()
        .flat_map(|question| question.rows.iter().map(|row| row.id.clone()))
        .collect();
    let advisories = feed["advisories"].as_array().unwrap();
    assert_eq!(advisories.len(), corpus.advisories().count());
    let mut last = 0;
    for advisory in advisories {
        let xsa = advisory["xsa"].as_u64().unwrap();
        assert!(xsa > last, "in order, each once");
        last = xsa;
        assert_eq!(advisory["date"].as_str().unwrap().len(), 10);
        let judgement = advisory["judgement"].as_str().unwrap();
        assert!(["yes", "no", "conditional"].contains(&judgement));
        let bump = strings(&advisory["bump"]);
        assert!(bump.iter().all(|name| ["xen", "linux-dom0"].contains(name)));
        assert!(judgement != "no" || bump.is_empty(), "XSA-{xsa}");
        assert!(judgement != "yes" || !bump.is_empty(), "XSA-{xsa}");
        let rules = strings(&advisory["rules"]);
        assert!(!rules.is_empty() && rules.iter().all(|id| ids.contains(*id)), "XSA-{xsa}");
        for list in ["applies_if", "not_if"] {
            assert!(strings(&advisory[list]).iter().all(|text| !text.is_empty()), "XSA-{xsa}");
        }
        for component in ["xen", "linux"] {
            strings(&advisory["first_fixed"][component]);
        }
        assert!(advisory["overridden"].is_null() || advisory["overridden"].is_string());
        assert!(["high", "medium", "low"].contains(&advisory["confidence"].as_str().unwrap()));
        // What counts was read, or says that it was not.
        let unread = rules.contains(&"J2.6");
        assert!(judgement == "no" || unread || advisory["confidence"] != "low", "XSA-{xsa}");
    }
}

#[test]
fn the_committed_feed_is_this_one() {
    let corpus = Corpus::embedded().unwrap();
    assert_eq!(render::feed(&corpus), include_str!("../../../docs/reference/advisories.json"));
}
