//! Cuts C text into tokens: enough of the language to find declarations, registrations and macros.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// As written; a string without its quotes and with its escapes resolved.
    pub(super) text: String,
    /// The line that it begins on, from 1.
    pub(super) line: u32,
    /// It is the first of a line, after continuations were joined: a `#` here begins a directive.
    pub(super) first: bool,
    /// Something that is no token stands before it: `#define A(x)` is not `#define A (x)`.
    pub(super) spaced: bool,
}

/// The sort of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A string literal.
    Text,
    /// A number.
    Number,
    /// A character literal.
    Character,
    /// Anything else: one character, or one of the operators of two.
    Sign,
}

impl Token {
    /// It is that operator or bracket.
    pub(super) fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }
}

/// The tokens of a file. Never fails: what is not C ends at the end of its line.
pub(super) fn tokens(text: &[u8]) -> Vec<Token> {
    let mut reader = Reader { text, at: 0, line: 1 };
    let mut tokens = Vec::new();
    let mut first = true;
    let mut spaced = true;
    while let Some(byte) = reader.peek() {
        let line = reader.line;
        let mut push = |kind, text: Vec<u8>| {
            let text = String::from_utf8_lossy(&text).into_owned();
            tokens.push(Token { kind, text, line, first, spaced });
            first = false;
            spaced = false;
        };
        match byte {
            b'\n' => {
                reader.bump();
                first = true;
                spaced = true;
            }
            byte if byte.is_ascii_whitespace() => {
                reader.bump();
                spaced = true;
            }
            b'/' if reader.second() == Some(b'/') => {
                reader.skip_while(|byte| byte != b'\n');
                spaced = true;
            }
            b'/' if reader.second() == Some(b'*') => {
                reader.skip_comment();
                spaced = true;
            }
            b'"' => push(Kind::Text, reader.quoted(b'"')),
            b'\'' => push(Kind::Character, reader.quoted(b'\'')),
            byte if is_word(byte) && !byte.is_ascii_digit() => push(Kind::Word, reader.take_while(is_word)),
            byte if byte.is_ascii_digit() => {
                push(Kind::Number, reader.take_while(|byte| is_word(byte) || byte == b'.'));
            }
            byte => {
                reader.bump();
                let mut sign = vec![byte];
                if let Some(next) = reader.peek().filter(|next| PAIRS.contains(&&[byte, *next])) {
                    reader.bump();
                    sign.push(next);
                }
                push(Kind::Sign, sign);
            }
        }
    }
    tokens
}

/// Operators of two characters that mean something here.
const PAIRS: [&[u8; 2]; 10] = [b"##", b"&&", b"||", b"==", b"!=", b"<=", b">=", b"<<", b">>", b"->"];

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// Reads bytes and joins continued lines on the way.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at..)? {
                [b'\\', b'\n', ..] => self.at += 2,
                [b'\\', b'\r', b'\n', ..] => self.at += 3,
                [byte, ..] => return Some(*byte),
                [] => return None,
            }
            self.line += 1;
        }
    }

    fn second(&mut self) -> Option<u8> {
        self.peek()?;
        let mut ahead = Reader { text: self.text, at: self.at + 1, line: self.line };
        ahead.peek()
    }

    fn bump(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.bump();
        }
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some(byte) = self.peek().filter(|byte| wanted(*byte)) {
            self.bump();
            taken.push(byte);
        }
        taken
    }

    fn skip_comment(&mut self) {
        self.bump();
        self.bump();
        while let Some(byte) = self.peek() {
            self.bump();
            if byte == b'*' && self.peek() == Some(b'/') {
                self.bump();
                return;
            }
        }
    }

    /// What stands between quotes. One that is never closed ends with its line, as in `#error don't`.
    fn quoted(&mut self, quote: u8) -> Vec<u8> {
        self.bump();
        let mut taken = Vec::new();
        while let Some(byte) = self.peek().filter(|byte| *byte != b'\n') {
            self.bump();
            match byte {
                byte if byte == quote => break,
                b'\\' => self.escape(&mut taken),
                byte => taken.push(byte),
            }
        }
        taken
    }

    fn escape(&mut self, taken: &mut Vec<u8>) {
        let Some(byte) = self.peek().filter(|byte| *byte != b'\n') else { return };
        self.bump();
        let digits = |reader: &mut Self, base: u32, most: usize, first: u32| {
            let mut value = first;
            for _ in 0..most {
                let digit = reader.peek().and_then(|byte| char::from(byte).to_digit(base));
                let Some(digit) = digit else { break };
                reader.bump();
                value = (value * base + digit) & 0xff;
            }
            u8::try_from(value).unwrap_or(u8::MAX)
        };
        taken.push(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'x' => digits(self, 16, 2, 0),
            b'0'..=b'7' => digits(self, 8, 2, u32::from(byte - b'0')),
            byte => byte,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(Kind, String)> {
        tokens(text.as_bytes()).into_iter().map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn comments_and_strings_hide_what_is_in_them() {
        let text = "a /* b \"c\n */ d // e\nf \"/* g */ // h\" 'i\"' j";
        let words: Vec<_> =
            texts(text).into_iter().filter(|(kind, _)| *kind == Kind::Word).map(|(_, text)| text).collect();
        assert_eq!(words, ["a", "d", "f", "j"]);
    }

    #[test]
    fn continued_lines_are_joined_and_still_counted() {
        let tokens = tokens(b"#define A \\\n b\\\nc\n\"d\\\ne\" f");
        let seen: Vec<_> = tokens.iter().map(|token| (token.text.as_str(), token.line, token.first)).collect();
        let expected = [
            ("#", 1, true),
            ("define", 1, false),
            ("A", 1, false),
            ("bc", 2, false),
            ("de", 4, true),
            ("f", 5, false),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn escapes_are_resolved_and_open_quotes_end_with_the_line() {
        assert_eq!(texts(r#""a\"b\n\x41\101""#), [(Kind::Text, "a\"b\nAA".to_owned())]);
        assert_eq!(tokens(b"don't stop\nb").last().map(|token| token.text.clone()), Some("b".to_owned()));
        assert_eq!(tokens(b"/* never closed").len(), 0);
    }

    #[test]
    fn operators_of_two_characters_stay_together() {
        let signs: Vec<_> =
            texts("a##b && c<<2 != d").into_iter().filter(|(kind, _)| *kind == Kind::Sign).collect();
        assert_eq!(signs.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["##", "&&", "<<", "!="]);
    }
}
