//! What holds for every command line.

use lockdown_core::{
    Class, Item, Level, Lockdown, Opt, Pattern, Segment, Shape, Token, Verdict, XenVersion, tables,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Every name and word of the tables, and what is written around them: text that gets past the first comparison.
fn words() -> Vec<Vec<u8>> {
    let mut words = [
        "",
        "no-",
        "on",
        "off",
        "true",
        "no",
        "0",
        "1",
        "-1",
        "0x3f8",
        "115200",
        "8n1",
        "4G",
        "50%",
        "00:1f.3",
        "lockdown",
        "lockdown=no",
        "lockdown=confidentiality",
        "--",
        "\"",
        "[7]",
        "ttyS0",
        "hvc0",
    ]
    .map(|word| word.as_bytes().to_vec())
    .to_vec();
    for option in tables::TABLE.xen.iter().chain(tables::TABLE.dom0) {
        words.push(option.name.to_vec());
        if let Class::Values(shape) = option.class {
            match shape {
                Shape::Whole { items, .. } | Shape::List { items, .. } => add_words(items, &mut words),
                Shape::Fields { positions, named, .. } => {
                    positions.iter().for_each(|items| add_words(items, &mut words));
                    add_words(named, &mut words);
                }
            }
        }
    }
    words.sort_unstable();
    words.dedup();
    words
}

fn add_words(items: &[Item<'_>], words: &mut Vec<Vec<u8>>) {
    for item in items {
        match item.pattern {
            Pattern::Flag(name, _) | Pattern::Text(name, _, _) | Pattern::Plain(name) => words.push(name.to_vec()),
            Pattern::Words(some, _) => words.extend(some.iter().map(|word| word.to_vec())),
            Pattern::Prefix(prefix, items) => {
                words.push(prefix.to_vec());
                add_words(items, words);
            }
            Pattern::Bool(_) | Pattern::Number(..) | Pattern::Size(_) | Pattern::Empty(_) => {}
        }
    }
}

/// `name`, `name=value`, `no-name=value,value` and worse.
fn token() -> impl Strategy<Value = Vec<u8>> {
    let all = [tables::TABLE.xen, tables::TABLE.dom0].concat();
    let name = select(all).prop_map(|option: Opt<'static>| option.name.to_vec());
    let word = || select(words());
    let value = prop_oneof![
        4 => vec(word(), 1..4).prop_map(|words| words.join(&b','))
            .boxed(),
        2 => (word(), word()).prop_map(|(left, right)| [left, right].concat()),
        1 => (word(), 0..140_usize).prop_map(|(word, len)| [word, vec![b','; len]].concat()),
        1 => vec(any::<u8>(), 0..8),
    ];
    prop_oneof![
        8 => (select(vec!["", "", "no-"]), name, select(vec!["", "=", "=", "=", "[7]="]), value).prop_map(
            |(prefix, name, equals, value)| {
                let value = if equals.is_empty() { Vec::new() } else { value };
                [prefix.as_bytes(), &name, equals.as_bytes(), &value].concat()
            }
        ),
        1 => word(),
        1 => vec(any::<u8>(), 0..12),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let separator = select(vec![" ", " ", " ", "  ", "\t", " -- ", "\0"]);
    vec((separator, token()), 0..7).prop_map(|parts| {
        parts.into_iter().flat_map(|(separator, token)| [separator.as_bytes(), &token].concat()).collect()
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    select(vec![Segment::Builtin, Segment::Signed, Segment::Runtime])
}

fn level() -> impl Strategy<Value = Option<Level>> {
    select(vec![None, Some(Level::Integrity), Some(Level::Confidentiality)])
}

/// The lock at the start of a command line, for any release of Xen.
fn lockdown() -> impl Strategy<Value = Lockdown<'static>> {
    let versions: Vec<_> = tables::XEN_VERSIONS.iter().filter_map(|name| XenVersion::from_name(name)).collect();
    (select(versions), level()).prop_map(|(version, level)| Lockdown::new(&tables::TABLE, version, level))
}

/// A token without the text that it borrows.
type Judged = (Vec<u8>, usize, Option<u16>, Verdict);

fn own(token: &Token<'_>) -> Judged {
    (token.text.to_vec(), token.offset, token.option, token.verdict.clone())
}

fn xen_tokens(lockdown: &mut Lockdown<'_>, segment: Segment, text: &[u8]) -> Vec<Judged> {
    lockdown.xen_tokens(segment, text).map(|token| own(&token)).collect()
}

fn dom0_tokens(lockdown: &Lockdown<'_>, segment: Segment, text: &[u8]) -> Vec<Judged> {
    lockdown.dom0_tokens(segment, text).map(|token| own(&token)).collect()
}

fn is_refused((_, _, _, verdict): &Judged) -> bool {
    matches!(verdict, Verdict::Refused(_))
}

/// What the text should be after the filter: refused tokens are spaces, all else is as it was.
fn blanked(text: &[u8], tokens: &[Judged]) -> Vec<u8> {
    let mut blanked = text.to_vec();
    for (token, offset, _, _) in tokens.iter().filter(|token| is_refused(token)) {
        blanked[*offset..*offset + token.len()].fill(b' ');
    }
    blanked
}

fn check_faults(tokens: &[Judged]) -> Result<(), TestCaseError> {
    for (token, _, _, verdict) in tokens {
        if let Verdict::Refused(refusal) = verdict {
            let at = &refusal.at;
            prop_assert!(at.start <= at.end && at.end <= token.len(), "{at:?} of {}", token.escape_ascii());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_unlocks(mut lockdown in lockdown(), texts in vec((segment(), text()), 1..4)) {
        for (segment, text) in texts {
            let mut before = lockdown.level();
            // Token by token: a lock that fell and rose again within one text would not show at its end.
            let count = lockdown.xen_tokens(segment, &text).count();
            prop_assert!(lockdown.level() >= before);
            for take in 0..count {
                let mut again = lockdown;
                let _ = again.xen_tokens(segment, &text).take(take).count();
                prop_assert!(again.level() >= before);
                before = again.level();
            }
        }
    }

    #[test]
    fn runtime_text_never_changes_what_trusted_text_does(
        lockdown in lockdown(),
        first in text(),
        trusted in text(),
        segment in select(vec![Segment::Builtin, Segment::Signed]),
    ) {
        let alone = xen_tokens(&mut lockdown.clone(), segment, &trusted);
        let mut after = lockdown;
        xen_tokens(&mut after, Segment::Runtime, &first);
        prop_assert_eq!(&xen_tokens(&mut after, segment, &trusted), &alone);
        prop_assert!(!alone.iter().any(is_refused));

        let dom0 = dom0_tokens(&lockdown, segment, &trusted);
        prop_assert_eq!(&dom0_tokens(&after, segment, &trusted), &dom0);
        prop_assert!(!dom0.iter().any(is_refused));
    }

    #[test]
    fn the_filter_says_what_the_iterator_says_and_blanks_what_is_refused(
        lockdown in lockdown(),
        segment in segment(),
        text in text(),
    ) {
        let mut iterating = lockdown;
        let tokens = xen_tokens(&mut iterating, segment, &text);
        check_faults(&tokens)?;

        let mut filtering = lockdown;
        let mut filtered = text.clone();
        let mut reported = Vec::new();
        filtering.filter_xen(segment, &mut filtered, &mut |token| reported.push(own(token)));
        prop_assert_eq!(&reported, &tokens);
        prop_assert_eq!(&filtered, &blanked(&text, &tokens));
        prop_assert_eq!(filtering.level(), iterating.level());
    }

    #[test]
    fn what_passes_the_filter_is_refused_nowhere(lockdown in lockdown(), text in text()) {
        let mut filtered = text;
        let mut first = lockdown;
        let mut passed = Vec::new();
        first.filter_xen(Segment::Runtime, &mut filtered, &mut |token| {
            if !is_refused(&own(token)) {
                passed.push(own(token));
            }
        });
        let mut second = lockdown;
        prop_assert_eq!(xen_tokens(&mut second, Segment::Runtime, &filtered), passed);
        prop_assert_eq!(second.level(), first.level());
    }

    #[test]
    fn the_same_holds_for_dom0(lockdown in lockdown(), segment in segment(), text in text()) {
        let tokens = dom0_tokens(&lockdown, segment, &text);
        check_faults(&tokens)?;

        let mut filtered = text.clone();
        let mut reported = Vec::new();
        lockdown.filter_dom0(segment, &mut filtered, &mut |token| reported.push(own(token)));
        prop_assert_eq!(&reported, &tokens);
        prop_assert_eq!(&filtered, &blanked(&text, &tokens));

        let passed: Vec<_> = tokens.into_iter().filter(|token| !is_refused(token)).collect();
        prop_assert_eq!(dom0_tokens(&lockdown, segment, &filtered), passed);
    }

    /// Verdicts depend on the text before a token, never on the text after it.
    #[test]
    fn text_behind_a_token_does_not_change_its_verdict(lockdown in lockdown(), text in text(), at in any::<Index>()) {
        let tokens = xen_tokens(&mut lockdown.clone(), Segment::Runtime, &text);
        if !tokens.is_empty() {
            let last = at.index(tokens.len());
            let (token, offset, _, _) = &tokens[last];
            let start = &text[..offset + token.len()];
            prop_assert_eq!(&xen_tokens(&mut lockdown.clone(), Segment::Runtime, start), &tokens[..=last]);
        }
    }
}
