//! For each option a token that is allowed and one that is refused. They come from the option's own rules; where what
//! comes first there would tell nothing, or keep the machine from telling, another is named here.

use std::fmt::Write as _;

use lockdown_core::tables;
use lockdown_core::{
    Class, Item, Kinds, Level, Lockdown, Opt, Pattern, Polarity, Segment, Shape, Verdict, XenVersion,
};
use lockdown_policy::catalogue;

/// Better tokens than the first that the rules give.
const NAMED: &[&str] = &[
    // What Xen says has to go on coming, all of it, and soon.
    "com1=115200,8n1,0x3f8,4",
    "console=com1",
    "console_timestamps=none",
    "guest_loglvl=all",
    "loglvl=all",
    "no-sync_console",
    // dom0 has to fit into the machine, and needs a processor.
    "dom0_mem=500M,max:500M",
    "dom0_max_vcpus=1",
    "maxcpus=1",
    "gnttab_max_frames=64",
    "gnttab_max_maptrack_frames=1024",
    // What Xen tells dom0 by itself has a machine of its own.
    "acpi=verbose",
    // Names with a bracket.
    "ivrs_hpet[0]=00:14.0",
    "ivrs_ioapic[7]=00:14.0",
    // The one number that is refused.
    "vm-notify-window=-1",
];

/// One option, and what is tried of it.
#[derive(Debug)]
pub(crate) struct Sample {
    name: String,
    /// Allowed while Xen is locked.
    pub(crate) allowed: Option<String>,
    /// Refused while Xen is locked.
    pub(crate) refused: Option<String>,
    /// Refused only at level confidentiality.
    pub(crate) confidential: Option<String>,
}

/// Every option of Xen 4.20 but `lockdown`, which the vectors are about.
pub(crate) fn xen() -> Vec<Sample> {
    let here = tables::TABLE.xen.iter().filter(|option| option.versions.contains(XenVersion::V4_20));
    here.filter(|option| !matches!(option.class, Class::Latch)).map(|option| sample(option, judge_xen)).collect()
}

/// Options that an Arm build of 4.20 has and this one does not: unknown.
pub(crate) fn foreign() -> Vec<String> {
    let here = catalogue::XEN.iter().filter(|option| option.class == "foreign" && option.xen.contains(&"4.20"));
    here.map(|option| format!("{}=1", option.name)).collect()
}

/// Every option of dom0's kernel that a rule speaks of.
pub(crate) fn dom0() -> Vec<Sample> {
    tables::TABLE.dom0.iter().map(|option| sample(option, judge_dom0)).collect()
}

/// How much of it there is.
pub(crate) fn summary() -> String {
    let mut out = String::new();
    for (whose, samples) in [("Xen 4.20", xen()), ("dom0", dom0())] {
        let count = |has: fn(&Sample) -> bool| samples.iter().filter(|sample| has(sample)).count();
        let _ = writeln!(
            out,
            "options of {whose}: {}; with an allowed value {}, a refused one {}, one that only confidentiality refuses {}",
            samples.len(),
            count(|sample| sample.allowed.is_some()),
            count(|sample| sample.refused.is_some()),
            count(|sample| sample.confidential.is_some()),
        );
    }
    let _ = write!(out, "options of Arm only, unknown here: {}", foreign().len());
    out
}

fn sample(option: &Opt<'_>, judge: fn(&str, Level) -> bool) -> Sample {
    let name = core::str::from_utf8(option.name).unwrap().to_owned();
    let mut sample = Sample { name: name.clone(), allowed: None, refused: None, confidential: None };
    let named = NAMED.iter().filter(|token| name_of(token) == name).map(|token| (*token).to_owned());
    let from_rules = values(option).into_iter().map(|value| format!("{name}{value}"));
    for token in
        named.chain(from_rules).filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'))
    {
        let place = match (judge(&token, Level::Integrity), judge(&token, Level::Confidentiality)) {
            (false, _) => &mut sample.refused,
            (true, true) => &mut sample.allowed,
            (true, false) => &mut sample.confidential,
        };
        place.get_or_insert(token);
    }
    // What only confidentiality refuses is allowed without it.
    let [allowed, refused] =
        [&sample.allowed, &sample.refused].map(|one| one.is_some() || sample.confidential.is_some());
    let complete = match option.class {
        Class::Safe | Class::Latch => allowed,
        Class::Refused => refused,
        Class::Values(_) => allowed && refused,
    };
    assert!(complete, "{}: not all that is to be tried: {sample:?}", sample.name);
    sample
}

/// The option that a token sets.
fn name_of(token: &str) -> &str {
    let name = token.split('=').next().unwrap();
    let name = name.strip_prefix("no-").unwrap_or(name);
    name.find('[').map_or(name, |at| &name[..=at])
}

/// Whether unsigned text may say it. Only to have one of each kind: what is compared comes from lint.
fn judge_xen(token: &str, level: Level) -> bool {
    let mut lockdown = Lockdown::new(&tables::TABLE, XenVersion::V4_20, Some(level));
    lockdown
        .xen_tokens(Segment::Runtime, token.as_bytes())
        .all(|token| matches!(token.verdict, Verdict::Honoured(_)))
}

fn judge_dom0(token: &str, level: Level) -> bool {
    let lockdown = Lockdown::new(&tables::TABLE, XenVersion::V4_20, Some(level));
    lockdown
        .dom0_tokens(Segment::Runtime, token.as_bytes())
        .all(|token| matches!(token.verdict, Verdict::Honoured(_)))
}

/// Values to try for an option: what its rules name, and what Xen would read for its kind.
fn values(option: &Opt<'_>) -> Vec<String> {
    let mut values = Vec::new();
    if let Class::Values(shape) = option.class {
        let lists: Vec<&[Item<'_>]> = match shape {
            Shape::Whole { items, .. } | Shape::List { items, .. } => vec![items],
            Shape::Fields { positions, named, .. } => positions.iter().copied().chain([named]).collect(),
        };
        for item in lists.into_iter().flatten() {
            let examples = examples(&item.pattern).into_iter();
            values.extend(examples.map(|value| if value.is_empty() { value } else { format!("={value}") }));
        }
    }
    let common: &[&str] = if option.kinds.has(Kinds::INTEGER) || option.kinds.has(Kinds::SIZE) {
        &["=1", "=4096", "=0x7fffffff"]
    } else {
        &["", "=on", "=off", "=1", "=0x100000,junk"]
    };
    values.extend(common.iter().map(|value| (*value).to_owned()));
    values
}

fn examples(pattern: &Pattern<'_>) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match *pattern {
        Pattern::Bool(Polarity::Off) => vec!["off".to_owned()],
        Pattern::Bool(_) => vec!["on".to_owned(), "off".to_owned()],
        Pattern::Flag(name, Polarity::Off) => vec![format!("no-{}", text(name)), text(name)],
        Pattern::Flag(name, _) => vec![text(name), format!("no-{}", text(name))],
        Pattern::Words(words, _) => words.first().map(|word| text(word)).into_iter().collect(),
        Pattern::Number(_, ranges) | Pattern::Size(ranges) => {
            ranges.0.first().map(|(low, _)| low.to_string()).into_iter().collect()
        }
        Pattern::Prefix(prefix, items) => {
            let inner: Vec<String> = items.iter().flat_map(|item| examples(&item.pattern)).collect();
            let inner = if inner.is_empty() { vec!["1".to_owned()] } else { inner };
            inner.into_iter().map(|inner| format!("{}{inner}", text(prefix))).collect()
        }
        Pattern::Text(prefix, _, _) | Pattern::Plain(prefix) => vec![format!("{}x", text(prefix))],
        Pattern::Empty(_) => vec![String::new()],
    }
}

#[test]
fn every_option_has_what_is_to_be_tried() {
    println!("{}", summary());
    for sample in xen().iter().chain(&dom0()) {
        println!("{sample:?}");
    }
    for token in NAMED {
        let known = xen().into_iter().any(|sample| {
            [sample.allowed, sample.refused, sample.confidential].iter().flatten().any(|used| used == token)
        });
        assert!(known, "{token} is named and not used");
    }
}
