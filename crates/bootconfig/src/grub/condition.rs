//! `[ ... ]` and `test ...` (grub-core/commands/test.c, 2.12).

use super::expand::Arg;
use super::variables::{What, Why};

type Comparison = fn(&[u8], &[u8]) -> bool;

/// How many parentheses are followed into one another.
const NESTING: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Unknown(Why),
}

impl Truth {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown(_) => self,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, truth) | (truth, Self::Yes) => truth,
            _ => self,
        }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

/// `name` is where the command stands, for the reason of an unknown outcome.
pub(super) fn evaluate(name: (usize, usize), args: &[Arg]) -> Truth {
    if let Some(why) = args.iter().find_map(Arg::may_split) {
        return Truth::Unknown(why);
    }
    let args = match args.split_last() {
        Some((last, rest)) if last.known() == Some(b"]") => rest,
        _ => args,
    };
    let mut test = Test { args, next: 0, name };
    match test.expression(0) {
        Ok(truth) => truth,
        Err(why) => Truth::Unknown(why),
    }
}

struct Test<'a> {
    args: &'a [Arg],
    next: usize,
    name: (usize, usize),
}

impl Test<'_> {
    /// An error where a value known only at boot could be read as an operator.
    fn expression(&mut self, depth: usize) -> Result<Truth, Why> {
        if depth > NESTING {
            return Err(self.why(What::Result));
        }
        let mut any = Truth::No;
        let mut all = Truth::Yes;
        let mut invert = false;
        while self.next < self.args.len() {
            let truth = match self.comparison()? {
                Some(truth) => truth,
                None => match self.take()? {
                    b")" => return Ok(any.or(all)),
                    b"(" => self.expression(depth.saturating_add(1))?,
                    b"!" => {
                        invert = !invert;
                        continue;
                    }
                    b"-a" => continue,
                    b"-o" => {
                        any = any.or(all);
                        all = Truth::Yes;
                        continue;
                    }
                    text => Truth::from(!text.is_empty()),
                },
            };
            all = all.and(if invert { truth.not() } else { truth });
            invert = false;
        }
        Ok(any.or(all))
    }

    /// A test of three or two arguments, if one stands here.
    fn comparison(&mut self) -> Result<Option<Truth>, Why> {
        let first = self.args.get(self.next);
        let second = self.args.get(self.next.saturating_add(1));
        let third = self.args.get(self.next.saturating_add(2));
        if let (Some(left), Some(operator), Some(right)) = (first, second, third) {
            if let Some(truth) = self.binary(left, operator.decided()?, right) {
                self.next = self.next.saturating_add(3);
                return Ok(Some(truth));
            }
        }
        if let (Some(operator), Some(operand)) = (first, second) {
            if let Some(truth) = self.unary(operator.decided()?, operand) {
                self.next = self.next.saturating_add(2);
                return Ok(Some(truth));
            }
        }
        Ok(None)
    }

    fn binary(&self, left: &Arg, operator: &[u8], right: &Arg) -> Option<Truth> {
        let compare: Option<Comparison> = match operator {
            b"=" | b"==" => Some(|a, b| a == b),
            b"!=" => Some(|a, b| a != b),
            b"<" => Some(|a, b| a < b),
            b"<=" => Some(|a, b| a <= b),
            b">" => Some(|a, b| a > b),
            b">=" => Some(|a, b| a >= b),
            b"-eq" => Some(|a, b| number(a) == number(b)),
            b"-ne" => Some(|a, b| number(a) != number(b)),
            b"-gt" => Some(|a, b| number(a) > number(b)),
            b"-ge" => Some(|a, b| number(a) >= number(b)),
            b"-lt" => Some(|a, b| number(a) < number(b)),
            b"-le" => Some(|a, b| number(a) <= number(b)),
            b"-pgt" | b"-plt" => None,
            _ if operator.starts_with(b"-nt") || operator.starts_with(b"-ot") => None,
            _ => return None,
        };
        let Some(compare) = compare else {
            return Some(Truth::Unknown(self.why(What::FileTest)));
        };
        Some(match (left.decided(), right.decided()) {
            (Ok(a), Ok(b)) => Truth::from(compare(a, b)),
            (Err(why), _) | (_, Err(why)) => Truth::Unknown(why),
        })
    }

    fn unary(&self, operator: &[u8], operand: &Arg) -> Option<Truth> {
        let empty = match operator {
            b"-z" => true,
            b"-n" => false,
            b"-d" | b"-e" | b"-f" | b"-s" => {
                return Some(Truth::Unknown(self.why(What::FileTest)));
            }
            _ => return None,
        };
        Some(match operand.decided() {
            Ok(text) => Truth::from(text.is_empty() == empty),
            Err(why) => Truth::Unknown(why),
        })
    }

    fn take(&mut self) -> Result<&[u8], Why> {
        let args = self.args;
        let text = args.get(self.next).map_or(Ok(&b""[..]), Arg::decided);
        self.next = self.next.saturating_add(1);
        text
    }

    fn why(&self, what: What) -> Why {
        Why { what, start: self.name.0, end: self.name.1 }
    }
}

/// As GRUB's test reads numbers: base from the prefix, what follows ignored, cut to 32 bits.
fn number(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', rest @ ..] => (8, rest),
        _ => (10, digits),
    };
    let value = digits
        .iter()
        .map_while(|&byte| char::from(byte).to_digit(base))
        .fold(0_u64, |value, digit| value.saturating_mul(u64::from(base)).saturating_add(u64::from(digit)));
    let value = if negative { value.wrapping_neg() } else { value };
    let low = value & 0xffff_ffff;
    let low = i64::try_from(low).unwrap_or(0);
    if low >= 0x8000_0000 { low.saturating_sub(0x1_0000_0000) } else { low }
}
