//! The answer for people.

use std::fmt::Write as _;

use lockdown_advisories::{Corpus, Description, Entry, LastBump, Verdict};

use super::Answer;

pub(super) fn text(answers: &[Answer<'_>], corpus: &Corpus, all: bool) -> String {
    let mut out = String::new();
    for answer in answers {
        component(&mut out, answer, all);
        out.push('\n');
    }
    let gaps: Vec<_> = corpus.gaps().filter(|gap| !gap.is_unused).map(|gap| format!("XSA-{}", gap.xsa)).collect();
    if !gaps.is_empty() {
        let _ = writeln!(out, "Nothing is known of {}, so it was not judged.", gaps.join(", "));
    }
    let last = corpus.last().map_or_else(String::new, Description::name);
    let _ = writeln!(out, "The data end at {last}; advisories were looked for until {}.", corpus.releases().until);
    out
}

fn component(out: &mut String, answer: &Answer<'_>, all: bool) {
    let Answer { side, generation, advice } = answer;
    let numbered = generation.map_or_else(String::new, |generation| format!(", generation {generation}"));
    let _ = writeln!(out, "{} {}{numbered}: {}", advice.component, side.version, headline(answer));
    let since = match &side.last {
        Some(LastBump::Date(date)) => date.to_string(),
        Some(LastBump::Version(version, _)) => version.to_string(),
        None => String::new(),
    };
    list(out, &format!("fixed since {since}"), &advice.fixed);
    list(out, "still open", &advice.open);
    list(out, "not known", &advice.unknown);
    if advice.open.is_empty() && advice.unknown.is_empty() {
        let _ = writeln!(out, "  nothing that counts is open");
    }
    if all {
        list(out, "cannot happen with this build", &advice.moot);
    } else if !advice.moot.is_empty() {
        let _ = writeln!(out, "  cannot happen with this build: {} (--all lists them)", advice.moot.len());
    }
}

fn headline(answer: &Answer<'_>) -> String {
    let next = answer.generation.and_then(|generation| generation.checked_add(1));
    let to = next.map_or_else(String::new, |next| format!(" to {next}"));
    match answer.advice.rises {
        None => "say when the generation last rose (--since, --history) to hear whether it has to rise".to_owned(),
        Some(Verdict::No) => "the generation stays".to_owned(),
        Some(Verdict::Conditional) => {
            let is_unknown =
                !answer.advice.unknown.is_empty() || answer.advice.fixed.iter().any(|entry| entry.maybe_before);
            let why = if is_unknown {
                "if one was fixed since that is not known"
            } else {
                "if what is conditional applies"
            };
            format!("the generation has to rise{to} {why}")
        }
        Some(Verdict::Yes) => {
            let days = answer.advice.days.len();
            let often =
                if days > 1 { format!(", once for what was published on {days} days") } else { String::new() };
            format!("the generation has to rise{to}{often}")
        }
    }
}

fn list(out: &mut String, title: &str, entries: &[Entry<'_>]) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(out, "  {title}: {}", entries.len());
    for entry in entries {
        let Entry { advisory, judgement, standing, superseded_by, skipped, maybe_before } = entry;
        let date = advisory.date.map_or_else(String::new, |date| date.to_string());
        let _ = writeln!(out, "    {:<8} {date}  {:<12} {}", advisory.name(), judgement.answer, advisory.title);
        let mut remarks = vec![standing.why().to_owned()];
        if judgement.answer == Verdict::No {
            let decided = judgement.steps.iter().filter(|step| step.verdict == Verdict::No);
            remarks.extend(decided.filter_map(|step| step.build.clone()));
        }
        if judgement.answer == Verdict::Conditional && !judgement.applies_if.is_empty() {
            remarks.push(format!("applies if: {}", judgement.applies_if.join("; ")));
        }
        remarks.extend(superseded_by.map(|xsa| format!("covered by XSA-{xsa}")));
        if *maybe_before {
            remarks.push("not known whether it was fixed then already".to_owned());
        }
        remarks.extend(skipped.as_ref().map(|why| format!("passed over: {why}")));
        let _ = writeln!(out, "             {}", remarks.join("; "));
    }
}
