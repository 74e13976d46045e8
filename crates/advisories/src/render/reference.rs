//! `docs/reference/advisories.md`.

use std::fmt::Write as _;

use super::statistics::{Counts, Statistics, Year};
use crate::build::Build;
use crate::corpus::Corpus;
use crate::judgement::judge;
use crate::rules::{Choices, Component, Verdict};
use crate::second::SecondReading;

pub(super) const NOTICE: &str = "<!-- Generated from policy/ by `cargo xtask generate`. Do not edit. -->\n";

pub(super) fn advisories(corpus: &Corpus, statistics: &Statistics, second: &SecondReading) -> String {
    let mut out = format!("{NOTICE}# Xen's security advisories, judged\n\n");
    let last = corpus.last().and_then(|advisory| advisory.xsa).unwrap_or_default();
    let _ = writeln!(
        out,
        "Whether each advisory from XSA-300 (July 2019) to XSA-{last} breaches [the boundary](../boundary.md), and whose SBAT generation \
         rises with its fix. Each answer follows from facts in `policy/advisories` by the rules in `policy/judgement`; none is \
         typed in. They are this project's answers, not those of Xen's security team. Advisories were looked for until {}.\n\n\
         For programs: [advisories.json](advisories.json), schema `xen-lockdown/advisories/1`. For one build: \
         `xen-lockdown sbat advise`. For one advisory: `xen-lockdown explain xsa-309`.\n",
        corpus.releases().until
    );
    years(&mut out, statistics);
    choices(&mut out, corpus, statistics);
    smaller(&mut out, corpus, statistics);
    table(&mut out, corpus);
    gaps(&mut out, corpus);
    second_reading(&mut out, corpus, second);
    out
}

fn second_reading(out: &mut String, corpus: &Corpus, second: &SecondReading) {
    let same = second.readings.iter().filter(|reading| reading.agrees(corpus) == Some(true)).count();
    let _ = writeln!(
        out,
        "\n# A second reading\n\n{} {same} of {} answers are the same now. What the second reader wanted otherwise, facts too, says what came of it.\n",
        second.how,
        second.readings.len()
    );
    out.push_str("| XSA | the rules | second reader | why | what came of it |\n| --- | --- | --- | --- | --- |\n");
    let choices = Choices::of(corpus.rules());
    for reading in &second.readings {
        let Some(advisory) = corpus.advisory(reading.xsa) else { continue };
        let judgement = judge(advisory, corpus.rules(), &choices, &Build::default());
        let bump: Vec<_> = judgement.bump.iter().map(|component| component.name()).collect();
        let _ = writeln!(
            out,
            "| {} | {} {} | {} {} | {} | {} |",
            reading.xsa,
            judgement.answer,
            bump.join(", "),
            reading.breach,
            reading.bump.map_or("", Component::name),
            reading.why,
            reading.settled.as_deref().unwrap_or_default()
        );
    }
}

fn years(out: &mut String, statistics: &Statistics) {
    out.push_str(
        "# By year\n\n![Days on which a generation rises, by year and component](advisories.svg)\n\n\
         A generation rises once for each day of disclosure and component. *Days* counts those with a yes, *at most* those with a \
         conditional answer too; *stated* are those of the yes for which escalation is stated, not merely not ruled out.\n\n\
         | year | advisories | xen: yes | stated | conditional | days | at most | linux-dom0: yes | conditional | days | at most | becomes a rule |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut row = |name: &str, year: &Year| {
        let of = |map: &std::collections::BTreeMap<Component, usize>, component| {
            map.get(&component).copied().unwrap_or(0)
        };
        let days =
            |map: &std::collections::BTreeMap<Component, std::collections::BTreeSet<jiff::civil::Date>>,
             component| { map.get(&component).map_or(0, std::collections::BTreeSet::len) };
        let (xen, linux) = (Component::Xen, Component::LinuxDom0);
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            year.advisories,
            of(&year.yes, xen),
            of(&year.stated, xen),
            of(&year.conditional, xen),
            days(&year.days, xen),
            days(&year.days_at_most, xen),
            of(&year.yes, linux),
            of(&year.conditional, linux),
            days(&year.days, linux),
            days(&year.days_at_most, linux),
            year.rules
        );
    };
    for (year, counts) in &statistics.years {
        row(&year.to_string(), counts);
    }
    row("all", &statistics.all);
    out.push('\n');
}

fn days(counts: &Counts, component: Component) -> String {
    let (sure, at_most) = counts.get(&component).copied().unwrap_or_default();
    format!("{sure} ({at_most})")
}

fn choices(out: &mut String, corpus: &Corpus, statistics: &Statistics) {
    out.push_str(
        "# What it depends on\n\nThe rules leave these questions to whoever applies them. The number of days on which a generation \
         rises since July 2019, in parentheses with what is conditional:\n\n\
         | question | answer | xen | linux-dom0 |\n| --- | --- | --- | --- |\n",
    );
    for (name, verdict, counts) in &statistics.choices {
        let Some(choice) = corpus.rules().choices.iter().find(|choice| choice.name == *name) else { continue };
        let ours = if choice.default == *verdict { " (ours)" } else { "" };
        let _ = writeln!(
            out,
            "| {} `--{name}` | {verdict}{ours} | {} | {} |",
            choice.ask,
            days(counts, Component::Xen),
            days(counts, Component::LinuxDom0)
        );
    }
    out.push('\n');
    for choice in &corpus.rules().choices {
        let _ = writeln!(out, "**{}** {} by default. {}\n", choice.ask, choice.default.capital(), choice.why);
    }
}

fn smaller(out: &mut String, corpus: &Corpus, statistics: &Statistics) {
    out.push_str(
        "# Which features would have saved which generations\n\nDays on which Xen's generation rises if Xen itself refuses something, or \
         is built without it. What a toolstack refuses does not count: root in dom0 goes past it.\n\n\
         | a Xen without | xen | linux-dom0 |\n| --- | --- | --- |\n",
    );
    let base = statistics.choices.iter().find(|(name, verdict, _)| {
        corpus.rules().choices.first().is_some_and(|choice| choice.name == *name && choice.default == *verdict)
    });
    if let Some((_, _, counts)) = base {
        let _ = writeln!(
            out,
            "| nothing: Xen as it is | {} | {} |",
            days(counts, Component::Xen),
            days(counts, Component::LinuxDom0)
        );
    }
    for (names, counts) in &statistics.without {
        let texts: Vec<_> = names
            .iter()
            .filter_map(|name| corpus.rules().condition(name))
            .map(|condition| condition.text.as_str())
            .collect();
        let text = if texts.len() > 1 { "all of these".to_owned() } else { texts.concat() };
        let _ = writeln!(
            out,
            "| {text} | {} | {} |",
            days(counts, Component::Xen),
            days(counts, Component::LinuxDom0)
        );
    }
    let left: Vec<_> = statistics.irreducible.iter().map(|xsa| format!("XSA-{xsa}")).collect();
    let _ = writeln!(
        out,
        "\nWith all of these refused a yes for Xen stays at: {}. The gate of this project refuses to pass devices through \
         (`domctl.assign_device` and what belongs to it).\n",
        left.join(", ")
    );
}

fn table(out: &mut String, corpus: &Corpus) {
    out.push_str(
        "# Each advisory\n\n*Rules* are those of [the boundary's document](../boundary.md#the-rules-of-judgement); they were asked in that order, and the first that \
         says no ends it. *Sure* says how well the facts are known: high from the text of the advisory or an analysis, medium from a summary or the \
         fix, low from general knowledge.\n\n\
         | XSA | date | what | judgement | generation | applies if | not if | fixed in | rules | sure |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let choices = Choices::of(corpus.rules());
    for advisory in corpus.advisories() {
        let judgement = judge(advisory, corpus.rules(), &choices, &Build::default());
        let bump: Vec<_> = judgement.bump.iter().map(|component| component.name()).collect();
        let fixed: Vec<_> = if judgement.answer == Verdict::No {
            Vec::new()
        } else {
            let xen = advisory.fix.xen.iter().map(ToString::to_string);
            let linux = advisory.fix.linux.iter().map(|release| format!("Linux {release}"));
            xen.chain(linux).collect()
        };
        let overridden = if judgement.overridden.is_some() { " (overridden)" } else { "" };
        let cells = [
            advisory.xsa.map_or_else(String::new, |xsa| xsa.to_string()),
            advisory.date.map_or_else(String::new, |date| date.to_string()),
            advisory.title.clone(),
            format!("{}{overridden}", judgement.answer),
            if judgement.is_rule && judgement.answer > Verdict::No {
                "a rule instead".to_owned()
            } else {
                bump.join(", ")
            },
            judgement.applies_if.iter().chain(&judgement.versions).cloned().collect::<Vec<_>>().join("; "),
            judgement.not_if.join("; "),
            fixed.join(", "),
            judgement.rules().join(" "),
            advisory.provenance.as_ref().map_or("", |provenance| provenance.confidence.name()).to_owned(),
        ];
        let _ = writeln!(out, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    out.push('\n');
}

fn gaps(out: &mut String, corpus: &Corpus) {
    out.push_str("# Numbers without an advisory\n\n| XSA | state | why |\n| --- | --- | --- |\n");
    for gap in corpus.gaps() {
        let state = if gap.is_unused { "unused" } else { "unknown" };
        let _ = writeln!(out, "| {} | {state} | {} |", gap.xsa, gap.why);
    }
}
