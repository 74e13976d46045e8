//! The one line that says why the machine goes off.

/// Long enough for every text of this program; what does not fit is cut.
const LENGTH: usize = 256;

/// A line in the making.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    bytes: [u8; LENGTH],
    used: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LENGTH], used: 0 }
    }
}

impl Line {
    /// The line for what failed. An error of the kernel's has a number.
    #[must_use]
    pub fn of(what: &str, error: Option<i32>) -> Self {
        let mut line = Self::default();
        line.push(b"xen-lockdown: ");
        line.push(what.as_bytes());
        if let Some(number) = error {
            line.push(b": ");
            line.push(meaning(number).as_bytes());
            line.push(b" (error ");
            line.push_number(number.unsigned_abs());
            line.push(b")");
        }
        line.push(b"; the machine goes off");
        line
    }

    /// The text.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// Puts `text` behind what is there.
    pub fn push(&mut self, text: &[u8]) {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(text) {
            *to = *from;
            self.used = self.used.saturating_add(1);
        }
    }

    fn push_number(&mut self, number: u32) {
        let mut divisor = 1_000_000_000_u32;
        let mut started = false;
        while let Some(digit) = number.checked_div(divisor) {
            let digit = u8::try_from(digit % 10).unwrap_or_default();
            started |= digit != 0 || divisor == 1;
            if started {
                self.push(&[b'0'.saturating_add(digit)]);
            }
            divisor /= 10;
        }
    }
}

/// What an error of Linux's (`include/uapi/asm-generic/errno*.h`) means here.
const fn meaning(number: i32) -> &'static str {
    match number {
        1 => "not permitted: modules are switched off, or this one is on module_blacklist=",
        2 => "there is no such file",
        8 => "not made for this kernel",
        12 => "no memory",
        13 => "not permitted",
        17 => "a module of this name is loaded already",
        74 | 129 => "its signature is not one of a key that the kernel trusts, or it was changed",
        126 => "it is not signed with a key that the kernel has",
        _ => "the kernel refuses",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_failed() {
        let line = Line::of("no guard: loading x", Some(17));
        assert_eq!(
            core::str::from_utf8(line.bytes()),
            Ok(
                "xen-lockdown: no guard: loading x: a module of this name is loaded already (error 17); the machine goes off"
            )
        );
        let line = Line::of("y", None);
        assert_eq!(core::str::from_utf8(line.bytes()), Ok("xen-lockdown: y; the machine goes off"));
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let mut line = Line::default();
        for _ in 0..100 {
            line.push(b"0123456789");
        }
        assert_eq!(line.bytes().len(), LENGTH);
        let number = |number| {
            let mut line = Line::default();
            line.push_number(number);
            String::from_utf8_lossy(line.bytes()).into_owned()
        };
        assert_eq!((number(0), number(u32::MAX), number(100)), ("0".into(), "4294967295".into(), "100".into()));
    }
}
