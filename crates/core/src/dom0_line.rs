//! The option that locks dom0's kernel, put into its command line.

use crate::linux_text;
use crate::lockdown::{Level, dom0_lockdown_option};
use crate::xen_text;

/// Puts the option into a line that ends with a zero byte, or with `line`: at the end, or in front where Linux would not
/// read it there or where it would not fit. Returns the length of the line, at most that of `line` less one; `None` where
/// `line` has no room for the option.
///
/// What does not fit any more falls off the end, as with Xen's own `strlcat`, but only in whole tokens: the beginning of a
/// token that was allowed is not one that was allowed.
pub fn lock(line: &mut [u8], level: Level) -> Option<usize> {
    let option = dom0_lockdown_option(level);
    let room = line.len().checked_sub(1)?;
    let mut len = xen_text::until_nul(line.get(..room)?).len();
    if len == room {
        // Xen cut it already, or it fits to the byte, which nobody can tell from the other.
        len = whole_tokens(line.get(..len)?);
    }
    let text = line.get(..len)?;
    // With a space between the two.
    let total = len.checked_add(option.len())?.checked_add(usize::from(len != 0))?;
    if total <= room && linux_text::accepts_more(text) {
        let at = total.checked_sub(option.len())?;
        line.get_mut(len..at)?.fill(b' ');
        line.get_mut(at..total)?.copy_from_slice(option);
        *line.get_mut(total)? = 0;
        return Some(total);
    }
    let front = option.len().checked_add(1)?;
    let mut kept = len.min(room.checked_sub(front)?);
    if kept < len && line.get(kept) != Some(&b' ') {
        kept = whole_tokens(line.get(..kept)?);
    }
    let total = front.checked_add(kept)?;
    // From the end, so that nothing is overwritten before it was moved.
    for at in (0..kept).rev() {
        let byte = *line.get(at)?;
        *line.get_mut(at.checked_add(front)?)? = byte;
    }
    line.get_mut(..option.len())?.copy_from_slice(option);
    *line.get_mut(option.len())? = b' ';
    *line.get_mut(total)? = 0;
    Some(total)
}

/// How much of a line that was cut is left without its last token.
fn whole_tokens(line: &[u8]) -> usize {
    line.iter().rposition(|&byte| byte == b' ').unwrap_or(0)
}
