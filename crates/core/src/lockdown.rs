//! The latch, and the verdict on each token.

use core::cmp::Ordering;
use core::ops::Range;

use crate::linux_text;
use crate::reason::Reason;
use crate::rule::{Class, Declared, Kinds, Opt, Outcome, Reading, Table, XenVersion};
use crate::xen_text::{self, Param, parse_bool};

/// How far the lock goes. A level only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing may change code or protected memory of Xen or of dom0's kernel.
    Integrity,
    /// Nor may anything read it.
    Confidentiality,
}

/// Where a piece of the command line comes from, in the order in which Xen parses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// `CONFIG_CMDLINE`, compiled into Xen.
    Builtin,
    /// The `.config` section of a unified image, which shares the fate of Xen's own code.
    Signed,
    /// Everything else: boot entry, boot loader, xen.cfg on a disk, PVH start info.
    Runtime,
}

impl Segment {
    /// Trusted text is honoured whole: who signs an image answers for it.
    #[must_use]
    pub const fn is_trusted(self) -> bool {
        matches!(self, Self::Builtin | Self::Signed)
    }
}

/// Whose option a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Xen's own.
    Xen,
    /// dom0's kernel's.
    Dom0,
}

/// One token of a command line, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The token as it is written.
    pub text: &'a [u8],
    /// Where it begins in the text that was given.
    pub offset: usize,
    /// The option that it sets, an index into [`Table::xen`] or [`Table::dom0`].
    pub option: Option<u16>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What becomes of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Xen's parser, or dom0's, gets to see it.
    Honoured(Ground),
    /// It is taken out before any handler sees it.
    Refused(Refusal),
}

/// Why a token is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing is locked at this point.
    NotLocked,
    /// The segment is trusted.
    Trusted,
    /// The rules allow it.
    Allowed,
    /// A downstream's overlay, counted from 1, allows it.
    Overlay(u8),
    /// It sets the latch.
    Locks,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// The bytes of the token that are at fault.
    pub at: Range<usize>,
    /// The note that explains it, an index into the catalogue; 0 for none.
    pub note: u16,
}

/// The state of the lock while a command line is read, left to right.
#[derive(Clone, Copy, Debug)]
pub struct Lockdown<'t> {
    table: &'t Table<'t>,
    version: XenVersion,
    level: Option<Level>,
}

/// What locked Xen appends to dom0's command line.
#[must_use]
pub const fn dom0_lockdown_option(level: Level) -> &'static [u8] {
    match level {
        Level::Integrity => b"lockdown=integrity",
        Level::Confidentiality => b"lockdown=confidentiality",
    }
}

impl<'t> Lockdown<'t> {
    /// Begins with the lock set (by Secure Boot) or not.
    #[must_use]
    pub const fn new(table: &'t Table<'t>, version: XenVersion, locked: Option<Level>) -> Self {
        Self { table, version, level: locked }
    }

    /// The level of the lock now; `None` while nothing is locked.
    #[must_use]
    pub const fn level(&self) -> Option<Level> {
        self.level
    }

    /// Raises the lock; it never falls.
    pub fn raise(&mut self, level: Level) {
        self.level = self.level.max(Some(level));
    }

    /// Judges each token of one segment of Xen's own text, in the order in which Xen parses them.
    ///
    /// `text` is Xen's part only: [`xen_text::split_dom0`] comes first, except for the built-in text, which Xen
    /// never splits. The lock may rise on the way.
    pub fn xen_tokens<'s, 'a>(&'s mut self, segment: Segment, text: &'a [u8]) -> XenTokens<'s, 't, 'a> {
        XenTokens { lockdown: self, segment, text, at: 0 }
    }

    /// Judges each token of a piece of dom0's text. Xen hands dom0's text on after it parsed all of its own, so
    /// this is asked last.
    #[must_use]
    pub fn dom0_tokens<'s, 'a>(&'s self, segment: Segment, text: &'a [u8]) -> Dom0Tokens<'s, 't, 'a> {
        Dom0Tokens { lockdown: self, segment, text: xen_text::until_nul(text), at: 0 }
    }

    /// Overwrites what is refused in one segment of Xen's own text with spaces, so that Xen's parser gets to see
    /// the rest, and hands each judged token to `report`. The text keeps its length and needs no second buffer.
    pub fn filter_xen(&mut self, segment: Segment, text: &mut [u8], report: &mut dyn FnMut(&Token<'_>)) {
        let mut at = 0;
        while let Some(range) = xen_text::next_token(text, at) {
            at = range.end;
            let Some(token) = text.get(range.clone()) else { return };
            let token = self.xen_token(segment, token, range.start);
            report(&token);
            let refused = matches!(token.verdict, Verdict::Refused(_));
            blank(text, range, refused);
        }
    }

    /// The same for a piece of dom0's text.
    pub fn filter_dom0(&self, segment: Segment, text: &mut [u8], report: &mut dyn FnMut(&Token<'_>)) {
        let mut at = 0;
        while let Some(range) = linux_text::next_token(text, at) {
            at = range.end;
            let Some(token) = text.get(range.clone()) else { return };
            let token = self.dom0_token(segment, token, range.start);
            report(&token);
            let refused = matches!(token.verdict, Verdict::Refused(_));
            blank(text, range, refused);
        }
    }

    fn xen_token<'a>(&mut self, segment: Segment, text: &'a [u8], offset: usize) -> Token<'a> {
        let param = Param::new(text);
        let found = self.find_xen(&param);
        let option = found.and_then(|(index, _, _)| u16::try_from(index).ok());
        let verdict = match found {
            Some((_, Opt { class: Class::Latch, note, .. }, _)) => self.latch(segment, &param, *note, text),
            _ if segment.is_trusted() => Verdict::Honoured(Ground::Trusted),
            _ => match (self.level, found) {
                (None, _) => Verdict::Honoured(Ground::NotLocked),
                (Some(level), Some((_, option, bracketed))) => judge_xen(option, &param, bracketed, level, text),
                (Some(_), None) => {
                    // A token that begins with `=` has no key to point at.
                    let end = if param.key.is_empty() { text.len() } else { param.key.len() };
                    Verdict::Refused(Refusal { reason: Reason::UNKNOWN_OPTION, at: 0..end, note: 0 })
                }
            },
        };
        Token { text, offset, option, verdict }
    }

    /// The option that Xen would find: by the exact name without `no-`, else by the bracket.
    fn find_xen(&self, param: &Param<'_>) -> Option<(usize, &'t Opt<'t>, bool)> {
        let exact = self.option_named(param.name).map(|(index, option)| (index, option, false));
        exact.or_else(|| {
            let bracketed = param.bracketed?;
            let (index, option) = self.option_named(bracketed.name)?;
            option.kinds.has(Kinds::CUSTOM).then_some((index, option, true))
        })
    }

    fn option_named(&self, name: &[u8]) -> Option<(usize, &'t Opt<'t>)> {
        // By hand, because the engine spends more time here than anywhere: the library's search never stops
        // early, and its comparison of slices is a call, where most names differ in one of the first bytes.
        let (mut low, mut high) = (0, self.table.xen.len());
        while low < high {
            let index = low.midpoint(high);
            let option = self.table.xen.get(index)?;
            let differ = option.name.iter().zip(name).find(|(left, right)| left != right);
            match differ.map_or_else(|| option.name.len().cmp(&name.len()), |(left, right)| left.cmp(right)) {
                Ordering::Less => low = index.saturating_add(1),
                Ordering::Greater => high = index,
                Ordering::Equal => return option.versions.contains(self.version).then_some((index, option)),
            }
        }
        None
    }

    /// The option `lockdown`: it turns the lock on, and nothing turns it off.
    fn latch(&mut self, segment: Segment, param: &Param<'_>, note: u16, text: &[u8]) -> Verdict {
        let off = if param.negated { true } else { parse_bool(param.value) == Some(false) };
        if !off {
            let confidential = param.value == b"confidentiality";
            self.raise(if confidential { Level::Confidentiality } else { Level::Integrity });
            return Verdict::Honoured(Ground::Locks);
        }
        // Text that would clear the lock is dropped where it can be; where it is trusted it has no effect.
        match (segment.is_trusted(), self.level) {
            (true, _) => Verdict::Honoured(Ground::Trusted),
            (false, None) => Verdict::Honoured(Ground::NotLocked),
            (false, Some(_)) => Verdict::Refused(Refusal { reason: Reason::LATCH, at: 0..text.len(), note }),
        }
    }

    fn dom0_token<'a>(&self, segment: Segment, text: &'a [u8], offset: usize) -> Token<'a> {
        let (name, value, value_at) = linux_text::split(text);
        let found = self.table.dom0.binary_search_by(|option| linux_text::compare_names(option.name, name));
        let index = found.ok();
        let option = index.and_then(|index| self.table.dom0.get(index));
        let verdict = match (segment.is_trusted(), self.level) {
            (true, _) => Verdict::Honoured(Ground::Trusted),
            (false, None) => Verdict::Honoured(Ground::NotLocked),
            (false, Some(level)) => judge_dom0(option, value.unwrap_or_default(), value_at, level, text),
        };
        Token { text, offset, option: index.and_then(|index| u16::try_from(index).ok()), verdict }
    }
}

fn blank(text: &mut [u8], range: Range<usize>, refused: bool) {
    match text.get_mut(range) {
        Some(token) if refused => token.fill(b' '),
        _ => {}
    }
}

fn judge_xen(option: &Opt<'_>, param: &Param<'_>, bracketed: bool, level: Level, text: &[u8]) -> Verdict {
    let (value, value_at) = match param.bracketed {
        // The handler gets the text from the bracket on.
        Some(bracket) if bracketed => (bracket.argument, bracket.name.len().saturating_sub(1)),
        _ => (param.value, param.value_at),
    };
    let custom = option.kinds.has(Kinds::CUSTOM) && !bracketed;
    let reading = Reading { kinds: option.kinds, negated: param.negated, level };
    let outcome = match option.class {
        Class::Safe | Class::Latch => Outcome::Allowed(0),
        Class::Refused => Outcome::Refused(0..0, None, 0),
        // `no-` before a custom option hands "no" to its handler, and only where there is no value.
        Class::Values(_) if custom && param.negated && !value.is_empty() => {
            Outcome::Refused(0..value.len(), Some(Reason::VALUE_NOT_LISTED), 0)
        }
        Class::Values(shape) if custom && param.negated => match shape.judge(b"no", reading) {
            Outcome::Refused(_, reason, note) => Outcome::Refused(0..0, reason, note),
            allowed => allowed,
        },
        Class::Values(shape) => shape.judge(value, reading),
    };
    // A declared value is meant as it stands, not turned round by `no-`.
    let declared = if param.negated { &[] } else { option.declared };
    verdict(option, declared, outcome, value, value_at, level, text)
}

fn judge_dom0(option: Option<&Opt<'_>>, value: &[u8], value_at: usize, level: Level, text: &[u8]) -> Verdict {
    let whole = 0..text.len();
    // Quotes swallow what follows them, and Linux's early reader (`arch/x86/lib/cmdline.c`) takes every control
    // character for a space, which its other one does not.
    if text.iter().any(|byte| *byte == b'"' || !byte.is_ascii_graphic()) {
        return Verdict::Refused(Refusal { reason: Reason::TEXT_FORM, at: whole, note: 0 });
    }
    let Some(option) = option else {
        return Verdict::Refused(Refusal { reason: Reason::DOM0_UNLISTED, at: whole, note: 0 });
    };
    let reading = Reading { kinds: option.kinds, negated: false, level };
    let outcome = match option.class {
        Class::Safe => Outcome::Allowed(0),
        Class::Values(shape) => shape.judge(value, reading),
        Class::Refused | Class::Latch => Outcome::Refused(0..0, None, 0),
    };
    verdict(option, option.declared, outcome, value, value_at, level, text)
}

fn verdict(
    option: &Opt<'_>,
    declared: &[Declared<'_>],
    outcome: Outcome,
    value: &[u8],
    value_at: usize,
    level: Level,
    text: &[u8],
) -> Verdict {
    let (range, reason, note) = match outcome {
        Outcome::Allowed(0) => return Verdict::Honoured(Ground::Allowed),
        Outcome::Allowed(overlay) => return Verdict::Honoured(Ground::Overlay(overlay)),
        Outcome::Refused(range, reason, note) => (range, reason.unwrap_or(option.reason), note),
    };
    if let Some(declared) = declared.iter().find(|declared| declared.value == value) {
        return Verdict::Honoured(Ground::Overlay(declared.overlay));
    }
    if !reason.refuses_at(level) {
        return Verdict::Honoured(Ground::Allowed);
    }
    let at = if range.is_empty() {
        0..text.len()
    } else {
        value_at.saturating_add(range.start)..value_at.saturating_add(range.end).min(text.len())
    };
    Verdict::Refused(Refusal { reason, at, note: if note == 0 { option.note } else { note } })
}

/// The tokens of one segment of Xen's text, judged. See [`Lockdown::xen_tokens`].
#[derive(Debug)]
pub struct XenTokens<'s, 't, 'a> {
    lockdown: &'s mut Lockdown<'t>,
    segment: Segment,
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for XenTokens<'_, '_, 'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let range = xen_text::next_token(self.text, self.at)?;
        self.at = range.end;
        let text = self.text.get(range.clone())?;
        Some(self.lockdown.xen_token(self.segment, text, range.start))
    }
}

/// The tokens of a piece of dom0's text, judged. See [`Lockdown::dom0_tokens`].
#[derive(Debug)]
pub struct Dom0Tokens<'s, 't, 'a> {
    lockdown: &'s Lockdown<'t>,
    segment: Segment,
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Dom0Tokens<'_, '_, 'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let range = linux_text::next_token(self.text, self.at)?;
        self.at = range.end;
        let text = self.text.get(range.clone())?;
        Some(self.lockdown.dom0_token(self.segment, text, range.start))
    }
}
