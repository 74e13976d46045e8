//! What is said of a part of an image, or of a whole one.

use lockdown_bootconfig::Located;
use lockdown_image::sbat;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is known by; never changes its meaning.
    pub id: &'static str,
    /// How much it matters.
    pub level: Level,
    /// Its line, from 1; zero where there are no lines.
    pub line: usize,
    /// Its column in bytes, from 1; zero where there are no lines.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub advice: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Note,
    /// Perhaps not what was meant.
    Warning,
    /// It does not do what it should: there is no image with it.
    Error,
}

impl Level {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Finding {
    /// One of a whole file.
    #[must_use]
    pub fn of_file(id: &'static str, level: Level, message: impl Into<String>, advice: &str) -> Self {
        Self { id, level, line: 0, column: 0, message: message.into(), advice: advice.to_owned() }
    }

    /// One with a place in a text; of the whole text if there is none.
    #[must_use]
    pub fn at(id: &'static str, level: Level, at: Option<Located<'_>>, message: String, advice: &str) -> Self {
        let (line, column) = at.map_or((1, 1), |at| (at.line, at.column));
        Self { line, column, ..Self::of_file(id, level, message, advice) }
    }

    /// Whether there is no image with it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }
}

impl From<&sbat::Mistake> for Finding {
    fn from(mistake: &sbat::Mistake) -> Self {
        let sbat::Mistake { line, column, fault } = mistake;
        let finding = Self::of_file(fault.id(), Level::Error, fault.to_string(), fault.advice());
        Self { line: *line, column: *column, ..finding }
    }
}
