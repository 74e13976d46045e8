//! Command lines that look for trouble: much that the parser knows, most of it slightly wrong.

/// Names of the test table, some more than once because there is more to get wrong in them.
const NAMES: &[&str] = &[
    "lockdown",
    "nosmp",
    "hap",
    "hap",
    "hap_2mb",
    "tboot",
    "maxcpus",
    "maxcpus",
    "u8",
    "u8",
    "u16",
    "u16",
    "u64",
    "mem",
    "mem",
    "size16",
    "size32",
    "size32",
    "noapic",
    "console",
    "com1",
    "nmi",
    "one",
    "ivrs_ioapic[",
    "ivrs_ioapic",
    "slot(",
    "slot(a)",
    "slot",
    "map{",
    "map",
    "angle<",
    "angle",
    "reboot",
    "dbgp",
    "dbgp",
    "edd",
    "placeholder",
    "iommu",
    "flags",
    "flags",
    "digits",
    "digits",
    "code",
    "twice",
    "twice",
    "no",
    "",
    "unknown",
];
const BOOLEANS: &[&str] = &[
    "1", "0", "on", "off", "yes", "no", "true", "false", "enable", "disable", "ON", "Off", "o", "tru", "trues",
    "enabled", "2", "01", "no-", "-1",
];
const NUMBERS: &[&str] = &[
    "0",
    "00",
    "1",
    "7",
    "8",
    "08",
    "09",
    "0x",
    "0X",
    "0x0",
    "0xg",
    "0XfF",
    "0xF",
    "f",
    "ff",
    "127",
    "128",
    "129",
    "255",
    "256",
    "32767",
    "32768",
    "32769",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "0xffffffff",
    "0x100000000",
    "0xffffffffffffffff",
    "0x1ffffffffffffffff",
    "0777",
    "0888",
    "01777777777777777777777",
    "02000000000000000000000",
    "-",
    "--1",
    "+1",
    "18014398509481983",
    "18014398509481984",
    "0x8000000000000000",
    "0xffffffffffffff80",
    "-0",
];
const UNITS: &[&str] = &["", "", "B", "b", "K", "k", "M", "m", "G", "g", "T", "t", "%", "KB", "x", "P", "%%", ":"];
const FLAGS: &[&str] = &["pv", "pv-l1tf", "p", "pv-", "force", "verbose", "forced", "all", ""];
const SEPARATORS: &[&[u8]] = &[
    b" ", b" ", b" ", b" ", b"  ", b"    ", b"\t", b" \t", b"\n", b" -- ", b" --  ", b" --", b"-- ", b" - ",
    b"\0", b" \0 ", b"\xa0", b"\x0b", b" --- ", b" -- -- ",
];

/// A small generator of numbers (SplitMix64): the same seed gives the same lines on every machine.
pub(super) struct Lines(u64);

impl Lines {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is small.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(1).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> Option<&'a T> {
        from.get(self.below(from.len())).copied()
    }

    fn word(&mut self, from: &[&'static str]) -> &'static str {
        self.pick(from).unwrap_or_default()
    }

    /// Any byte, with weight on the ones that mean something.
    fn byte(&mut self) -> u8 {
        if self.one_in(2) {
            let special = b"=,-[({<])}> :;\"'%\t\n\x01\x7f\x80\xa0\xff0x\0";
            special.get(self.below(special.len())).copied().unwrap_or(b'=')
        } else {
            self.next().to_le_bytes()[0]
        }
    }

    /// A whole line.
    pub(super) fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        if self.one_in(8) {
            line.extend(self.pick(SEPARATORS).unwrap_or_default());
        }
        let tokens = if self.one_in(50) { 40 } else { 1 + self.below(6) };
        for index in 0..tokens {
            if index > 0 {
                // Mostly single spaces, so that most lines have more than one option in them.
                let plain = !self.one_in(4);
                line.extend(if plain { b" " } else { self.pick(SEPARATORS).unwrap_or_default() });
            }
            self.token(&mut line);
        }
        if self.one_in(8) {
            line.extend(self.pick(SEPARATORS).unwrap_or_default());
        }
        line
    }

    fn token(&mut self, line: &mut Vec<u8>) {
        let start = line.len();
        if self.one_in(40) {
            let len = self.below(160);
            line.extend((0..len).map(|_| self.byte()));
            return;
        }
        let prefixes = ["no-", "no-", "no-no-", "no", "-", "NO-"];
        if self.one_in(4) {
            line.extend(self.word(&prefixes).bytes());
        }
        line.extend(self.word(NAMES).bytes());
        if self.one_in(8) {
            self.bracket(line);
        }
        if !self.one_in(6) {
            line.push(b'=');
            if self.one_in(3) && self.one_in(5) {
                self.pad(line, start);
            }
            self.value(line);
        }
        if self.one_in(8) {
            self.pad(line, start);
            if self.one_in(2) {
                self.value(line);
            }
        }
        if self.one_in(12) && line.len() > start {
            let at = start + self.below(line.len() - start);
            if let Some(byte) = line.get_mut(at) {
                *byte = self.byte();
            }
        }
    }

    fn bracket(&mut self, line: &mut Vec<u8>) {
        let brackets = ["[7]", "(a)", "{", "<x>", "[", "(", "]", "[[", "(a", "[a=b]"];
        line.extend(self.word(&brackets).bytes());
    }

    /// Fills up until the token is about as long as Xen keeps.
    fn pad(&mut self, line: &mut Vec<u8>, start: usize) {
        let wanted = start + 118 + self.below(16);
        let byte = [b'a', b'0', b',', b'=', b'[', b'1'].get(self.below(6)).copied().unwrap_or(b'a');
        line.resize(line.len().max(wanted), byte);
    }

    fn value(&mut self, line: &mut Vec<u8>) {
        match self.below(10) {
            0 => {}
            1..=2 => line.extend(self.word(BOOLEANS).bytes()),
            3..=5 => self.number(line),
            6..=7 => self.list(line),
            8 => {
                let len = self.below(36);
                line.extend((0..len).map(|_| b'a'));
            }
            _ => {
                let len = self.below(12);
                line.extend((0..len).map(|_| self.byte()));
            }
        }
    }

    fn number(&mut self, line: &mut Vec<u8>) {
        if self.one_in(5) {
            line.push(b'-');
        }
        match self.below(4) {
            0 => {
                let shift = self.below(64);
                line.extend(format!("{}", self.next() >> shift).bytes());
            }
            1 => {
                let shift = self.below(64);
                line.extend(format!("0x{:x}", self.next() >> shift).bytes());
            }
            _ => line.extend(self.word(NUMBERS).bytes()),
        }
        line.extend(self.word(UNITS).bytes());
    }

    fn list(&mut self, line: &mut Vec<u8>) {
        for index in 0..=self.below(4) {
            if index > 0 {
                line.push(b',');
            }
            if self.one_in(3) {
                line.extend(b"no-");
            }
            line.extend(self.word(FLAGS).bytes());
            if self.one_in(2) {
                line.push(b'=');
                line.extend(self.word(BOOLEANS).bytes());
            }
        }
    }
}
