//! The LoadOptions of a boot entry, or what `chainloader` makes of its arguments: words for Xen's EFI loader up to a lone `--`, then
//! unsigned text for Xen.

use std::rc::Rc;

use lockdown_policy::catalogue;

use crate::lint::input::{Input, Note, Piece, Stretch};

/// `get_argv` in `xen/common/efi/boot.c` takes spaces and tabs.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Adds what of the text is for Xen, and notes on what is for its loader.
pub(super) fn add(input: &mut Input, whole: &Piece) {
    let mut at = 0usize;
    let mut first = true;
    while let Some(start) = whole.text.get(at..).and_then(|rest| rest.iter().position(|byte| !is_space(byte))) {
        let start = at.saturating_add(start);
        let rest = whole.text.get(start..).unwrap_or_default();
        let end = start.saturating_add(rest.iter().position(is_space).unwrap_or(rest.len()));
        let word = whole.text.get(start..end).unwrap_or_default();
        let (place, _) = whole.place(start);
        match word {
            b"--" => {
                let blank = whole.text.get(end..).unwrap_or_default();
                let text_at = end.saturating_add(blank.iter().take_while(|byte| is_space(byte)).count());
                input.pieces.push(rest_of(whole, text_at));
                return;
            }
            // Xen takes it for its own name.
            _ if first => {}
            _ => input.notes.extend(Note::of_directive(efi_argument(word), &whole.origin, place)),
        }
        first = false;
        at = end;
    }
}

/// The directive that a word before `--` is for Xen's EFI loader: one that it knows, else the name of a section.
fn efi_argument(word: &[u8]) -> &'static str {
    let key = word.split(|&byte| byte == b'=').next().unwrap_or(word);
    let mut known = catalogue::BOOT.iter().filter(|entry| entry.kinds.contains(&"efi-argument"));
    known.find(|entry| entry.name.as_bytes() == key).map_or("<section>", |entry| entry.name)
}

fn rest_of(whole: &Piece, from: usize) -> Piece {
    let (place, literal) = whole.place(from);
    let first = Stretch { at: 0, place, literal };
    let later = whole.map.iter().filter(|stretch| stretch.at > from);
    let later = later.map(|stretch| Stretch { at: stretch.at.saturating_sub(from), ..*stretch });
    Piece {
        segment: whole.segment,
        target: whole.target,
        text: whole.text.get(from..).unwrap_or_default().to_vec(),
        origin: Rc::clone(&whole.origin),
        map: std::iter::once(first).chain(later).collect(),
    }
}
