//! `xen-lockdown hypercall audit`: what a toolstack would lose, from the guard's lines in the kernel's log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use lockdown_core::Reason;
use serde::Serialize;

use super::record::{self, Told};
use crate::arguments::AuditArguments;
use crate::guard::{self, Counters};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    message: String,
    lost: Vec<Lost>,
    /// What the guard counted; nothing without --counters.
    counted: Option<Counters>,
}

/// One kind of call.
#[derive(Serialize)]
struct Lost {
    operation: String,
    reason: String,
    /// Lines that say that it was refused. There is one for each operation and reason, however often it happened.
    refused: usize,
    /// Lines that say that it would have been.
    would_be: usize,
    /// The processes.
    processes: BTreeSet<String>,
    class: Option<&'static str>,
    /// What the recorded toolstacks need the operation for.
    needed_for: Vec<&'static str>,
    /// Why it is refused.
    text: Option<&'static str>,
    mechanism: Option<&'static str>,
}

pub(super) fn run(arguments: &AuditArguments) -> anyhow::Result<ExitCode> {
    let log = record::read(&arguments.log)?;
    let counted = arguments.counters.as_deref().map(guard::counters).transpose()?;
    let lost = lost(&log);
    let (message, code) = verdict(&log, &lost, counted.as_ref());
    let document = Document { schema: "xen-lockdown/audit/1", message, lost, counted };
    let mut out = io::stdout().lock();
    if arguments.format == "json" {
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        write!(out, "{}", human(&document))?;
    }
    Ok(ExitCode::from(code))
}

fn lost(log: &str) -> Vec<Lost> {
    let mut kinds: BTreeMap<(String, String), Vec<Told>> = BTreeMap::new();
    for told in log.lines().filter_map(Told::from_line) {
        kinds.entry((told.operation.clone(), told.reason.clone())).or_default().push(told);
    }
    let kind = |((operation, reason), lines): ((String, String), Vec<Told>)| {
        let (known, request) = (super::operation(&operation), super::request(&operation));
        Lost {
            refused: lines.iter().filter(|told| told.refused).count(),
            would_be: lines.iter().filter(|told| !told.refused).count(),
            processes: lines.into_iter().map(|told| told.process).collect(),
            class: known.map(|text| text.class),
            needed_for: known.map_or_else(Vec::new, |text| text.sessions.to_vec()),
            text: Reason::from_id(&reason).map(|reason| reason.info().text),
            mechanism: known.map(|text| text.mechanism).or(request.map(|text| text.mechanism)),
            operation,
            reason,
        }
    };
    kinds.into_iter().map(kind).collect()
}

/// The verdict in a sentence, and the exit status.
fn verdict(log: &str, lost: &[Lost], counted: Option<&Counters>) -> (String, u8) {
    let count = counted.map(|counted| counted.refused.values().chain(counted.audited.values()).sum::<u64>());
    match (lost.len(), count) {
        (0, Some(0)) => {
            ("nothing would be lost: the guard has refused nothing, and would have refused nothing".into(), 0)
        }
        (0, Some(count)) => (
            format!(
                "the guard counted {count} calls that it refuses, and no line of this log says which: its lines come at debug level while nothing is locked"
            ),
            2,
        ),
        (0, None) if log.contains("lockdown-guard: ") => {
            ("no line of this log is about a call; with --counters it can be told whether there was one".into(), 2)
        }
        (0, None) => {
            ("this log has no line of the guard's: is it the kernel's, and was the guard loaded?".into(), 2)
        }
        (kinds, _) => {
            let kinds =
                if kinds == 1 { "1 kind of call is".to_owned() } else { format!("{kinds} kinds of calls are") };
            (format!("{kinds} refused once dom0's kernel is locked down"), 1)
        }
    }
}

fn human(document: &Document) -> String {
    let mut out = format!("{}\n", document.message);
    for lost in &document.lost {
        let class = lost.class.map_or(String::new(), |class| format!(" ({class})"));
        let processes: Vec<_> = lost.processes.iter().map(String::as_str).collect();
        let _ = writeln!(out, "\n{}{class}", lost.operation);
        let text = lost.text.unwrap_or("a reason that this program does not know");
        let _ = writeln!(out, "  {}: {text}", lost.reason);
        let _ = writeln!(out, "  asked for by  {}", processes.join(", "));
        let needed = if lost.needed_for.is_empty() {
            "nothing that the recorded toolstacks do".to_owned()
        } else {
            lost.needed_for.join(", ")
        };
        let _ = writeln!(out, "  needed for    {needed}");
        if let Some(mechanism) = lost.mechanism {
            let _ = writeln!(out, "  {mechanism}");
        }
    }
    if let Some(counted) = &document.counted {
        let _ = writeln!(out, "\nCounted by the guard (mode {}):", counted.mode);
        for (what, counts) in [("refused", &counted.refused), ("would be refused", &counted.audited)] {
            for (reason, count) in counts {
                let _ = writeln!(out, "  {count:>8}  {reason} ({what})");
            }
        }
        if counted.refused.is_empty() && counted.audited.is_empty() {
            let _ = writeln!(out, "  nothing");
        }
    }
    out
}
