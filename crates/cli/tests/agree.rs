//! The desk's answers against what a booted, locked Xen did: 200 command lines and more, token by token.
//!
//! Every line goes to `xen-lockdown lint --format json`, and into the boot entry of a machine with a locked Xen. What
//! Xen logs as refused, with which reason, and the command lines that Xen and dom0's kernel then have, must be what lint
//! said. Lines that need no machine of their own share one, because every token is judged by itself.
//!
//! It boots machines, so `make lab` runs it: `cargo test --release -p xen-lockdown --test agree -- --ignored`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockdown_core::{Class, Item, Kinds, Level, Lockdown, Pattern, Polarity, Segment, Shape, Verdict, XenVersion};
use lockdown_core::{Opt, tables};
use lockdown_lab::image::Parts;
use lockdown_lab::lab::{Lab, Scenario, Xen, config};
use lockdown_lab::machine::Dom0;
use lockdown_lab::prove;
use serde_json::Value;

/// As much runtime text as one boot gets: Xen reports 1023 bytes of its command line, and the signed text stands in it too.
const ROOM: usize = 700;

/// Lines of the list that the project started from, which are about text from a boot entry: each is put into a boot of its
/// own, with Secure Boot and without.
const OWN_BOOT: &[&str] = &[
    "lockdown",
    "lockdown=no",
    "lockdown=off",
    "lockdown=0",
    "lockdown=false",
    "lockdown=disable",
    "no-lockdown",
    "no-lockdown=no",
    "lockdown lockdown=no",
    "com2=115200,8n1,0x100000 lockdown",
    "lockdown com2=115200,8n1,0x100000",
    "lockdown=maybe",
    "lockdown=1x",
    "loglvl=all lockdown ept=no-ad guest_loglvl=all",
];

/// The same, judged under Secure Boot only; they share a boot.
const SHARED: &[&str] = &[
    "com2=115200",
    "ivrs_ioapic[7]=00:14.0",
    "ivrs_ioapic[=x",
    "no-ivrs_ioapic[7]=x",
    "no-com2=115200,8n1,0x100000",
    "no-tboot=0x1000",
    "tboot=4096junk",
    "mem=50%",
    "mem=4GB",
    "iommu=verbose iommu=off",
    "iommu=force=off",
    "com2=115200,io-base=0x100000",
    "com2=115200,8n1,0x3f8,4,port=00:1f.3",
    "com2=115200,8n1,pci",
    "nmi=fatal_and_more",
    "hap=OFF",
    "hap=2",
    "hap=,off",
    "hap=",
    "hap",
    "no-no-hap",
    "no-noapic",
    "no-dbgp",
    "maxcpus=-1",
    "maxcpus=08",
    "maxcpus=0x100000000",
    "tboot=0xfffffffffffffffff",
];

/// Honoured, these would keep the machine from saying what it did.
const MUTES: &[&str] =
    &["console", "com1", "loglvl", "guest_loglvl", "sync_console", "conswitch", "dom0_mem", "maxcpus"];

#[derive(Clone, Debug)]
struct Line {
    secure_boot: bool,
    runtime: String,
}

#[test]
#[ignore = "boots machines"]
fn the_desk_says_what_a_locked_xen_does() {
    let mut lab = Lab::open(&prove::default_folder(), &prove::project(), &|_| {}).unwrap();
    if std::env::var_os("KEEP").is_some() {
        eprintln!("kept in {}", lab.keep().display());
    }
    let xen = prove::hypervisor(&lab, "locked-xen", &|_| {}).unwrap();
    let lines = lines();
    let count: usize = lines.iter().map(|line| line.runtime.split(' ').count()).sum();
    assert!(lines.len() + count >= 200, "{} lines, {count} tokens", lines.len());
    let next = AtomicUsize::new(0);
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(line) = lines.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let found = compare(&lab, &xen, line);
                    differences.lock().unwrap().extend(found);
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("{} boots, {count} tokens: the desk and Xen agree", lines.len());
}

/// What is put into boot entries.
fn lines() -> Vec<Line> {
    let mut tokens: Vec<String> = SHARED.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
    for option in tables::TABLE.xen.iter().filter(|option| option.versions.contains(XenVersion::V4_20)) {
        let name = core::str::from_utf8(option.name).unwrap();
        if option.name == b"lockdown" {
            continue;
        }
        let mut honoured = None;
        let mut refused = None;
        for value in values(option) {
            let token = format!("{name}{value}");
            if token.contains(' ') || token.contains('"') || token.len() > 100 {
                continue;
            }
            let place = if is_honoured(&token) { &mut honoured } else { &mut refused };
            place.get_or_insert(token);
        }
        assert!(honoured.is_some() || refused.is_some(), "{name}: nothing to try");
        tokens.extend(honoured.filter(|_| !MUTES.contains(&name)));
        tokens.extend(refused);
    }
    let mut lines: Vec<Line> = Vec::new();
    let mut shared = String::new();
    for token in tokens {
        if shared.len() + token.len() > ROOM {
            lines.push(Line { secure_boot: true, runtime: std::mem::take(&mut shared) });
        }
        let _ = write!(shared, "{}{token}", if shared.is_empty() { "" } else { " " });
    }
    lines.push(Line { secure_boot: true, runtime: shared });
    // For dom0's kernel, behind a second separator.
    let dom0 = "-- quiet loglevel=7 init=/bin/sh rdinit=/lab/attacks module_blacklist=xen_privcmd initcall_blacklist=a root=/dev/sda1 ro \
                module.sig_enforce=0 lockdown=none";
    lines.push(Line { secure_boot: true, runtime: format!("loglvl=all {dom0}") });
    lines.push(Line { secure_boot: false, runtime: "loglvl=all -- loglevel=7 module_blacklist=dummy".to_owned() });
    for runtime in OWN_BOOT {
        for secure_boot in [true, false] {
            lines.push(Line { secure_boot, runtime: (*runtime).to_owned() });
        }
    }
    lines
}

/// Whether unsigned text may say it under Secure Boot. Only used to have one of each kind: what is compared comes from lint.
fn is_honoured(token: &str) -> bool {
    let mut lockdown = Lockdown::new(&tables::TABLE, XenVersion::V4_20, Some(Level::Integrity));
    let verdicts: Vec<Verdict> =
        lockdown.xen_tokens(Segment::Runtime, token.as_bytes()).map(|token| token.verdict).collect();
    verdicts.iter().all(|verdict| matches!(verdict, Verdict::Honoured(_)))
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
            values.extend(examples(&item.pattern).into_iter().map(|value| format!("={value}")));
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
        Pattern::Bool(_) => vec!["on".to_owned()],
        Pattern::Flag(name, Polarity::Off) => vec![format!("no-{}", text(name))],
        Pattern::Flag(name, _) => vec![text(name)],
        Pattern::Words(words, _) => words.first().map(|word| text(word)).into_iter().collect(),
        Pattern::Number(_, ranges) | Pattern::Size(ranges) => {
            ranges.0.first().map(|(low, _)| low.to_string()).into_iter().collect()
        }
        Pattern::Prefix(prefix, items) => {
            let inner = items.iter().flat_map(|item| examples(&item.pattern));
            inner.map(|inner| format!("{}{inner}", text(prefix))).collect()
        }
        Pattern::Text(prefix, _, _) | Pattern::Plain(prefix) => vec![format!("{}x", text(prefix))],
        Pattern::Empty(_) => vec![String::new()],
    }
}

/// What differs between the desk and Xen for a line.
fn compare(lab: &Lab, xen: &Xen, line: &Line) -> Vec<String> {
    let signed = config(Dom0::Pv, "", "loglevel=7");
    let desk = desk(&signed, line);
    let machine = match boot(lab, xen, &signed, line) {
        Ok(machine) => machine,
        Err(error) => return vec![format!("{line:?}: {error:#}")],
    };
    let mut differences = Vec::new();
    let mut differ = |what: &str, desk: &dyn std::fmt::Debug, xen: &dyn std::fmt::Debug| {
        differences.push(format!("{line:?}\n  {what}\n    desk {desk:?}\n    Xen  {xen:?}"));
    };
    if desk.refused != machine.refused {
        let (left, right): (BTreeSet<_>, BTreeSet<_>) =
            (desk.refused.iter().collect(), machine.refused.iter().collect());
        differ(
            "refused tokens",
            &left.difference(&right).collect::<Vec<_>>(),
            &right.difference(&left).collect::<Vec<_>>(),
        );
    }
    if desk.xen != machine.xen {
        differ("Xen's command line", &desk.xen, &machine.xen);
    }
    if desk.dom0 != machine.dom0 {
        differ("dom0's command line", &desk.dom0, &machine.dom0);
    }
    differences
}

/// What both say: tokens that are refused with their reasons, in order, and the command lines.
#[derive(Debug, PartialEq)]
struct Answer {
    refused: Vec<(String, String)>,
    xen: Vec<String>,
    dom0: Vec<String>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn desk(signed: &str, line: &Line) -> Answer {
    let value = |key: &str| signed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    let (_, dom0) = value("kernel").split_once(' ').unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xen-lockdown"));
    command.args([
        "lint",
        "--format",
        "json",
        "--fail-on",
        "never",
        "--signed",
        &format!("{} -- {dom0}", value("options")),
    ]);
    command.args(["--runtime", &line.runtime]);
    if line.secure_boot {
        command.arg("--secure-boot");
    }
    let output = command.output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{line:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    let input = &document["inputs"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tokens = input["tokens"].as_array().unwrap();
    let refused = tokens.iter().filter(|token| token["verdict"] == "refused");
    Answer {
        refused: refused.map(|token| (text(&token["text"]), text(&token["reason"]))).collect(),
        xen: words(input["passes"]["xen"].as_str().unwrap()),
        dom0: words(input["passes"]["dom0"].as_str().unwrap()),
    }
}

fn boot(lab: &Lab, xen: &Xen, signed: &str, line: &Line) -> anyhow::Result<Answer> {
    let parts = Parts {
        config: Some(signed.to_owned()),
        kernel: Some(lab.kernel.clone()),
        ramdisk: Some(lab.small_initramfs()?),
    };
    let image = lab.signed(&lab.unified(xen, &parts)?, &lab.keys.trusted)?;
    let mut scenario = Scenario::new("agree", Dom0::Pv, image.bytes);
    scenario.secure_boot = line.secure_boot;
    scenario.options = format!("xen.efi -- {}", line.runtime);
    let last = "] Command line: ";
    scenario.stop_at.push(last.to_owned());
    let boot = lab.boot(&scenario)?;
    let texts = boot.lines.iter().map(|heard| heard.text.as_str());
    let refused = texts.clone().filter_map(refusal).collect();
    let find = |mark: &str| texts.clone().find_map(|text| Some(words(text.split_once(mark)?.1)));
    let missing = |what: &str| anyhow::anyhow!("{what} was not seen: {:?}", boot.end);
    Ok(Answer {
        refused,
        xen: find("(XEN) Command line: ").ok_or_else(|| missing("Xen's command line"))?,
        dom0: find(last).ok_or_else(|| missing("dom0's command line"))?,
    })
}

/// `lockdown: refused "TOKEN" (runtime): REASON: ...`
fn refusal(line: &str) -> Option<(String, String)> {
    let rest = line.split_once("lockdown: refused \"")?.1;
    let (token, rest) = rest.split_once("\" (")?;
    let (_, rest) = rest.split_once("): ")?;
    Some((token.to_owned(), rest.split(':').next()?.to_owned()))
}

#[test]
fn a_refusal_in_xens_log_is_read() {
    let line = "(XEN) lockdown: refused \"com1=115200,8n1,0x100000\" (runtime): io-address: names an address";
    assert_eq!(refusal(line), Some(("com1=115200,8n1,0x100000".to_owned(), "io-address".to_owned())));
    assert_eq!(refusal("(XEN) lockdown: on"), None);
}

#[test]
fn there_are_two_hundred_lines() {
    let lines = lines();
    let tokens: usize = lines.iter().map(|line| line.runtime.split(' ').count()).sum();
    assert!(tokens >= 300, "{tokens}");
    assert!(lines.len() < 60, "{} boots", lines.len());
}
