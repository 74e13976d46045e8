//! Names of more than eight bytes. Linkers keep them in a table of strings behind the symbols; the row of the section has its place in it, as
//! in `/123`.

use crate::Image;
use crate::error::{Error, Part};
use crate::raw::{Field, Headers};
use crate::section::{Name, Section};
use crate::source::{self, Source};

/// The size of a symbol.
const SYMBOL: u64 = 18;
/// What is compared with a name has an end.
const ENOUGH_OF_A_NAME: u64 = 64;

impl<S: Source> Image<S> {
    /// The first section of this name, which may have more than eight bytes. Xen finds no section by such a name; shim has some.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn find_long(&self, name: &str) -> Result<Option<&Section>, Error> {
        let headers = Headers::read(&self.source)?;
        let strings = strings(&headers);
        for section in &self.sections {
            let long = long_name(&self.source, strings, &section.name)?;
            if long.as_deref().unwrap_or(section.name.as_bytes()) == name.as_bytes() {
                return Ok(Some(section));
            }
        }
        Ok(None)
    }
}

/// Where the long names stand.
pub(crate) fn strings(headers: &Headers) -> Option<u64> {
    let symbols = u64::from(headers.u32(Field::SYMBOLS_AT));
    let size = u64::from(headers.u32(Field::SYMBOL_COUNT)).checked_mul(SYMBOL)?;
    if symbols == 0 { None } else { symbols.checked_add(size) }
}

/// The name that a row like `/123` stands for, or as much of it as matters.
pub(crate) fn long_name(source: &dyn Source, strings: Option<u64>, name: &Name) -> Result<Option<Vec<u8>>, Error> {
    let number = name.as_bytes().strip_prefix(b"/").and_then(|digits| core::str::from_utf8(digits).ok());
    let (Some(strings), Some(number)) = (strings, number.and_then(|digits| digits.parse::<u32>().ok())) else {
        return Ok(None);
    };
    let at = strings.saturating_add(u64::from(number));
    let length = source.length().map_err(|source| Error::Io { offset: at, source })?;
    let size = length.saturating_sub(at).min(ENOUGH_OF_A_NAME);
    let bytes = source::read(source, at.min(length), size, Part::Section)?;
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Ok(bytes.get(..end).filter(|name| !name.is_empty()).map(<[u8]>::to_vec))
}
