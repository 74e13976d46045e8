//! `grub.cfg` as inputs: one for each menu entry that boots Xen.

use std::rc::Rc;

use lockdown_bootconfig::grub::{self, Command, Entry, Environment, Kind, Severity};
use lockdown_core::{Segment, Target};

use crate::arguments::LintArguments;
use crate::lint::input::{Findings, Input, Note, Origin, Piece, Place, Stretch, Trouble, load_options};

pub(super) fn read(name: &str, text: Vec<u8>, arguments: &LintArguments, findings: &mut Findings<'_>) {
    let mut environment = Environment::default();
    environment.variables.extend(arguments.grub_variables.iter().cloned());
    let config = grub::read(&text, &environment);
    let origin = Origin::new(name.to_owned(), text);
    let mut notes: Vec<Note> = Vec::new();
    for problem in &config.problems {
        add_problem(problem, &origin, &mut notes, findings);
    }
    let mut found = false;
    for entry in config.entries.iter().filter(|entry| entry.commands.iter().any(boots_xen)) {
        found = true;
        let mut input = Input {
            name: format!("{name}: {}", entry.title),
            pieces: Vec::new(),
            notes: std::mem::take(&mut notes),
        };
        let before = findings.troubles.len();
        for problem in &entry.problems {
            add_problem(problem, &origin, &mut input.notes, findings);
        }
        if findings.troubles.len() > before {
            continue;
        }
        add_commands(&mut input, entry, &origin);
        findings.add(input);
    }
    if !found && findings.troubles.is_empty() {
        findings.troubles.push(Trouble::new(name, "no menu entry boots Xen: there is nothing to judge"));
    }
}

fn add_problem(problem: &grub::Problem, origin: &Origin, notes: &mut Vec<Note>, findings: &mut Findings<'_>) {
    let place = Place { line: problem.line, column: problem.column };
    match problem.severity {
        Severity::Error => {
            findings.troubles.push(Trouble::at(&origin.name, place.line, place.column, problem.message.as_str()));
        }
        Severity::Note => notes.push(Note {
            origin: origin.name.clone(),
            place: Some(place),
            reason: None,
            message: problem.message.clone(),
        }),
    }
}

/// A multiboot loader of Xen, or a chainloader that starts a program with Xen's name.
fn boots_xen(command: &Command) -> bool {
    match command.kind {
        Kind::Xen => true,
        Kind::Chainloader => command.file.as_ref().is_some_and(|file| {
            let base = file.text.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            base.to_ascii_lowercase().windows(3).any(|window| window == b"xen")
        }),
        Kind::Module | Kind::Linux => false,
    }
}

fn add_commands(input: &mut Input, entry: &Entry, origin: &Rc<Origin>) {
    let mut modules = 0usize;
    for command in &entry.commands {
        match command.kind {
            Kind::Xen => input.pieces.push(piece(command, Target::Xen, origin)),
            // The first module is dom0's kernel; the text of the others is not a command line.
            Kind::Module => {
                modules = modules.saturating_add(1);
                if modules > 1 {
                    continue;
                }
                input.pieces.push(piece(command, Target::Dom0, origin));
                let place = Place { line: command.line, column: command.column };
                input.notes.extend(Note::of_directive("module", origin, place));
            }
            Kind::Chainloader if boots_xen(command) => {
                load_options::add(input, &piece(command, Target::Xen, origin));
            }
            Kind::Chainloader | Kind::Linux => {}
        }
    }
}

/// What the loader hands over for a command, with the places that it came from.
fn piece(command: &Command, target: Target, origin: &Rc<Origin>) -> Piece {
    let mut text = Vec::new();
    let mut map = Vec::new();
    for part in command.handed_over() {
        let place = Place { line: part.line, column: part.column };
        map.push(Stretch { at: text.len(), place, literal: part.literal });
        text.extend_from_slice(&part.text);
    }
    Piece { segment: Segment::Runtime, target, text, origin: Rc::clone(origin), map }
}
