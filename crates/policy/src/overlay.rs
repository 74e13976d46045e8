//! A downstream's overlay: further values that somebody declares safe, and why.

use std::path::Path;

use lockdown_core::{Class, Item, Opt, Shape};

use crate::catalogue::{AllowText, OverlayText};
use crate::check::{self, Reader};
use crate::compile::{self, Compiled, Words, declared, keep, keep_text};
use crate::model::ItemRule;
use crate::problem::{Problem, Problems, line_of};
use crate::raw::OverlayFile;

/// A checked overlay file.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// The name that answers give.
    pub name: String,
    /// What it declares.
    pub allows: Vec<Allow>,
}

/// What an overlay declares about one option.
#[derive(Clone, Debug)]
pub struct Allow {
    /// The option.
    pub option: String,
    /// Who says so.
    pub who: String,
    /// Why it is safe.
    pub why: String,
    /// Whole values.
    pub values: Vec<String>,
    /// Further elements.
    pub items: Vec<ItemRule>,
    place: Problem,
}

impl Overlay {
    /// Reads and checks an overlay file.
    ///
    /// # Errors
    /// Every mistake in it, with its line.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        match check::read(file, &mut problems) {
            Some(text) => Self::parse(file, &text),
            None => Err(problems),
        }
    }

    /// Checks the text of an overlay file; `file` is what messages call it.
    ///
    /// # Errors
    /// Every mistake in it, with its line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(raw) = check::parse::<OverlayFile>(file, text, &mut problems) else { return Err(problems) };
        if raw.name.trim().is_empty() {
            problems.push(Problem::new(file, 1, "the overlay needs a name: answers give it"));
        }
        let mut allows = Vec::new();
        for spanned in raw.allow {
            let line = line_of(text, &spanned.span());
            let allow = spanned.into_inner();
            let mut reader = Reader { file, text, line, reasons: &[], problems: &mut problems };
            if allow.who.trim().is_empty() || allow.why.trim().is_empty() {
                reader.complain(format!("{}: say who declares it safe, and why", allow.option));
            }
            let items = reader.items(&allow.option, allow.items.unwrap_or_default());
            reader.check_overlap(&allow.option, &items);
            let values = allow.values.unwrap_or_default();
            if items.is_empty() && values.is_empty() {
                reader.complain(format!("{}: declares nothing: give `values` or `items`", allow.option));
            }
            let place = Problem::new(file, line, "");
            allows.push(Allow { option: allow.option, who: allow.who, why: allow.why, values, items, place });
        }
        problems.into_result(Self { name: raw.name, allows })
    }

    /// Merges the overlay into tables.
    ///
    /// # Errors
    /// An option that has no rule, the lock itself, and items for an option that is judged by positions.
    pub fn merge_into(&self, compiled: &mut Compiled) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let Ok(number) = u8::try_from(compiled.overlays.len() + 1) else {
            return Err(Problem::new(&self.place_of_name(), 0, "more than 255 overlays").into());
        };
        let allows = self.allows.iter().map(|allow| AllowText {
            option: keep_text(&allow.option),
            who: keep_text(&allow.who),
            why: keep_text(&allow.why),
        });
        let allows = keep(allows.collect());
        compiled.overlays.push(OverlayText { name: keep_text(&self.name), allows });
        for allow in &self.allows {
            let mut options = compiled.table.xen.to_vec();
            let mut words = Words { notes: std::mem::take(&mut compiled.notes), ..Words::default() };
            match options.iter_mut().find(|option| option.name == allow.option.as_bytes()) {
                None => problems.push(allow.problem(format!(
                    "{:?} is not an option that a rule speaks of; see `xen-lockdown explain --list`",
                    allow.option
                ))),
                Some(option) => {
                    if let Err(message) = allow.merge_into(option, number, &mut words) {
                        problems.push(allow.problem(message));
                    }
                }
            }
            compiled.notes = words.notes;
            compiled.table.xen = keep(options);
        }
        problems.into_result(())
    }

    fn place_of_name(&self) -> std::path::PathBuf {
        self.allows.first().map_or_else(Default::default, |allow| allow.place.file.clone())
    }
}

impl Allow {
    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { message: message.into(), ..self.place.clone() }
    }

    fn merge_into(&self, option: &mut Opt<'static>, number: u8, words: &mut Words) -> Result<(), String> {
        if matches!(option.class, Class::Latch) {
            return Err(format!("{}: nothing may be declared about the lock itself", self.option));
        }
        let values = self.values.iter().map(|value| declared(number, value));
        option.declared = keep(option.declared.iter().copied().chain(values).collect());
        if self.items.is_empty() {
            return Ok(());
        }
        let note = words.note(Some(&format!("{} ({})", self.why, self.who)));
        let added = self.items.iter().map(|rule| Item { overlay: number, note, ..compile::item(rule, words) });
        let added: Vec<_> = added.collect();
        let join = |items: &[Item<'static>]| keep(added.iter().chain(items).copied().collect());
        option.class = match option.class {
            Class::Safe | Class::Latch => return Ok(()),
            Class::Refused => Class::Values(Shape::Whole { keeps: u16::MAX, items: join(&[]) }),
            Class::Values(Shape::Whole { keeps, items }) => {
                Class::Values(Shape::Whole { keeps, items: join(items) })
            }
            Class::Values(Shape::List { keeps, separator, items }) => {
                Class::Values(Shape::List { keeps, separator, items: join(items) })
            }
            Class::Values(Shape::Fields { .. }) => {
                return Err(format!(
                    "{}: its value is judged by position; declare whole `values` instead of `items`",
                    self.option
                ));
            }
        };
        Ok(())
    }
}
