//! The table that a terminal shows while machines run: one line for each of them, what it is at and for how long, and
//! the answers as they come above it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lockdown_lab::console::Verdict;
use lockdown_lab::report::Entry;
use lockdown_lab::watch::Watch;

/// How often a line is drawn again: the seconds go on.
const TICK: Duration = Duration::from_millis(500);

pub(crate) struct Table {
    lines: MultiProgress,
    /// What is made ready, then how many machines have run and what they said.
    total: ProgressBar,
    state: Mutex<State>,
    colour: bool,
}

#[derive(Default)]
struct State {
    seats: BTreeMap<usize, ProgressBar>,
    answers: BTreeMap<&'static str, usize>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let lines = MultiProgress::new();
        let total = lines.add(ProgressBar::new(0).with_style(style("{elapsed_precise} {wide_msg}")));
        total.enable_steady_tick(TICK);
        let colour = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
        Self { lines, total, state: Mutex::default(), colour }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, word: &'static str) {
        let mut state = self.state();
        let count = state.answers.entry(word).or_default();
        *count = count.saturating_add(1);
        let counts: Vec<String> = state.answers.iter().map(|(word, count)| format!("{count} {word}")).collect();
        drop(state);
        self.total.set_message(counts.join(", "));
    }

    fn print(&self, text: &str) {
        // A terminal that is gone is no reason to stop.
        let _ = self.lines.println(text);
    }
}

/// Templates are constant, and a wrong one only looks plain.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Watch for Table {
    fn says(&self, text: &str) {
        self.total.set_message(text.to_owned());
    }

    fn machines(&self, count: usize) {
        self.total.inc_length(u64::try_from(count).unwrap_or(u64::MAX));
        self.total.set_style(style("{elapsed_precise} machine {pos} of {len}: {wide_msg}"));
        self.total.set_message("");
    }

    fn begins(&self, seat: usize, column: &str, machine: &str) {
        let line = ProgressBar::no_length().with_style(style("  {prefix:10} {elapsed:>4} {wide_msg}"));
        let line = self.lines.add(line.with_prefix(column.to_owned()).with_message(format!("{machine}: boots")));
        line.enable_steady_tick(TICK);
        self.state().seats.insert(seat, line);
    }

    fn at(&self, seat: usize, what: &str) {
        if let Some(line) = self.state().seats.get(&seat) {
            line.set_message(what.to_owned());
        }
    }

    fn answered(&self, column: &str, entry: &Entry) {
        let word = entry.verdict.name();
        if entry.verdict != Verdict::Works {
            let style = match entry.verdict {
                _ if !self.colour => Style::new(),
                Verdict::Breached | Verdict::Broken => AnsiColor::Red.on_default(),
                Verdict::Held => AnsiColor::Green.on_default(),
                _ => Style::new().dimmed(),
            };
            self.print(&format!("{column:10} {:28} {style}{word}{style:#}", entry.id));
        }
        self.count(word);
    }

    fn unanswered(&self, column: &str, id: &str) {
        self.print(&format!("{column:10} {id:28} no answer"));
        self.count("no answer");
    }

    fn ends(&self, seat: usize) {
        if let Some(line) = self.state().seats.remove(&seat) {
            line.finish_and_clear();
            self.lines.remove(&line);
        }
        self.total.inc(1);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // Nothing of it is left in front of what is printed then.
        let _ = self.lines.clear();
    }
}
