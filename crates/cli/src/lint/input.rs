//! What is judged: pieces of text, each with the segment that it counts as and the places that it came from.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;

use lockdown_core::{Segment, Target};

use crate::arguments::LintArguments;

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
    /// Where in the origin each stretch of the text begins, in order of offsets.
    pub(super) map: Vec<(usize, Place)>,
}

/// A file, or an option of ours, that text came from.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
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
    /// The place of a byte of the text.
    pub(super) fn place(&self, offset: usize) -> Place {
        let stretch = self.map.iter().rev().find(|(start, _)| *start <= offset);
        let (start, place) = stretch.copied().unwrap_or((0, Place { line: 1, column: 1 }));
        Place { line: place.line, column: place.column.saturating_add(offset.saturating_sub(start)) }
    }
}

/// The input named "cmdline".
pub(super) fn from_texts(arguments: &LintArguments, troubles: &mut Vec<Trouble>) -> Option<Input> {
    let given = [
        (Segment::Builtin, "--builtin", &arguments.builtin),
        (Segment::Signed, "--signed", &arguments.signed),
        (Segment::Runtime, "--runtime", &arguments.runtime),
    ];
    let mut pieces = Vec::new();
    for (segment, name, text) in given {
        let Some(text) = text else { continue };
        pieces.push(Piece {
            segment,
            target: Target::Xen,
            text: text.as_bytes().to_vec(),
            origin: Rc::new(Origin { name: name.to_owned(), text: text.as_bytes().to_vec() }),
            map: vec![(0, Place { line: 1, column: 1 })],
        });
    }
    let _ = troubles;
    (!pieces.is_empty()).then(|| Input { name: "cmdline".to_owned(), pieces, notes: Vec::new() })
}

/// The inputs of one file.
pub(super) fn from_file(
    file: &Path,
    arguments: &LintArguments,
    inputs: &mut Vec<Input>,
    troubles: &mut Vec<Trouble>,
) {
    let _ = (arguments, inputs);
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        fs::read(file)
    };
    if let Err(error) = read {
        troubles.push(Trouble {
            name: file.display().to_string(),
            place: None,
            message: format!("cannot be read: {error}"),
        });
    }
}
