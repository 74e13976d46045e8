//! `/etc/default/grub` as inputs: the ordinary entries that Debian's scripts would write, and the recovery ones.

use std::rc::Rc;

use lockdown_bootconfig::default_grub::{self, Line};
use lockdown_bootconfig::grub::Severity;
use lockdown_core::{Segment, Target};

use crate::lint::input::{Findings, Input, Note, Origin, Piece, Place, Stretch, Trouble};

pub(super) fn read(name: &str, text: Vec<u8>, findings: &mut Findings<'_>) {
    let settings = default_grub::read(&text);
    let origin = Origin::new(name.to_owned(), text);
    let mut notes = Vec::new();
    for (_, problem) in &settings.problems {
        let place = Place { line: problem.line, column: problem.column };
        match problem.severity {
            Severity::Error => {
                findings.troubles.push(Trouble::at(name, place.line, place.column, problem.message.as_str()));
            }
            Severity::Note => notes.push(Note {
                origin: name.to_owned(),
                place: Some(place),
                reason: None,
                message: problem.message.clone(),
            }),
        }
    }
    let lines = default_grub::command_lines(&settings.assignments);
    add(name.to_owned(), &lines.xen_normal, &lines.dom0_normal, notes, &origin, findings);
    if lines.recovery {
        let name = format!("{name}: recovery");
        add(name, &lines.xen_recovery, &lines.dom0_recovery, Vec::new(), &origin, findings);
    }
}

fn add(name: String, xen: &Line, dom0: &Line, notes: Vec<Note>, origin: &Rc<Origin>, findings: &mut Findings<'_>) {
    let unknown: Vec<_> = xen.unknown.iter().chain(&dom0.unknown).map(String::as_str).collect();
    if !unknown.is_empty() {
        let message = format!("{} cannot be known without running a shell", unknown.join(", "));
        return findings.troubles.push(Trouble::new(&name, message));
    }
    // GRUB reads the line as script once more; what that would change is not guessed.
    for line in [xen, dom0] {
        let special = |byte: &u8| b"'\"\\$;&|<>{}".contains(byte);
        if let Some(at) = line.text.iter().position(special) {
            let (place, _) = piece(line, Target::Xen, origin).place(at);
            let message = "GRUB reads this character as script once more; lint the grub.cfg that is made of it";
            return findings.troubles.push(Trouble::at(&name, place.line, place.column, message));
        }
    }
    let pieces = vec![piece(xen, Target::Xen, origin), piece(dom0, Target::Dom0, origin)];
    findings.add(Input { name, pieces, notes });
}

fn piece(line: &Line, target: Target, origin: &Rc<Origin>) -> Piece {
    let map = line.origins.iter().map(|from| Stretch {
        at: from.at,
        place: Place { line: from.line, column: from.column },
        literal: from.literal,
    });
    Piece {
        segment: Segment::Runtime,
        target,
        text: line.text.clone(),
        origin: Rc::clone(origin),
        map: map.collect(),
    }
}
