//! `xen.cfg` and the section `.config` as inputs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use lockdown_bootconfig::Located;
use lockdown_bootconfig::xen_cfg::{Config, RemarkKind, Selection};
use lockdown_core::{Segment, Target};

use crate::lint::input::{self, Findings, Input, Note, Origin, Piece, Place, Trouble};

/// A file beside xen.efi: all of it unsigned, the files that it chains to as well.
pub(super) fn read(file: &Path, name: &str, text: Vec<u8>, findings: &mut Findings<'_>) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut seen = HashSet::from([identity(file)]);
    let mut input = Input { name: name.to_owned(), pieces: Vec::new(), notes: Vec::new() };
    let mut origin = Origin::new(name.to_owned(), text);
    let mut section = None;
    loop {
        let config = match Config::read(&origin.text) {
            Ok(config) => config,
            Err(problem) => {
                findings.troubles.push(Trouble::at(&origin.name, problem.line, problem.column, problem.message));
                return;
            }
        };
        let first = input.name == origin.name;
        let selection = if first { config.select(None) } else { config.select_chained(section.as_deref()) };
        let Some(chain) = selection.chain.filter(|chain| chain.followed) else {
            add_pieces(&mut input, &origin, &config, &selection, Segment::Runtime);
            add_file_notes(&mut input, &origin, &selection);
            return findings.add(input);
        };
        let place = place_of(&chain.file);
        if chain.section_lost {
            findings.troubles.push(Trouble {
                name: origin.name.clone(),
                place: Some(place),
                message:
                    "Xen gives the memory that holds the section's name back before it reads the chained file, \
                          so what it would look for there cannot be told; name the section in the boot entry, or \
                          leave chain= out"
                        .to_owned(),
            });
            return;
        }
        let next = beside(folder, chain.file.text);
        if !seen.insert(identity(&next)) {
            findings.troubles.push(Trouble {
                name: origin.name.clone(),
                place: Some(place),
                message: format!("chain= comes back to {}: Xen would read these files for ever", next.display()),
            });
            return;
        }
        let text = match input::read(&next) {
            Ok(text) => text,
            Err(message) => {
                let message = format!("the chained file {} {message}", next.display());
                findings.troubles.push(Trouble { name: origin.name.clone(), place: Some(place), message });
                return;
            }
        };
        input.notes.push(Note {
            origin: origin.name.clone(),
            place: Some(place),
            reason: None,
            message: format!("chain= is followed: what counts is in {}", next.display()),
        });
        section = selection.section;
        origin = Origin::new(next.display().to_string(), text);
    }
}

/// The signed configuration of an image. A locked Xen does not follow its `chain=`.
pub(super) fn signed(
    name: String,
    text: Vec<u8>,
    has_section: impl Fn(&str) -> bool,
    findings: &mut Findings<'_>,
) {
    let origin = Origin::new(name.clone(), text);
    let config = match Config::read(&origin.text) {
        Ok(config) => config,
        Err(problem) => {
            return findings.troubles.push(Trouble::at(&name, problem.line, problem.column, problem.message));
        }
    };
    let selection = config.select(None);
    let mut input = Input { name, pieces: Vec::new(), notes: Vec::new() };
    let chain = selection.chain.map(|chain| place_of(&chain.file));
    input.notes.extend(chain.and_then(|place| Note::of_directive("xen.cfg:chain", &origin, place)));
    add_pieces(&mut input, &origin, &config, &selection, Segment::Signed);
    let named = [
        (selection.kernel.map(|kernel| kernel.file), ".kernel", "xen.cfg:kernel"),
        (selection.ramdisk, ".ramdisk", "xen.cfg:ramdisk"),
        (selection.xsm, ".xsm", "xen.cfg:xsm"),
    ];
    // A file that is not in the image comes from the disk.
    for (file, section, directive) in named {
        let Some(file) = file.filter(|_| !has_section(section)) else { continue };
        let message = format!("the image has no section {section}, so this file would come from the disk");
        input.notes.push(match Note::of_directive(directive, &origin, place_of(&file)) {
            Some(note) => Note { message: format!("{message}. {}", note.message), ..note },
            None => note(&origin, &file, &message),
        });
    }
    findings.add(input);
}

fn add_pieces(
    input: &mut Input,
    origin: &Rc<Origin>,
    config: &Config<'_>,
    selection: &Selection<'_>,
    segment: Segment,
) {
    let piece = |target, value: &Located<'_>| Piece::new(segment, target, value.text, origin, place_of(value));
    input.pieces.extend(selection.options.iter().map(|options| piece(Target::Xen, options)));
    let arguments = selection.kernel.and_then(|kernel| kernel.arguments);
    input.pieces.extend(arguments.iter().map(|arguments| piece(Target::Dom0, arguments)));
    if let (Some(section), None) = (&selection.section, &selection.header) {
        let section = String::from_utf8_lossy(section);
        input.notes.push(Note {
            origin: origin.name.clone(),
            place: selection.default.as_ref().map(place_of),
            reason: None,
            message: format!(
                "there is no section [{section}]: Xen goes on without options and without dom0's arguments"
            ),
        });
    }
    for remark in config.remarks() {
        let message = match remark.kind {
            RemarkKind::LineOfItsOwn => "a control character, a tab perhaps, makes this a line of its own for Xen",
            RemarkKind::LineWithoutEnd => {
                "the last line has no end: Xen 4.17 reads on behind it; end it with a line feed"
            }
        };
        input.notes.push(note(origin, &remark.at, message));
    }
}

/// The files that a locked Xen does not take from a disk.
fn add_file_notes(input: &mut Input, origin: &Origin, selection: &Selection<'_>) {
    let files = [
        (selection.kernel.map(|kernel| kernel.file), "xen.cfg:kernel"),
        (selection.ramdisk, "xen.cfg:ramdisk"),
        (selection.xsm, "xen.cfg:xsm"),
        (selection.ucode, "xen.cfg:ucode"),
    ];
    for (file, name) in files {
        input.notes.extend(file.and_then(|file| Note::of_directive(name, origin, place_of(&file))));
    }
}

fn note(origin: &Origin, at: &Located<'_>, message: &str) -> Note {
    Note { origin: origin.name.clone(), place: Some(place_of(at)), reason: None, message: message.to_owned() }
}

fn place_of(at: &Located<'_>) -> Place {
    Place { line: at.line, column: at.column }
}

/// The file that Xen would open: `\` separates, and the folder is that of xen.efi, where the first file lies too.
fn beside(folder: &Path, name: &[u8]) -> PathBuf {
    let name = String::from_utf8_lossy(name).replace('\\', "/");
    folder.join(name.trim_start_matches('/'))
}

/// What two names of one file have in common.
fn identity(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}
