//! The texts of core's tables as C wants them: ending in a zero byte.

use core::ffi::CStr;

use lockdown_core::tables::REASONS;

const COUNT: usize = REASONS.len();
const IDS_SIZE: usize = size(false);
const TEXTS_SIZE: usize = size(true);

static IDS: Texts<IDS_SIZE> = Texts::new(false);
static TEXTS: Texts<TEXTS_SIZE> = Texts::new(true);

/// The id of a reason; nothing for what is none.
#[must_use]
pub fn reason_id(reason: u32) -> Option<&'static CStr> {
    IDS.get(reason)
}

/// The text of a reason, which completes "refused: "; nothing for what is none.
#[must_use]
pub fn reason_text(reason: u32) -> Option<&'static CStr> {
    TEXTS.get(reason)
}

/// The reason with an id.
#[must_use]
pub fn reason_index(id: &CStr) -> Option<u32> {
    let index = REASONS.iter().position(|info| info.id.as_bytes() == id.to_bytes())?;
    u32::try_from(index).ok()
}

/// Texts one behind the other, each with a zero byte. Made by the compiler: a mistake here is one of compilation.
struct Texts<const SIZE: usize> {
    text: [u8; SIZE],
    starts: [u16; COUNT],
}

impl<const SIZE: usize> Texts<SIZE> {
    #[allow(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "runs in the compiler, where a panic is an error"
    )]
    const fn new(texts: bool) -> Self {
        let mut made = Self { text: [0; SIZE], starts: [0; COUNT] };
        let (mut reason, mut at) = (0, 0);
        while reason < COUNT {
            assert!(at <= u16::MAX as usize, "the texts of the reasons are too long");
            made.starts[reason] = at as u16;
            let bytes = text_of(reason, texts);
            let mut byte = 0;
            while byte < bytes.len() {
                made.text[at] = bytes[byte];
                byte += 1;
                at += 1;
            }
            at += 1;
            reason += 1;
        }
        made
    }

    fn get(&'static self, reason: u32) -> Option<&'static CStr> {
        let start = *self.starts.get(usize::try_from(reason).ok()?)?;
        CStr::from_bytes_until_nul(self.text.get(usize::from(start)..)?).ok()
    }
}

#[allow(clippy::indexing_slicing, reason = "runs in the compiler, where a panic is an error")]
const fn text_of(reason: usize, texts: bool) -> &'static [u8] {
    let info = &REASONS[reason];
    if texts { info.text.as_bytes() } else { info.id.as_bytes() }
}

const fn size(texts: bool) -> usize {
    let (mut reason, mut size) = (0, 0);
    while reason < COUNT {
        size += text_of(reason, texts).len() + 1;
        reason += 1;
    }
    size
}
