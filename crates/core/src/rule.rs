//! The shape of a rule, and how a value is held against it.
//!
//! The tables are data of these types, generated from `policy/`. A value is honoured only where an item allows
//! it; whatever no item matches is refused.

use core::ops::Range;

use crate::reason::Reason;
use crate::xen_text::{self, NamedBoolean, parse_bool, parse_boolean};

/// Everything that the command line is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Table<'t> {
    /// Xen's options, sorted by name.
    pub xen: &'t [Opt<'t>],
    /// The options that unsigned text may give to dom0's Linux, sorted by name with `-` read as `_`.
    pub dom0: &'t [Opt<'t>],
}

/// A release of Xen that has an option set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct XenVersion(pub(crate) u8);

/// A set of releases of Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenVersions(u8);

impl XenVersion {
    /// The version with that name, as in `policy/options`: `4.17`, `4.20`, `HEAD`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let index = crate::tables::XEN_VERSIONS.iter().position(|&known| known == name)?;
        u8::try_from(index).ok().map(Self)
    }

    /// The name, as in `policy/options`.
    #[must_use]
    pub fn name(self) -> &'static str {
        crate::tables::XEN_VERSIONS.get(usize::from(self.0)).copied().unwrap_or("")
    }
}

impl XenVersions {
    /// A set from its bits: bit n is the n-th name of [`XEN_VERSIONS`](crate::tables::XEN_VERSIONS).
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether the version is in the set.
    #[must_use]
    pub fn contains(self, version: XenVersion) -> bool {
        self.0 & 1u8.checked_shl(u32::from(version.0)).unwrap_or(0) != 0
    }
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Opt<'t> {
    /// The name as it is registered.
    pub name: &'t [u8],
    /// How Xen reads its value.
    pub kinds: Kinds,
    /// The releases that have it.
    pub versions: XenVersions,
    /// Why it is refused where nothing more exact is known.
    pub reason: Reason,
    /// The note that explains it, an index into the catalogue; 0 for none.
    pub note: u16,
    /// What unsigned text may do with it.
    pub class: Class<'t>,
    /// Values that a downstream declared safe.
    pub declared: &'t [Declared<'t>],
}

/// Values that a downstream declared safe in an overlay, each judged as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'t> {
    /// Which overlay says so, counted from 1.
    pub overlay: u8,
    /// The value, exactly.
    pub value: &'t [u8],
}

/// How an option is registered with Xen. One that is registered more than once has the union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Has a handler of its own (`custom_param`).
    pub const CUSTOM: Self = Self(1);
    /// A boolean (`boolean_param`).
    pub const BOOLEAN: Self = Self(1 << 1);
    /// An integer, read in base 0 (`integer_param`).
    pub const INTEGER: Self = Self(1 << 2);
    /// A size with unit (`size_param`).
    pub const SIZE: Self = Self(1 << 3);
    /// Text that is copied, and cut, into an array (`string_param`).
    pub const STRING: Self = Self(1 << 4);
    /// Accepted and dropped (`ignore_param`).
    pub const IGNORE: Self = Self(1 << 5);

    /// The union of two.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What unsigned text may do with an option while Xen is locked.
#[derive(Clone, Copy, Debug)]
pub enum Class<'t> {
    /// Set it to anything.
    Safe,
    /// Set it to what the shape allows.
    Values(Shape<'t>),
    /// Nothing.
    Refused,
    /// The option `lockdown` itself: turn it on.
    Latch,
}

/// How a value is taken apart.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'t> {
    /// It is one element.
    Whole {
        /// Bytes of the value that Xen keeps, for a string option; `u16::MAX` for all.
        keeps: u16,
        /// What is allowed.
        items: &'t [Item<'t>],
    },
    /// It is a list.
    List {
        /// Bytes of the value that Xen keeps, for a string option; `u16::MAX` for all.
        keeps: u16,
        /// What separates the elements.
        separator: u8,
        /// What is allowed for each element.
        items: &'t [Item<'t>],
    },
    /// It is a list of positions, then of `name=value` pairs (`com1`): elements up to the first with a `=` are
    /// judged by position, that one and all later ones by name.
    Fields {
        /// Bytes of the value that Xen keeps; `u16::MAX` for all.
        keeps: u16,
        /// What is allowed at each position; an empty position is always allowed.
        positions: &'t [&'t [Item<'t>]],
        /// What is allowed as `name=value`.
        named: &'t [Item<'t>],
    },
}

/// One thing that an element may be.
#[derive(Clone, Copy, Debug)]
pub struct Item<'t> {
    /// What it matches, and which of that it allows.
    pub pattern: Pattern<'t>,
    /// Why it refuses what it does not allow; `None` for the option's own reason.
    pub reason: Option<Reason>,
    /// The note that explains it, an index into the catalogue; 0 for the option's own.
    pub note: u16,
    /// The overlay that it comes from, counted from 1; 0 for the project's own rules.
    pub overlay: u8,
}

impl Item<'_> {
    /// Whether the item decides about an element, allowing it or not. For checks of the policy.
    #[must_use]
    pub fn matches(&self, element: &[u8]) -> bool {
        let how = Reading { kinds: Kinds::CUSTOM, negated: false, level: crate::Level::Confidentiality };
        self.pattern.judge(element, how).is_some()
    }
}

/// Which values of a boolean are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// True only.
    On,
    /// False only.
    Off,
    /// Both.
    Any,
    /// Neither.
    No,
}

impl Polarity {
    fn allows(self, value: bool) -> bool {
        match self {
            Self::On => value,
            Self::Off => !value,
            Self::Any => true,
            Self::No => false,
        }
    }
}

/// Inclusive ranges of numbers; negative numbers stand in two's complement of 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Number<'t>(pub &'t [(u64, u64)]);

impl Number<'_> {
    fn holds(&self, value: u64) -> bool {
        self.0.iter().any(|&(low, high)| low <= value && value <= high)
    }
}

/// What an element is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Pattern<'t> {
    /// A bare boolean.
    Bool(Polarity),
    /// `name`, `no-name` or `name=<bool>`.
    Flag(&'t [u8], Polarity),
    /// One of these words.
    Words(&'t [&'t [u8]], bool),
    /// A number in a base (0, 8, 10 or 16), the whole element.
    Number(u8, Number<'t>),
    /// A size in bytes, the whole element.
    Size(Number<'t>),
    /// Text that begins so, the rest judged by the inner items; with no items it is known and refused.
    Prefix(&'t [u8], &'t [Item<'t>]),
    /// Text that begins so and has none of the bytes.
    Text(&'t [u8], &'t [u8], bool),
    /// Text that begins so and goes on with nothing but ASCII letters, digits and `.` `_` `:` `=` `@` `+` `,` `/` `-`,
    /// which no shell, and no other reader behind it, takes for anything but text.
    Plain(&'t [u8]),
    /// The empty element.
    Empty(bool),
}

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Allowed; by which overlay, or 0.
    Allowed(u8),
    /// Not allowed: which bytes of the value, why (`None`: the option's reason), and the note.
    Refused(Range<usize>, Option<Reason>, u16),
}

/// How the value came to be, where that changes what Xen makes of it.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) kinds: Kinds,
    pub(crate) negated: bool,
    pub(crate) level: crate::Level,
}

impl Shape<'_> {
    /// Holds a value against the shape.
    pub(crate) fn judge(&self, value: &[u8], how: Reading) -> Outcome {
        match *self {
            Self::Whole { keeps, items } => {
                let value = kept(value, keeps);
                let plain = match how.kinds {
                    kinds if kinds.has(Kinds::BOOLEAN) => return judge_boolean(items, value, how),
                    // A bare integer or size option is stored as 0.
                    kinds if kinds.has(Kinds::INTEGER.with(Kinds::SIZE)) && value.is_empty() => b"0",
                    _ => value,
                };
                match judge_element(items, plain, how) {
                    Outcome::Refused(_, reason, note) => Outcome::Refused(0..value.len(), reason, note),
                    allowed => allowed,
                }
            }
            Self::List { keeps, separator, items } => {
                let value = kept(value, keeps);
                judge_elements(value, separator, |_, element| judge_element(items, element, how))
            }
            Self::Fields { keeps, positions, named } => {
                let value = kept(value, keeps);
                let mut names = false;
                judge_elements(value, b',', |index, element| {
                    names |= element.contains(&b'=');
                    match positions.get(index) {
                        _ if names => judge_element(named, element, how),
                        _ if element.is_empty() => Outcome::Allowed(0),
                        Some(items) => judge_element(items, element, how),
                        None => Outcome::Refused(0..element.len(), None, 0),
                    }
                })
            }
        }
    }
}

fn kept(value: &[u8], keeps: u16) -> &[u8] {
    value.get(..usize::from(keeps)).unwrap_or(value)
}

/// Judges each element; the first that is refused decides. An overlay that any element needed is reported.
fn judge_elements(value: &[u8], separator: u8, mut judge: impl FnMut(usize, &[u8]) -> Outcome) -> Outcome {
    let mut overlay = 0;
    let mut start: usize = 0;
    let mut index: usize = 0;
    for element in value.split(|&byte| byte == separator) {
        match judge(index, element) {
            Outcome::Allowed(by) => overlay = overlay.max(by),
            Outcome::Refused(range, reason, note) => {
                let range = start.saturating_add(range.start)..start.saturating_add(range.end);
                return Outcome::Refused(range, reason, note);
            }
        }
        start = start.saturating_add(element.len()).saturating_add(1);
        // Not `enumerate`, whose count could overflow as far as the compiler knows.
        index = index.saturating_add(1);
    }
    Outcome::Allowed(overlay)
}

/// A boolean option: Xen applies `no-` and the value together, and a bare name is true.
fn judge_boolean(items: &[Item<'_>], value: &[u8], how: Reading) -> Outcome {
    let read = if value.is_empty() { Some(true) } else { parse_bool(value) };
    let word: &[u8] = match read {
        Some(read) if read != how.negated => b"1",
        Some(_) => b"0",
        // Not a boolean: Xen leaves the variable alone, but says so only on its console.
        None => value,
    };
    match judge_element(items, word, how) {
        Outcome::Refused(_, reason, note) => Outcome::Refused(0..value.len(), reason, note),
        allowed => allowed,
    }
}

/// The first item that matches decides.
fn judge_element(items: &[Item<'_>], element: &[u8], how: Reading) -> Outcome {
    for item in items {
        match item.pattern.judge(element, how) {
            None => {}
            Some(Outcome::Allowed(inner)) => return Outcome::Allowed(inner.max(item.overlay)),
            Some(Outcome::Refused(range, inner_reason, inner_note)) => {
                let reason = inner_reason.or(item.reason);
                // What a level does not refuse is allowed at that level.
                if reason.is_some_and(|reason| !reason.refuses_at(how.level)) {
                    return Outcome::Allowed(0);
                }
                let note = if inner_note == 0 { item.note } else { inner_note };
                return Outcome::Refused(range, reason, note);
            }
        }
    }
    Outcome::Refused(0..element.len(), None, 0)
}

impl Pattern<'_> {
    /// `None` if the element is something else.
    fn judge(&self, element: &[u8], how: Reading) -> Option<Outcome> {
        let decide = |allowed: bool| {
            Some(if allowed { Outcome::Allowed(0) } else { Outcome::Refused(0..element.len(), None, 0) })
        };
        match *self {
            Self::Bool(polarity) => decide(polarity.allows(parse_bool(element)?)),
            Self::Flag(name, polarity) => match parse_boolean(name, element) {
                NamedBoolean::Is(value) => decide(polarity.allows(value)),
                NamedBoolean::NotBoolean | NamedBoolean::Other => None,
            },
            Self::Words(words, allow) => words.contains(&element).then(|| decide(allow)).flatten(),
            Self::Number(base, ranges) => {
                let (value, len) = xen_text::strtoll(element, base);
                // Text with a minus sign that wraps to a positive number is not what some handlers read.
                let wraps = element.starts_with(b"-") && value.leading_zeros() > 0;
                (is_number(element, len) && !wraps).then(|| decide(ranges.holds(value))).flatten()
            }
            Self::Size(ranges) => {
                let (value, len) = xen_text::parse_size(element);
                is_number(element, len).then(|| decide(ranges.holds(value))).flatten()
            }
            Self::Prefix(prefix, items) => {
                let rest = element.strip_prefix(prefix)?;
                Some(match judge_element(items, rest, how) {
                    Outcome::Refused(_, reason, note) => Outcome::Refused(0..element.len(), reason, note),
                    allowed => allowed,
                })
            }
            Self::Text(prefix, without, allow) => {
                let rest = element.strip_prefix(prefix)?;
                decide(allow && !rest.iter().any(|byte| without.contains(byte)))
            }
            Self::Plain(prefix) => {
                let rest = element.strip_prefix(prefix)?;
                decide(rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:=@+,/-".contains(byte)))
            }
            Self::Empty(allow) => element.is_empty().then(|| decide(allow)).flatten(),
        }
    }
}

/// Xen took the whole element for a number, and there was a digit in it.
fn is_number(element: &[u8], taken: usize) -> bool {
    taken == element.len() && element.iter().any(u8::is_ascii_hexdigit)
}
