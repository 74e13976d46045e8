//! The policy after it was checked: what the rest of this crate works with.

use std::path::{Path, PathBuf};

use lockdown_core::{Level, Polarity};

use crate::check;
use crate::problem::{Problem, Problems};

/// Everything in `policy/`.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The security boundary.
    pub boundary: Vec<BoundaryRule>,
    /// The reasons, in order.
    pub reasons: Vec<ReasonEntry>,
    /// Xen's options, sorted by name.
    pub xen: Vec<Entry>,
    /// What unsigned text may give to dom0's kernel, sorted by name with `-` read as `_`.
    pub dom0: Vec<Entry>,
    /// What a boot loader, a boot entry or a configuration file says beside the options, sorted by name.
    pub boot: Vec<Entry>,
    /// The hypercalls, sorted by number.
    pub hypercalls: Vec<crate::Hypercall>,
    /// The requests to privcmd.
    pub privcmd: Vec<crate::privcmd::Ioctl>,
    /// The overlays in `policy/overlays/`.
    pub overlays: Vec<crate::Overlay>,
}

/// A numbered rule of `policy/boundary.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundaryRule {
    /// `B1`, `B2`, ...
    pub id: String,
    /// The heading.
    pub title: String,
    /// The text below it, as Markdown.
    pub text: String,
}

/// An entry of `policy/reasons.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonEntry {
    /// The id.
    pub id: String,
    /// The level at which it begins to refuse.
    pub level: Level,
    /// The rule of the boundary.
    pub rule: String,
    /// Completes "refused: it ...".
    pub text: String,
    /// A sentence or two more.
    pub explain: String,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// An option that Xen's parser reads.
    Xen,
    /// An option of dom0's Linux.
    Dom0,
    /// A directive that is read before or beside the option parser.
    Boot,
}

/// One option.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is about.
    pub domain: Domain,
    /// Where the entry stands.
    pub place: Place,
    /// The name.
    pub name: String,
    /// The registrations: `custom`, `boolean`, ...
    pub kinds: Vec<String>,
    /// Bytes of the array behind a string option.
    pub capacity: Option<u16>,
    /// Bits of the variable behind an integer or size option.
    pub width: Option<u8>,
    /// The releases of Xen that have it.
    pub xen: Vec<String>,
    /// The architectures that have it.
    pub arch: Vec<String>,
    /// The class.
    pub class: ClassName,
    /// What the handler takes.
    pub syntax: String,
    /// Where it is registered.
    pub source: Vec<String>,
    /// The releases whose handler was read.
    pub audited: Vec<String>,
    /// The reason for what is refused.
    pub reason: Option<String>,
    /// What the handler does.
    pub mechanism: String,
    /// What to say instead.
    pub advice: Option<String>,
    /// The rule for values; for class `values` only.
    pub shape: Option<ShapeRule>,
}

/// A place in a file of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// What unsigned text may do with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassName {
    /// Set it to anything.
    Safe,
    /// Set it to what the rule allows.
    Values,
    /// Nothing.
    Refused,
    /// The option `lockdown`.
    Latch,
    /// Not built for x86.
    Foreign,
}

impl ClassName {
    /// The word for it in the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Values => "values",
            Self::Refused => "refused",
            Self::Latch => "latch",
            Self::Foreign => "foreign",
        }
    }
}

/// How a value is taken apart.
#[derive(Clone, Debug)]
pub enum ShapeRule {
    /// One element.
    Whole(Vec<ItemRule>),
    /// A list.
    List(u8, Vec<ItemRule>),
    /// Positions, then names.
    Fields(Vec<Vec<ItemRule>>, Vec<ItemRule>),
}

/// One thing that an element may be.
#[derive(Clone, Debug)]
pub struct ItemRule {
    /// What it matches.
    pub pattern: PatternRule,
    /// The reason, where it is not the option's.
    pub refuse: Option<String>,
    /// The explanation, where it is not the option's.
    pub why: Option<String>,
}

/// What an element is compared with; see [`lockdown_core::Pattern`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum PatternRule {
    Bool(Polarity),
    Flag(String, Polarity),
    Words(Vec<String>, bool),
    Number { base: u8, ranges: Vec<(u64, u64)>, written: Vec<String> },
    Size { ranges: Vec<(u64, u64)>, written: Vec<String> },
    Prefix(String, Vec<ItemRule>),
    Text { prefix: String, without: String, allow: bool },
    Plain(String),
    Empty(bool),
}

impl std::fmt::Display for PatternRule {
    /// The pattern as documentation shows it, without what it allows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(_) => f.write_str("<boolean>"),
            Self::Flag(name, _) => write!(f, "{name}[=<boolean>]"),
            Self::Words(words, _) => f.write_str(&words.join(" | ")),
            Self::Number { base: 0, .. } => f.write_str("<integer>"),
            Self::Number { base, .. } => write!(f, "<integer in base {base}>"),
            Self::Size { .. } => f.write_str("<size>"),
            Self::Prefix(prefix, inner) => {
                let inner: Vec<_> = inner.iter().map(|item| item.pattern.to_string()).collect();
                write!(f, "{prefix}{}", if inner.is_empty() { "...".to_owned() } else { inner.join(" | ") })
            }
            Self::Text { prefix, without, .. } if without.is_empty() => write!(f, "{prefix}<text>"),
            Self::Text { prefix, without, .. } => write!(f, "{prefix}<text without {without}>"),
            Self::Plain(prefix) => write!(f, "{prefix}<letters, digits and ._:=@+,/->"),
            Self::Empty(_) => f.write_str("(nothing)"),
        }
    }
}

impl PatternRule {
    /// Which of what it matches is allowed, in words.
    #[must_use]
    pub fn allows(&self) -> String {
        let yes_or_no = |allow: bool| if allow { "yes" } else { "no" }.to_owned();
        match self {
            Self::Bool(polarity) | Self::Flag(_, polarity) => match polarity {
                Polarity::On => "on".to_owned(),
                Polarity::Off => "off".to_owned(),
                Polarity::Any => "on, off".to_owned(),
                Polarity::No => "no".to_owned(),
            },
            Self::Words(_, allow) | Self::Text { allow, .. } | Self::Empty(allow) => yes_or_no(*allow),
            Self::Number { ranges, written, .. } | Self::Size { ranges, written } => {
                match (ranges.is_empty(), written.is_empty()) {
                    (true, _) => "no".to_owned(),
                    (false, true) => "any".to_owned(),
                    (false, false) => written.join(", ").replace("..=", " to "),
                }
            }
            Self::Plain(_) => "yes".to_owned(),
            Self::Prefix(_, inner) if inner.is_empty() => "no".to_owned(),
            Self::Prefix(_, inner) => {
                let inner = inner.iter().map(|item| item.pattern.allows());
                inner
                    .fold(Vec::new(), |mut seen, allows| {
                        if !seen.contains(&allows) {
                            seen.push(allows);
                        }
                        seen
                    })
                    .join(", ")
            }
        }
    }
}

impl Policy {
    /// Reads and checks the folder.
    ///
    /// # Errors
    /// Every mistake that was found, with file and line.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        check::load(folder)
    }

    /// The entry of Xen's option with that name.
    #[must_use]
    pub fn xen_option(&self, name: &str) -> Option<&Entry> {
        self.xen.iter().find(|entry| entry.name == name)
    }
}

impl Entry {
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(&self.place.file, self.place.line, message)
    }

    /// Nobody read its handler.
    #[must_use]
    pub fn is_unaudited(&self) -> bool {
        self.audited.is_empty() && self.domain == Domain::Xen && self.class != ClassName::Foreign
    }
}
