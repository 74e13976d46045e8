//! `xen-lockdown prove`: runs the lab and prints what it found.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use lockdown_lab::console::Verdict;
use lockdown_lab::prove::{self, Options};
use lockdown_lab::report::{Report, Surprise};
use lockdown_lab::watch::Nobody;

use crate::arguments::ProveArguments;

mod table;

use table::Table;

pub(crate) fn run(arguments: &ProveArguments) -> anyhow::Result<ExitCode> {
    let folder = arguments.folder.clone().unwrap_or_else(prove::default_folder);
    let options = Options {
        only: arguments.only.clone(),
        columns: arguments.column.clone(),
        extra_attacks: arguments.extra_attacks.clone(),
        keep: arguments.keep,
        jobs: arguments.jobs.map(NonZeroUsize::get),
    };
    let started = Instant::now();
    let report = if std::io::stderr().is_terminal() {
        prove::run(&folder, &options, &Table::new())
    } else {
        prove::run(&folder, &options, &Nobody)
    }?;
    let place = arguments.report.clone().unwrap_or_else(|| folder.join("report"));
    let mut surprises = Vec::new();
    for column in &report.columns {
        surprises.extend(column.surprises());
    }
    let write = |name: &str, text: &str| {
        let file = place.join(name);
        // Beside it first, so that no half of a report stands where a whole one is looked for.
        let new = place.join(format!(".new-{name}"));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &file));
        written.with_context(|| format!("{} cannot be written", file.display()))
    };
    fs::create_dir_all(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    let json = serde_json::to_string_pretty(&report)?;
    write("report.json", &json)?;
    write("report.xml", &report.junit())?;
    write("report.html", &report.html())?;

    let mut out = std::io::stdout().lock();
    if arguments.format == "json" {
        writeln!(out, "{json}")?;
    } else {
        write!(out, "{}", human(&report, &surprises))?;
        writeln!(out, "\n{} s; the report is in {}", started.elapsed().as_secs(), place.display())?;
    }
    Ok(if !report.is_complete() {
        ExitCode::from(2)
    } else if surprises.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn human(report: &Report, surprises: &[Surprise]) -> String {
    let mut lines = vec![report.table()];
    for column in &report.columns {
        for entry in column.results.iter().filter(|entry| entry.verdict == Verdict::Breached) {
            lines.push(format!("{} {} breached: {}", column.title(), entry.id, entry.evidence));
        }
    }
    for surprise in surprises {
        let declared = surprise.declared.map_or("nothing", Verdict::name);
        lines.push(format!(
            "{} {}: {}, declared is {declared}",
            surprise.column,
            surprise.id,
            surprise.found.name()
        ));
    }
    for column in &report.columns {
        for it in &column.unanswered {
            lines.push(format!("{} {}: no answer: {}", column.title(), it.id, it.message));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
