//! From the checked policy to the tables that `lockdown-core` decides by.

use lockdown_core::{
    Class, Declared, Item, Kinds, Number, Opt, Pattern, Reason, Shape, Table, XenVersions, tables,
};

use crate::catalogue::{self, OverlayText};
use crate::check::XEN_VERSIONS;
use crate::model::{ClassName, Domain, Entry, ItemRule, PatternRule, Policy, ReasonEntry, ShapeRule};

/// Tables, and the texts that go with them.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The tables.
    pub table: Table<'static>,
    /// The notes that items and options point at; number 0 is empty.
    pub notes: Vec<&'static str>,
    /// The overlays that were merged; number 1 is the first.
    pub overlays: Vec<OverlayText>,
}

impl Compiled {
    /// The tables that this program was built with, overlays that were compiled in included.
    #[must_use]
    pub fn builtin() -> Self {
        Self { table: tables::TABLE, notes: catalogue::NOTES.to_vec(), overlays: catalogue::OVERLAYS.to_vec() }
    }
}

impl Policy {
    /// Makes the tables, with the overlays of the folder merged.
    ///
    /// # Errors
    /// An overlay that names an option without an entry, or declares what cannot be declared.
    pub fn compile(&self) -> Result<Compiled, crate::Problems> {
        let mut words = Words::new(&self.reasons);
        let xen = self.xen.iter().filter(|entry| entry.class != ClassName::Foreign);
        let xen: Vec<_> = xen.map(|entry| self.option(entry, &mut words)).collect();
        let dom0: Vec<_> = self.dom0.iter().map(|entry| self.option(entry, &mut words)).collect();
        let table = Table { xen: keep(xen), dom0: keep(dom0) };
        let mut compiled = Compiled { table, notes: words.notes, overlays: Vec::new() };
        for overlay in &self.overlays {
            overlay.merge_into(&mut compiled)?;
        }
        Ok(compiled)
    }

    fn option(&self, entry: &Entry, words: &mut Words) -> Opt<'static> {
        let name = match entry.domain {
            Domain::Dom0 => entry.name.replace('-', "_"),
            Domain::Xen | Domain::Boot => entry.name.clone(),
        };
        let kinds = entry.kinds.iter().filter_map(|kind| kind_named(kind)).reduce(Kinds::with);
        let keeps = entry.capacity.map_or(u16::MAX, |capacity| capacity.saturating_sub(1));
        let class = match (&entry.class, &entry.shape) {
            (ClassName::Safe, _) => Class::Safe,
            (ClassName::Latch, _) => Class::Latch,
            (ClassName::Values, Some(ShapeRule::Whole(rules))) => {
                Class::Values(Shape::Whole { keeps, items: items(rules, words) })
            }
            (ClassName::Values, Some(ShapeRule::List(separator, rules))) => {
                Class::Values(Shape::List { keeps, separator: *separator, items: items(rules, words) })
            }
            (ClassName::Values, Some(ShapeRule::Fields(fields, named))) => Class::Values(Shape::Fields {
                keeps,
                positions: keep(fields.iter().map(|rules| items(rules, words)).collect()),
                named: items(named, words),
            }),
            _ => Class::Refused,
        };
        Opt {
            name: keep(name.into_bytes()),
            kinds: kinds.unwrap_or(Kinds::CUSTOM),
            versions: versions(&entry.xen),
            reason: words.reason(entry.reason.as_deref()).unwrap_or(Reason::at(0)),
            note: words.note(Some(entry.mechanism.as_str())),
            class,
            declared: &[],
        }
    }
}

fn kind_named(name: &str) -> Option<Kinds> {
    Some(match name {
        "custom" => Kinds::CUSTOM,
        "boolean" => Kinds::BOOLEAN,
        "integer" => Kinds::INTEGER,
        "size" => Kinds::SIZE,
        "string" => Kinds::STRING,
        "ignore" => Kinds::IGNORE,
        _ => return None,
    })
}

fn versions(names: &[String]) -> XenVersions {
    let bits = XEN_VERSIONS.iter().enumerate().filter(|(_, known)| names.iter().any(|name| name == *known));
    XenVersions::from_bits(bits.fold(0, |bits, (index, _)| bits | (1 << index)))
}

/// What tables say in numbers: notes, each once (number 0 is none), and reasons by their place in the list.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) notes: Vec<&'static str>,
    pub(crate) reasons: Vec<String>,
}

impl Default for Words {
    fn default() -> Self {
        Self { notes: vec![""], reasons: Vec::new() }
    }
}

impl Words {
    /// The reasons are those of the policy at hand, which may be ahead of those that this program was built with.
    pub(crate) fn new(reasons: &[ReasonEntry]) -> Self {
        Self { reasons: reasons.iter().map(|reason| reason.id.clone()).collect(), ..Self::default() }
    }

    pub(crate) fn reason(&self, id: Option<&str>) -> Option<Reason> {
        let index = self.reasons.iter().position(|known| Some(known.as_str()) == id)?;
        u8::try_from(index).ok().map(Reason::at)
    }

    pub(crate) fn note(&mut self, text: Option<&str>) -> u16 {
        let Some(text) = text else { return 0 };
        let index = self.notes.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.notes.push(keep_text(text));
            self.notes.len() - 1
        });
        u16::try_from(index).unwrap_or(0)
    }
}

pub(crate) fn items(rules: &[ItemRule], words: &mut Words) -> &'static [Item<'static>] {
    keep(rules.iter().map(|rule| item(rule, words)).collect())
}

pub(crate) fn item(rule: &ItemRule, words: &mut Words) -> Item<'static> {
    let pattern = match &rule.pattern {
        PatternRule::Bool(polarity) => Pattern::Bool(*polarity),
        PatternRule::Flag(name, polarity) => Pattern::Flag(keep_bytes(name), *polarity),
        PatternRule::Words(list, allow) => {
            Pattern::Words(keep(list.iter().map(|word| keep_bytes(word)).collect()), *allow)
        }
        PatternRule::Number { base, ranges, .. } => Pattern::Number(*base, Number(keep(ranges.clone()))),
        PatternRule::Size { ranges, .. } => Pattern::Size(Number(keep(ranges.clone()))),
        PatternRule::Prefix(prefix, inner) => Pattern::Prefix(keep_bytes(prefix), items(inner, words)),
        PatternRule::Text { prefix, without, allow } => {
            Pattern::Text(keep_bytes(prefix), keep_bytes(without), *allow)
        }
        PatternRule::Plain(prefix) => Pattern::Plain(keep_bytes(prefix)),
        PatternRule::Empty(allow) => Pattern::Empty(*allow),
    };
    let reason = words.reason(rule.refuse.as_deref());
    Item { pattern, reason, note: words.note(rule.why.as_deref()), overlay: 0 }
}

/// Tables live as long as the process: there are a few of them, made once.
pub(crate) fn keep<T>(list: Vec<T>) -> &'static [T] {
    Box::leak(list.into_boxed_slice())
}

pub(crate) fn keep_text(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

pub(crate) fn keep_bytes(text: &str) -> &'static [u8] {
    keep_text(text).as_bytes()
}

/// One value that an overlay declares safe as a whole.
pub(crate) fn declared(overlay: u8, value: &str) -> Declared<'static> {
    Declared { overlay, value: keep_bytes(value) }
}
