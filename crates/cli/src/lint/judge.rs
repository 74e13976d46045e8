//! One input's tokens, judged in the order in which Xen and Linux would parse them.

use std::ops::Range;
use std::rc::Rc;

use lockdown_core::{
    Ground, Level, Lockdown, Segment, Target, Token, Verdict, XenVersion, dom0_line, dom0_lockdown_option,
    linux_text, xen_text,
};
use lockdown_policy::Compiled;
use lockdown_policy::catalogue::{self, OptionText};

use crate::lint::input::{Input, Note, Origin, Piece, Place};

/// One input after the engine had it.
pub(super) struct Judged {
    pub(super) name: String,
    pub(super) locked_at_start: bool,
    pub(super) locked_at_end: bool,
    pub(super) tokens: Vec<JudgedToken>,
    pub(super) passes_xen: String,
    pub(super) passes_dom0: String,
    pub(super) notes: Vec<Note>,
}

/// One token with all that is printed about it.
pub(super) struct JudgedToken {
    pub(super) segment: Segment,
    pub(super) target: Target,
    pub(super) text: String,
    pub(super) place: Place,
    pub(super) origin: Rc<Origin>,
    /// The bytes of `text` that a caret belongs under.
    pub(super) caret: Range<usize>,
    pub(super) option: Option<&'static str>,
    pub(super) refused: Option<RefusedWith>,
    pub(super) message: String,
}

/// What is said about a refusal.
pub(super) struct RefusedWith {
    pub(super) reason: &'static str,
    pub(super) title: &'static str,
    pub(super) mechanism: Option<&'static str>,
    pub(super) advice: String,
}

impl JudgedToken {
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }
}

pub(super) fn judge(input: Input, compiled: &Compiled, xen: XenVersion, locked: Option<Level>) -> Judged {
    let mut lockdown = Lockdown::new(&compiled.table, xen, locked);
    let mut words = Words { compiled, xen, tokens: Vec::new() };
    let mut for_dom0: Vec<(&Piece, Range<usize>)> = Vec::new();
    let (dom0_lines, xen_lines): (Vec<_>, Vec<_>) =
        input.pieces.iter().partition(|piece| piece.target == Target::Dom0);
    // A kernel's own line comes before what is added after ` -- `.
    for_dom0.extend(dom0_lines.into_iter().map(|piece| (piece, 0..piece.text.len())));
    // Whether Xen puts a space in front of the next piece.
    let mut joined = false;
    for piece in xen_lines {
        let split = match piece.segment {
            // Xen never splits its built-in text.
            Segment::Builtin => None,
            Segment::Signed => xen_text::split_dom0(&piece.text),
            Segment::Runtime => split_runtime(&piece.text, joined),
        };
        joined |= piece.segment == Segment::Signed && !piece.text.is_empty();
        let (end, rest) = split.map_or((piece.text.len(), None), |(end, rest)| (end, Some(rest)));
        for token in lockdown.xen_tokens(piece.segment, piece.text.get(..end).unwrap_or_default()) {
            words.add(piece, 0, Target::Xen, &token);
        }
        for_dom0.extend(rest.map(|rest| (piece, rest)));
    }
    // Xen hands dom0's text on after it has parsed all of its own.
    let mut line = Vec::new();
    for (piece, range) in for_dom0 {
        let mut text = xen_text::until_nul(piece.text.get(range.clone()).unwrap_or_default()).to_vec();
        lockdown.filter_dom0(piece.segment, &mut text, &mut |token| {
            words.add(piece, range.start, Target::Dom0, token);
        });
        // A kernel's own line stands as it is. What Xen hands on has a blank on either side.
        let blank: &[u8] = if piece.target == Target::Dom0 || text.is_empty() { b"" } else { b" " };
        if !line.is_empty() && !line.ends_with(b" ") {
            line.extend(blank);
        }
        line.extend(text);
        line.extend(blank);
    }
    let tokens = words.tokens;
    let is_locked = lockdown.level().is_some();
    let mut notes = input.notes;
    let passes_dom0 = passes_dom0(line, lockdown.level(), &input.name, &mut notes);
    Judged {
        name: input.name,
        locked_at_start: locked.is_some(),
        locked_at_end: is_locked,
        passes_xen: passes_xen(&tokens),
        passes_dom0,
        tokens,
        notes: notes.into_iter().filter(|note| note.reason.is_none() || is_locked).collect(),
    }
}

/// The boot entry's text comes behind the configuration's and a space, so that dashes at its beginning are a separator
/// there, and only there.
fn split_runtime(text: &[u8], joined: bool) -> Option<(usize, Range<usize>)> {
    if !joined {
        return xen_text::split_dom0(text);
    }
    let (end, rest) = xen_text::split_dom0(&[b" ", text].concat())?;
    Some((end.saturating_sub(1), rest.start.saturating_sub(1)..rest.end.saturating_sub(1)))
}

fn passes_xen(tokens: &[JudgedToken]) -> String {
    let honoured = tokens.iter().filter(|token| token.target == Target::Xen && !token.is_refused());
    honoured.map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// The tokens of dom0's line, with the option that a locked Xen puts into it, and without what Xen cuts off.
fn passes_dom0(mut line: Vec<u8>, level: Option<Level>, name: &str, notes: &mut Vec<Note>) -> String {
    let added = level.map_or(0, |level| dom0_lockdown_option(level).len().saturating_add(1));
    let wanted = line.len().saturating_add(added);
    line.truncate(xen_text::DOM0_LINE_MAX);
    if let Some(level) = level {
        // The zero byte behind it counts.
        line.resize(xen_text::DOM0_LINE_MAX.saturating_add(1), 0);
        let len = dom0_line::lock(&mut line, level).unwrap_or(0);
        line.truncate(len);
    }
    if wanted > xen_text::DOM0_LINE_MAX {
        notes.push(Note {
            origin: name.to_owned(),
            place: None,
            reason: None,
            message: format!(
                "dom0's command line has {wanted} bytes, with the blanks that stand for what is refused; Xen 4.17 and 4.20 \
                 keep {} and drop the rest without a message",
                xen_text::DOM0_LINE_MAX
            ),
        });
    }
    let mut words: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    while let Some(range) = linux_text::next_token(&line, at) {
        at = range.end;
        words.extend(line.get(range));
    }
    String::from_utf8_lossy(&words.join(&b' ')).into_owned()
}

struct Words<'a> {
    compiled: &'a Compiled,
    xen: XenVersion,
    tokens: Vec<JudgedToken>,
}

impl Words<'_> {
    fn add(&mut self, piece: &Piece, base: usize, target: Target, token: &Token<'_>) {
        let text = String::from_utf8_lossy(token.text).into_owned();
        let name = self.option_name(target, token);
        let (refused, message, caret) = match &token.verdict {
            Verdict::Honoured(ground) => (None, self.honoured(piece.segment, *ground, name), 0..token.text.len()),
            Verdict::Refused(refusal) => {
                let entry = name.and_then(|name| catalogue_entry(target, name));
                let info = refusal.reason.info();
                let note = self.compiled.notes.get(usize::from(refusal.note)).copied();
                let mechanism = note.filter(|note| !note.is_empty());
                let advice = match entry {
                    Some(entry) if !entry.advice.is_empty() => entry.advice.to_owned(),
                    Some(_) => "sign it".to_owned(),
                    None => self.advice_for_unknown(target, token.text),
                };
                let message = match mechanism {
                    Some(mechanism) => format!("{}: {mechanism}", info.text),
                    None => info.text.to_owned(),
                };
                let refused = RefusedWith { reason: info.id, title: info.text, mechanism, advice };
                (Some(refused), message, refusal.at.clone())
            }
        };
        let message = match token.text.len() > xen_text::TOKEN_MAX && target == Target::Xen {
            true => format!(
                "{message} (Xen keeps the first {} bytes of a token and drops the rest)",
                xen_text::TOKEN_MAX
            ),
            false => message,
        };
        let (place, literal) = piece.place(base.saturating_add(token.offset));
        self.tokens.push(JudgedToken {
            segment: piece.segment,
            target,
            text,
            place,
            origin: Rc::clone(&piece.origin),
            // Where a variable stands for the text, a caret under its beginning is all there is.
            caret: if literal { caret } else { 0..1 },
            option: name,
            refused,
            message,
        });
    }

    fn option_name(&self, target: Target, token: &Token<'_>) -> Option<&'static str> {
        let table = match target {
            Target::Xen => self.compiled.table.xen,
            Target::Dom0 => self.compiled.table.dom0,
        };
        let name = table.get(usize::from(token.option?))?.name;
        std::str::from_utf8(name).ok()
    }

    fn honoured(&self, segment: Segment, ground: Ground, name: Option<&str>) -> String {
        match ground {
            Ground::NotLocked => "nothing is locked at this point".to_owned(),
            Ground::Trusted if segment == Segment::Builtin => "built-in text is honoured whole".to_owned(),
            Ground::Trusted => "signed text is honoured whole".to_owned(),
            Ground::Allowed => "allowed".to_owned(),
            Ground::Locks => "locks Xen from here on".to_owned(),
            Ground::Overlay(number) => {
                let overlay = usize::from(number).checked_sub(1);
                let overlay = overlay.and_then(|index| self.compiled.overlays.get(index));
                let Some(overlay) = overlay else { return "allowed by an overlay".to_owned() };
                let says = overlay.allows.iter().find(|allow| Some(allow.option) == name);
                says.map_or_else(
                    || format!("overlay {} declares it safe", overlay.name),
                    |says| format!("overlay {} declares it safe: {} ({})", overlay.name, says.why, says.who),
                )
            }
        }
    }

    /// Why a name is unknown: a slip of the pen, another release, another architecture.
    fn advice_for_unknown(&self, target: Target, token: &[u8]) -> String {
        if target == Target::Dom0 {
            return "sign it".to_owned();
        }
        let param = xen_text::Param::new(token);
        let name = String::from_utf8_lossy(param.name).into_owned();
        let known = |name: &str| catalogue::XEN.iter().find(|entry| entry.name == name);
        if let Some(entry) = name.strip_prefix("no").and_then(known).filter(|entry| entry.class != "foreign") {
            return format!("Xen writes it no-{0} or {0}=no", entry.name);
        }
        if let Some(entry) = known(&name) {
            return if entry.class == "foreign" {
                format!("{name} belongs to {} and is not built for x86", entry.arch.join(" and "))
            } else {
                format!("Xen {} does not have it; Xen {} does", self.xen.name(), entry.xen.join(" and "))
            };
        }
        let near = catalogue::XEN
            .iter()
            .filter(|entry| entry.class != "foreign" && entry.xen.contains(&self.xen.name()))
            .map(|entry| (strsim::damerau_levenshtein(entry.name, &name), entry.name))
            .min();
        match near {
            Some((distance, near)) if distance * 3 <= name.len() && name.len() < 64 => {
                format!("did you mean {near}?")
            }
            _ => "leave it out, or sign it".to_owned(),
        }
    }
}

fn catalogue_entry(target: Target, name: &str) -> Option<&'static OptionText> {
    let list = match target {
        Target::Xen => catalogue::XEN,
        Target::Dom0 => catalogue::DOM0,
    };
    // The tables have dom0's names with underscores only.
    list.iter().find(|entry| entry.name == name || entry.name.replace('-', "_") == name)
}
