//! Reads `/etc/default/grub` and `/etc/default/grub.d/*.cfg`: the settings that grub-mkconfig turns
//! into a grub.cfg.
//!
//! The files are shell scripts, sourced one after the other (`grub-mkconfig`, GRUB 2.12). Plain
//! assignments are read; whatever needs a shell to run makes the value unknown, with a [`Problem`]
//! where one of [`COMMAND_LINES`] depends on it.

use std::collections::HashMap;

use crate::grub::{Problem, Severity};

/// The settings that end up on the command lines of Xen and of dom0's kernel.
pub const COMMAND_LINES: [&str; 7] =
    [XEN, XEN_DEFAULT, LINUX_REPLACE, LINUX_REPLACE_DEFAULT, LINUX, LINUX_DEFAULT, LINUX_RECOVERY];

const XEN: &str = "GRUB_CMDLINE_XEN";
const XEN_DEFAULT: &str = "GRUB_CMDLINE_XEN_DEFAULT";
const LINUX_REPLACE: &str = "GRUB_CMDLINE_LINUX_XEN_REPLACE";
const LINUX_REPLACE_DEFAULT: &str = "GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT";
const LINUX: &str = "GRUB_CMDLINE_LINUX";
const LINUX_DEFAULT: &str = "GRUB_CMDLINE_LINUX_DEFAULT";
const LINUX_RECOVERY: &str = "GRUB_CMDLINE_LINUX_RECOVERY";
const DISABLE_RECOVERY: &str = "GRUB_DISABLE_RECOVERY";

/// How many bytes of values are kept beyond four for each byte of the files.
const BYTES: usize = 16 << 20;
/// How many problems are kept.
const PROBLEMS: usize = 200;

/// What the files set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// All assignments, in the order in which they happen.
    pub assignments: Vec<Assignment>,
    /// What could not be read, each with the number of its file.
    pub problems: Vec<(usize, Problem)>,
}

/// `NAME=value` or `NAME+=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which of the files it stands in, counted from 0.
    pub file: usize,
    /// The variable.
    pub name: String,
    /// `+=`: the value is added to what the variable holds.
    pub append: bool,
    /// What stands right of the `=`, without quotes; nothing when only a shell can tell.
    pub value: Option<Vec<u8>>,
    /// Line of the value's first byte.
    pub line: usize,
    /// Column in bytes of the value's first byte, counted from 1.
    pub column: usize,
    /// Where the bytes of the value come from.
    pub origins: Vec<Origin>,
}

/// Where the bytes of a value from `at` on come from, up to the next origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Offset in the value.
    pub at: usize,
    /// Which of the files, counted from 0.
    pub file: usize,
    /// Line in the file.
    pub line: usize,
    /// Column of the first byte.
    pub column: usize,
    /// The bytes stand in the file one by one from there on; otherwise they all come from this one
    /// place, where a variable stands.
    pub literal: bool,
}

/// The command lines that Debian's `20_linux_xen` makes of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLines {
    /// Xen, in ordinary entries.
    pub xen_normal: Line,
    /// dom0's kernel, in ordinary entries; after `root=... ro`, which the script adds.
    pub dom0_normal: Line,
    /// Xen, in recovery entries.
    pub xen_recovery: Line,
    /// dom0's kernel, in recovery entries; after `root=... ro`, which the script adds.
    pub dom0_recovery: Line,
    /// Whether recovery entries are written.
    pub recovery: bool,
}

/// A command line as it is written into grub.cfg. GRUB reads it as script once more, so quotes,
/// backslashes, `$` and `;` in it are still to be interpreted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The text.
    pub text: Vec<u8>,
    /// Where its bytes come from; those before the first origin are written by the script.
    pub origins: Vec<Origin>,
    /// The settings that belong into it and are not known; the text is then without them.
    pub unknown: Vec<String>,
}

/// Reads one file.
#[must_use]
pub fn read(text: &[u8]) -> Settings {
    read_files(&[text])
}

/// Reads files that are sourced one after the other: `/etc/default/grub` first, then
/// `/etc/default/grub.d/*.cfg` in the order of their names.
#[must_use]
pub fn read_files(files: &[&[u8]]) -> Settings {
    let mut reader = Reader::default();
    for (number, text) in files.iter().enumerate() {
        reader.file(number, text);
    }
    reader.settings
}

/// Which setting goes where (`util/grub.d/20_linux_xen.in` of GRUB 2.12 with Debian's changes):
///
/// - Xen gets `GRUB_CMDLINE_XEN`, and in ordinary entries `GRUB_CMDLINE_XEN_DEFAULT` after it.
/// - dom0 gets `GRUB_CMDLINE_LINUX`, and in ordinary entries `GRUB_CMDLINE_LINUX_DEFAULT` after it;
///   in recovery entries `GRUB_CMDLINE_LINUX_RECOVERY` (`single` unless set) before it.
/// - `GRUB_CMDLINE_LINUX_XEN_REPLACE` and `..._REPLACE_DEFAULT`, where not empty, take the place of
///   `GRUB_CMDLINE_LINUX` and `GRUB_CMDLINE_LINUX_DEFAULT`.
#[must_use]
pub fn command_lines(assignments: &[Assignment]) -> CommandLines {
    let setting = |name: &str| Setting::of(assignments, name);
    let or = |replacement: &str, name: &str| match setting(replacement) {
        replaced if replaced.is_empty() => setting(name),
        replaced => replaced,
    };
    let linux = or(LINUX_REPLACE, LINUX);
    let recovery = match setting(LINUX_RECOVERY) {
        unset if unset.is_empty() => Setting::written(b"single"),
        set => set,
    };
    CommandLines {
        xen_normal: Line::of(&[&setting(XEN), &setting(XEN_DEFAULT)]),
        dom0_normal: Line::of(&[&linux, &or(LINUX_REPLACE_DEFAULT, LINUX_DEFAULT)]),
        xen_recovery: Line::of(&[&setting(XEN)]),
        dom0_recovery: Line::of(&[&recovery, &linux]),
        recovery: setting(DISABLE_RECOVERY).text != b"true",
    }
}

/// What a variable holds in the end.
#[derive(Default)]
struct Setting {
    text: Vec<u8>,
    origins: Vec<Origin>,
    unknown: Option<String>,
}

impl Setting {
    fn of(assignments: &[Assignment], name: &str) -> Self {
        let mut setting = Self::default();
        for assignment in assignments.iter().filter(|a| a.name == name) {
            if !assignment.append {
                setting = Self::default();
            }
            match &assignment.value {
                Some(value) => setting.add(value, &assignment.origins),
                None => setting.unknown = Some(name.to_owned()),
            }
        }
        setting
    }

    fn written(text: &[u8]) -> Self {
        Self { text: text.to_vec(), ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.unknown.is_none()
    }

    fn add(&mut self, text: &[u8], origins: &[Origin]) {
        let at = self.text.len();
        self.text.extend_from_slice(text);
        self.origins.extend(origins.iter().map(|origin| Origin { at: origin.at.saturating_add(at), ..*origin }));
    }
}

impl Line {
    fn of(settings: &[&Setting]) -> Self {
        let mut line = Setting::default();
        let mut unknown = Vec::new();
        for (index, setting) in settings.iter().enumerate() {
            if index > 0 {
                line.text.push(b' ');
            }
            unknown.extend(setting.unknown.clone());
            line.add(&setting.text, &setting.origins);
        }
        Self { text: line.text, origins: line.origins, unknown }
    }
}

#[derive(Default)]
struct Reader {
    settings: Settings,
    /// Nothing: set to something only a shell can tell.
    known: HashMap<Vec<u8>, Option<Vec<u8>>>,
    kept: usize,
    file: usize,
    lines: Vec<usize>,
}

impl Reader {
    fn file(&mut self, number: usize, text: &[u8]) {
        self.file = number;
        self.lines = std::iter::once(0)
            .chain(text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at.saturating_add(1)))
            .collect();
        let mut lexer = Lexer { text, position: 0 };
        let mut command = Simple::default();
        let mut blocks = Vec::new();
        loop {
            match lexer.token() {
                Ok(Token::Word(word)) => command.word(&mut blocks, word),
                Ok(Token::Operator(operator)) => {
                    self.finish(&mut command, &blocks, operator);
                    match operator {
                        b"(" => blocks.push(Block::Parenthesis),
                        b")" if blocks.last() == Some(&Block::Parenthesis) => {
                            blocks.pop();
                        }
                        _ => {}
                    }
                }
                Ok(Token::Redirection) => command.redirected = true,
                Ok(Token::End) => {
                    self.finish(&mut command, &blocks, b"\n");
                    break;
                }
                Err(fault) => {
                    self.finish(&mut command, &blocks, b"\n");
                    self.problem(Severity::Error, fault.at, fault.message.to_owned());
                    break;
                }
            }
        }
        if let Some(nul) = text.iter().position(|&byte| byte == 0) {
            self.problem(Severity::Error, nul, "a NUL byte".to_owned());
        }
    }

    /// Carries out a simple command, as far as it sets variables.
    fn finish(&mut self, command: &mut Simple, blocks: &[Block], operator: &[u8]) {
        let done = std::mem::take(command);
        command.conditional = matches!(operator, b"&&" | b"||" | b"|");
        let conditional = done.conditional || operator == b"|" || !blocks.is_empty();
        let name = done.words.first().map(|word| word.raw.as_slice());
        match name {
            None => {
                for word in done.assignments {
                    self.assign(&word, conditional);
                }
            }
            Some(b"export" | b"readonly" | b"local") => {
                for word in done.words.iter().skip(1) {
                    if word.assignment.is_some() {
                        self.assign(word, conditional);
                    }
                }
            }
            Some(b"unset") => {
                for word in done.words.iter().skip(1) {
                    self.unset(word, conditional);
                }
            }
            Some(b"." | b"source" | b"eval") => {
                let at = done.words.first().map_or(0, |word| word.start);
                let message = "this is not followed: what it sets is not known".to_owned();
                self.problem(Severity::Note, at, message);
            }
            Some(_) => {}
        }
    }

    fn unset(&mut self, word: &Word, conditional: bool) {
        let Ok(name) = String::from_utf8(word.raw.clone()) else {
            return;
        };
        if self.known.contains_key(name.as_bytes()) {
            let value = (!conditional).then(Vec::new);
            let (line, column) = self.place(word.start);
            self.record(Assignment {
                file: self.file,
                name,
                append: false,
                value,
                line,
                column,
                origins: Vec::new(),
            });
        }
    }

    fn assign(&mut self, word: &Word, conditional: bool) {
        let Some(split) = &word.assignment else {
            return;
        };
        let name = String::from_utf8_lossy(&split.name).into_owned();
        let matters = COMMAND_LINES.contains(&name.as_str());
        let (mut value, mut origins) = (Some(Vec::new()), Vec::new());
        for part in &word.parts {
            if let Err(why) = self.part(part, &mut value, &mut origins) {
                value = None;
                if matters {
                    let message = format!("the value of {name} is not known here: {why}");
                    self.problem(Severity::Error, part.at, message);
                }
            }
        }
        if conditional {
            value = None;
            if matters {
                let message = format!("whether {name} is set here is decided by the script");
                self.problem(Severity::Error, word.start, message);
            }
        }
        if split.append && matters {
            let message = "`+=` works only where sh is bash; with dash, as in Debian, grub-mkconfig fails";
            self.problem(Severity::Note, word.start, message.to_owned());
        }
        let (line, column) = match origins.first() {
            Some(first) => (first.line, first.column),
            None => self.place(word.parts.first().map_or(word.end, |part| part.start)),
        };
        self.record(Assignment { file: self.file, name, append: split.append, value, line, column, origins });
    }

    fn part(&mut self, part: &Part, value: &mut Option<Vec<u8>>, origins: &mut Vec<Origin>) -> Result<(), String> {
        let text = match &part.kind {
            PartKind::Text(text) => text,
            PartKind::Variable(name) => match self.known.get(name) {
                Some(Some(text)) => text,
                Some(None) => return Err(format!("${} is not", String::from_utf8_lossy(name))),
                None => {
                    let name = String::from_utf8_lossy(name);
                    return Err(format!("${name} is not set before"));
                }
            },
            PartKind::Shell => return Err("only a shell can tell".to_owned()),
        };
        self.kept = self.kept.saturating_add(text.len());
        if self.kept > BYTES {
            return Err("the values are too long to be followed".to_owned());
        }
        if let Some(value) = value.as_mut().filter(|_| !text.is_empty()) {
            let (line, column) = self.place(part.start);
            origins.push(Origin {
                at: value.len(),
                file: self.file,
                line,
                column,
                literal: matches!(part.kind, PartKind::Text(_)),
            });
            value.extend_from_slice(text);
        }
        Ok(())
    }

    fn record(&mut self, assignment: Assignment) {
        let name = assignment.name.as_bytes();
        let before = match assignment.append {
            true => self.known.get(name).cloned().unwrap_or_default(),
            false => Some(Vec::new()),
        };
        let now = match (before, &assignment.value) {
            (Some(mut before), Some(value)) => {
                before.extend_from_slice(value);
                Some(before)
            }
            _ => None,
        };
        self.kept = self.kept.saturating_add(now.as_ref().map_or(0, Vec::len));
        let now = now.filter(|_| self.kept <= BYTES);
        self.known.insert(name.to_vec(), now);
        self.settings.assignments.push(assignment);
    }

    fn problem(&mut self, severity: Severity, at: usize, message: String) {
        let (line, column) = self.place(at);
        let problems = &mut self.settings.problems;
        let message = match problems.len() {
            0..PROBLEMS => message,
            PROBLEMS => "there are more problems from here on".to_owned(),
            _ => {
                if let Some((_, last)) = problems.last_mut() {
                    last.severity = last.severity.max(severity);
                }
                return;
            }
        };
        problems.push((self.file, Problem { severity, line, column, message }));
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied();
        let column = offset.saturating_sub(start.unwrap_or(0));
        (line, column.saturating_add(1))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Keyword,
    Parenthesis,
}

/// A simple command while its words come in.
#[derive(Default)]
struct Simple {
    assignments: Vec<Word>,
    words: Vec<Word>,
    conditional: bool,
    /// The next word is the file of a redirection.
    redirected: bool,
}

impl Simple {
    fn word(&mut self, blocks: &mut Vec<Block>, word: Word) {
        if std::mem::take(&mut self.redirected) {
            return;
        }
        if !self.words.is_empty() {
            self.words.push(word);
            return;
        }
        let first = self.assignments.is_empty();
        match word.raw.as_slice() {
            b"if" | b"while" | b"until" | b"{" if first => blocks.push(Block::Keyword),
            b"for" | b"case" | b"select" if first => {
                blocks.push(Block::Keyword);
                self.words.push(word);
            }
            b"fi" | b"done" | b"esac" | b"}" if first => {
                if blocks.last() == Some(&Block::Keyword) {
                    blocks.pop();
                }
            }
            b"then" | b"else" | b"elif" | b"do" | b"!" if first => {}
            _ if word.assignment.is_some() => self.assignments.push(word),
            _ => self.words.push(word),
        }
    }
}

enum Token {
    Word(Word),
    Operator(&'static [u8]),
    /// `<`, `>` and their relatives: the next word is a file.
    Redirection,
    End,
}

struct Word {
    start: usize,
    end: usize,
    /// The word as written.
    raw: Vec<u8>,
    /// Of an assignment: the value's.
    parts: Vec<Part>,
    assignment: Option<Split>,
}

struct Split {
    name: Vec<u8>,
    append: bool,
}

struct Part {
    /// Where it begins, with its quote or dollar sign.
    at: usize,
    /// Its first byte.
    start: usize,
    kind: PartKind,
}

enum PartKind {
    Text(Vec<u8>),
    Variable(Vec<u8>),
    Shell,
}

struct Fault {
    at: usize,
    message: &'static str,
}

struct Lexer<'a> {
    text: &'a [u8],
    position: usize,
}

impl Lexer<'_> {
    fn token(&mut self) -> Result<Token, Fault> {
        self.skip_blanks();
        let start = self.position;
        let rest = self.rest();
        let (operator, length): (&'static [u8], usize) = match rest {
            [] => return Ok(Token::End),
            [b'\n', ..] => (b"\n", 1),
            [b'&', b'&', ..] => (b"&&", 2),
            [b'|', b'|', ..] => (b"||", 2),
            [b';', b';', ..] => (b";", 2),
            [b';' | b'&', ..] => (b";", 1),
            [b'|', ..] => (b"|", 1),
            [b'(', ..] => (b"(", 1),
            [b')', ..] => (b")", 1),
            [b'<', b'<', ..] => {
                return Err(Fault { at: start, message: "a here-document: the file is not read further" });
            }
            [b'<' | b'>', ..] => {
                while matches!(self.rest(), [b'<' | b'>' | b'&' | b'|', ..]) {
                    self.advance(1);
                }
                return Ok(Token::Redirection);
            }
            _ => return self.word().map(Token::Word),
        };
        self.advance(length);
        Ok(Token::Operator(operator))
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.rest() {
                [b' ' | b'\t', ..] => self.advance(1),
                [b'\\', b'\n', ..] => self.advance(2),
                [b'#', rest @ ..] => {
                    let length = rest.iter().take_while(|&&byte| byte != b'\n').count();
                    self.advance(length.saturating_add(1));
                }
                _ => break,
            }
        }
    }

    fn word(&mut self) -> Result<Word, Fault> {
        let start = self.position;
        let assignment = self.assignment();
        let mut parts = Vec::new();
        loop {
            match self.rest() {
                [] => break,
                [b'\'', ..] => parts.push(self.single_quoted()?),
                [b'"', ..] => self.double_quoted(&mut parts)?,
                [b'$' | b'`', ..] => parts.push(self.substitution()?),
                [b'~', ..] if parts.is_empty() => {
                    parts.push(self.part(self.position, PartKind::Shell));
                    self.advance(1);
                }
                [b'\\', b'\n', ..] => self.advance(2),
                [b'\\', _, ..] => {
                    self.advance(1);
                    let text = self.rest().get(..1).unwrap_or_default().to_vec();
                    let at = self.position.saturating_sub(1);
                    parts.push(self.part(at, PartKind::Text(text)));
                    self.advance(1);
                }
                [byte, ..] if ends_word(*byte) => break,
                rest => {
                    let length =
                        rest.iter().enumerate().take_while(|(at, byte)| *at == 0 || !special(**byte)).count();
                    let text = rest.get(..length).unwrap_or_default().to_vec();
                    parts.push(self.part(self.position, PartKind::Text(text)));
                    self.advance(length);
                }
            }
        }
        let end = self.position;
        Ok(Word { start, end, raw: self.text.get(start..end).unwrap_or_default().to_vec(), parts, assignment })
    }

    /// Steps over `NAME=` or `NAME+=`, if it stands here.
    fn assignment(&mut self) -> Option<Split> {
        let rest = self.rest();
        let length = name_length(rest);
        let (append, sign) = match rest.get(length..) {
            Some([b'=', ..]) => (false, 1),
            Some([b'+', b'=', ..]) => (true, 2),
            _ => return None,
        };
        let name = rest.get(..length).unwrap_or_default().to_vec();
        if name.is_empty() {
            return None;
        }
        self.advance(length.saturating_add(sign));
        Some(Split { name, append })
    }

    fn single_quoted(&mut self) -> Result<Part, Fault> {
        let at = self.position;
        self.advance(1);
        let rest = self.rest();
        let Some(length) = rest.iter().position(|&byte| byte == b'\'') else {
            return Err(open_quote(at));
        };
        let text = rest.get(..length).unwrap_or_default().to_vec();
        let part = self.part(at, PartKind::Text(text));
        self.advance(length.saturating_add(1));
        Ok(Part { start: at.saturating_add(1), ..part })
    }

    fn double_quoted(&mut self, parts: &mut Vec<Part>) -> Result<(), Fault> {
        let at = self.position;
        self.advance(1);
        loop {
            match self.rest() {
                [] => return Err(open_quote(at)),
                [b'"', ..] => break,
                [b'$' | b'`', ..] => parts.push(self.substitution()?),
                [b'\\', b'\n', ..] => self.advance(2),
                [b'\\', b'$' | b'`' | b'"' | b'\\', ..] => {
                    self.advance(1);
                    let text = self.rest().get(..1).unwrap_or_default().to_vec();
                    parts.push(self.part(self.position, PartKind::Text(text)));
                    self.advance(1);
                }
                rest => {
                    let length = rest
                        .iter()
                        .enumerate()
                        .take_while(|(at, byte)| *at == 0 || !matches!(byte, b'"' | b'$' | b'`' | b'\\'))
                        .count();
                    let text = rest.get(..length).unwrap_or_default().to_vec();
                    parts.push(self.part(self.position, PartKind::Text(text)));
                    self.advance(length);
                }
            }
        }
        if parts.is_empty() {
            parts.push(self.part(self.position, PartKind::Text(Vec::new())));
        }
        self.advance(1);
        Ok(())
    }

    /// `$NAME`, `${NAME}`, or something that only a shell can tell.
    fn substitution(&mut self) -> Result<Part, Fault> {
        let at = self.position;
        let rest = self.rest();
        let (kind, length) = match rest {
            [b'`', ..] => (PartKind::Shell, self.backquoted(at)?),
            [b'$', b'(', ..] => (PartKind::Shell, self.enclosed(at, b'(', b')')?),
            [b'$', b'{', inner @ ..] => {
                let name = inner.get(..name_length(inner)).unwrap_or_default();
                match inner.get(name.len()) {
                    Some(b'}') if !name.is_empty() => {
                        (PartKind::Variable(name.to_vec()), name.len().saturating_add(3))
                    }
                    _ => (PartKind::Shell, self.enclosed(at, b'{', b'}')?),
                }
            }
            [b'$', after @ ..] => match name_length(after) {
                0 => match after.first() {
                    Some(byte) if byte.is_ascii_digit() || b"?#*@$!-".contains(byte) => (PartKind::Shell, 2),
                    _ => (PartKind::Text(b"$".to_vec()), 1),
                },
                length => {
                    let name = after.get(..length).unwrap_or_default().to_vec();
                    (PartKind::Variable(name), length.saturating_add(1))
                }
            },
            _ => (PartKind::Shell, 1),
        };
        let part = self.part(at, kind);
        self.advance(length);
        Ok(part)
    }

    fn backquoted(&self, at: usize) -> Result<usize, Fault> {
        let mut escaped = true;
        for (length, &byte) in self.rest().iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'`' => return Ok(length.saturating_add(1)),
                _ => {}
            }
        }
        Err(open_quote(at))
    }

    /// Up to the bracket that closes the one after the dollar sign.
    fn enclosed(&self, at: usize, open: u8, close: u8) -> Result<usize, Fault> {
        let mut depth = 0_usize;
        let mut quote = None;
        let mut escaped = false;
        for (length, &byte) in self.rest().iter().enumerate() {
            match (quote, byte) {
                _ if escaped => escaped = false,
                (None | Some(b'"'), b'\\') => escaped = true,
                (Some(quoted), _) if quoted == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, _) if byte == open => depth = depth.saturating_add(1),
                (None, _) if byte == close => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok(length.saturating_add(1));
                    }
                }
                _ => {}
            }
        }
        Err(open_quote(at))
    }

    fn part(&self, at: usize, kind: PartKind) -> Part {
        Part { at, start: self.position, kind }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.position = self.position.saturating_add(bytes).min(self.text.len());
    }
}

fn open_quote(at: usize) -> Fault {
    Fault { at, message: "the quote or substitution that begins here is not closed" }
}

fn name_length(text: &[u8]) -> usize {
    match text.first() {
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => {
            text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
        }
        _ => 0,
    }
}

fn ends_word(byte: u8) -> bool {
    b" \t\n;&|()<>".contains(&byte)
}

fn special(byte: u8) -> bool {
    ends_word(byte) || matches!(byte, b'\'' | b'"' | b'$' | b'`' | b'\\')
}
