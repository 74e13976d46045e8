//! What revokes: the variable `SbatLevel`, and the section `.sbatlevel` in which shim carries two values for it.

use core::fmt;

use super::{Fault, Line, Mistake, bad_bytes, fields, generation, lines, shown};
use crate::Image;
use crate::error::Error;
use crate::source::Source;

/// Revocations that hold together. What is in force on a machine is the newest that it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    date: Date,
    requirements: Vec<Requirement>,
}

/// The lowest generation of a component that may still run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its line in the text, from 1.
    pub line: usize,
    /// The component, as in a table.
    pub component: String,
    /// The generation.
    pub generation: u16,
}

/// When a level was published: year, month, day, and a number within the day, as ten digits. A later one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

/// What is wrong with revocations, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelMistake {
    /// As in a table.
    #[error(transparent)]
    Table(#[from] Mistake),
    /// The first row does not say what it is.
    #[error("line {0}: revocations begin with a row of three fields: sbat,1 and a date of ten digits")]
    NoDate(usize),
    /// Another row with more or fewer than two fields.
    #[error("line {line}: the row has {count} fields; the component and the generation are wanted")]
    FieldCount {
        /// Its line, from 1.
        line: usize,
        /// How many it has.
        count: usize,
    },
}

impl LevelMistake {
    /// The line that it is in, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        match self {
            Self::Table(mistake) => mistake.line,
            Self::NoDate(line) | Self::FieldCount { line, .. } => *line,
        }
    }
}

/// More than any variable holds.
const LONGEST: usize = 64 << 10;
/// The digits of a date.
const DIGITS: usize = 10;

impl Level {
    /// Reads revocations as text: `sbat,1,2023012900`, and below it rows like `grub,3`. Zeros behind them are padding.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn read(bytes: &[u8]) -> Result<Self, LevelMistake> {
        let at = |line, column, fault| Mistake { line, column, fault };
        if bytes.len() > LONGEST {
            return Err(at(1, 1, Fault::Long).into());
        }
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last.saturating_add(1));
        let mut lines = lines(bytes.get(..end).unwrap_or_default());
        let first = lines.next().ok_or_else(|| at(1, 1, Fault::Empty))?;
        check_bytes(&first)?;
        let parts: Vec<&[u8]> = fields(first.bytes).map(|(_, field)| field).collect();
        let date = match parts[..] {
            [b"sbat", b"1", date] => date_of(date),
            _ => None,
        };
        let date = date.ok_or(LevelMistake::NoDate(first.number))?;
        let mut requirements = vec![Requirement { line: first.number, component: "sbat".into(), generation: 1 }];
        for line in lines {
            let wanted = requirement(&line)?;
            if let Some(before) = requirements.iter().find(|before| before.component == wanted.component) {
                let fault = Fault::Duplicate { component: wanted.component, line: before.line };
                return Err(at(line.number, 1, fault).into());
            }
            requirements.push(wanted);
        }
        Ok(Self { date, requirements })
    }

    /// Reads the variable as Linux hands it out in efivarfs: its attributes, four bytes, stand in front.
    ///
    /// # Errors
    /// What is wrong first; places are those in the text.
    pub fn read_variable(bytes: &[u8]) -> Result<Self, LevelMistake> {
        Self::read(bytes.get(4..).unwrap_or_default())
    }

    /// When it was published.
    #[must_use]
    pub const fn date(&self) -> Date {
        self.date
    }

    /// What it wants, that of SBAT itself first.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter()
    }
}

fn check_bytes(line: &Line<'_>) -> Result<(), LevelMistake> {
    bad_bytes(line).into_iter().next().map_or(Ok(()), |mistake| Err(mistake.into()))
}

fn date_of(digits: &[u8]) -> Option<Date> {
    let ten = digits.len() == DIGITS && digits.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(digits).ok().filter(|_| ten)?.parse().ok().map(Date)
}

fn requirement(line: &Line<'_>) -> Result<Requirement, LevelMistake> {
    check_bytes(line)?;
    let parts: Vec<_> = fields(line.bytes).collect();
    let [(_, component), (column, number)] = parts[..] else {
        return Err(LevelMistake::FieldCount { line: line.number, count: parts.len() });
    };
    let mistake = |column, fault| Mistake { line: line.number, column, fault };
    if component.is_empty() {
        return Err(mistake(1, Fault::EmptyField("component_name")).into());
    }
    if component.trim_ascii() != component {
        return Err(mistake(1, Fault::Space("component_name")).into());
    }
    let generation = generation(number).ok_or_else(|| mistake(column, Fault::Generation(shown(number))))?;
    Ok(Requirement { line: line.number, component: shown(component), generation })
}

/// What a shim carries, and writes into the variable `SbatLevel` where it is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// What it sets without being asked. Older shims call it the previous one.
    pub automatic: Level,
    /// What it sets where the machine's owner asks for it (`mokutil --set-sbat-policy latest`).
    pub latest: Level,
}

/// Why a section `.sbatlevel` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelsError {
    /// The numbers in front of the texts, or their ends.
    #[error("the section .sbatlevel: {0}")]
    Layout(sbat::RevocationSectionError),
    /// One of the texts.
    #[error("the section .sbatlevel, {which}: {mistake}")]
    Level {
        /// `automatic` or `latest`.
        which: &'static str,
        /// What is wrong with it.
        mistake: LevelMistake,
    },
}

impl Levels {
    /// The section that they stand in.
    pub const SECTION: &'static str = ".sbatlevel";

    /// Reads the section: a version, which is zero; where the two texts begin, counted from behind the version; and the
    /// texts, each with a zero behind it (shim's `SbatLevel_Variable.txt` and `include/sbat_var_defs.h`).
    ///
    /// # Errors
    /// If it is none.
    pub fn read(section: &[u8]) -> Result<Self, LevelsError> {
        let parts = sbat::RevocationSection::parse(section).map_err(LevelsError::Layout)?;
        let level = |which, text| Level::read(text).map_err(|mistake| LevelsError::Level { which, mistake });
        Ok(Self { automatic: level("automatic", parts.previous())?, latest: level("latest", parts.latest())? })
    }
}

impl<S: Source> Image<S> {
    /// The bytes of the section `.sbatlevel` for [`Levels::read`]; `None` if the image has none, and so is no shim.
    ///
    /// The name has more bytes than a row of the table of sections holds: it stands behind the symbols, or is cut.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn sbat_levels(&self) -> Result<Option<Vec<u8>>, Error> {
        let Some(section) = self.find_long(Levels::SECTION)? else { return Ok(None) };
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        let mut contents = self.beginning(section, most)?;
        // The texts end with a zero, which a section may leave to the firmware to add.
        contents.bytes.extend((contents.zeros > 0).then_some(0));
        Ok(Some(contents.bytes))
    }
}
