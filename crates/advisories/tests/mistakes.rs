//! Every mistake in the rules, in a description or in the corpus is found, with its file and line; the twin without it passes.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use lockdown_advisories::{Corpus, Description, Record, Releases, Rules, Sources};

const RULES: &str = include_str!("../../../policy/judgement/rules.toml");
const CONDITIONS: &str = include_str!("../../../policy/judgement/conditions.toml");
const RELEASES: &str = include_str!("../../../policy/judgement/releases.toml");
const BOUNDARY: [&str; 13] = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12", "B13"];

fn read_rules(rules: &str, conditions: &str) -> Result<Rules, String> {
    Rules::read((Path::new("rules.toml"), rules), (Path::new("conditions.toml"), conditions), &BOUNDARY)
        .map_err(|problems| problems.to_string())
}

/// The rules with one text replaced.
#[track_caller]
fn rules_say(from: &str, to: &str, message: &str) {
    assert!(RULES.contains(from), "{from} does not stand in the rules");
    let found = read_rules(&RULES.replacen(from, to, 1), CONDITIONS).unwrap_err();
    assert!(found.contains(message), "{found}");
}

#[test]
fn the_rules_are_whole() {
    read_rules(RULES, CONDITIONS).unwrap();
}

#[test]
fn each_combination_is_decided_once() {
    rules_say(
        "claim = [\"silent\"] }",
        "claim = [\"stated\"] }",
        "question J2 decides twice: effect control, claim stated (J2.2, J2.3)",
    );
    rules_say(
        "claim = [\"silent\"] }",
        "claim = [\"stated\"] }",
        "question J2 does not decide: effect control, claim silent",
    );
    rules_say(
        "\"physical\"] }, answer = \"no\", why = \"The boundary",
        "\"signer\"] }, answer = \"no\", why = \"The boundary",
        "question J3 does not decide: attacker physical",
    );
    // A new word that no rule was written for.
    rules_say(
        "  { word = \"control\", text",
        "  { word = \"odd\", text = \"odd\" },\n  { word = \"control\", text",
        "question J2 does not decide: effect odd, claim stated",
    );
}

#[test]
fn rules_are_checked_against_what_they_name() {
    rules_say("boundary = [\"B1\", \"B12\"]", "boundary = [\"B99\"]", "rule J6.4: the boundary has no rule B99");
    rules_say("boundary = [\"B1\", \"B12\"]", "boundary = []", "rule J6.4 applies no rule of the boundary");
    rules_say("asks = [\"fix\"]", "asks = [\"fixes\"]", "question J5 asks for \"fixes\", which is no fact");
    rules_say(
        "effect = [\"secret\"]",
        "effect = [\"secrets\"]",
        "rule J2.8: effect has no word \"secrets\"; there are enforcement, control",
    );
    rules_say(
        "when = { effect = [\"secret\"] }",
        "when = { fix = [\"code\"] }",
        "rule J2.8 looks at \"fix\", which question J2 does not ask for",
    );
    rules_say("id = \"J2.9\"", "id = \"J2.8\"", "rule J2.8 stands twice, or is not of question J2");
    rules_say("id = \"J2.9\"", "id = \"J3.9\"", "rule J3.9 stands twice, or is not of question J2");
    rules_say(
        "answer = \"rule\"",
        "answer = \"xen\"",
        "rule J5.3 answers \"xen\", which this question has no use for",
    );
    rules_say(
        "answer = \"rule\"",
        "answer = \"maybe\"",
        "rule J5.3 answers \"maybe\", which this question has no use for",
    );
    rules_say(
        "answer = \"open:arm\"",
        "answer = \"open:riscv\"",
        "rule J4.11 leaves open \"riscv\", which is no choice",
    );
    rules_say("answer = \"open:arm\"", "answer = \"yes\"", "no rule leaves \"arm\" open");
    rules_say("about = \"issue\"", "about = \"fix\"", "no question is about Issue");
    rules_say(
        "default = \"conditional\"",
        "default = \"perhaps\"",
        "default \"perhaps\": say yes, no or conditional",
    );
    rules_say("implies = \"arm\"", "implies = \"leg\"", "hypervisor-arm implies \"leg\", which is no condition");
    rules_say("title = \"Is it a security issue?\"", "titel = \"Is it?\"", "unknown field `titel`");
}

#[test]
fn conditions_are_checked() {
    let says = |from: &str, to: &str, message: &str| {
        assert!(CONDITIONS.contains(from), "{from}");
        let found = read_rules(RULES, &CONDITIONS.replacen(from, to, 1)).unwrap_err();
        assert!(found.contains(message), "{found}");
    };
    says("name = \"pv32\"", "name = \"pv\"", "condition \"pv\" stands twice");
    says("kind = \"settable\"", "kind = \"set\"", "\"set\" is no kind; there are settable, provoked");
    says("of = \"linux\"", "of = \"bsd\"", "of is xen or linux");
    says("implies = \"pv\"", "implies = \"pvv\"", "condition \"pv32\" implies \"pvv\", which is no condition");
    says("kconfig = \"PV\"\n", "value = \"n\"\n", "condition \"pv\" has no build option that could have a value");
}

const ADVISORY: &str = "\
xsa = 300
title = \"Something\"
date = 2019-07-09
cves = [\"CVE-2019-17351\"]
component = [\"hypervisor-x86\"]
attacker = [\"guest-kernel\"]
reaches = [\"xen\"]
effect = \"write\"
claim = \"stated\"
ways = [[\"pv\"]]

[affected]
since = \"4.5\"

[fix]
commits = [\"0123456789ab\"]
xen = [\"4.11.3\", \"4.12.2\", \"4.13.0\"]

[provenance]
confidence = \"high\"
source = [\"its text\"]
";

fn record(text: &str) -> Result<Record, String> {
    let rules = read_rules(RULES, CONDITIONS).unwrap();
    let releases = Releases::read(Path::new("releases.toml"), RELEASES).unwrap();
    Record::read(Path::new("xsa-300.toml"), text, &rules, &releases).map_err(|problems| problems.to_string())
}

#[track_caller]
fn advisory_says(from: &str, to: &str, message: &str) {
    assert!(ADVISORY.contains(from), "{from}");
    assert_eq!(record(&ADVISORY.replacen(from, to, 1)).unwrap_err(), message);
}

#[test]
fn an_advisory_has_all_facts_and_only_words_that_are_known() {
    record(ADVISORY).unwrap();
    let known = "hypervisor-x86, hypervisor-common, hypervisor-arm, linux-core, linux-backend, linux-frontend, linux-privcmd, qemu, xenstored, oxenstored, toolstack, xapi, windows-drivers";
    advisory_says(
        "[\"hypervisor-x86\"]",
        "[\"xen\"]",
        &format!("xsa-300.toml:5: component \"xen\": there are {known}"),
    );
    advisory_says("[\"hypervisor-x86\"]", "[\"qemu\", \"qemu\"]", "xsa-300.toml:5: component says \"qemu\" twice");
    advisory_says("title = \"Something\"\n", "", "xsa-300.toml: title is missing: what it is, in a few words");
    advisory_says("xsa = 300\n", "", "xsa-300.toml: xsa is missing: the advisory's number");
    advisory_says("date = 2019-07-09\n", "", "xsa-300.toml: date is missing: when it was published");
    advisory_says(
        "claim = \"stated\"\n",
        "",
        "xsa-300.toml: claim is missing: What does whoever looked at it say about more than that, an escalation of privilege? Say one of stated, not-ruled-out, silent, ruled-out, unknown",
    );
    advisory_says(
        "CVE-2019-17351",
        "CVE-19-17351",
        "xsa-300.toml:4: \"CVE-19-17351\" is no CVE number, as CVE-2019-19578 is",
    );
    advisory_says(
        "0123456789ab",
        "0123xyz",
        "xsa-300.toml:16: \"0123xyz\" is no name of a commit: 7 to 40 hexadecimal digits",
    );
    advisory_says("since = \"4.5\"", "since = \"4.5.1\"", "xsa-300.toml:13: \"4.5.1\" is no branch, as 4.20 is");
    advisory_says(
        "\"4.12.2\"",
        "\"4.12.x\"",
        "xsa-300.toml:17: \"4.12.x\" is no version: it begins with two or three numbers, as 4.20.4 does",
    );
    advisory_says("\"4.12.2\"", "\"4.11.4\"", "xsa-300.toml:17: 4.11.4: its branch has a first release already");
    advisory_says(
        "[[\"pv\"]]",
        "[[]]",
        "xsa-300.toml:10: a way that needs nothing: leave all ways out, for nothing is needed then",
    );
    let found = record(&ADVISORY.replacen("[[\"pv\"]]", "[[\"pvv\"]]", 1)).unwrap_err();
    assert!(found.starts_with("xsa-300.toml:10: \"pvv\" is no condition; there are pv, pv32, "), "{found}");
    let found = record(&ADVISORY.replacen("effect", "efect", 1)).unwrap_err();
    assert!(found.starts_with("xsa-300.toml:8: unknown field `efect`"), "{found}");
    let without = ADVISORY.split("\n[provenance]").next().unwrap();
    assert_eq!(
        record(without).unwrap_err(),
        "xsa-300.toml: [provenance] is missing: how sure the facts are, and where they are from"
    );
}

#[test]
fn impossible_days_are_refused() {
    for day in ["2019-02-30", "2019-13-01", "2019-00-10", "2019-07-09T10:00:00Z", "\"2019-07-09\""] {
        let found = record(&ADVISORY.replacen("2019-07-09", day, 1)).unwrap_err();
        assert!(found.starts_with("xsa-300.toml:3: "), "{day}: {found}");
    }
    record(&ADVISORY.replacen("2019-07-09", "2020-02-29", 1)).unwrap();
}

#[test]
fn an_override_says_why() {
    let with = |text: &str| record(&format!("{ADVISORY}\n[override]\n{text}"));
    with("judgement = \"no\"\nreason = \"Shown to be harmless.\"\n").unwrap();
    assert!(with("judgement = \"no\"\n").unwrap_err().contains("missing field `reason`"));
    assert!(with("judgement = \"no\"\nreason = \" \"\n").unwrap_err().contains("an override says why"));
    assert!(
        with("judgement = \"never\"\nreason = \"So.\"\n")
            .unwrap_err()
            .contains("judgement \"never\": say yes, no or conditional")
    );
    assert!(
        with("judgement = \"yes\"\nbump = [\"shim\"]\nreason = \"So.\"\n")
            .unwrap_err()
            .contains("\"shim\" has no generation")
    );
}

#[test]
fn a_draft_needs_neither_number_nor_date_nor_source() {
    let rules = read_rules(RULES, CONDITIONS).unwrap();
    let draft = "title = \"T\"\ncomponent = [\"qemu\"]\nattacker = [\"guest-kernel\"]\nreaches = [\"dom0-userspace\"]\neffect = \"control\"\nclaim = \"stated\"\n";
    let read = |text: &str| {
        Description::read(Path::new("draft.toml"), text, &rules).map_err(|problems| problems.to_string())
    };
    read(draft).unwrap();
    // It may name a release that is still to come, and be called as its writer likes.
    read(&format!("xsa = 300\n{draft}\n[fix]\nxen = [\"4.99.0\"]\n")).unwrap();
    assert_eq!(record(draft).unwrap_err().lines().count(), 3);
    assert_eq!(
        read("xsa = 1\nunused = \"so\"\n").unwrap_err(),
        "draft.toml: a number without an advisory cannot be judged"
    );
}

#[test]
fn a_flaw_in_code_for_arm_needs_arm() {
    let rules = read_rules(RULES, CONDITIONS).unwrap();
    let ways = |component: &str, ways: &str| {
        let text = format!(
            "title = \"T\"\ncomponent = {component}\nattacker = [\"guest-kernel\"]\nreaches = [\"xen\"]\neffect = \"control\"\nclaim = \"stated\"\nways = {ways}\n"
        );
        Description::read(Path::new("draft.toml"), &text, &rules).unwrap().ways
    };
    assert_eq!(ways("[\"hypervisor-arm\"]", "[]"), [["arm"]]);
    assert_eq!(ways("[\"hypervisor-arm\"]", "[[\"race\"], [\"arm\"]]"), [vec!["race", "arm"], vec!["arm"]]);
    assert_eq!(ways("[\"hypervisor-arm\", \"hypervisor-x86\"]", "[]"), Vec::<Vec<String>>::new());
    // And so does a condition that needs another.
    assert_eq!(ways("[\"qemu\"]", "[[\"grant-v2\"]]"), [["grant-v2", "grant-tables"]]);
    assert_eq!(ways("[\"qemu\"]", "[[\"pv\", \"pv32\"]]"), [["pv", "pv32"]]);
}

/// A corpus of these files.
fn corpus(files: &[(&str, &str)]) -> Result<Corpus, String> {
    let sources = Sources {
        rules: (Path::new("rules.toml"), RULES),
        conditions: (Path::new("conditions.toml"), CONDITIONS),
        releases: (Path::new("releases.toml"), RELEASES),
        advisories: files.iter().map(|(name, text)| (Path::new(*name), *text)).collect(),
    };
    Corpus::read(&sources, &BOUNDARY).map_err(|problems| problems.to_string())
}

#[test]
fn a_corpus_is_held_together() {
    let second = ADVISORY.replace("xsa = 300", "xsa = 301");
    corpus(&[("xsa-300.toml", ADVISORY), ("xsa-301.toml", &second)]).unwrap();
    let says = |files: &[(&str, &str)], message: &str| {
        let found = corpus(files).unwrap_err();
        assert!(found.contains(message), "{found}");
    };
    says(
        &[("xsa-300.toml", ADVISORY), ("xsa-301.toml", &format!("# A copy.\n{ADVISORY}"))],
        "xsa-301.toml:2: XSA-300 stands in xsa-300.toml already",
    );
    says(&[("a.toml", ADVISORY)], "a.toml:1: XSA-300 stands in a file xsa-300.toml");
    says(&[("xsa-301.toml", &second)], "XSA-300 has no file: write one, with `unknown` if nothing is known of it");
    let fix = |from: &str, to: &str| ADVISORY.replacen(from, to, 1);
    says(
        &[("xsa-300.toml", &fix("\"4.13.0\"", "\"4.99.0\""))],
        "xsa-300.toml:17: releases.toml knows no branch of Xen 4.99",
    );
    says(
        &[("xsa-300.toml", &fix("\"4.13.0\"", "\"4.13.77\""))],
        "xsa-300.toml:17: releases.toml knows no Xen 4.13.77",
    );
    says(&[("xsa-300.toml", &fix("2019-07-09", "2039-07-09"))], "xsa-300.toml:3: dated after ");
    says(
        &[("xsa-300.toml", &fix("[fix]\n", "[fix]\nsupersedes = [299]\n"))],
        "xsa-300.toml:16: XSA-299 has no advisory here",
    );
    says(
        &[("xsa-300.toml", &fix("[fix]\n", "[fix]\nsupersedes = [300]\n"))],
        "xsa-300.toml:16: XSA-300 is not older",
    );
    says(&[("xsa-300.toml", &fix("xsa = 300", "xsa = 299"))], "xsa-300.toml:1: the data begin with XSA-300");
    let both = second.replacen("[fix]\n", "[fix]\nsame-as = 300\n", 1);
    says(
        &[("xsa-300.toml", ADVISORY), ("xsa-301.toml", &both)],
        "xsa-301.toml:16: it has releases of its own, so its fix is not that of another",
    );
}

#[test]
fn a_number_without_an_advisory_says_why() {
    assert!(
        matches!(record("xsa = 300\nunused = \"So.\"\nsource = [\"a list\"]\n").unwrap(), Record::Gap(gap) if gap.is_unused)
    );
    assert!(matches!(record("xsa = 300\nunknown = \"So.\"\n").unwrap(), Record::Gap(gap) if !gap.is_unused));
    assert_eq!(
        record("xsa = 300\nunknown = \"So.\"\ntitle = \"T\"\n").unwrap_err(),
        "xsa-300.toml: a number that is unused or unknown has no facts"
    );
}

#[test]
fn releases_are_checked() {
    let read =
        |text: &str| Releases::read(Path::new("releases.toml"), text).map_err(|problems| problems.to_string());
    let good = "until = 2026-11-29\n[[branch]]\nnewest = \"4.20.1\"\ndates = { \"4.20.0\" = 2025-03-05 }\n";
    read(good).unwrap();
    for (from, to, message) in [
        ("2026-11-29", "2026-11-31", "releases.toml:1: "),
        ("\"4.20.1\"", "\"4.20\u{e4}\"", "releases.toml:3: \"4.20\u{e4}\" is no version"),
        ("\"4.20.0\" =", "\"4.20.2\" =", "releases.toml:4: 4.20.2 is no release up to 4.20.1"),
        ("\"4.20.0\" = 2025-03-05", "", "releases.toml:3: the day of 4.20.0 is missing"),
    ] {
        let found = read(&good.replacen(from, to, 1)).unwrap_err();
        assert!(found.contains(message), "{found}");
    }
    let twice = format!("{good}[[branch]]\nnewest = \"4.20.1\"\ndates = {{ \"4.20.0\" = 2025-03-05 }}\n");
    assert_eq!(read(&twice).unwrap_err(), "releases.toml:6: 4.20: the branch stands twice");
}
