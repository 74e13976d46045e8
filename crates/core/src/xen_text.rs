//! Text as Xen's option parser reads it (`parse_params`, `parse_bool`, `parse_boolean` and
//! `assign_integer_param` in `xen/common/kernel.c`; `simple_strtoull` and `parse_size_and_unit` in `xen/lib/`;
//! unchanged in what they accept from 4.17 to 4.20).
//!
//! Nothing here knows a rule. `make test` holds each function against Xen's own code.

use core::ops::Range;

/// Bytes of one option that Xen keeps: `MAX_PARAM_SIZE` (128) less the terminating NUL. The rest of a longer
/// token is dropped without a message.
pub const TOKEN_MAX: usize = 127;

/// Bytes of dom0's whole command line that Xen keeps: `MAX_GUEST_CMDLINE` (1024, `xen/include/public/xen.h`) less
/// the terminating NUL. `create_dom0` (`xen/arch/x86/setup.c`, 4.17 and 4.20) drops the rest without a message.
pub const DOM0_LINE_MAX: usize = 1023;

/// What the text holds up to its first NUL byte, which is where every reader in Xen stops.
#[must_use]
pub fn until_nul(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// Where the text for dom0 lies, if there is any: `(end of Xen's own text, dom0's text)`.
///
/// Xen splits at the first ` -- ` (space, two dashes, space) and skips all spaces after it
/// (`__start_xen`, `xen/arch/x86/setup.c`). A `--` at the very start or end of the text is not a separator.
#[must_use]
pub fn split_dom0(text: &[u8]) -> Option<(usize, Range<usize>)> {
    let text = until_nul(text);
    let at = text.windows(4).position(|window| window == b" -- ")?;
    let mut start = at.saturating_add(4);
    while text.get(start) == Some(&b' ') {
        start = start.saturating_add(1);
    }
    Some((at, start..text.len()))
}

/// The next token at or after `from`: Xen splits at the space character alone, so a tab is part of a token.
#[must_use]
pub fn next_token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    let start = from.saturating_add(leading(rest, |byte| byte == b' '));
    let token = text.get(start..)?;
    let len = leading(token, |byte| byte != b' ' && byte != 0);
    if len == 0 { None } else { Some(start..start.saturating_add(len)) }
}

/// How many bytes at the beginning are wanted. Counted by hand, because the counter of `Iterator::position` has an overflow
/// check that Rust 1.85 does not see through; this one stays below the text's length.
fn leading(text: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    let mut len: usize = 0;
    while text.get(len).is_some_and(|&byte| wanted(byte)) {
        len = len.wrapping_add(1);
    }
    len
}

/// One token, cut and taken apart as `parse_params` does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The key as written, `no-` included.
    pub key: &'a [u8],
    /// The key that is looked up: `no-` stripped, once.
    pub name: &'a [u8],
    /// `no-` was stripped.
    pub negated: bool,
    /// The text after the first `=`; empty if there is none.
    pub value: &'a [u8],
    /// Where the value begins in the token.
    pub value_at: usize,
    /// For a key with a bracket (`ivrs_ioapic[7]=...`): the key up to and with its first bracket, which Xen
    /// compares with the names of custom options, and the text that it hands to the handler.
    pub bracketed: Option<Bracketed<'a>>,
}

/// A key with one of `(`, `[`, `{`, `<` in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracketed<'a> {
    /// The key up to and with the bracket.
    pub name: &'a [u8],
    /// The token from the bracket on, its value included.
    pub argument: &'a [u8],
}

impl<'a> Param<'a> {
    /// Takes a token apart, after the cut at [`TOKEN_MAX`].
    #[must_use]
    pub fn new(token: &'a [u8]) -> Self {
        let token = token.get(..TOKEN_MAX).unwrap_or(token);
        let equals = token.iter().position(|&byte| byte == b'=');
        let key = token.get(..equals.unwrap_or(token.len())).unwrap_or(token);
        let value_at = equals.map_or(token.len(), |at| at.saturating_add(1));
        let value = token.get(value_at..).unwrap_or_default();
        let bracketed = equals.and_then(|_| {
            let at = key.iter().position(|byte| matches!(byte, b'(' | b'[' | b'{' | b'<'))?;
            Some(Bracketed { name: key.get(..=at)?, argument: token.get(at..)? })
        });
        let (name, negated) = match key.strip_prefix(b"no-") {
            Some(name) => (name, true),
            None => (key, false),
        };
        Self { key, name, negated, value, value_at, bracketed }
    }
}

/// Reads a boolean as `parse_bool` does: exact, case-sensitive words; `None` for anything else, the empty text
/// included.
#[must_use]
pub fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"on" | b"yes" | b"true" | b"enable" => Some(true),
        b"0" | b"no" | b"off" | b"false" | b"disable" => Some(false),
        _ => None,
    }
}

/// What `parse_boolean` makes of one element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBoolean {
    /// `name`, `no-name` or `name=<bool>`.
    Is(bool),
    /// `name=` with something that is no boolean (-2).
    NotBoolean,
    /// Another name, or `no-name=...` (-1).
    Other,
}

/// Reads `name`, `no-name` or `name=<bool>` as `parse_boolean` does.
#[must_use]
pub fn parse_boolean(name: &[u8], text: &[u8]) -> NamedBoolean {
    let (rest, negated) = match text.strip_prefix(b"no-") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    match rest.strip_prefix(name) {
        Some([]) => NamedBoolean::Is(!negated),
        Some([b'=', value @ ..]) if !negated => {
            parse_bool(value).map_or(NamedBoolean::NotBoolean, NamedBoolean::Is)
        }
        _ => NamedBoolean::Other,
    }
}

/// Reads an unsigned number as `simple_strtoull` does and says how many bytes it took.
///
/// Base 0 finds the base from the prefix (`0x` followed by a hexadecimal digit, `0`); it wraps at 64 bits
/// without a word; text without a digit reads as 0.
#[must_use]
pub fn strtoull(text: &[u8], base: u8) -> (u64, usize) {
    let is_hex = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    let has_x = |at: usize| matches!(text.get(at), Some(b'x' | b'X'));
    let (base, mut at) = match (base, text.first()) {
        (0, Some(b'0')) if has_x(1) && is_hex(2) => (16, 2),
        (0, Some(b'0')) => (8, 1),
        (0, _) => (10, 0),
        (16, Some(b'0')) if has_x(1) => (16, 2),
        (base, _) => (base, 0),
    };
    let mut value: u64 = 0;
    while let Some(digit) = text.get(at).and_then(|&byte| hex_digit(byte)).filter(|&digit| digit < base) {
        value = value.wrapping_mul(u64::from(base)).wrapping_add(u64::from(digit));
        at = at.saturating_add(1);
    }
    (value, at)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

/// Reads a number with an optional minus sign as `simple_strtoll` does; a negative number comes back in two's
/// complement.
#[must_use]
pub fn strtoll(text: &[u8], base: u8) -> (u64, usize) {
    match text.strip_prefix(b"-") {
        Some(rest) => {
            let (value, len) = strtoull(rest, base);
            (value.wrapping_neg(), len.saturating_add(1))
        }
        None => strtoull(text, base),
    }
}

/// Reads a size as `parse_size_and_unit` does: a number and one of B, K, M, G, T in either case; without a unit
/// it counts KiB; with `%` the number stays as it is and the sign is not taken. Shifts drop the high bits.
#[must_use]
pub fn parse_size(text: &[u8]) -> (u64, usize) {
    let (value, len) = strtoull(text, 0);
    let shift = match text.get(len) {
        Some(b'T' | b't') => 40,
        Some(b'G' | b'g') => 30,
        Some(b'M' | b'm') => 20,
        Some(b'K' | b'k') => 10,
        Some(b'B' | b'b') => 0,
        Some(b'%') => return (value, len),
        _ => return (value.wrapping_shl(10), len),
    };
    (value.wrapping_shl(shift), len.saturating_add(1))
}

/// What lands in an integer variable of `bits` bits (8, 16, 32 or 64), as `assign_integer_param` decides; `None`
/// where Xen answers `-EOVERFLOW` and stores nothing.
#[must_use]
pub fn assign_integer(value: u64, bits: u8) -> Option<u64> {
    let unused = 64u32.saturating_sub(u32::from(bits));
    let max = u64::MAX.checked_shr(unused).unwrap_or(0);
    // The smallest negative number of that width, in two's complement of 64 bits.
    let min = !(max >> 1);
    if value > max && value < min { None } else { Some(value & max) }
}
