//! The engine on any text: the invariants of the lock.
//!
//! The first byte of the input chooses the segment, the second one the lock; the rest is the command line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_core::{Level, Lockdown, Segment, Token, Verdict, XenVersion, tables, xen_text};

fuzz_target!(|input: &[u8]| {
    let [segment, locked, text @ ..] = input else { return };
    let segment = [Segment::Builtin, Segment::Signed, Segment::Runtime][usize::from(segment % 3)];
    let locked = [None, Some(Level::Integrity), Some(Level::Confidentiality)][usize::from(locked % 3)];
    for version in [XenVersion::V4_17, XenVersion::V4_20] {
        check(Lockdown::new(&tables::TABLE, version, locked), segment, text);
    }
});

fn check(start: Lockdown<'_>, segment: Segment, text: &[u8]) {
    let (xen, dom0) = match xen_text::split_dom0(text) {
        Some((end, dom0)) => (&text[..end], &text[dom0]),
        None => (text, &b""[..]),
    };

    // To judge and to filter is the same.
    let mut judged = start;
    let tokens: Vec<_> = judged.xen_tokens(segment, xen).collect();
    let mut filtered = start;
    let mut passes = xen.to_vec();
    let mut reported = 0;
    filtered.filter_xen(segment, &mut passes, &mut |token| {
        assert_eq!(*token, tokens[reported]);
        reported += 1;
    });
    assert_eq!(reported, tokens.len());
    assert_eq!(judged.level(), filtered.level());
    check_filtered(xen, &passes, &tokens);
    check_tokens(segment, &tokens);

    // Nothing unlocks, and while nothing is locked nothing is refused.
    assert!(judged.level() >= start.level());
    if judged.level().is_none() {
        assert!(tokens.iter().all(|token| matches!(token.verdict, Verdict::Honoured(_))));
    }

    // What passes, judged again, is refused nowhere and ends as locked as before.
    let mut again = start;
    for token in again.xen_tokens(segment, &passes) {
        assert!(matches!(token.verdict, Verdict::Honoured(_)), "{token:?}");
    }
    assert_eq!(again.level(), judged.level());

    // The same for dom0's part, which is judged under the lock that Xen's part left.
    let tokens: Vec<_> = judged.dom0_tokens(segment, dom0).collect();
    let mut passes = dom0.to_vec();
    let mut reported = 0;
    judged.filter_dom0(segment, &mut passes, &mut |token| {
        assert_eq!(*token, tokens[reported]);
        reported += 1;
    });
    assert_eq!(reported, tokens.len());
    check_filtered(dom0, &passes, &tokens);
    check_tokens(segment, &tokens);
    for token in judged.dom0_tokens(segment, &passes) {
        assert!(matches!(token.verdict, Verdict::Honoured(_)), "{token:?}");
    }
}

/// Honoured tokens are as they were, and of refused ones only spaces are left.
fn check_filtered(text: &[u8], passes: &[u8], tokens: &[Token<'_>]) {
    assert_eq!(text.len(), passes.len());
    let mut expected = text.to_vec();
    for token in tokens.iter().filter(|token| matches!(token.verdict, Verdict::Refused(_))) {
        expected[token.offset..][..token.text.len()].fill(b' ');
    }
    assert_eq!(expected, passes);
}

fn check_tokens(segment: Segment, tokens: &[Token<'_>]) {
    for token in tokens {
        if let Verdict::Refused(refusal) = &token.verdict {
            assert!(!segment.is_trusted(), "{token:?}");
            assert!(refusal.at.start < refusal.at.end && refusal.at.end <= token.text.len(), "{token:?}");
            assert!(!refusal.reason.id().is_empty());
        }
    }
}
