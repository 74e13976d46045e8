//! What is judged: pieces of text, each with the segment that it counts as and the places that it came from.

mod default_grub;
mod grub_cfg;
mod image;
mod load_options;
mod xen_cfg;

use std::cell::OnceCell;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;

use lockdown_core::{Segment, Target};
use lockdown_policy::catalogue;

use crate::arguments::{FileKind, LintArguments};

/// Configuration files beyond this are not read: none is near it, and nobody should have to wait for one.
const FILE_MAX: u64 = 64 << 20;

/// One thing to judge: the text options, a file, or a menu entry of one.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) pieces: Vec<Piece>,
    pub(super) notes: Vec<Note>,
}

/// A piece of command line.
pub(super) struct Piece {
    pub(super) segment: Segment,
    /// Whose text it is at its beginning; what follows ` -- ` is dom0's anyway.
    pub(super) target: Target,
    pub(super) text: Vec<u8>,
    pub(super) origin: Rc<Origin>,
    /// Where the text comes from, in order of offsets.
    pub(super) map: Vec<Stretch>,
}

/// Where a stretch of a piece, up to the next one, comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) at: usize,
    pub(super) place: Place,
    /// Its bytes stand there one by one; otherwise all of them come from that place, where a variable stands.
    pub(super) literal: bool,
}

/// A file, or an option of ours, that text came from.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
    /// Where each line begins; found when first asked for.
    line_starts: OnceCell<Vec<usize>>,
}

impl Origin {
    pub(super) fn new(name: impl Into<String>, text: Vec<u8>) -> Rc<Self> {
        Rc::new(Self { name: name.into(), text, line_starts: OnceCell::new() })
    }

    /// A line, counted from 1, without its end.
    pub(super) fn line(&self, number: usize) -> &[u8] {
        let starts = self.line_starts.get_or_init(|| {
            let ends = self.text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            std::iter::once(0).chain(ends.map(|(at, _)| at.saturating_add(1))).collect()
        });
        let start = starts.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = starts.get(number).map_or(self.text.len(), |next| next.saturating_sub(1));
        self.text.get(start..end).unwrap_or_default()
    }
}

/// A line and a column in bytes, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Something that the user should know and that is no token.
pub(super) struct Note {
    pub(super) origin: String,
    pub(super) place: Option<Place>,
    /// The reason that a locked Xen would give; such a note holds only while Xen is locked.
    pub(super) reason: Option<&'static str>,
    pub(super) message: String,
}

/// Why something could not be judged.
pub(super) struct Trouble {
    pub(super) name: String,
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

impl Piece {
    /// A piece that stands in its origin in one run.
    pub(super) fn new(segment: Segment, target: Target, text: &[u8], origin: &Rc<Origin>, place: Place) -> Self {
        let map = vec![Stretch { at: 0, place, literal: true }];
        Self { segment, target, text: text.to_vec(), origin: Rc::clone(origin), map }
    }

    /// The place of a byte of the text, and whether the bytes behind it stand there too.
    pub(super) fn place(&self, offset: usize) -> (Place, bool) {
        let stretch = self.map.iter().rev().find(|stretch| stretch.at <= offset);
        let Some(stretch) = stretch else { return (Place { line: 1, column: 1 }, false) };
        let passed = if stretch.literal { offset.saturating_sub(stretch.at) } else { 0 };
        let column = stretch.place.column.saturating_add(passed);
        (Place { column, ..stretch.place }, stretch.literal)
    }
}

impl Note {
    /// What the policy says of a directive that stands beside the options; nothing where it refuses nothing.
    pub(super) fn of_directive(name: &str, origin: &Origin, place: Place) -> Option<Self> {
        let entry = catalogue::BOOT.iter().find(|entry| entry.name == name && entry.class == "refused")?;
        Some(Self {
            origin: origin.name.clone(),
            place: Some(place),
            reason: Some(entry.reason),
            message: format!("{name}: {} Instead: {}", entry.mechanism, entry.advice),
        })
    }
}

impl Trouble {
    pub(super) fn new(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), place: None, message: message.into() }
    }

    pub(super) fn at(name: &str, line: usize, column: usize, message: impl Into<String>) -> Self {
        Self { place: Some(Place { line, column }), ..Self::new(name, message) }
    }
}

/// Where readers put what they found.
pub(super) struct Findings<'a> {
    pub(super) inputs: &'a mut Vec<Input>,
    pub(super) troubles: &'a mut Vec<Trouble>,
}

impl Findings<'_> {
    /// Takes an input, unless it has text that no answer could show.
    fn add(&mut self, input: Input) {
        for piece in &input.pieces {
            if let Err(error) = std::str::from_utf8(&piece.text) {
                let (place, _) = piece.place(error.valid_up_to());
                let message = "this text is not UTF-8, so it is not judged; Xen would read it byte by byte";
                self.troubles.push(Trouble::at(&piece.origin.name, place.line, place.column, message));
                return;
            }
        }
        self.inputs.push(input);
    }
}

/// The input named "cmdline".
pub(super) fn from_texts(arguments: &LintArguments) -> Option<Input> {
    let given = [
        (Segment::Builtin, "--builtin", &arguments.builtin),
        (Segment::Signed, "--signed", &arguments.signed),
        (Segment::Runtime, "--runtime", &arguments.runtime),
    ];
    let pieces: Vec<_> = given
        .into_iter()
        .filter_map(|(segment, name, text)| {
            let text = text.as_ref()?.as_bytes();
            let origin = Origin::new(name.to_owned(), text.to_vec());
            Some(Piece::new(segment, Target::Xen, text, &origin, Place { line: 1, column: 1 }))
        })
        .collect();
    (!pieces.is_empty()).then(|| Input { name: "cmdline".to_owned(), pieces, notes: Vec::new() })
}

/// A boot entry's LoadOptions, behind the signed text of the image that it starts.
pub(super) fn from_boot_entry(image: &Path, entry: &str, text: &str, findings: &mut Findings<'_>) {
    let before = findings.inputs.len();
    image::read(image, &image.display().to_string(), findings);
    // An image without signed text is no trouble here: the entry has its own.
    let signed = findings.inputs.split_off(before.min(findings.inputs.len())).into_iter().next();
    let mut input = signed.unwrap_or_else(|| Input { name: String::new(), pieces: Vec::new(), notes: Vec::new() });
    entry.clone_into(&mut input.name);
    let origin = Origin::new(entry, text.as_bytes().to_vec());
    let place = Place { line: 1, column: 1 };
    let whole = Piece::new(Segment::Runtime, Target::Xen, text.as_bytes(), &origin, place);
    load_options::add(&mut input, &whole);
    findings.add(input);
}

/// A configuration that is about to be signed, as if it were not.
pub(super) fn from_config(name: &str, text: &[u8], findings: &mut Findings<'_>) {
    // What it names is looked at by who puts the image together.
    xen_cfg::signed(name.to_owned(), text.to_vec(), |_| true, findings);
    for piece in findings.inputs.iter_mut().flat_map(|input| &mut input.pieces) {
        piece.segment = Segment::Runtime;
    }
}

/// The inputs of one file.
pub(super) fn from_file(file: &Path, arguments: &LintArguments, findings: &mut Findings<'_>) {
    let name = file.display().to_string();
    let is_image = match (arguments.kind, file == Path::new("-")) {
        (Some(kind), _) => kind == FileKind::Image,
        (None, true) => false,
        (None, false) => begins_with_mz(file),
    };
    if is_image {
        return image::read(file, &name, findings);
    }
    let text = match read(file) {
        Ok(text) => text,
        Err(message) if name.contains('=') && !file.exists() => {
            let message = format!("{message}; to judge text, give it with --runtime");
            return findings.troubles.push(Trouble::new(&name, message));
        }
        Err(message) => return findings.troubles.push(Trouble::new(&name, message)),
    };
    if arguments.kind.is_none() && text.iter().take(16).any(|&byte| byte == 0) && !begins_with_utf_16(&text) {
        let message = "this is a binary file and no image (a unified xen.efi begins with MZ); if it is a \
                       configuration all the same, say which with --as";
        return findings.troubles.push(Trouble::new(&name, message));
    }
    match arguments.kind.or_else(|| kind_of(&text)) {
        Some(FileKind::XenCfg) => xen_cfg::read(file, &name, text, findings),
        Some(FileKind::GrubCfg) => grub_cfg::read(&name, text, arguments, findings),
        Some(FileKind::DefaultGrub) => default_grub::read(&name, text, findings),
        Some(FileKind::Image) | None => findings.troubles.push(Trouble::new(
            &name,
            "cannot tell what this file is: neither xen.cfg ([section] lines), grub.cfg, /etc/default/grub nor an \
             image; say so with --as",
        )),
    }
}

/// A configuration that an editor saved as UTF-16: its reader says so.
fn begins_with_utf_16(text: &[u8]) -> bool {
    text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff])
}

fn begins_with_mz(file: &Path) -> bool {
    let mut magic = [0; 2];
    // Only a regular file is opened: a pipe would lose its first bytes.
    file.metadata().is_ok_and(|metadata| metadata.is_file())
        && File::open(file).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"MZ"
}

/// Reads a whole configuration file, or says why not.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_MAX + 1).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut text))
    };
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(_) if u64::try_from(text.len()).is_ok_and(|len| len > FILE_MAX) => {
            Err(format!("is larger than {} MiB, which no configuration is", FILE_MAX >> 20))
        }
        Ok(_) => Ok(text),
    }
}

/// What a text file is, from the first line that tells.
fn kind_of(text: &[u8]) -> Option<FileKind> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let line = line.trim_ascii_start();
        let word = line.split(|&byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
        match word {
            b"menuentry" | b"submenu" | b"set" | b"if" | b"insmod" | b"function" | b"search" | b"load_env"
            | b"multiboot" | b"multiboot2" | b"xen_hypervisor" | b"module" | b"module2" | b"chainloader" => {
                Some(FileKind::GrubCfg)
            }
            _ if line.starts_with(b"GRUB_") || word == b"export" => Some(FileKind::DefaultGrub),
            _ if line.starts_with(b"[") => Some(FileKind::XenCfg),
            _ => None,
        }
    })
}
