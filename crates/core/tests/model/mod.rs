//! Xen's `parse_params`, built on the functions of `lockdown_core::xen_text` and nothing else, with a table of
//! registrations made for tests.
//!
//! The vectors hold it against results that were written down once; `cargo xtask oracle` holds it against Xen's
//! own code, which gets the same table from `xtask/src/oracle/harness.c`. Where all three agree, the functions
//! that the engine is built on read a command line as Xen does.

use std::fmt::Write as _;

use lockdown_core::xen_text::{
    NamedBoolean, Param, assign_integer, next_token, parse_bool, parse_boolean, parse_size, strtoll, strtoull,
};

const EINVAL: i32 = -22;
const EOVERFLOW: i32 = -75;

/// One registration: a name and what Xen does with its value.
struct Registration {
    name: &'static [u8],
    kind: Kind,
}

enum Kind {
    /// Copied into an array of so many bytes, the last of which is NUL.
    Text(usize, Access<Vec<u8>>),
    /// Stored in a variable of so many bits.
    Integer(u8, Access<u64>),
    Boolean(Access<u64>),
    /// As `Integer`, read with a unit.
    Size(u8, Access<u64>),
    Custom(fn(&mut Run, &[u8]) -> i32),
    Ignore,
}

/// Reaches one variable.
type Access<T> = fn(&mut Variables) -> &mut T;

/// What the options are stored in.
struct Variables {
    nosmp: u64,
    hap: u64,
    hap_2mb: u64,
    tboot: u64,
    maxcpus: u64,
    u8: u64,
    mem: u64,
    noapic: u64,
    console: Vec<u8>,
    com1: Vec<u8>,
    nmi: Vec<u8>,
    u16: u64,
    u64: u64,
    size16: u64,
    size32: u64,
    one: Vec<u8>,
    slot_a: Vec<u8>,
    twice_first: u64,
    twice_second: u64,
    twice_number: u64,
    twice_text: Vec<u8>,
}

/// The registrations, in the order in which Xen's linker would place them. Options that are registered more than
/// once share `bool_assert`, the value and the first return code.
const TABLE: &[Registration] = &[
    Registration { name: b"lockdown", kind: Kind::Custom(|run, text| run.call("lockdown", text)) },
    Registration { name: b"nosmp", kind: Kind::Boolean(|vars| &mut vars.nosmp) },
    Registration { name: b"hap", kind: Kind::Boolean(|vars| &mut vars.hap) },
    Registration { name: b"hap_2mb", kind: Kind::Boolean(|vars| &mut vars.hap_2mb) },
    Registration { name: b"tboot", kind: Kind::Integer(64, |vars| &mut vars.tboot) },
    Registration { name: b"maxcpus", kind: Kind::Integer(32, |vars| &mut vars.maxcpus) },
    Registration { name: b"u8", kind: Kind::Integer(8, |vars| &mut vars.u8) },
    Registration { name: b"mem", kind: Kind::Size(64, |vars| &mut vars.mem) },
    Registration { name: b"noapic", kind: Kind::Boolean(|vars| &mut vars.noapic) },
    Registration { name: b"console", kind: Kind::Text(30, |vars| &mut vars.console) },
    Registration { name: b"com1", kind: Kind::Text(128, |vars| &mut vars.com1) },
    Registration { name: b"nmi", kind: Kind::Text(10, |vars| &mut vars.nmi) },
    Registration { name: b"ivrs_ioapic[", kind: Kind::Custom(|run, text| run.call("ivrs_ioapic[-handler", text)) },
    Registration { name: b"reboot", kind: Kind::Custom(|run, text| run.call("custom", text)) },
    Registration { name: b"dbgp", kind: Kind::Custom(|run, text| run.call("dbgp-ehci", text)) },
    Registration { name: b"dbgp", kind: Kind::Custom(|run, text| run.call("dbgp-xhci", text)) },
    Registration { name: b"edd", kind: Kind::Ignore },
    Registration { name: b"placeholder", kind: Kind::Ignore },
    Registration { name: b"iommu", kind: Kind::Custom(iommu) },
    Registration { name: b"u16", kind: Kind::Integer(16, |vars| &mut vars.u16) },
    Registration { name: b"u64", kind: Kind::Integer(64, |vars| &mut vars.u64) },
    Registration { name: b"size16", kind: Kind::Size(16, |vars| &mut vars.size16) },
    Registration { name: b"size32", kind: Kind::Size(32, |vars| &mut vars.size32) },
    Registration { name: b"one", kind: Kind::Text(1, |vars| &mut vars.one) },
    Registration { name: b"slot(", kind: Kind::Custom(|run, text| run.call("slot", text)) },
    Registration { name: b"slot(a)", kind: Kind::Text(4, |vars| &mut vars.slot_a) },
    Registration { name: b"map{", kind: Kind::Custom(|run, text| run.call("map", text)) },
    Registration { name: b"angle<", kind: Kind::Custom(|run, text| run.call("angle", text)) },
    Registration { name: b"flags", kind: Kind::Custom(flags) },
    Registration { name: b"digits", kind: Kind::Custom(digits) },
    Registration { name: b"code", kind: Kind::Custom(code) },
    Registration { name: b"twice", kind: Kind::Boolean(|vars| &mut vars.twice_first) },
    Registration { name: b"twice", kind: Kind::Boolean(|vars| &mut vars.twice_second) },
    Registration { name: b"twice", kind: Kind::Custom(|run, text| run.call("twice", text)) },
    Registration { name: b"twice", kind: Kind::Integer(32, |vars| &mut vars.twice_number) },
    Registration { name: b"twice", kind: Kind::Text(8, |vars| &mut vars.twice_text) },
];

/// What happened while a line was parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A handler said what it got.
    Call(Vec<u8>),
    /// A line for Xen's console, without its line end.
    Printk(Vec<u8>),
}

/// One line, parsed.
pub(crate) struct Run {
    /// What happened, in order.
    pub(crate) events: Vec<Event>,
    /// What `parse_params` returns.
    pub(crate) rc: i32,
    variables: Variables,
}

/// Parses a line with the test table, from the variables' initial values.
pub(crate) fn parse_params(line: &[u8]) -> Run {
    let mut run = Run { events: Vec::new(), rc: 0, variables: Variables::initial() };
    let mut at = 0;
    while let Some(range) = next_token(line, at) {
        at = range.end;
        run.token(&line[range]);
    }
    run
}

impl Run {
    /// The variables after the line, as the test program prints them.
    pub(crate) fn state(&self) -> Vec<u8> {
        let vars = &self.variables;
        let tboot = if vars.tboot == 0 { "0".to_owned() } else { format!("{:#x}", vars.tboot) };
        let mut state = Vec::with_capacity(512);
        let number = |value: u64| value.to_string().into_bytes();
        let quoted = |text: &[u8]| [b"\"", text, b"\""].concat();
        for (name, value) in [
            ("nosmp", number(vars.nosmp)),
            ("hap", number(vars.hap)),
            ("hap_2mb", number(vars.hap_2mb)),
            ("tboot", tboot.into_bytes()),
            ("maxcpus", number(vars.maxcpus)),
            ("u8", number(vars.u8)),
            ("mem", number(vars.mem)),
            ("noapic", number(vars.noapic)),
            ("console", quoted(&vars.console)),
            ("com1", quoted(&vars.com1)),
            ("nmi", quoted(&vars.nmi)),
            ("one", quoted(&vars.one)),
            ("slot(a)", quoted(&vars.slot_a)),
            ("twice_text", quoted(&vars.twice_text)),
            ("u16", number(vars.u16)),
            ("u64", number(vars.u64)),
            ("size16", number(vars.size16)),
            ("size32", number(vars.size32)),
            ("twice_first", number(vars.twice_first)),
            ("twice_second", number(vars.twice_second)),
            ("twice_number", number(vars.twice_number)),
        ] {
            state.extend([name.as_bytes(), b"=", &value, b" "].concat());
        }
        state
    }

    fn token(&mut self, token: &[u8]) {
        let param = Param::new(token);
        // Xen writes "no" over the key when it hands it to a custom handler: later registrations of the name, and
        // the message, see that.
        let (mut key, mut value) = (param.key, param.value);
        let mut assert = !param.negated;
        let mut rc = 0;
        let mut found = false;
        for registration in TABLE {
            let result = if registration.name == param.name {
                match registration.kind {
                    Kind::Text(capacity, variable) => {
                        let kept = value.len().min(capacity.saturating_sub(1));
                        *variable(&mut self.variables) = value[..kept].to_vec();
                        0
                    }
                    Kind::Integer(bits, variable) => self.store(strtoll(value, 0), value, bits, variable),
                    Kind::Size(bits, variable) => self.store(parse_size(value), value, bits, variable),
                    Kind::Boolean(variable) => match if value.is_empty() { Some(true) } else { parse_bool(value) }
                    {
                        Some(read) => {
                            assert ^= !read;
                            *variable(&mut self.variables) = u64::from(assert);
                            0
                        }
                        None => -1,
                    },
                    Kind::Custom(_) if !assert && !value.is_empty() => EINVAL,
                    Kind::Custom(handler) => {
                        if !assert {
                            (key, value) = (b"no", b"no");
                        }
                        handler(self, value)
                    }
                    Kind::Ignore => 0,
                }
            } else {
                let bracket = param.bracketed.filter(|bracket| bracket.name == registration.name);
                match (&registration.kind, bracket) {
                    (Kind::Custom(handler), Some(bracket)) => handler(self, bracket.argument),
                    _ => continue,
                }
            };
            found = true;
            if rc == 0 {
                rc = result;
            }
        }
        if rc != 0 {
            let text = [b"parameter \"", key, b"\" has invalid value \"", value, b"\", rc="].concat();
            self.events.push(Event::Printk([text, format!("{rc}!").into_bytes()].concat()));
            self.rc = rc;
        }
        if !found {
            self.events.push(Event::Printk([b"parameter \"", key, b"\" unknown!"].concat()));
            self.rc = EINVAL;
        }
    }

    /// Stores a number, even where text follows it that Xen then complains about.
    fn store(&mut self, (number, taken): (u64, usize), text: &[u8], bits: u8, variable: Access<u64>) -> i32 {
        let stored = assign_integer(number, bits);
        if let Some(stored) = stored {
            *variable(&mut self.variables) = stored;
        }
        match stored {
            _ if taken < text.len() => EINVAL,
            Some(_) => 0,
            None => EOVERFLOW,
        }
    }

    /// A handler that takes everything.
    fn call(&mut self, name: &str, text: &[u8]) -> i32 {
        self.events.push(Event::Call([name.as_bytes(), b"(\"", text, b"\")"].concat()));
        0
    }
}

impl Variables {
    fn initial() -> Self {
        Self {
            nosmp: 0,
            hap: 1,
            hap_2mb: 1,
            tboot: 0,
            maxcpus: 0,
            u8: 0,
            mem: 0,
            noapic: 0,
            console: Vec::new(),
            com1: Vec::new(),
            nmi: Vec::new(),
            u16: 0,
            u64: 0,
            size16: 0,
            size32: 0,
            one: Vec::new(),
            slot_a: Vec::new(),
            twice_first: 0,
            twice_second: 1,
            twice_number: 0,
            twice_text: Vec::new(),
        }
    }
}

/// A list as most of Xen's handlers take one: a boolean, or one of two named booleans.
fn iommu(run: &mut Run, text: &[u8]) -> i32 {
    let mut rc = 0;
    for element in text.split(|&byte| byte == b',') {
        let named = |name: &[u8]| match parse_boolean(name, element) {
            NamedBoolean::Is(value) => Some(value),
            NamedBoolean::NotBoolean | NamedBoolean::Other => None,
        };
        let event = if let Some(value) = parse_bool(element) {
            format!("iommu enable={}", u8::from(value)).into_bytes()
        } else if let Some(value) = named(b"force") {
            format!("iommu force={}", u8::from(value)).into_bytes()
        } else if let Some(value) = named(b"verbose") {
            format!("iommu verbose={}", u8::from(value)).into_bytes()
        } else {
            rc = EINVAL;
            [b"iommu EINVAL at \"", element, b"\""].concat()
        };
        run.events.push(Event::Call(event));
    }
    rc
}

/// What the two functions for booleans return for each element of a list; one name begins with the other.
fn flags(run: &mut Run, text: &[u8]) -> i32 {
    let named = |name: &[u8], element: &[u8]| match parse_boolean(name, element) {
        NamedBoolean::Is(value) => i32::from(value),
        NamedBoolean::Other => -1,
        NamedBoolean::NotBoolean => -2,
    };
    for element in text.split(|&byte| byte == b',') {
        let whole = parse_bool(element).map_or(-1, i32::from);
        let (short, long) = (named(b"pv", element), named(b"pv-l1tf", element));
        run.events.push(Event::Call(format!("flags {whole} {short} {long}").into_bytes()));
    }
    0
}

/// The same text as a number in each base and as a size: what was read and how many bytes that took.
fn digits(run: &mut Run, text: &[u8]) -> i32 {
    let mut event = "digits".to_owned();
    let mut add = |(value, taken): (u64, usize)| {
        // Writing to a string cannot fail.
        let _ = write!(event, " {value:x}/{taken}");
    };
    for base in [0, 8, 10, 16] {
        add(strtoull(text, base));
        add(strtoll(text, base));
    }
    add(parse_size(text));
    run.events.push(Event::Call(event.into_bytes()));
    0
}

/// A handler that fails with the length of what it got.
fn code(_: &mut Run, text: &[u8]) -> i32 {
    i32::try_from(text.len()).map_or(EINVAL, |len| -len)
}
