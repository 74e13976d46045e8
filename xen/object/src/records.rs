// SPDX-License-Identifier: GPL-2.0-only
//! What was refused, in a buffer that C owns, prints later and answers questions from.

/// How many refused tokens are kept; further ones are counted.
const TOKENS: usize = 64;
/// How many bytes of them are kept.
const TEXT: usize = 4096;
/// Xen itself cuts a token at 127 bytes.
const TOKEN_MAX: usize = 127;

/// One refused token: `struct lockdown_record`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where its text begins in [`Records::text`], which a zero byte follows.
    pub at: u16,
    /// The reason's index.
    pub reason: u8,
    /// The segment: 0 built in, 1 signed, 2 runtime.
    pub segment: u8,
    /// It was meant for dom0's kernel.
    pub dom0: u8,
    /// Only the beginning of the text was kept.
    pub cut: u8,
}

/// All of them: `struct lockdown_records`. All zeroes is an empty one.
#[repr(C)]
#[derive(Debug)]
pub struct Records {
    /// How many are in `record`.
    pub count: u16,
    /// How many bytes of `text` are in use.
    pub used: u16,
    /// How many were refused beside them, for which there was no room.
    pub lost: u32,
    /// The records.
    pub record: [Record; TOKENS],
    /// Their texts.
    pub text: [u8; TEXT],
}

impl Records {
    /// Keeps one token, or counts it where there is no room.
    pub fn add(&mut self, segment: u8, dom0: bool, reason: u8, token: &[u8]) {
        if self.keep(segment, dom0, reason, token).is_none() {
            self.lost = self.lost.saturating_add(1);
        }
    }

    fn keep(&mut self, segment: u8, dom0: bool, reason: u8, token: &[u8]) -> Option<()> {
        let kept = token.get(..TOKEN_MAX).unwrap_or(token);
        let start = usize::from(self.used);
        let end = start.checked_add(kept.len())?;
        let used = u16::try_from(end.checked_add(1)?).ok()?;
        let record = self.record.get_mut(usize::from(self.count))?;
        // The zero byte behind it has to fit as well.
        let place = self.text.get_mut(start..=end)?;
        for (to, from) in place.iter_mut().zip(kept.iter().copied().chain([0])) {
            *to = from;
        }
        let cut = u8::from(kept.len() != token.len());
        *record = Record { at: self.used, reason, segment, dom0: u8::from(dom0), cut };
        self.used = used;
        self.count = self.count.saturating_add(1);
        Some(())
    }
}
