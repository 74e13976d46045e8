//! Why something is refused.

use crate::lockdown::Level;
use crate::tables::REASONS;

/// A reason of `policy/reasons.toml`, by its place in the ordered list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(u8);

/// What is known about a reason.
#[derive(Clone, Copy, Debug)]
pub struct ReasonInfo {
    /// The id, for instance `io-address`. It never changes its meaning.
    pub id: &'static str,
    /// The level at which it begins to refuse.
    pub level: Level,
    /// The rule of the security boundary, for instance `B3`.
    pub rule: &'static str,
    /// Completes the sentence "refused: it ...".
    pub text: &'static str,
}

impl Reason {
    /// The reason at a place of the ordered list; for tables that are made from `policy/`.
    #[must_use]
    pub const fn at(index: u8) -> Self {
        Self(index)
    }

    /// The reason with that id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let index = REASONS.iter().position(|info| info.id == id)?;
        u8::try_from(index).ok().map(Self)
    }

    /// The place in the ordered list.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// Everything about the reason.
    #[must_use]
    pub fn info(self) -> &'static ReasonInfo {
        // The first reason stands in for an index outside the list, which only a broken generator could make.
        const NONE: ReasonInfo = ReasonInfo { id: "unknown-option", level: Level::Integrity, rule: "", text: "" };
        REASONS.get(usize::from(self.0)).unwrap_or(&NONE)
    }

    /// The id, for instance `io-address`.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.info().id
    }

    /// Whether the reason refuses at a level.
    #[must_use]
    pub fn refuses_at(self, level: Level) -> bool {
        self.info().level <= level
    }
}

impl core::fmt::Debug for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.id())
    }
}
