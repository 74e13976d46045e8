//! `--format human`: each refusal with its line, a caret, the reason and what to do, in rustc's look.

use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::lint::Report;
use crate::lint::input::{Note, Origin, Place, Trouble};
use crate::lint::json::segment_name;
use crate::lint::judge::{Judged, JudgedToken, RefusedWith};

/// Bytes of a line that are shown around a caret.
const LINE_MAX: usize = 160;

pub(super) fn print(report: &Report, verbose: bool) -> anyhow::Result<()> {
    let renderer = Renderer::styled();
    let mut out = anstream::stdout().lock();
    for judged in &report.judged {
        let mut explained: Vec<&str> = Vec::new();
        for token in &judged.tokens {
            if let Some(refused) = &token.refused {
                writeln!(out, "{}\n", renderer.render(&[refusal(token, refused, &mut explained)]))?;
            }
        }
        for note in &judged.notes {
            writeln!(out, "{}", note_text(note))?;
        }
        write!(out, "{}", summary(judged, verbose))?;
    }
    out.flush()?;
    for trouble in &report.troubles {
        anstream::eprintln!("{}", trouble_text(trouble));
    }
    Ok(())
}

fn refusal<'a>(token: &'a JudgedToken, refused: &'a RefusedWith, explained: &mut Vec<&'a str>) -> Group<'a> {
    let column = token.place.column.saturating_add(token.caret.start);
    let (line, caret) = shown_line(&token.origin, token.place.line, column, token.caret.len());
    let label = format!("a locked Xen does not honour this {} text", segment_name(token.segment));
    let snippet = Snippet::source(line)
        .path(token.origin.name.as_str())
        .line_start(token.place.line)
        .annotation(AnnotationKind::Primary.span(caret).label(label));
    let title = format!("{}: {}", printable(&token.text), refused.title);
    let mut group = Level::ERROR.primary_title(title).id(refused.reason).element(snippet);
    // The same sentence once an input is enough.
    if let Some(mechanism) = refused.mechanism.filter(|mechanism| !explained.contains(mechanism)) {
        explained.push(mechanism);
        group = group.element(Level::NOTE.message(mechanism));
    }
    group.element(Level::HELP.message(refused.advice.as_str()))
}

/// The line of a place, with what cannot be printed replaced, cut around the caret if it is long; and the caret in it.
fn shown_line(origin: &Origin, line: usize, column: usize, len: usize) -> (String, Range<usize>) {
    let bytes = origin.line(line);
    let at = column.saturating_sub(1).min(bytes.len());
    let end = at.saturating_add(len).min(bytes.len());
    let from = if end < LINE_MAX { 0 } else { at.saturating_sub(LINE_MAX / 4) };
    let to = bytes.len().min(from.saturating_add(LINE_MAX).max(end.min(at.saturating_add(LINE_MAX))));
    let part = |range: Range<usize>| printable(&String::from_utf8_lossy(bytes.get(range).unwrap_or_default()));
    let before = part(from..at);
    let marked = part(at..end.min(to).max(at));
    let mut text = String::new();
    if from > 0 {
        text.push_str("...");
    }
    text.push_str(&before);
    let start = text.len();
    text.push_str(&marked);
    let caret = start..text.len().max(start);
    text.push_str(&part(end.min(to).max(at)..to));
    if to < bytes.len() {
        text.push_str("...");
    }
    (text, caret)
}

/// Control characters as a terminal may safely show them.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(4 * LINE_MAX));
    for (count, c) in text.chars().enumerate() {
        if count > 2 * LINE_MAX {
            out.push_str("...");
            break;
        }
        match c {
            '\t' => out.push(' '),
            '\r' => {}
            c if c.is_control() => {
                let _ = write!(out, "{}", c.escape_default());
            }
            c => out.push(c),
        }
    }
    out
}

fn summary(judged: &Judged, verbose: bool) -> String {
    let mut out = String::new();
    if verbose {
        for token in judged.tokens.iter().filter(|token| !token.is_refused()) {
            let _ = writeln!(
                out,
                "{}:{}:{}: {}: {}",
                token.origin.name,
                token.place.line,
                token.place.column,
                printable(&token.text),
                token.message
            );
        }
        let _ = writeln!(out, "{}: to Xen:  {}", judged.name, printable(&judged.passes_xen));
        let _ = writeln!(out, "{}: to dom0: {}", judged.name, printable(&judged.passes_dom0));
    }
    let refused = judged.tokens.iter().filter(|token| token.is_refused()).count();
    let honoured = judged.tokens.len().saturating_sub(refused);
    let lock = match (judged.locked_at_start, judged.locked_at_end) {
        (true, _) => "locked from the start",
        (false, true) => "locked on the way, by its own text",
        (false, false) => "not locked: judge it as booted with --secure-boot",
    };
    let _ = writeln!(out, "{}: {honoured} honoured, {refused} refused ({lock})", judged.name);
    out
}

fn note_text(note: &Note) -> String {
    let reason = note.reason.map_or(String::new(), |reason| format!("[{reason}]"));
    format!("{}: note{reason}: {}", place_text(&note.origin, note.place), note.message)
}

fn trouble_text(trouble: &Trouble) -> String {
    format!("error: {}: {}", place_text(&trouble.name, trouble.place), trouble.message)
}

fn place_text(name: &str, place: Option<Place>) -> String {
    match place {
        Some(place) => format!("{name}:{}:{}", place.line, place.column),
        None => name.to_owned(),
    }
}
