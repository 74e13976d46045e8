//! `--format json`: one object, schema `xen-lockdown/lint/1`.

use std::io::{BufWriter, Write as _};

use lockdown_core::{Segment, Target};
use serde::Serialize;

use crate::lint::Report;
use crate::lint::input::{Note, Trouble};
use crate::lint::judge::{Judged, JudgedToken};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    xen: &'static str,
    inputs: Vec<InputObject<'a>>,
    /// What could not be judged; empty unless the exit status is 2.
    errors: Vec<ErrorObject<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct InputObject<'a> {
    name: &'a str,
    locked_at_start: bool,
    locked_at_end: bool,
    tokens: Vec<TokenObject<'a>>,
    passes: Passes<'a>,
    notes: Vec<NoteObject<'a>>,
}

#[derive(Serialize)]
struct TokenObject<'a> {
    segment: &'static str,
    #[serde(rename = "for")]
    target: &'static str,
    text: &'a str,
    line: usize,
    column: usize,
    option: Option<&'a str>,
    verdict: &'static str,
    reason: Option<&'a str>,
    message: &'a str,
}

#[derive(Serialize)]
struct Passes<'a> {
    xen: &'a str,
    dom0: &'a str,
}

#[derive(Serialize)]
struct NoteObject<'a> {
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    reason: Option<&'a str>,
    message: &'a str,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    name: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
}

#[derive(Serialize)]
struct Summary {
    honoured: usize,
    refused: usize,
}

pub(super) fn print(report: &Report) -> anyhow::Result<()> {
    let document = Document {
        schema: "xen-lockdown/lint/1",
        xen: report.xen.name(),
        inputs: report.judged.iter().map(input).collect(),
        errors: report.troubles.iter().map(error).collect(),
        summary: Summary { honoured: report.count(false), refused: report.count(true) },
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &document).map_err(std::io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// The inputs alone, as they stand in the document.
pub(super) fn inputs(report: &Report) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(report.judged.iter().map(input).collect::<Vec<_>>())
}

fn input(judged: &Judged) -> InputObject<'_> {
    InputObject {
        name: &judged.name,
        locked_at_start: judged.locked_at_start,
        locked_at_end: judged.locked_at_end,
        tokens: judged.tokens.iter().map(token).collect(),
        passes: Passes { xen: &judged.passes_xen, dom0: &judged.passes_dom0 },
        notes: judged.notes.iter().map(note).collect(),
    }
}

fn token(token: &JudgedToken) -> TokenObject<'_> {
    TokenObject {
        segment: segment_name(token.segment),
        target: target_name(token.target),
        text: &token.text,
        line: token.place.line,
        column: token.place.column,
        option: token.option,
        verdict: if token.is_refused() { "refused" } else { "honoured" },
        reason: token.refused.as_ref().map(|refused| refused.reason),
        message: &token.message,
    }
}

fn note(note: &Note) -> NoteObject<'_> {
    NoteObject {
        file: &note.origin,
        line: note.place.map(|place| place.line),
        column: note.place.map(|place| place.column),
        reason: note.reason,
        message: &note.message,
    }
}

fn error(trouble: &Trouble) -> ErrorObject<'_> {
    ErrorObject {
        name: &trouble.name,
        line: trouble.place.map(|place| place.line),
        column: trouble.place.map(|place| place.column),
        message: &trouble.message,
    }
}

pub(super) fn segment_name(segment: Segment) -> &'static str {
    match segment {
        Segment::Builtin => "builtin",
        Segment::Signed => "signed",
        Segment::Runtime => "runtime",
    }
}

fn target_name(target: Target) -> &'static str {
    match target {
        Target::Xen => "xen",
        Target::Dom0 => "dom0",
    }
}
