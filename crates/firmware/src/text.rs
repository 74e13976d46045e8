//! Numbers and text as firmware stores them.

/// UTF-16, little-endian, with its end.
#[must_use]
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// The text in front of the first NUL, and what follows it. Without a NUL all of it is text; a half unit at the end is none.
pub(crate) fn from_utf16(bytes: &[u8]) -> (String, &[u8]) {
    let units = || bytes.chunks_exact(2).filter_map(|unit| unit.first_chunk().copied()).map(u16::from_le_bytes);
    let count = units().position(|unit| unit == 0);
    let text: Vec<u16> = units().take(count.unwrap_or(usize::MAX)).collect();
    let rest = count.and_then(|count| bytes.get(count.saturating_add(1).saturating_mul(2)..)).unwrap_or_default();
    (String::from_utf16_lossy(&text), rest)
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

pub(crate) fn size_at(bytes: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, offset)?).ok()
}
