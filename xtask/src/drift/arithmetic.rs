//! Works out what the preprocessor compares, as far as it is known for an x86 build.

use super::token::{Kind, Token};

/// The value of an expression; `None` where it depends on something that is not known.
///
/// `word` says what a name stands for, `defined` whether it is a macro. The names' own expansion is done before.
pub(super) fn value(
    tokens: &[Token],
    word: &dyn Fn(&str) -> Option<i64>,
    defined: &dyn Fn(&str) -> Option<bool>,
) -> Option<i64> {
    let mut parser = Parser { tokens, at: 0, depth: 0, word, defined };
    let value = parser.binary(0)?;
    // Anything left was not understood, so nothing is known.
    if parser.at == tokens.len() { value } else { None }
}

/// A plain number as C writes it.
pub(super) fn number(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(['u', 'U', 'l', 'L']);
    if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        i64::from_str_radix(hexadecimal, 16).ok()
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8).ok()
    } else {
        digits.parse().ok()
    }
}

/// The operators from the weakest to the strongest.
const LEVELS: [&[&str]; 7] =
    [&["||"], &["&&"], &["==", "!="], &["<", ">", "<=", ">="], &["<<", ">>"], &["+", "-"], &["*", "/", "%"]];

/// Deeper nesting than this is not from a kernel.
const MAX_DEPTH: u32 = 64;

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: u32,
    word: &'a dyn Fn(&str) -> Option<i64>,
    defined: &'a dyn Fn(&str) -> Option<bool>,
}

/// Outside: the text could not be read. Inside: its value is not known.
type Known = Option<Option<i64>>;

impl Parser<'_> {
    fn binary(&mut self, level: usize) -> Known {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            let right = self.binary(level + 1)?;
            left = combine(&operator, left, right);
        }
        Some(left)
    }

    fn operator(&mut self, operators: &[&str]) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        let found = token.kind == Kind::Sign && operators.contains(&token.text.as_str());
        found.then(|| {
            self.at += 1;
            token.text.clone()
        })
    }

    fn unary(&mut self) -> Known {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let value = if self.operator(&["!"]).is_some() {
            self.unary()?.map(|value| i64::from(value == 0))
        } else if self.operator(&["-"]).is_some() {
            self.unary()?.and_then(i64::checked_neg)
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Some(value)
    }

    fn primary(&mut self) -> Known {
        if self.operator(&["("]).is_some() {
            let value = self.binary(0)?;
            self.operator(&[")"])?;
            return Some(value);
        }
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        match token.kind {
            Kind::Number => Some(number(&token.text)),
            Kind::Word if token.text == "defined" => Some(self.name_in_brackets()?.map(i64::from)),
            Kind::Word if matches!(token.text.as_str(), "IS_ENABLED" | "IS_BUILTIN") => {
                Some(self.name_in_brackets()?.map(i64::from))
            }
            Kind::Word if self.tokens.get(self.at).is_some_and(|next| next.is("(")) => self.unknown_call(),
            Kind::Word => Some((self.word)(&token.text)),
            Kind::Text | Kind::Character | Kind::Sign => None,
        }
    }

    fn name_in_brackets(&mut self) -> Option<Option<bool>> {
        let bracket = self.operator(&["("]).is_some();
        let name = self.tokens.get(self.at).filter(|token| token.kind == Kind::Word)?;
        self.at += 1;
        if bracket {
            self.operator(&[")"])?;
        }
        Some((self.defined)(&name.text))
    }

    /// Something like `__has_include(x)`: skipped, its value unknown.
    fn unknown_call(&mut self) -> Known {
        let mut open = 0_u32;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            if token.is("(") {
                open += 1;
            } else if token.is(")") {
                open -= 1;
                if open == 0 {
                    return Some(None);
                }
            }
        }
        None
    }
}

fn combine(operator: &str, left: Option<i64>, right: Option<i64>) -> Option<i64> {
    // One side can settle these two.
    match (operator, left, right) {
        ("&&", Some(0), _) | ("&&", _, Some(0)) => return Some(0),
        ("||", Some(value), _) | ("||", _, Some(value)) if value != 0 => return Some(1),
        _ => {}
    }
    let (left, right) = (left?, right?);
    match operator {
        "||" => Some(i64::from(left != 0 || right != 0)),
        "&&" => Some(i64::from(left != 0 && right != 0)),
        "==" => Some(i64::from(left == right)),
        "!=" => Some(i64::from(left != right)),
        "<" => Some(i64::from(left < right)),
        ">" => Some(i64::from(left > right)),
        "<=" => Some(i64::from(left <= right)),
        ">=" => Some(i64::from(left >= right)),
        "<<" => left.checked_shl(u32::try_from(right).ok()?),
        ">>" => left.checked_shr(u32::try_from(right).ok()?),
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" => left.checked_div(right),
        "%" => left.checked_rem(right),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    fn work_out(text: &str) -> Option<i64> {
        let word = |name: &str| (name == "ONE").then_some(1);
        let defined = |name: &str| match name {
            "ONE" => Some(true),
            "NONE" => Some(false),
            _ => None,
        };
        value(&tokens(text.as_bytes()), &word, &defined)
    }

    #[test]
    fn known_values_are_worked_out() {
        for (text, expected) in [
            ("1 + 2 * 3", 7),
            ("(1 + 2) * 3", 9),
            ("1 << 4 | | 0", -1),
            ("0x10UL - 010", 8),
            ("!defined(NONE) && defined ONE", 1),
            ("IS_ENABLED(NONE)", 0),
            ("ONE == 1", 1),
            ("-ONE + 2 >= 1", 1),
        ] {
            let expected = (expected >= 0).then_some(expected);
            assert_eq!(work_out(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_unknown_settles_only_what_does_not_need_it() {
        assert_eq!(work_out("OTHER && 0"), Some(0));
        assert_eq!(work_out("OTHER || ONE"), Some(1));
        assert_eq!(work_out("OTHER && ONE"), None);
        assert_eq!(work_out("__has_include(<x.h>) && defined(NONE)"), Some(0));
        assert_eq!(work_out("1 / 0"), None);
        assert_eq!(work_out("1 <<"), None);
        assert_eq!(work_out(&"(".repeat(100_000)), None);
    }
}
