//! Words and commands of GRUB's script language (grub-core/script/yylex.l and parser.y, 2.12).
//!
//! GRUB reads a file unit by unit: a unit begins with a line and takes further lines as long as a
//! quote, a block, an `if` or a loop is open. A unit with a mistake in it is dropped as a whole,
//! and GRUB goes on with the line after the mistake.

use std::rc::Rc;

/// How deep blocks, `if`s and loops may stand in one another.
const NESTING: usize = 100;
/// How many words a command may have.
const WORDS: usize = 100_000;

pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Nothing for the usual word without any quoting: the whole of it is one bare part.
    parts: Option<Box<[Part]>>,
}

impl Word {
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let bare = Part { kind: PartKind::Bare, at: self.start, start: self.start, end: self.end };
        let whole = self.parts.is_none().then_some(bare);
        let parts = self.parts.iter().flatten().copied();
        whole.into_iter().chain(parts)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    /// Where it begins, with its quote or dollar sign.
    pub(super) at: usize,
    /// Its text, or the name of its variable.
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    Bare,
    Single,
    Double,
    /// `$"..."`, looked up in the message catalogue at boot.
    Translated,
    Variable,
    QuotedVariable,
}

pub(super) enum Command {
    Simple { words: Vec<Word>, block: Option<Rc<List>> },
    If { at: Keyword, arms: Vec<Arm>, otherwise: List },
    For { at: Keyword, name: (usize, usize), words: Vec<Word>, body: List },
    While { at: Keyword, until: bool, condition: List, body: List },
}

pub(super) type List = Vec<Command>;

pub(super) struct Arm {
    pub(super) condition: List,
    pub(super) body: List,
}

/// Where the word that opens a compound command stands.
#[derive(Clone, Copy)]
pub(super) struct Keyword {
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Default)]
pub(super) struct Unit {
    pub(super) functions: Vec<(Vec<u8>, Rc<List>)>,
    pub(super) commands: List,
}

pub(super) enum Fault {
    /// GRUB drops the unit and goes on at `resume`.
    Syntax { at: usize, resume: usize, message: String },
    /// Nothing after it can be read.
    Final { at: usize, message: String },
}

pub(super) struct Parser<'a> {
    text: &'a [u8],
    position: usize,
    ahead: Option<Token>,
    depth: usize,
    /// Commands read so far.
    pub(super) commands: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, ahead: None, depth: 0, commands: 0 }
    }

    /// The next unit, or nothing at the end of the file.
    pub(super) fn unit(&mut self) -> Result<Option<Unit>, Fault> {
        self.depth = 0;
        self.skip_newlines()?;
        if self.peek()?.kind == TokenKind::End {
            return Ok(None);
        }
        let mut unit = Unit::default();
        loop {
            self.statement(&mut unit)?;
            let token = self.take()?;
            match token.kind {
                TokenKind::Newline => break,
                TokenKind::Semicolon if self.peek()?.kind == TokenKind::Newline => {
                    self.take()?;
                    break;
                }
                TokenKind::Semicolon => {}
                _ => return Err(self.unexpected(&token)),
            }
        }
        Ok(Some(unit))
    }

    pub(super) fn resume(&mut self, position: usize) {
        self.position = position;
        self.ahead = None;
    }

    fn statement(&mut self, unit: &mut Unit) -> Result<(), Fault> {
        if self.ahead_is(b"function")? {
            let opening = self.take()?.keyword();
            unit.functions.push(self.function(opening)?);
        } else {
            unit.commands.push(self.command()?);
        }
        Ok(())
    }

    fn function(&mut self, opening: Keyword) -> Result<(Vec<u8>, Rc<List>), Fault> {
        let (start, end) = self.name("a function needs a name of letters, digits and `_`")?;
        let name = self.text.get(start..end).unwrap_or_default().to_vec();
        self.skip_newlines()?;
        let brace = self.take()?;
        if brace.kind != TokenKind::Open {
            return Err(self.wrong(&brace, "`{` is missing after the function's name"));
        }
        let body = self.list(opening, "function", &[b"}"], true)?;
        self.take()?;
        Ok((name, Rc::new(body)))
    }

    fn command(&mut self) -> Result<Command, Fault> {
        self.commands = self.commands.saturating_add(1);
        let token = self.take()?;
        if token.kind != TokenKind::Word {
            return Err(self.unexpected(&token));
        }
        let opening = token.keyword();
        match self.raw(&token) {
            b"if" => self.if_command(opening),
            b"for" => self.for_command(opening),
            b"while" => self.while_command(opening, false),
            b"until" => self.while_command(opening, true),
            b"function" => Err(self.wrong(&token, "a function can only stand at the top level")),
            raw if is_reserved(raw) => Err(self.unexpected(&token)),
            _ => self.simple(token),
        }
    }

    fn simple(&mut self, first: Token) -> Result<Command, Fault> {
        let opening = first.keyword();
        let mut words = Vec::new();
        words.extend(first.word);
        self.arguments(&mut words)?;
        let block = if self.peek()?.kind == TokenKind::Open {
            self.take()?;
            let body = self.list(opening, "block", &[b"}"], false)?;
            self.take()?;
            Some(Rc::new(body))
        } else {
            None
        };
        Ok(Command::Simple { words, block })
    }

    fn arguments(&mut self, words: &mut Vec<Word>) -> Result<(), Fault> {
        while self.peek()?.kind == TokenKind::Word {
            let token = self.take()?;
            if matches!(self.raw(&token), b"[[" | b"]]") {
                return Err(self.unexpected(&token));
            }
            if words.len() >= WORDS {
                return Err(Fault::Final {
                    at: token.start,
                    message: format!("a command of more than {WORDS} words: the file is not read further"),
                });
            }
            words.extend(token.word);
        }
        Ok(())
    }

    fn if_command(&mut self, at: Keyword) -> Result<Command, Fault> {
        let mut arms = Vec::new();
        let mut otherwise = List::new();
        loop {
            let condition = self.list(at, "if", &[b"then"], true)?;
            self.take()?;
            let body = self.list(at, "if", &[b"elif", b"else", b"fi"], true)?;
            arms.push(Arm { condition, body });
            let token = self.take()?;
            match self.raw(&token) {
                b"elif" => {}
                b"else" => {
                    otherwise = self.list(at, "if", &[b"fi"], true)?;
                    self.take()?;
                    break;
                }
                _ => break,
            }
        }
        Ok(Command::If { at, arms, otherwise })
    }

    fn for_command(&mut self, at: Keyword) -> Result<Command, Fault> {
        let name = self.name("`for` needs the name of a variable")?;
        let token = self.take()?;
        if token.kind != TokenKind::Word || self.raw(&token) != b"in" {
            return Err(self.wrong(&token, "`in` is missing after the variable of `for`"));
        }
        let mut words = Vec::new();
        self.arguments(&mut words)?;
        let token = self.take()?;
        if !matches!(token.kind, TokenKind::Newline | TokenKind::Semicolon) {
            return Err(self.unexpected(&token));
        }
        self.skip_newlines()?;
        if !self.ahead_is(b"do")? {
            let token = self.take()?;
            return Err(self.wrong(&token, "`do` is missing"));
        }
        self.take()?;
        let body = self.list(at, "for", &[b"done"], true)?;
        self.take()?;
        Ok(Command::For { at, name, words, body })
    }

    fn while_command(&mut self, at: Keyword, until: bool) -> Result<Command, Fault> {
        let what = if until { "until" } else { "while" };
        let condition = self.list(at, what, &[b"do"], true)?;
        self.take()?;
        let body = self.list(at, what, &[b"done"], true)?;
        self.take()?;
        Ok(Command::While { at, until, condition, body })
    }

    /// Commands up to one of `ends`, which stays ahead; `delimited` when a newline or a semicolon
    /// must stand before it.
    fn list(&mut self, opening: Keyword, what: &str, ends: &[&[u8]], delimited: bool) -> Result<List, Fault> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > NESTING {
            return Err(Fault::Final {
                at: opening.start,
                message: format!(
                    "blocks stand in one another more than {NESTING} deep: the file is not read further"
                ),
            });
        }
        let mut commands = List::new();
        loop {
            self.skip_newlines()?;
            self.still_open(opening, what)?;
            commands.push(self.command()?);
            let separated = matches!(self.peek()?.kind, TokenKind::Newline | TokenKind::Semicolon);
            if separated {
                self.take()?;
                self.skip_newlines()?;
            }
            self.still_open(opening, what)?;
            if self.ahead_is_any(ends)? && (separated || !delimited) {
                break;
            }
            if !separated {
                let token = self.take()?;
                return Err(self.unexpected(&token));
            }
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(commands)
    }

    fn still_open(&mut self, opening: Keyword, what: &str) -> Result<(), Fault> {
        if self.peek()?.kind == TokenKind::End {
            return Err(Fault::Final {
                at: opening.start,
                message: format!("the {what} that begins here is not closed"),
            });
        }
        Ok(())
    }

    fn name(&mut self, message: &str) -> Result<(usize, usize), Fault> {
        let token = self.take()?;
        let raw = self.raw(&token);
        if token.kind != TokenKind::Word || !is_name(raw) || is_reserved(raw) {
            return Err(self.wrong(&token, message));
        }
        Ok((token.start, token.end))
    }

    fn skip_newlines(&mut self) -> Result<(), Fault> {
        while self.peek()?.kind == TokenKind::Newline {
            self.take()?;
        }
        Ok(())
    }

    fn ahead_is(&mut self, raw: &[u8]) -> Result<bool, Fault> {
        self.ahead_is_any(&[raw])
    }

    fn ahead_is_any(&mut self, raws: &[&[u8]]) -> Result<bool, Fault> {
        let text = self.text;
        let token = self.peek()?;
        let raw = text.get(token.start..token.end).unwrap_or_default();
        Ok(raws.contains(&raw))
    }

    fn raw(&self, token: &Token) -> &'a [u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    fn peek(&mut self) -> Result<&Token, Fault> {
        let token = match self.ahead.take() {
            Some(token) => token,
            None => self.lex()?,
        };
        Ok(self.ahead.insert(token))
    }

    fn take(&mut self) -> Result<Token, Fault> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.lex(),
        }
    }

    fn unexpected(&self, token: &Token) -> Fault {
        let message = match token.kind {
            TokenKind::Newline => "the line ends too early".to_owned(),
            TokenKind::End => "the file ends too early".to_owned(),
            _ => format!(
                "`{}` is out of place here",
                String::from_utf8_lossy(self.raw(token).get(..40).unwrap_or(self.raw(token)))
            ),
        };
        self.wrong(token, &message)
    }

    fn wrong(&self, token: &Token, message: &str) -> Fault {
        self.syntax(token.start, token.end, token.kind, message)
    }

    fn syntax(&self, at: usize, end: usize, kind: TokenKind, message: &str) -> Fault {
        let rest = self.text.get(end..).unwrap_or_default();
        let resume = match kind {
            TokenKind::Newline => end,
            _ => rest
                .iter()
                .position(|&byte| byte == b'\n')
                .map_or(self.text.len(), |newline| end.saturating_add(newline).saturating_add(1)),
        };
        Fault::Syntax { at, resume, message: format!("{message}: GRUB ignores this command") }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Word,
    Newline,
    Semicolon,
    Open,
    Close,
    /// `|`, `&`, `<`, `>` and their doubles, which GRUB reads but has no grammar for.
    Operator,
    End,
}

struct Token {
    kind: TokenKind,
    start: usize,
    end: usize,
    word: Option<Word>,
}

impl Token {
    fn keyword(&self) -> Keyword {
        Keyword { start: self.start, end: self.end }
    }
}

impl Parser<'_> {
    fn lex(&mut self) -> Result<Token, Fault> {
        self.skip_blanks();
        let start = self.position;
        let (kind, length) = match (self.byte(start), self.byte(start.saturating_add(1))) {
            (None, _) => (TokenKind::End, 0),
            (Some(b'\n'), _) => (TokenKind::Newline, 1),
            (Some(b';'), Some(b';')) => (TokenKind::Operator, 2),
            (Some(b';'), _) => (TokenKind::Semicolon, 1),
            (Some(b'{'), _) => (TokenKind::Open, 1),
            (Some(b'}'), _) => (TokenKind::Close, 1),
            (Some(b'|' | b'&' | b'<' | b'>'), _) => (TokenKind::Operator, 1),
            _ => return self.word(),
        };
        self.position = start.saturating_add(length);
        Ok(Token { kind, start, end: self.position, word: None })
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(self.position), Some(b' ' | b'\t')) {
            self.advance(1);
        }
        if self.byte(self.position) == Some(b'#') {
            while self.byte(self.position).is_some_and(|byte| byte != b'\n') {
                self.advance(1);
            }
        }
    }

    fn word(&mut self) -> Result<Token, Fault> {
        let start = self.position;
        let first = self.bare()?;
        if self.byte(self.position).is_none_or(ends_word) {
            return Ok(self.word_token(start, None));
        }
        let mut parts = Vec::new();
        if first.end > first.start {
            parts.push(first);
        }
        loop {
            let at = self.position;
            match self.byte(at) {
                Some(b'\'') => parts.push(self.single_quoted()?),
                Some(b'"') => self.double_quoted(&mut parts)?,
                Some(b'$') if self.byte(at.saturating_add(1)) == Some(b'"') => {
                    parts.push(self.translated()?);
                }
                Some(b'$') => parts.push(self.variable(PartKind::Variable)?),
                Some(byte) if is_plain(byte) || byte == b'\\' => parts.push(self.bare()?),
                _ => break,
            }
        }
        Ok(self.word_token(start, Some(parts.into_boxed_slice())))
    }

    fn word_token(&self, start: usize, parts: Option<Box<[Part]>>) -> Token {
        let end = self.position;
        Token { kind: TokenKind::Word, start, end, word: Some(Word { start, end, parts }) }
    }

    fn bare(&mut self) -> Result<Part, Fault> {
        let start = self.position;
        while let Some(byte) = self.byte(self.position) {
            if byte == b'\\' {
                self.advance(2);
                if self.byte(self.position).is_none() {
                    return Err(Fault::Final {
                        at: start,
                        message: "the file ends in a continued line".to_owned(),
                    });
                }
            } else if is_plain(byte) {
                self.advance(1);
            } else {
                break;
            }
        }
        Ok(self.part(PartKind::Bare, start, start, self.position))
    }

    fn single_quoted(&mut self) -> Result<Part, Fault> {
        let at = self.position;
        self.advance(1);
        let start = self.position;
        let rest = self.text.get(start..).unwrap_or_default();
        let Some(length) = rest.iter().position(|&byte| byte == b'\'') else {
            return Err(open_quote(at));
        };
        let end = start.saturating_add(length);
        self.position = end.saturating_add(1);
        Ok(self.part(PartKind::Single, at, start, end))
    }

    fn double_quoted(&mut self, parts: &mut Vec<Part>) -> Result<(), Fault> {
        let at = self.position;
        self.advance(1);
        let mut start = self.position;
        let mut bad_dollar = None;
        loop {
            match self.byte(self.position) {
                None => return Err(open_quote(at)),
                Some(b'"') => break,
                Some(b'\\') => self.advance(2),
                Some(b'$') => {
                    parts.push(self.part(PartKind::Double, at, start, self.position));
                    match self.variable(PartKind::QuotedVariable) {
                        Ok(part) => parts.push(part),
                        Err(_) => {
                            bad_dollar = bad_dollar.or(Some(self.position));
                            self.advance(1);
                        }
                    }
                    start = self.position;
                }
                Some(_) => self.advance(1),
            }
        }
        parts.push(self.part(PartKind::Double, at, start, self.position));
        self.advance(1);
        match bad_dollar {
            Some(dollar) => Err(self.bad_dollar(dollar, self.position)),
            None => Ok(()),
        }
    }

    fn translated(&mut self) -> Result<Part, Fault> {
        let at = self.position;
        self.advance(2);
        let start = self.position;
        loop {
            match self.byte(self.position) {
                None => return Err(open_quote(at)),
                Some(b'"') => break,
                Some(b'\\') => self.advance(2),
                Some(_) => self.advance(1),
            }
        }
        let end = self.position;
        self.advance(1);
        Ok(self.part(PartKind::Translated, at, start, end))
    }

    /// The variable after a dollar sign; without one, the position stays.
    fn variable(&mut self, kind: PartKind) -> Result<Part, Fault> {
        let at = self.position;
        let after = at.saturating_add(1);
        let braced = self.byte(after) == Some(b'{');
        let start = if braced { after.saturating_add(1) } else { after };
        let end = start.saturating_add(self.name_length(start));
        let closed = !braced || self.byte(end) == Some(b'}');
        if end == start || !closed {
            return Err(self.bad_dollar(at, after));
        }
        self.position = if braced { end.saturating_add(1) } else { end };
        Ok(self.part(kind, at, start, end))
    }

    fn name_length(&self, start: usize) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        let accepts: fn(u8) -> bool = match rest.first() {
            Some(b'?' | b'#' | b'*' | b'@') => return 1,
            Some(byte) if byte.is_ascii_digit() => |byte| byte.is_ascii_digit(),
            Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => is_name_byte,
            _ => return 0,
        };
        rest.iter().take_while(|&&byte| accepts(byte)).count()
    }

    fn bad_dollar(&self, at: usize, end: usize) -> Fault {
        self.syntax(at, end, TokenKind::Word, "`$` without the name of a variable after it")
    }

    fn part(&self, kind: PartKind, at: usize, start: usize, end: usize) -> Part {
        Part { kind, at, start, end }
    }

    fn byte(&self, position: usize) -> Option<u8> {
        self.text.get(position).copied()
    }

    fn advance(&mut self, bytes: usize) {
        self.position = self.position.saturating_add(bytes);
    }
}

fn open_quote(at: usize) -> Fault {
    Fault::Final { at, message: "the quote that begins here is not closed".to_owned() }
}

fn is_plain(byte: u8) -> bool {
    !ends_word(byte) && !matches!(byte, b'$' | b'\'' | b'"' | b'\\')
}

fn ends_word(byte: u8) -> bool {
    b"{}|&;<> \t\n".contains(&byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_name(raw: &[u8]) -> bool {
    raw.first().is_some_and(|byte| !byte.is_ascii_digit()) && raw.iter().all(|&b| is_name_byte(b))
}

fn is_reserved(raw: &[u8]) -> bool {
    matches!(
        raw,
        b"[["
            | b"]]"
            | b"case"
            | b"do"
            | b"done"
            | b"elif"
            | b"else"
            | b"esac"
            | b"fi"
            | b"for"
            | b"if"
            | b"in"
            | b"select"
            | b"then"
            | b"until"
            | b"while"
            | b"function"
    )
}
