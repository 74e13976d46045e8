// SPDX-License-Identifier: GPL-2.0-only

use lockdown_core::hypercall::Answer;

use super::*;

fn empty() -> Box<Records> {
    Box::new(Records { count: 0, used: 0, lost: 0, record: [Record::default(); 64], text: [0; 4096] })
}

fn text_at(records: &Records, at: u16) -> String {
    let rest = records.text[usize::from(at)..].iter().copied();
    String::from_utf8(rest.take_while(|&byte| byte != 0).collect()).unwrap()
}

fn filter(level: u8, segment: u8, text: &str) -> (u8, String, Box<Records>) {
    let mut records = empty();
    let mut bytes = text.as_bytes().to_vec();
    // SAFETY: both buffers are this test's own.
    let level = unsafe {
        lockdown_rs_filter_xen(level, segment, 420, bytes.as_mut_ptr().cast(), bytes.len(), &mut *records)
    };
    (level, String::from_utf8(bytes).unwrap(), records)
}

#[test]
fn what_is_refused_becomes_spaces_and_is_recorded() {
    let (level, text, records) = filter(1, 2, "loglvl=all com1=115200,8n1,0x100000 sync_console");
    assert_eq!(level, 1);
    assert_eq!(text, format!("loglvl=all {} sync_console", " ".repeat(24)));
    assert_eq!((records.count, records.lost), (1, 0));
    let record = records.record[0];
    assert_eq!(text_at(&records, record.at), "com1=115200,8n1,0x100000");
    assert_eq!((record.segment, record.dom0, record.cut), (2, 0, 0));
    // SAFETY: the pointer is to a static text.
    let id = unsafe { CStr::from_ptr(lockdown_rs_reason(record.reason.into())) };
    assert_eq!(id.to_str(), Ok("io-address"));
}

#[test]
fn the_latch_goes_from_left_to_right() {
    let (level, text, records) = filter(0, 2, "smep=0 lockdown smep=0");
    assert_eq!((level, text.as_str()), (1, "smep=0 lockdown       "));
    assert_eq!(records.count, 1);
    assert_eq!(filter(0, 2, "smep=0 lockdown=no").0, 0);
    assert_eq!(filter(0, 1, "lockdown=confidentiality").0, 2);
    let text = c"smep=0 lockdown";
    // SAFETY: a static text of 15 bytes.
    assert_eq!(unsafe { lockdown_rs_latches(0, 0, 420, text.as_ptr(), 15) }, 1);
}

#[test]
fn trusted_text_stays() {
    for segment in [0, 1] {
        let (level, text, records) = filter(1, segment, "smep=0 nosuch");
        assert_eq!((level, text.as_str(), records.count), (1, "smep=0 nosuch", 0));
    }
}

#[test]
fn what_cannot_be_is_told() {
    assert_eq!(filter(3, 2, "x").0, IMPOSSIBLE);
    assert_eq!(filter(1, 3, "x").0, IMPOSSIBLE);
    let mut records = empty();
    // SAFETY: null is what is tried.
    unsafe {
        assert_eq!(lockdown_rs_filter_xen(1, 2, 420, core::ptr::null_mut(), 1, &mut *records), IMPOSSIBLE);
        assert_eq!(lockdown_rs_filter_dom0(1, 2, 420, core::ptr::null_mut(), 1, &mut *records), IMPOSSIBLE);
        let mut byte = 0;
        assert_eq!(lockdown_rs_filter_xen(1, 2, 420, &mut byte, 1, core::ptr::null_mut()), IMPOSSIBLE);
        assert_eq!(lockdown_rs_dom0_line(1, core::ptr::null_mut(), 1), 0);
        assert_eq!(lockdown_rs_reason_index(core::ptr::null()), u32::MAX);
    }
    assert!(lockdown_rs_reason(10_000).is_null());
    assert!(lockdown_rs_reason_text(u32::MAX).is_null());
}

#[test]
fn the_reasons_are_those_of_core() {
    for (index, info) in tables::REASONS.iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        assert_eq!(ffi::reason_id(index).unwrap().to_str(), Ok(info.id));
        assert_eq!(ffi::reason_text(index).unwrap().to_str(), Ok(info.text));
        let id = ffi::reason_id(index).unwrap();
        // SAFETY: a static text.
        assert_eq!(unsafe { lockdown_rs_reason_index(id.as_ptr()) }, index);
    }
}

#[test]
fn no_text_is_too_long_to_record() {
    let long = format!("nosuch={}", "a".repeat(100_000));
    let (_, text, records) = filter(1, 2, &long);
    assert_eq!(text.trim(), "");
    assert_eq!((records.count, records.record[0].cut), (1, 1));
    assert_eq!(text_at(&records, 0).len(), 127);
    let many = "nosuch ".repeat(1000);
    let (_, text, records) = filter(1, 2, &many);
    assert_eq!(text.trim(), "");
    assert_eq!((records.count, records.lost), (64, 936));
    let many = format!("{long} ").repeat(50);
    let (_, _, records) = filter(1, 2, &many);
    assert_eq!(u32::from(records.count) + records.lost, 50);
}

#[test]
fn each_text_is_split_at_its_own_separator() {
    let split = |text: &str| {
        let mut end = 0;
        // SAFETY: the text is the test's own.
        let dom0 = unsafe { lockdown_rs_split(text.as_ptr().cast(), text.len(), &mut end) };
        (end, dom0)
    };
    assert_eq!(split("a b"), (3, 3));
    assert_eq!(split("a --   b -- c"), (1, 7));
    assert_eq!(split("-- b"), (4, 4));
    assert_eq!(split("a --"), (4, 4));
    assert_eq!(split("a\0 -- b"), (1, 1));
    assert_eq!(split(""), (0, 0));
}

#[test]
fn dom0_is_locked_wherever_linux_reads() {
    let line = |text: &str, size: usize| {
        let mut line = text.as_bytes().to_vec();
        line.resize(size, 0);
        // SAFETY: the line is the test's own.
        let len = unsafe { lockdown_rs_dom0_line(1, line.as_mut_ptr().cast(), line.len()) };
        assert_eq!(line.get(len).copied(), Some(0));
        String::from_utf8(line[..len].to_vec()).unwrap()
    };
    assert_eq!(line("", 64), "lockdown=integrity");
    assert_eq!(line("quiet", 64), "quiet lockdown=integrity");
    assert_eq!(line("quiet -- x", 64), "lockdown=integrity quiet -- x");
    assert_eq!(line("x=\"quiet", 64), "lockdown=integrity x=\"quiet");
    assert_eq!(line("quiet", 25), "quiet lockdown=integrity");
    // What does not fit falls off whole.
    assert_eq!(line("ro quiet", 27), "lockdown=integrity ro");
    assert_eq!(line("quiet", 24), "lockdown=integrity ");
    assert_eq!(line("quiet ro", 28), "quiet ro lockdown=integrity");
    assert_eq!(line(&"q".repeat(1023), 1024), "lockdown=integrity");
    let long = format!("{} rootwait", "q".repeat(1014));
    assert_eq!(long.len(), 1023);
    assert_eq!(line(&long, 1024), "lockdown=integrity ");
    // Without room for the option itself the boot ends.
    let mut line = *b"quiet\0            ";
    // SAFETY: the line is the test's own.
    assert_eq!(unsafe { lockdown_rs_dom0_line(1, line.as_mut_ptr().cast(), line.len()) }, 0);
}

#[test]
fn the_gate_answers_as_core_does() {
    for (number, &place) in tables::GATE.numbers.iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        let Some(family) = usize::from(place).checked_sub(1).map(|place| &tables::GATE.families[place]) else {
            continue;
        };
        for row in family.operations {
            let (operation, selector) = (u32::from(row.number), u32::from(row.selector));
            // SAFETY: the pointer is to a static text.
            let name = unsafe { CStr::from_ptr(lockdown_rs_operation(number, operation, selector)) };
            assert!(!name.is_empty());
            for relation in 0..=5 {
                for level in [1, 2] {
                    let call = Call {
                        selector: Selector(selector),
                        relation: Relation(relation),
                        ..Call::new(HypercallNumber(number), OperationNumber(operation))
                    };
                    let wanted = match decide(&tables::GATE, &call, level_of(level).unwrap(), Door::Gate) {
                        Answer::Admitted => 0,
                        Answer::Refused(reason) => u32::from(reason.index()) + 1,
                    };
                    let gate = |level| {
                        // SAFETY: no structure is given.
                        unsafe {
                            lockdown_rs_gate(level, number, operation, selector, relation, core::ptr::null(), 0)
                        }
                    };
                    assert_eq!((gate(level), gate(0)), (wanted, 0), "{name:?} {relation}");
                    // An impossible level is the highest.
                    assert_eq!(gate(9), gate(2));
                }
            }
        }
    }
    assert!(lockdown_rs_operation(u32::MAX, 0, 0).is_null());
}

#[test]
fn what_is_written_while_xen_runs_has_the_rules_of_unsigned_text() {
    let ask = |name: &CStr, value: &CStr| {
        // SAFETY: both are static texts.
        unsafe { lockdown_rs_parameter(1, name.as_ptr(), value.as_ptr()) }
    };
    let reason = |answer: u32| ffi::reason_id(answer.checked_sub(1).unwrap()).unwrap().to_str().unwrap();
    assert_eq!(ask(c"loglvl", c"all"), 0);
    assert_eq!(reason(ask(c"smep", c"0")), "hardening");
    assert_eq!(reason(ask(c"nosuch", c"0")), "unknown-option");
    assert_eq!(reason(ask(c"", c"")), "unknown-option");
    assert_eq!(reason(ask(c"loglvl", c"all smep=0")), "value-not-listed");
    let long = std::ffi::CString::new("a".repeat(121)).unwrap();
    assert_eq!(reason(ask(c"loglvl", &long)), "value-not-listed");
    // SAFETY: null is what is tried.
    assert_ne!(unsafe { lockdown_rs_parameter(1, core::ptr::null(), c"".as_ptr()) }, 0);
}
