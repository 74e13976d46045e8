//! What dom0's command line says to the guard. The kernel reads that for what is built in only; for a module whoever loads it
//! has to hand it over, as modprobe does. The line is signed with the image.

/// How the words begin: the module's name, in the two spellings of it.
const NAMES: [&[u8]; 2] = [b"xen_privcmd.", b"xen-privcmd."];

/// The parameters, one behind the other, with a zero byte at the end.
pub struct Parameters {
    text: [u8; 256],
    used: usize,
}

impl Parameters {
    /// Those in a command line; nothing if they do not fit.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        let mut all = Self { text: [0; 256], used: 0 };
        let words = line.split(|byte| byte.is_ascii_whitespace() || *byte == 0);
        for word in words {
            for name in NAMES {
                if let Some(parameter) = word.strip_prefix(name) {
                    all.push(parameter)?;
                    all.push(b" ")?;
                }
            }
        }
        Some(all)
    }

    /// A byte stays for the zero.
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.used.checked_add(bytes.len()).filter(|end| *end < self.text.len())?;
        for (to, from) in self.text.get_mut(self.used..end)?.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.used = end;
        Some(())
    }

    /// The text, with its zero byte.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 256] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &[u8]) -> Option<Vec<u8>> {
        let parameters = Parameters::of(line)?;
        let text = parameters.bytes();
        assert!(text.contains(&0));
        Some(text.iter().copied().take_while(|byte| *byte != 0).collect())
    }

    #[test]
    fn what_is_said_to_the_guard_is_handed_over() {
        let line = b"root=x xen_privcmd.strict=1 quiet xen-privcmd.strict=0\n";
        assert_eq!(of(line), Some(b"strict=1 strict=0 ".to_vec()));
    }

    #[test]
    fn what_is_said_to_others_is_not() {
        assert_eq!(of(b"xen_privcmdx.strict=1 xenfs.strict=1 strict=1 a.xen_privcmd.strict=1"), Some(Vec::new()));
        assert_eq!(of(b""), Some(Vec::new()));
    }

    #[test]
    fn what_does_not_fit_is_not_cut() {
        let long = [b"xen_privcmd.".as_slice(), &[b'a'; 254]].concat();
        assert_eq!(of(&long).map(|text| text.len()), Some(255));
        let longer = [b"xen_privcmd.".as_slice(), &[b'a'; 255]].concat();
        assert_eq!(of(&longer), None);
    }
}
