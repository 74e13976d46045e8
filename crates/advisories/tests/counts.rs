//! The counts of an earlier, hand-made judgement of the advisories up to XSA-522 (each typed in by whoever read it), against what
//! the rules make of their facts; each difference is explained by name.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use lockdown_advisories::{Build, Choices, Component, Corpus, Judgement, Verdict, judge};

/// Advisories that the earlier judgement did not know.
const NEW: [u16; 8] = [515, 516, 517, 518, 519, 520, 521, 523];

/// What was answered by hand, and is answered otherwise by the rules; with the reason.
const DIFFERENT: &[(u16, &str, &str)] = &[
    (
        313,
        "conditional",
        "the profiler was built in by default while it was unfixed (J4.7), and root in dom0 says who is profiled",
    ),
    (
        328,
        "yes",
        "nobody has shown a compiler that makes the flawed code; XSA-340 was conditional for the same reason (J4.9)",
    ),
    (
        336,
        "no",
        "read again: a lock is released that was not taken, and a hang or crash is only the most likely effect (J2.5)",
    ),
    (
        337,
        "conditional",
        "read again: no changed firmware is needed, and the text says to assume that a device is such (J4.3)",
    ),
    (342, "no", "read again: the text says that the structure that Xen shares is corrupted (J2.5)"),
    (363, "no", "a statement of support, as XSA-376 is: nothing to revoke, a rule (J5.3)"),
    (376, "conditional", "read again: the text names denial of service, and says that the host is not affected"),
    (396, "conditional", "a default kernel has frontends (J4.7), and gntalloc, which is affected as well"),
    (405, "conditional", "a default kernel has the network frontend (J4.7)"),
    (423, "no", "read again: escalation is not ruled out (J2.11)"),
    (445, "no", "read again: a device gets write access to a page of Xen's (J2.5)"),
    (485, "conditional", "read again: the text says that escalation might be possible (J2.4)"),
    (487, "conditional", "dom0=pvh may come from unsigned text, so root chooses it (J4.12)"),
];

/// By year: advisories, Xen yes, of these stated, Xen conditional, dom0 yes, dom0 conditional, days of Xen, days of dom0.
const BY_HAND: [(i16, [usize; 8]); 8] = [
    (2019, [12, 5, 3, 1, 0, 0, 3, 0]),
    (2020, [45, 7, 2, 4, 1, 1, 4, 1]),
    (2021, [32, 10, 6, 1, 2, 0, 6, 2]),
    (2022, [33, 6, 2, 1, 0, 3, 4, 0]),
    (2023, [23, 5, 2, 0, 1, 0, 4, 1]),
    (2024, [19, 2, 0, 2, 0, 1, 2, 0]),
    (2025, [10, 2, 2, 1, 0, 0, 2, 0]),
    (2026, [38, 9, 5, 3, 0, 3, 4, 0]),
];

#[test]
fn the_counts_come_from_the_rules() {
    let corpus = Corpus::embedded().unwrap();
    let choices = Choices::of(corpus.rules());
    let mut years: BTreeMap<i16, [usize; 8]> = BTreeMap::new();
    let mut days: BTreeMap<(i16, Component), BTreeSet<String>> = BTreeMap::new();
    for advisory in corpus.advisories().filter(|advisory| !NEW.contains(&advisory.xsa.unwrap())) {
        let date = advisory.date.unwrap();
        let row = years.entry(date.year()).or_default();
        row[0] += 1;
        let judgement = judge(advisory, corpus.rules(), &choices, &Build::default());
        let (answer, bump) = as_by_hand(advisory.xsa.unwrap(), &judgement);
        let Some(component) = bump else { continue };
        let at = match (component, answer) {
            (Component::Xen, Verdict::Yes) => 1,
            (Component::Xen, _) => 3,
            (Component::LinuxDom0, Verdict::Yes) => 4,
            (Component::LinuxDom0, _) => 5,
        };
        row[at] += 1;
        if at == 1 && advisory.claim == "stated" {
            row[2] += 1;
        }
        if answer == Verdict::Yes {
            days.entry((date.year(), component)).or_default().insert(date.to_string());
        }
    }
    for (year, row) in &mut years {
        let count = |component| days.get(&(*year, component)).map_or(0, BTreeSet::len);
        row[6] = count(Component::Xen);
        row[7] = count(Component::LinuxDom0);
    }
    assert_eq!(years.into_iter().collect::<Vec<_>>(), BY_HAND);
}

/// The answer, or what was answered by hand where that is known to differ. It has to differ.
fn as_by_hand(xsa: u16, judgement: &Judgement<'_>) -> (Verdict, Option<Component>) {
    let Some((_, by_hand, _)) = DIFFERENT.iter().find(|(different, ..)| *different == xsa) else {
        return (judgement.answer, judgement.bump.first().copied());
    };
    let by_hand: Verdict = by_hand.parse().unwrap();
    assert_ne!(judgement.answer, by_hand, "XSA-{xsa} is no difference any more");
    let component = match xsa {
        313 | 328 | 337 => Some(Component::Xen),
        396 | 405 | 485 | 487 => Some(Component::LinuxDom0),
        _ => None,
    };
    (by_hand, component)
}
