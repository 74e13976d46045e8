//! Days, as TOML and command lines write them.

use jiff::civil::Date;
use toml::value::Datetime;

/// Reads a day, as `2026-07-28`.
#[must_use]
pub fn read(text: &str) -> Option<Date> {
    // The reader takes a time and a zone behind it too; a day is ten characters.
    text.parse().ok().filter(|_| text.len() == 10)
}

/// The day that a file says. Nothing if it says a time, or a day that there is not.
pub(crate) fn of(written: &Datetime) -> Option<Date> {
    read(&written.to_string())
}
