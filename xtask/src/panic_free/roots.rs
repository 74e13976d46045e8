//! What `cargo xtask panic-free` compiles with the engine: each function calls a part of its interface as foreign
//! code would, with values that the compiler cannot know, and the panic handler calls a symbol that nothing
//! defines. Where the linker still wants that symbol after it dropped what is unreachable, the engine can panic.

#![no_std]

use core::panic::PanicInfo;

use lockdown_core::hypercall::{
    Answer, Call, Door, HypercallNumber, OperationNumber, Relation, Rules, Selector, decide,
};
use lockdown_core::{
    Level, Lockdown, Reason, Segment, Token, Verdict, XenVersion, dom0_line, dom0_lockdown_option, linux_text,
    tables, xen_text,
};

unsafe extern "C" {
    fn panic_is_reachable() -> !;
    /// Takes results, so that the compiler has to make them.
    fn take(number: u64);
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never linked into a program.
    unsafe { panic_is_reachable() }
}

fn keep(number: impl TryInto<u64>) {
    // SAFETY: never linked into a program.
    unsafe { take(number.try_into().unwrap_or(0)) }
}

fn keep_text(text: &[u8]) {
    keep(text.as_ptr().addr());
    keep(text.len());
}

fn keep_token(token: &Token<'_>) {
    keep_text(token.text);
    keep(token.offset);
    keep(token.option.map_or(u64::MAX, u64::from));
    match &token.verdict {
        Verdict::Honoured(ground) => keep(u8::from(matches!(ground, lockdown_core::Ground::Overlay(_)))),
        Verdict::Refused(refusal) => {
            keep(refusal.at.start);
            keep(refusal.at.end);
            keep(refusal.note);
            keep_text(refusal.reason.id().as_bytes());
            keep_text(refusal.reason.info().text.as_bytes());
        }
    }
}

fn level(number: u8) -> Option<Level> {
    match number {
        0 => None,
        1 => Some(Level::Integrity),
        _ => Some(Level::Confidentiality),
    }
}

fn segment(number: u8) -> Segment {
    match number {
        0 => Segment::Builtin,
        1 => Segment::Signed,
        _ => Segment::Runtime,
    }
}

fn version(name: &[u8]) -> XenVersion {
    let name = core::str::from_utf8(name).unwrap_or_default();
    XenVersion::from_name(name).unwrap_or(XenVersion::HEAD)
}

#[unsafe(no_mangle)]
extern "Rust" fn root_tokens(text: &[u8], name: &[u8], locked: u8, from: u8) {
    let version = version(name);
    keep_text(version.name().as_bytes());
    let mut lockdown = Lockdown::new(&tables::TABLE, version, level(locked));
    for token in lockdown.xen_tokens(segment(from), text) {
        keep_token(&token);
    }
    for token in lockdown.dom0_tokens(segment(from), text) {
        keep_token(&token);
    }
    lockdown.raise(Level::Confidentiality);
    if let Some(level) = lockdown.level() {
        keep_text(dom0_lockdown_option(level));
    }
}

#[unsafe(no_mangle)]
extern "Rust" fn root_filters(xen: &mut [u8], dom0: &mut [u8], name: &[u8], locked: u8, from: u8) {
    let mut lockdown = Lockdown::new(&tables::TABLE, version(name), level(locked));
    lockdown.filter_xen(segment(from), xen, &mut |token| keep_token(token));
    lockdown.filter_dom0(segment(from), dom0, &mut |token| keep_token(token));
}

#[unsafe(no_mangle)]
extern "Rust" fn root_xen_text(text: &[u8], name: &[u8], from: usize, number: u64, small: u8) {
    keep_text(xen_text::until_nul(text));
    if let Some((end, dom0)) = xen_text::split_dom0(text) {
        keep(end);
        keep(dom0.start);
        keep(dom0.end);
    }
    keep(xen_text::next_token(text, from).map_or(0, |range| range.end));
    let param = xen_text::Param::new(text);
    keep_text(param.name);
    keep_text(param.bracketed.map_or(param.value, |bracketed| bracketed.argument));
    keep(xen_text::parse_bool(text).map_or(2, u64::from));
    keep(u8::from(xen_text::parse_boolean(name, text) == xen_text::NamedBoolean::NotBoolean));
    keep(xen_text::strtoull(text, small).0);
    keep(xen_text::strtoll(text, small).1);
    keep(xen_text::parse_size(text).0);
    keep(xen_text::assign_integer(number, small).unwrap_or(0));
}

#[unsafe(no_mangle)]
extern "Rust" fn root_linux_text(text: &[u8], name: &[u8], from: usize) {
    keep(linux_text::next_token(text, from).map_or(0, |range| range.end));
    keep(linux_text::split(text).2);
    keep(u8::from(linux_text::compare_names(text, name).is_lt()));
    keep(u8::from(linux_text::accepts_more(text)));
}

#[unsafe(no_mangle)]
extern "Rust" fn root_dom0_line(line: &mut [u8], level: Level) {
    keep(dom0_line::lock(line, level).unwrap_or(0));
}

#[unsafe(no_mangle)]
extern "Rust" fn root_reasons(id: &[u8], index: u8) {
    let id = core::str::from_utf8(id).unwrap_or_default();
    let reason = Reason::from_id(id).unwrap_or(Reason::at(index));
    keep(reason.index());
    keep(u8::from(reason.refuses_at(Level::Integrity)));
}

#[unsafe(no_mangle)]
extern "Rust" fn root_hypercalls(numbers: [u32; 3], relation: u8, locked: u8, argument: &[u8]) {
    let call = Call {
        hypercall: HypercallNumber(numbers[0]),
        operation: OperationNumber(numbers[1]),
        selector: Selector(numbers[2]),
        relation: Relation(relation),
        argument,
    };
    let ask = |rules: &Rules<'_>, door| {
        if let Answer::Refused(reason) = decide(rules, &call, level(locked), door) {
            keep_text(reason.id().as_bytes());
        }
        if let Some(row) = rules.find(call.hypercall, call.operation, call.selector) {
            keep(row.name.to_bytes().len());
        }
    };
    ask(&tables::GATE, Door::Gate);
    ask(&tables::HYPERCALLS, Door::Guard);
}
