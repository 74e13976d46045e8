//! Reads a grub.cfg and tells, for each menu entry, what it would boot.
//!
//! The script is run the way GRUB 2.12 runs it (grub-core/script: yylex.l, parser.y, execute.c,
//! argv.c; grub-core/commands: test.c, menuentry.c), except that nothing is loaded and no disk is
//! looked at. What is decided only at boot (files, devices, the environment block, the firmware) is
//! kept as unknown: a condition on it is followed both ways, and a command line that depends on it
//! gets a [`Problem`] instead of a guess.
//!
//! A menu entry is run with the variables as they stand when the whole file has been read, a
//! submenu's entries with those that were exported, which is when and how GRUB runs them.

mod condition;
mod expand;
mod run;
mod source;
mod syntax;
mod variables;

use std::collections::BTreeMap;

/// What is known of the machine before the file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Variables that GRUB sets by itself. They are taken as given: neither the environment block
    /// nor a file that is not followed is assumed to change them.
    pub variables: BTreeMap<String, String>,
}

impl Default for Environment {
    /// A PC that boots from UEFI.
    fn default() -> Self {
        let given = [("grub_platform", "efi"), ("grub_cpu", "x86_64")];
        Self { variables: given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }
}

/// What a grub.cfg says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// In the order of the menu, submenus flattened.
    pub entries: Vec<Entry>,
    /// What is wrong outside of any entry.
    pub problems: Vec<Problem>,
}

/// A menu entry, or what is loaded outside of any ([`Entry::TOP_LEVEL`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `Submenu > Entry`.
    pub title: String,
    /// The value of `--id`.
    pub id: Option<String>,
    /// Where the entry begins.
    pub line: usize,
    /// What it loads, in order.
    pub commands: Vec<Command>,
    /// With an error among them, `commands` may not be what is loaded.
    pub problems: Vec<Problem>,
}

impl Entry {
    /// The title given to commands that run while the file is read.
    pub const TOP_LEVEL: &str = "(outside of any menu entry)";
}

/// What a [`Command`] loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Xen, through `multiboot`, `multiboot2`, `xen_hypervisor` or `xen_multiboot`.
    Xen,
    /// A module for Xen; the first one is dom0's kernel.
    Module,
    /// An EFI program.
    Chainloader,
    /// Linux without Xen.
    Linux,
}

/// A command that loads something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it loads.
    pub kind: Kind,
    /// The command's name.
    pub name: String,
    /// Where the command stands.
    pub line: usize,
    /// Column in bytes of its name, counted from 1.
    pub column: usize,
    /// `--nounzip` and the like.
    pub options: Vec<String>,
    /// A part known only at boot stands as written: `($root)/boot/xen.gz`.
    pub file: Option<Word>,
    /// What follows the file.
    pub arguments: Vec<Word>,
    /// False when it is decided at boot whether the command runs.
    pub certain: bool,
}

impl Command {
    /// The arguments as the loader hands them over, by the rule of this kind of loader.
    #[must_use]
    pub fn handed_over(&self) -> Vec<Piece> {
        match self.kind {
            Kind::Chainloader => handed_over_plain(&self.arguments),
            Kind::Xen | Kind::Module | Kind::Linux => handed_over(&self.arguments),
        }
    }
}

/// An argument after GRUB's expansion and quote removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its bytes.
    pub text: Vec<u8>,
    /// Line of the word in the file.
    pub line: usize,
    /// Column in bytes where the word begins in the file, counted from 1.
    pub column: usize,
    /// Where its bytes come from, in order, the first from offset 0.
    pub origins: Vec<Origin>,
}

/// Where the bytes of a [`Word`] from `at` on come from, up to the next origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Offset in the word's text.
    pub at: usize,
    /// Line in the file.
    pub line: usize,
    /// Column of the first byte.
    pub column: usize,
    /// The bytes stand in the file one by one from there on; otherwise they all come from this one
    /// place, where a variable stands.
    pub literal: bool,
}

/// A piece of what a loader hands over. The pieces' texts, one after the other, are the string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub text: Vec<u8>,
    /// Line in the file.
    pub line: usize,
    /// Column of the first byte.
    pub column: usize,
    /// Byte `n` of the text stands in column `column + n`; otherwise all of it comes from `column`.
    pub literal: bool,
}

/// Something that could not be read, or is not known before boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether an answer can be given in spite of it.
    pub severity: Severity,
    /// Line in the file.
    pub line: usize,
    /// Column in bytes, counted from 1.
    pub column: usize,
    /// What and why.
    pub message: String,
}

/// How much a [`Problem`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know; what was read holds.
    Note,
    /// What was read may not be what boots.
    Error,
}

/// Reads a grub.cfg. Bytes of any kind and size are accepted: what cannot be read is a [`Problem`].
#[must_use]
pub fn read(text: &[u8], environment: &Environment) -> Config {
    let source = source::Source::new(text);
    run::Run::new(&source, &environment.variables).config()
}

/// What GRUB's multiboot and Linux loaders hand over as one string: the arguments joined by spaces,
/// one with a space in it wrapped in double quotes, and a backslash before `\`, `'` and `"`, though
/// not before `\xHH` (`grub_create_loader_cmdline` in grub-core/lib/cmdline.c, 2.12).
#[must_use]
pub fn handed_over(arguments: &[Word]) -> Vec<Piece> {
    join(arguments, true)
}

/// What `chainloader` hands over: the arguments joined by spaces, as they are
/// (grub-core/loader/efi/chainloader.c, 2.12).
#[must_use]
pub fn handed_over_plain(arguments: &[Word]) -> Vec<Piece> {
    join(arguments, false)
}

fn join(arguments: &[Word], escape: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, word) in arguments.iter().enumerate() {
        let begin = (word.line, word.column);
        if index > 0 {
            push(&mut pieces, b' ', begin, false);
        }
        let quoted = escape && word.text.contains(&b' ');
        if quoted {
            push(&mut pieces, b'"', begin, false);
        }
        let mut hex = 0_usize;
        for (at, (byte, (place, literal))) in word.text.iter().zip(word.places()).enumerate() {
            if is_hex_escape(word.text.get(at..).unwrap_or_default()) && hex == 0 {
                hex = 4;
            }
            if escape && hex == 0 && matches!(byte, b'\\' | b'\'' | b'"') {
                push(&mut pieces, b'\\', place, false);
            }
            hex = hex.saturating_sub(1);
            push(&mut pieces, *byte, place, literal);
        }
        if quoted {
            push(&mut pieces, b'"', begin, false);
        }
    }
    pieces
}

fn is_hex_escape(text: &[u8]) -> bool {
    matches!(text, [b'\\', b'x', high, low, ..]
        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn push(pieces: &mut Vec<Piece>, byte: u8, (line, column): (usize, usize), literal: bool) {
    if let Some(last) = pieces.last_mut() {
        let next = match literal {
            true => last.column.saturating_add(last.text.len()),
            false => last.column,
        };
        if last.literal == literal && last.line == line && next == column {
            last.text.push(byte);
            return;
        }
    }
    pieces.push(Piece { text: vec![byte], line, column, literal });
}

impl Word {
    /// For each byte of the text, where it comes from and whether it stands there literally.
    fn places(&self) -> impl Iterator<Item = ((usize, usize), bool)> + '_ {
        let mut origins = self.origins.iter().peekable();
        let mut origin = Origin { at: 0, line: self.line, column: self.column, literal: false };
        (0..self.text.len()).map(move |at| {
            while let Some(next) = origins.next_if(|next| next.at <= at) {
                origin = *next;
            }
            let offset = match origin.literal {
                true => at.saturating_sub(origin.at),
                false => 0,
            };
            let place = (origin.line, origin.column.saturating_add(offset));
            (place, origin.literal)
        })
    }
}
