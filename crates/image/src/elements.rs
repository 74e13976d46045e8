//! DER, element by element, with the bytes that each one has in the file: what was signed is not written anew.

use der::{AnyRef, Decode, Reader, SliceReader, Tag};

/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
/// `SET OF`.
pub(crate) const SET: u8 = 0x31;
/// `[0]`, constructed.
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    /// All of its bytes.
    pub(crate) bytes: &'a [u8],
    /// Its contents.
    pub(crate) value: &'a [u8],
}

impl<'a> Element<'a> {
    /// What is in it.
    pub(crate) fn inside(&self) -> Elements<'a> {
        Elements(self.value)
    }

    pub(crate) fn decode<T: Decode<'a>>(&self) -> Result<T, der::Error> {
        T::from_der(self.bytes)
    }
}

/// Elements, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Elements<'a> {
    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Result<Element<'a>, der::Error> {
        let bytes = SliceReader::new(self.0)?.tlv_bytes()?;
        let value = AnyRef::from_der(bytes)?.value();
        self.0 = self.0.get(bytes.len()..).unwrap_or_default();
        Ok(Element { bytes, value })
    }

    /// The next one, which must have this tag: nobody else would read it otherwise.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, der::Error> {
        let element = self.next()?;
        let found = element.bytes.first().copied().unwrap_or_default();
        if found == tag {
            return Ok(element);
        }
        Err(Tag::try_from(found)?.unexpected_error(Tag::try_from(tag).ok()))
    }

    /// The next one, if it has this tag.
    pub(crate) fn next_if(&mut self, tag: u8) -> Result<Option<Element<'a>>, der::Error> {
        if self.0.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }
}
