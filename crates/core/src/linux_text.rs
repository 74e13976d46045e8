//! Text as Linux reads its command line (`next_arg` in `lib/cmdline.c`, `parse_args` in `kernel/params.c`,
//! Linux 6.12).

use core::ops::Range;

/// White space as the kernel's `isspace` counts it: the ASCII ones and 0xa0, the no-break space of Latin-1.
#[must_use]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// The next token at or after `from`. A double quote keeps white space in the token up to the next quote or
/// to the end of the text.
#[must_use]
pub fn next_token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    let start = from.saturating_add(rest.iter().position(|&byte| !is_space(byte))?);
    let token = text.get(start..)?;
    let mut quoted = false;
    let mut len: usize = 0;
    for &byte in token {
        if byte == 0 || (is_space(byte) && !quoted) {
            break;
        }
        quoted ^= byte == b'"';
        len = len.saturating_add(1);
    }
    if len == 0 { None } else { Some(start..start.saturating_add(len)) }
}

/// One token split at its first `=`: name, value, and where the value begins.
#[must_use]
pub fn split(token: &[u8]) -> (&[u8], Option<&[u8]>, usize) {
    match token.iter().position(|&byte| byte == b'=') {
        Some(at) => {
            let value_at = at.saturating_add(1);
            (token.get(..at).unwrap_or_default(), token.get(value_at..), value_at)
        }
        None => (token, None, token.len()),
    }
}

/// Compares two option names as the kernel's `parameq` does: `-` and `_` are the same.
#[must_use]
pub fn compare_names(left: &[u8], right: &[u8]) -> core::cmp::Ordering {
    let fold = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
    left.iter().map(fold).cmp(right.iter().map(fold))
}

/// Whether Linux would take text put behind `text` for options of its own: not after a lone `--`, which hands
/// the rest to init, and not inside a quote that is still open.
#[must_use]
pub fn accepts_more(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(token) = next_token(text, at) {
        at = token.end;
        let token = text.get(token).unwrap_or_default();
        let open_quote = token.iter().fold(false, |open, &byte| open ^ (byte == b'"'));
        if token == b"--" || open_quote {
            return false;
        }
    }
    true
}
