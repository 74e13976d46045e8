//! The desk's answers against what a booted, locked Xen logged and did, equal in every token: every option of 4.20 with
//! an allowed and a refused value, the vectors that are about text from a boot entry, the other segments, dom0's text.
//!
//! Every text goes to `xen-lockdown lint --format json`, and into a machine with a locked Xen. What Xen logs as refused,
//! the line that its parser then gets, byte for byte, and the line that dom0's kernel gets, must be what lint said. Tokens
//! that need no machine of their own share one, because each is judged by itself.
//!
//! It boots machines, so `make lab` runs it: `cargo test --release -p xen-lockdown --test agree -- --ignored --nocapture`.
//! `AGREE_JOBS` says how many machines run at once, `AGREE_ONLY` which by the beginning of their names, and with `KEEP`
//! their logs are kept.

#![allow(missing_docs, clippy::unwrap_used)]

mod calls;
mod cases;
mod desk;
mod machine;
mod samples;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use lockdown_lab::lab::Lab;
use lockdown_lab::prove;
use serde_json::json;

use calls::{Door, Found};
use cases::{Case, Until};
use desk::Answer;
use machine::{Machines, Seen};

#[test]
#[ignore = "boots 35 machines for minutes and needs the lab's root: `make lab`, and so `make test`, runs it"]
fn the_desk_says_what_a_locked_xen_does() {
    let started = Instant::now();
    let mut lab = Lab::open(&prove::default_folder(), &prove::project(), &|_| {}).unwrap();
    if std::env::var_os("KEEP").is_some() {
        println!("kept in {}", lab.keep().display());
    }
    let only = std::env::var("AGREE_ONLY").unwrap_or_default();
    let asked = |case: &Case| only.is_empty() || only.split(',').any(|only| case.name.starts_with(only));
    let cases: Vec<Case> = cases::all().into_iter().filter(asked).collect();
    assert!(!cases.is_empty(), "no machine's name begins with {only}");
    let machines = Machines::new(&lab, &cases).unwrap();
    let (next, tokens) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let differences = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            let begun = Instant::now();
            let desk = desk::ask(case);
            let found = match machines.boot(case) {
                Ok(seen) => compare(case, &desk, &seen),
                Err(error) => vec![format!("no answer: {error:#}")],
            };
            tokens.fetch_add(desk.tokens, Ordering::SeqCst);
            let verdict =
                if found.is_empty() { "agree".to_owned() } else { format!("{} differences", found.len()) };
            println!(
                "{:5.1} s  {:3} tokens  {}: {verdict}",
                begun.elapsed().as_secs_f64(),
                desk.tokens,
                case.name
            );
            differences.lock().unwrap().extend(found.iter().map(|what| format!("{}: {what}", case.name)));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs() {
            scope.spawn(work);
        }
    });
    println!("{}", samples::summary());
    for (what, why) in cases::NOT_COMPARED {
        println!("not compared: {what}: {why}");
    }
    for case in &cases {
        if let Until::Xen(why) = case.until {
            println!("not compared: dom0's line in {}: {why}", case.name);
        }
    }
    println!("{} boots, {} tokens, {:.0} s", cases.len(), tokens.into_inner(), started.elapsed().as_secs_f64());
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn jobs() -> usize {
    let asked = std::env::var("AGREE_JOBS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[test]
#[ignore = "boots four machines and needs the lab's root: `make lab`, and so `make test`, runs it"]
fn the_desk_says_what_gate_and_guard_do() {
    let mut lab = Lab::open(&prove::default_folder(), &prove::project(), &|_| {}).unwrap();
    if std::env::var_os("KEEP").is_some() {
        println!("kept in {}", lab.keep().display());
    }
    let mut differences = Vec::new();
    for (door, level) in [
        (Door::Guard, "integrity"),
        (Door::Guard, "confidentiality"),
        (Door::Gate, "integrity"),
        (Door::Gate, "confidentiality"),
    ] {
        let begun = Instant::now();
        let made = calls::all(door, level).unwrap();
        let refused = made.iter().filter(|call| call.is_refused()).count();
        let found = match calls::compare(&lab, door, level, &made) {
            Ok(found) => found,
            Err(error) => Found { differences: vec![format!("no answer: {error:#}")], not_built: Vec::new() },
        };
        println!(
            "{:5.1} s  {} calls at the {door:?}, level {level}, {refused} of them refused: {} differences",
            begun.elapsed().as_secs_f64(),
            made.len(),
            found.differences.len()
        );
        if !found.not_built.is_empty() {
            println!("not built into this Xen: {}", found.not_built.join(", "));
        }
        differences.extend(found.differences);
    }
    for what in calls::not_compared() {
        println!("not compared: {what}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What differs between the desk and Xen.
fn compare(case: &Case, desk: &Answer, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let mut hold = |what: &str, desk: &dyn Debug, xen: &dyn Debug, equal: bool| {
        if !equal {
            found.push(format!("{what}\n    desk {desk:?}\n    Xen  {xen:?}"));
        }
    };
    let (kept, lost) = desk::what_xen_keeps(&desk.refused);
    if kept == seen.refused {
        hold("the number of refused tokens that Xen has no room for", &lost, &seen.lost, lost == seen.lost);
    } else {
        let (left, right): (BTreeSet<_>, BTreeSet<_>) = (kept.iter().collect(), seen.refused.iter().collect());
        if left == right {
            hold("the order of what is refused", &kept, &seen.refused, false);
        } else {
            let (desk, xen): (Vec<_>, Vec<_>) =
                (left.difference(&right).collect(), right.difference(&left).collect());
            hold("refused tokens", &desk, &xen, false);
        }
    }
    hold("the lock", &desk.level, &seen.level, desk.level == seen.level);
    hold("Xen's command line", &desk.xen, &seen.xen, seen.xen.as_ref() == Some(&desk.xen));
    if !matches!(case.until, Until::Xen(_)) {
        let adds = case.adds.iter().map(|word| (*word).to_owned());
        let wanted: Vec<String> = desk.dom0.iter().cloned().chain(adds).collect();
        hold("dom0's command line", &wanted, &seen.dom0, seen.dom0.as_ref() == Some(&wanted));
    }
    if case.until == Until::Told {
        let status = seen.status.as_ref().map(|status| &status["lockdown"]);
        let wanted = desk.status();
        let said = status.map(
            |said| json!({ "level": said["level"], "tokens": said["tokens"], "tokens_lost": said["tokens_lost"] }),
        );
        hold("what status says in dom0", &wanted, &said, said.as_ref() == Some(&wanted));
    }
    if !found.is_empty() {
        found.push(format!("the machine's end: {}", seen.end));
    }
    found
}
