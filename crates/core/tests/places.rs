//! A refusal points at some bytes of its token, always.

#![allow(clippy::unwrap_used)]

use lockdown_core::{Level, Lockdown, Segment, Verdict, XenVersion, tables};

#[test]
fn an_unknown_option_is_pointed_at_by_its_key() {
    assert_eq!(place(b"nosuch=1"), 0..6);
}

#[test]
fn a_token_without_a_key_is_pointed_at_as_a_whole() {
    assert_eq!(place(b"=1"), 0..2);
}

fn place(text: &[u8]) -> core::ops::Range<usize> {
    let mut lockdown = Lockdown::new(&tables::TABLE, XenVersion::V4_20, Some(Level::Integrity));
    let token = lockdown.xen_tokens(Segment::Runtime, text).next().unwrap();
    let Verdict::Refused(refusal) = token.verdict else { panic!("not refused: {token:?}") };
    refusal.at
}
