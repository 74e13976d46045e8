//! From words to arguments: quotes, variables, field splitting
//! (grub-core/script/execute.c and argv.c, 2.12).

use std::rc::Rc;

use super::condition::Truth;
use super::source::Source;
use super::syntax::{Part, PartKind, Word};
use super::variables::{Value, Variables, What, Why};

pub(super) struct Arg {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: Vec<u8>,
    /// Where the bytes come from; without any, they stand in the file one by one from `start` on.
    pub(super) runs: Vec<Run>,
    pub(super) unknowns: Vec<Unknown>,
    splits: Option<Why>,
    glob: Option<usize>,
}

#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) at: usize,
    pub(super) source: usize,
    /// Byte for byte as in the file; otherwise all of it comes from one place.
    pub(super) literal: bool,
}

pub(super) struct Unknown {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) why: Why,
}

impl Arg {
    pub(super) fn why(&self) -> Option<Why> {
        self.unknowns.first().map(|unknown| unknown.why)
    }

    /// The text, or why it is not known before boot.
    pub(super) fn decided(&self) -> Result<&[u8], Why> {
        self.why().map_or(Ok(self.text.as_slice()), Err)
    }

    pub(super) fn known(&self) -> Option<&[u8]> {
        self.decided().ok()
    }

    /// Why it may turn out as no argument or as several.
    pub(super) fn may_split(&self) -> Option<Why> {
        self.splits
    }

    pub(super) fn value(&self) -> Value {
        Value { text: Rc::from(self.text.as_slice()), unknown: self.why() }
    }
}

/// What the last command returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Success,
    Failure,
    Unknown(Why),
}

impl Status {
    pub(super) fn from(truth: Truth) -> Self {
        match truth {
            Truth::Yes => Self::Success,
            Truth::No => Self::Failure,
            Truth::Unknown(why) => Self::Unknown(why),
        }
    }

    pub(super) fn truth(self) -> Truth {
        match self {
            Self::Success => Truth::Yes,
            Self::Failure => Truth::No,
            Self::Unknown(why) => Truth::Unknown(why),
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Success => Value::known(b"0"),
            Self::Failure => Value::known(b"1"),
            Self::Unknown(why) => Value::unknown(why),
        }
    }
}

/// The parameters of a function or a menu entry.
pub(super) type Scope = Option<Rc<[Value]>>;

pub(super) struct Expansion<'a, 'e> {
    pub(super) source: &'a Source,
    pub(super) variables: &'a Variables<'e>,
    pub(super) scope: &'a Scope,
    pub(super) status: Status,
    done: Vec<Arg>,
    open: Option<Arg>,
    word: (usize, usize),
    room: Option<usize>,
}

impl<'a, 'e> Expansion<'a, 'e> {
    pub(super) fn new(source: &'a Source, variables: &'a Variables<'e>, scope: &'a Scope, status: Status) -> Self {
        Self { source, variables, scope, status, done: Vec::new(), open: None, word: (0, 0), room: None }
    }

    /// Stops, without a result, when more than `room` bytes come out.
    pub(super) fn words(mut self, words: &[Word], room: usize) -> Option<Vec<Arg>> {
        self.room = Some(room);
        for word in words {
            self.word = (word.start, word.end);
            for part in word.parts() {
                self.part(part);
                self.room?;
            }
            self.next();
        }
        Some(self.done)
    }

    fn part(&mut self, part: Part) {
        let raw = self.source.slice(part.start, part.end);
        match part.kind {
            PartKind::Bare => self.bare(part.start, raw),
            PartKind::Single => self.literal(part.start, raw),
            PartKind::Double => self.double(part.start, raw),
            PartKind::Translated => {
                self.literal(part.start, raw);
                self.unknown(part.at, part.end.saturating_add(1), What::Translated);
            }
            PartKind::Variable => self.variable(part, raw, false),
            PartKind::QuotedVariable => self.variable(part, raw, true),
        }
    }

    fn bare(&mut self, start: usize, raw: &[u8]) {
        let mut rest = raw;
        let mut at = start;
        while !rest.is_empty() {
            let plain = rest.iter().take_while(|&&byte| byte != b'\\').count();
            let (text, escape) = rest.split_at_checked(plain).unwrap_or((rest, b""));
            if !text.is_empty() {
                self.literal(at, text);
                self.note_glob(at, text);
            }
            at = at.saturating_add(plain);
            if let Some(escaped) = escape.get(1..2).filter(|escaped| *escaped != b"\n") {
                self.literal(at.saturating_add(1), escaped);
                let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
                if matches!(escape, [b'\\', b'x', high, low, ..] if is_hex(high) && is_hex(low)) {
                    self.unknown(at, at.saturating_add(4), What::HexEscape);
                }
            }
            at = at.saturating_add(2);
            rest = escape.get(2..).unwrap_or_default();
        }
    }

    fn double(&mut self, start: usize, raw: &[u8]) {
        let mut rest = raw;
        let mut at = start;
        self.literal(at, b"");
        while !rest.is_empty() {
            let plain = rest.iter().take_while(|&&byte| byte != b'\\').count();
            let (text, escape) = rest.split_at_checked(plain).unwrap_or((rest, b""));
            self.literal(at, text);
            at = at.saturating_add(plain);
            let taken = match escape {
                [] => 0,
                [_, b'$' | b'\\' | b'"', ..] => {
                    let escaped = escape.get(1..2).unwrap_or_default();
                    self.literal(at.saturating_add(1), escaped);
                    2
                }
                [_, b'\n', ..] => 2,
                _ => {
                    self.literal(at, b"\\");
                    1
                }
            };
            at = at.saturating_add(taken);
            rest = escape.get(taken..).unwrap_or_default();
        }
    }

    fn variable(&mut self, part: Part, name: &[u8], quoted: bool) {
        match name {
            b"?" => self.field(part, &self.status.value(), quoted),
            b"@" | b"*" => {
                for (index, value) in self.scope.iter().flat_map(|s| s.iter()).enumerate() {
                    match (index, name, quoted) {
                        (0, _, _) => {}
                        (_, b"*", true) => self.substituted(part.at, b" "),
                        _ => self.next(),
                    }
                    if quoted {
                        self.substituted(part.at, b"");
                    }
                    self.field(part, value, quoted);
                }
            }
            b"#" => {
                if let Some(scope) = self.scope {
                    let count = scope.len().to_string();
                    self.substituted(part.at, count.as_bytes());
                }
            }
            [b'0'..=b'9', ..] => {
                let number = std::str::from_utf8(name).ok().and_then(|n| n.parse::<usize>().ok());
                let index = number.and_then(|number| number.checked_sub(1));
                let scope = self.scope.as_ref();
                if let Some(value) = index.and_then(|index| scope.and_then(|s| s.get(index))) {
                    self.field(part, value, quoted);
                }
            }
            _ => {
                let value = self.variables.get(name);
                self.field(part, &value, quoted);
            }
        }
    }

    fn field(&mut self, part: Part, value: &Value, quoted: bool) {
        if let Some(why) = value.unknown {
            self.unknown_value(part, value, why, quoted);
        } else if quoted {
            if !value.text.is_empty() {
                self.substituted(part.at, &value.text);
            }
        } else {
            let fields = value
                .text
                .split(|byte| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r'))
                .filter(|field| !field.is_empty());
            for (index, field) in fields.enumerate() {
                if index > 0 {
                    self.next();
                }
                self.substituted(part.at, field);
                self.note_glob(part.at, field);
            }
        }
    }

    fn unknown_value(&mut self, part: Part, value: &Value, why: Why, quoted: bool) {
        let braced = self.source.slice(part.end, part.end.saturating_add(1)) == b"}"
            && part.start.saturating_sub(part.at) == 2;
        let end = if braced { part.end.saturating_add(1) } else { part.end };
        let source = self.source;
        let written = source.slice(part.at, end);
        let shown = if value.text.is_empty() { written } else { &value.text };
        self.substituted(part.at, shown);
        let arg = self.arg();
        arg.unknowns.push(Unknown { start: part.at, end, why });
        if !quoted {
            arg.splits = arg.splits.or(Some(why));
        }
    }

    fn unknown(&mut self, start: usize, end: usize, what: What) {
        let why = Why { what, start, end };
        self.arg().unknowns.push(Unknown { start, end, why });
    }

    fn literal(&mut self, source: usize, text: &[u8]) {
        self.append(source, text, true);
    }

    fn substituted(&mut self, source: usize, text: &[u8]) {
        self.append(source, text, false);
    }

    fn append(&mut self, source: usize, text: &[u8], literal: bool) {
        self.room = self.room.and_then(|room| room.checked_sub(text.len()));
        if self.room.is_none() {
            return;
        }
        let arg = self.arg();
        let at = arg.text.len();
        let trivial = literal && arg.runs.is_empty() && source == arg.start.saturating_add(at);
        if !text.is_empty() && !trivial {
            if arg.runs.is_empty() && at > 0 {
                arg.runs.push(Run { at: 0, source: arg.start, literal: true });
            }
            arg.runs.push(Run { at, source, literal });
        }
        arg.text.extend_from_slice(text);
    }

    fn note_glob(&mut self, at: usize, text: &[u8]) {
        if text.iter().any(|byte| matches!(byte, b'*' | b'?')) {
            let arg = self.arg();
            arg.glob = arg.glob.or(Some(at));
        }
    }

    fn arg(&mut self) -> &mut Arg {
        let (start, end) = self.word;
        self.open.get_or_insert_with(|| Arg {
            start,
            end,
            text: Vec::new(),
            runs: Vec::new(),
            unknowns: Vec::new(),
            splits: None,
            glob: None,
        })
    }

    /// Ends an argument; one that nothing was appended to does not exist.
    fn next(&mut self) {
        let Some(mut arg) = self.open.take() else {
            return;
        };
        if arg.glob.is_some() && matches!(arg.text.first(), Some(b'/' | b'(' | b'*')) {
            let (start, end) = (arg.start, arg.end);
            let why = Why { what: What::Glob, start, end };
            arg.unknowns.push(Unknown { start, end, why });
            arg.splits = arg.splits.or(Some(why));
        }
        self.done.push(arg);
    }
}
